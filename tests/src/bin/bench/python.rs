//! The same function, which turns the picture upside down, under FastRTC, in Python here, and in
//! Rust: CPU of a returned frame, and how long it takes.
//!
//! Needs `scripts/python.sh install fastrtc test` and `scripts/python.sh package release`.

use std::sync::Arc;
use std::time::Duration;

use reframe_tests::figures::{Percentiles, millis};
use reframe_tests::http;
use reframe_tests::peer::{Options, Peer};
use reframe_tests::process::{self, Process};
use reframe_tests::python;
use reframe_tests::source::{Clip, Video};
use reframe_tests::wait::eventually;

use super::Plan;
use super::report::Report;
use super::streams::{PATIENCE, ages, watch};

/// In the order in which each round runs them.
const SERVERS: [&str; 3] = ["FastRTC", "Python", "Rust, RGB24"];

/// A server and the address of its offers.
fn start(server: &str) -> (Process, String) {
    let mut process = match server {
        "FastRTC" => {
            let mut command = python::command("fastrtc");
            command.arg(python::script("fastrtc_flip.py"));
            Process::spawn("fastrtc", command)
        }
        "Python" => {
            let mut command = python::command("test");
            command.arg(python::example("flip.py"));
            command.env("REFRAME_HTTP", "127.0.0.1:0").env("REFRAME_ADMIN", "127.0.0.1:0");
            Process::spawn("python", command)
        }
        _ => {
            let ports = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
            let mut command = process::command("reframe-worker");
            command.args(["launch", "--demo", "flip-rgb"]).args(ports);
            Process::spawn("rust", command)
        }
    };
    let page = process.announced("page ").trim_end_matches('/').to_owned();
    eventually("the server answers", PATIENCE, || http::get(&page).ok());
    (process, page)
}

fn connect(page: &str, clip: &Arc<Clip>, decode: bool) -> Peer {
    let options = Options { decode, ..Options::camera("bench", Video::Clip(Arc::clone(clip))) };
    let peer = Peer::connect(page, options).unwrap_or_else(|reply| panic!("no answer: {reply:?}"));
    peer.wait_received(1, PATIENCE);
    peer
}

/// One stream to each server, one after the other: CPU for `large` while nothing is decoded here,
/// and ages for `small` in a run of their own. At the bitrate that FastRTC begins with, its large
/// pictures cannot be read.
pub(crate) fn side_by_side(
    report: &mut Report,
    [large, small]: [(&str, &Arc<Clip>); 2],
    plan: &Plan,
) {
    for server in SERVERS {
        let (name, clip) = large;
        let (process, page) = start(server);
        let peers = [connect(&page, clip, false)];
        watch(&peers, plan.warm_up_secs);
        let before = process.cpu_time();
        let returned = watch(&peers, plan.window_secs)[0].len();
        let cpu: Duration = process.cpu_time() - before;
        drop(peers);
        let row = format!("{server}: CPU of a returned frame");
        let name = &format!("python {name}");
        report.add(name, &row, "CPU-ms/frame", millis(cpu) / returned as f64);
        let fps = returned as f64 / f64::from(plan.window_secs);
        report.add(name, &format!("{server}: returned"), "fps", fps);
        drop(process);

        let (name, clip) = small;
        let name = &format!("python {name}");
        let (_process, page) = start(server);
        let peers = [connect(&page, clip, true)];
        watch(&peers, plan.warm_up_secs);
        let ages = Percentiles::of(ages(&watch(&peers, plan.window_secs)[0])).expect("some frames");
        report.add(name, &format!("{server}: added latency, p50"), "ms", ages.p50);
        report.add(name, &format!("{server}: added latency, p99"), "ms", ages.p99);
    }
}
