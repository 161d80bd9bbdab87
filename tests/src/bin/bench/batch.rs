//! One model for several sessions: called by each alone, as if each had a device of its own; behind
//! a lock, one session at a time; and on batches. `tests/clients/batch_model.py` is the model.
//!
//! Needs `scripts/python.sh install test` and `scripts/python.sh package release`.

use std::sync::Arc;
use std::time::Duration;

use reframe_tests::cluster::Cluster;
use reframe_tests::figures::{Percentiles, millis};
use reframe_tests::peer::{Peer, Stats};
use reframe_tests::python;
use reframe_tests::source::Clip;

use super::Plan;
use super::report::Report;
use super::streams::{PATIENCE, ages, connect, new_frames, watch};

const WAYS: [&str; 3] = ["alone", "lock", "batched"];

/// Frames a second, age when shown, and CPU of gateway, handlers and model together, with one to
/// eight sessions.
pub(crate) fn ways(report: &mut Report, name: &str, clip: &Arc<Clip>, plan: &Plan) {
    let program = python::script("batch_model.py");
    let program = program.to_str().expect("a UTF-8 name");
    for sessions in [1_u32, 2, 4, 8] {
        for way in WAYS {
            let cluster = Cluster::python("test", &[program, way]);
            let peers: Vec<Peer> =
                (0..sessions).map(|n| connect(&cluster, "", &n.to_string(), clip, true)).collect();
            peers.iter().for_each(|peer| peer.wait_received(1, PATIENCE));
            watch(&peers, plan.warm_up_secs);
            let (cpu, frames) = (cluster.gateway.cpu_time(), new_frames(&cluster));
            let received = watch(&peers, plan.window_secs);
            let cpu: Duration = cluster.gateway.cpu_time() - cpu;
            let frames = new_frames(&cluster) - frames;
            let least = received.iter().map(|frames| Stats::fps(frames)).fold(f64::MAX, f64::min);
            let ages: Vec<_> = received.iter().flat_map(|frames| ages(frames)).collect();
            let ages = Percentiles::of(ages).expect("some frames");
            let row = |what: &str| format!("{sessions} sessions, {way}: {what}");
            let each = frames / f64::from(plan.window_secs * sessions);
            report.add(name, &row("new frames"), "fps each", each);
            report.add(name, &row("shown by the slowest"), "fps", least);
            report.add(name, &row("age when shown, p50"), "ms", ages.p50);
            report.add(name, &row("age when shown, p99"), "ms", ages.p99);
            report.add(name, &row("CPU"), "CPU-ms/frame", millis(cpu) / frames);
            let metrics = cluster.metrics();
            let size = |part| metrics.sum(&format!("reframe_batch_size_{part}"), &[]);
            if size("count") > 0.0 {
                report.add(name, &row("batch"), "frames", size("sum") / size("count"));
            }
        }
    }
}
