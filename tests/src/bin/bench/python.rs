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

/// Seconds that the slow function takes: that of `worker/python/examples/skip_frames.py`.
const SLOW: &str = "0.2";

/// A server and the address of its offers. `slow`: the function takes [`SLOW`], and is given the
/// newest frame.
fn start(server: &str, slow: bool) -> (Process, String) {
    let mut process = match server {
        "FastRTC" => {
            let mut command = python::command("fastrtc");
            command.arg(python::script("fastrtc_flip.py"));
            command.env("HANDLER_SECONDS", if slow { SLOW } else { "0" });
            Process::spawn("fastrtc", command)
        }
        "Python" => {
            let mut command = python::command("test");
            command.arg(python::example(if slow { "skip_frames.py" } else { "flip.py" }));
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

fn connect(page: &str, id: &str, clip: &Arc<Clip>, decode: bool) -> Peer {
    let options = Options { decode, ..Options::camera(id, Video::Clip(Arc::clone(clip))) };
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
        let (process, page) = start(server, false);
        let peers = [connect(&page, "bench", clip, false)];
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
        let (_process, page) = start(server, false);
        let peers = [connect(&page, "bench", clip, true)];
        watch(&peers, plan.warm_up_secs);
        let added = ages(&watch(&peers, plan.window_secs)[0]);
        let added = Percentiles::of(added).expect("some frames");
        report.add(name, &format!("{server}: added latency, p50"), "ms", added.p50);
        report.add(name, &format!("{server}: added latency, p99"), "ms", added.p99);
        drop(peers);

        // More streams than a core has time for are not asked of it: four small ones.
        let (process, page) = start(server, false);
        let peers: Vec<_> =
            (0..4).map(|n| connect(&page, &format!("bench{n}"), clip, false)).collect();
        watch(&peers, plan.warm_up_secs);
        let (before, rss) = (process.cpu_time(), process.rss_bytes());
        let returned: usize = watch(&peers, plan.window_secs).iter().map(Vec::len).sum();
        let cpu: Duration = process.cpu_time() - before;
        let grown = process.rss_bytes() as f64 - rss as f64;
        let row = format!("{server}, four streams: ");
        report.add(
            name,
            &(row.clone() + "CPU of a frame"),
            "CPU-ms/frame",
            millis(cpu) / returned as f64,
        );
        let fps = returned as f64 / f64::from(4 * plan.window_secs);
        report.add(name, &(row.clone() + "returned to each"), "fps", fps);
        report.add(name, &(row + "memory in the window"), "MiB more", grown / f64::from(1 << 20));
        drop((peers, process));

        if server == "Rust, RGB24" {
            continue;
        }
        let (_process, page) = start(server, true);
        let peers = ["bench1", "bench2"].map(|id| connect(&page, id, clip, true));
        watch(&peers, plan.warm_up_secs + 2);
        let seen = watch(&peers, 2 * plan.window_secs);
        let all = Percentiles::of(seen.iter().flat_map(|frames| ages(frames)).collect());
        let all = all.expect("some frames");
        let row = format!("{server}, 200 ms and two streams: added latency, ");
        report.add(name, &(row.clone() + "p50"), "ms", all.p50);
        report.add(name, &(row + "p99"), "ms", all.p99);
    }
}
