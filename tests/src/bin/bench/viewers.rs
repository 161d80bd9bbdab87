//! What one viewer more of a 720p stream costs, and how many hold its rate.
//!
//! Viewers decode nothing, so that they leave the server its CPU; what they cost themselves, their
//! decryption above all, is told beside it. The stream's own client is one of the frames' receivers
//! too, and is in the cost without viewers.

use std::sync::Arc;
use std::time::Duration;

use reframe_tests::cluster::Cluster;
use reframe_tests::figures::millis;
use reframe_tests::peer::{Options, Peer, Stats};
use reframe_tests::process::cpu_time;
use reframe_tests::source::Clip;
use tokio::time::Instant;

use super::Plan;
use super::report::Report;
use super::streams::{PATIENCE, connect, watch};

/// How many watch, one window after the other.
const VIEWERS: [u32; 4] = [0, 10, 25, 50];

pub(crate) fn lines(report: &mut Report, name: &str, clip: &Arc<Clip>, plan: &Plan) {
    let options =
        ["--offer-rate", "1000", "--offer-burst", "1000", "--max-pending-per-client", "1000"];
    let cluster = Cluster::launch_with("flip", &options);
    let camera = connect(&cluster, "", "watched", clip, false);
    camera.wait_received(1, PATIENCE);
    let whep = camera.whep();
    let mut peers = vec![camera];
    let mut alone = None;
    for viewers in VIEWERS {
        while peers.len() <= viewers as usize {
            let options =
                Options { decode: false, ..Options::watcher(peers.len().to_string(), &whep) };
            let viewer = Peer::connect(&cluster.page(""), options);
            peers.push(viewer.unwrap_or_else(|reply| panic!("no answer but {reply:?}")));
        }
        peers.iter().for_each(|peer| peer.wait_received(1, PATIENCE));
        watch(&peers, plan.warm_up_secs);
        let cpu =
            || millis(cluster.processes().map(|process| process.cpu_time()).sum::<Duration>());
        let tool = || cpu_time(std::process::id());
        let (before, ours, began) = (cpu(), tool(), Instant::now());
        let received = watch(&peers, plan.window_secs);
        let (cpu, ours) = (cpu() - before, millis(tool() - ours));
        let seconds = began.elapsed().as_secs_f64();
        let frames = f64::from(plan.window_secs * 30);
        let rates: Vec<_> = received.iter().map(|frames| Stats::fps(frames)).collect();
        let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let row = |what: &str| format!("{viewers} viewers: {what}");
        report.add(name, &row("CPU of a picture"), "CPU-ms/frame", cpu / frames);
        let first = *alone.get_or_insert(cpu / frames);
        if viewers > 0 {
            let more = (cpu / frames - first) / f64::from(viewers);
            report.add(name, &row("CPU of a picture, a viewer more"), "CPU-ms/frame", more);
            let theirs = ours / frames / f64::from(viewers);
            report.add(name, &row("of the load tool, a viewer"), "CPU-ms/frame", theirs);
        }
        report.add(name, &row("slowest"), "fps", slowest);
        report.add(
            name,
            &row("cores busy, load tool and all"),
            "cores",
            (cpu + ours) / 1e3 / seconds,
        );
    }
}
