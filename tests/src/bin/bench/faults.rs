//! Workers that are taken away on purpose, and for how long their streams stand still.

use std::sync::Arc;
use std::time::Duration;

use reframe_tests::cluster::{Cluster, Worker};
use reframe_tests::figures::millis;
use reframe_tests::source::Clip;
use reframe_tests::wait::eventually;
use tokio::time::Instant;

use super::Plan;
use super::report::Report;
use super::streams::{connect, watch};

/// From the fault: more than any of them takes.
const LOOK_SECS: u32 = 6;
const PATIENCE: Duration = Duration::from_secs(30);

/// One stream on one of two workers, three times.
pub(crate) fn workers(report: &mut Report, name: &'static str, clip: &Arc<Clip>, plan: &Plan) {
    fault(
        report,
        name,
        ["killed: nothing new for", "killed: no picture for"],
        clip,
        plan,
        |worker| {
            worker.process.kill9();
        },
    );
    fault(report, name, ["hung: nothing new for", "hung: no picture for"], clip, plan, |worker| {
        worker.process.freeze()
    });
    fault(
        report,
        name,
        ["drained: nothing new for", "drained: no picture for"],
        clip,
        plan,
        |worker| {
            worker.process.terminate();
        },
    );
}

fn fault(
    report: &mut Report,
    name: &'static str,
    [new, any]: [&'static str; 2],
    clip: &Arc<Clip>,
    plan: &Plan,
    happen: impl FnOnce(&mut Worker),
) {
    let mut cluster = Cluster::separate("flip", 2);
    let peer = connect(&cluster, "", "fault", clip, true);
    peer.wait_received(1, PATIENCE);
    let peers = std::slice::from_ref(&peer);
    watch(peers, plan.warm_up_secs);
    let busy = eventually("a worker has it", PATIENCE, || cluster.busy_worker());
    let since = Instant::now().into_std();
    happen(&mut cluster.workers[busy]);
    watch(peers, LOOK_SECS);
    let stats = peer.stats();
    report.add(name, new, "ms", millis(stats.longest_freeze(since)));
    report.add(name, any, "ms", millis(stats.longest_gap(since)));
}
