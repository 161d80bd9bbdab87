//! A bad network: what is lost both ways, bursts, and two seconds of nothing.

use std::sync::Arc;
use std::time::Duration;

use reframe_tests::cluster::Cluster;
use reframe_tests::figures::millis;
use reframe_tests::metrics::Metrics;
use reframe_tests::netem::{Conditions, Loss, Network};
use reframe_tests::peer::{Options, Peer, Received, Stats};
use reframe_tests::source::{Clip, Video};
use tokio::time::Instant;

use super::Plan;
use super::report::{FPS, Report};
use super::streams::{PATIENCE, ages, percentile_ms, watch};

const SEED: u64 = 5;
/// Each way.
const DELAY: Duration = Duration::from_millis(50);
const BLACKOUT_SECS: u32 = 2;
/// Before the blackout and after it.
const AROUND_SECS: u32 = 5;

/// Each way 50 ms, and 5 % lost at random or in bursts.
pub(crate) fn lossy(
    report: &mut Report,
    name: &'static str,
    loss: Loss,
    clip: &Arc<Clip>,
    plan: &Plan,
) {
    let cluster = Cluster::launch("flip");
    let network = Network::both(SEED, Conditions { delay: DELAY, loss, ..Conditions::default() });
    let peer = connect(&cluster, clip, network);
    let peers = std::slice::from_ref(&peer);
    watch(peers, plan.warm_up_secs);
    let (before, counted) = (peer.stats(), cluster.metrics());
    let since = Instant::now().into_std();
    let frames = watch(peers, plan.loss_secs).remove(0);
    let stats = peer.stats();
    let seconds = f64::from(plan.loss_secs);
    let metrics = cluster.metrics();
    let shown = |metrics: &Metrics| {
        metrics.sum("reframe_frames_emitted_total", &[])
            + metrics.sum("reframe_frames_repeated_total", &[])
    };
    report.add(name, "sent by the server", "fps", (shown(&metrics) - shown(&counted)) / seconds);
    let congested =
        |metrics: &Metrics| metrics.sum("reframe_frames_dropped_total", &[("reason", "congested")]);
    report.add(
        name,
        "left out for the bitrate",
        "fps",
        (congested(&metrics) - congested(&counted)) / seconds,
    );
    report.add(name, FPS, "fps", Stats::fps(&frames));
    report.add(
        name,
        "decoded",
        "fps",
        frames.iter().filter(|frame| frame.width > 0).count() as f64 / seconds,
    );
    report.add(name, "new pictures", "fps", new_pictures(&frames) / seconds);
    report.add(name, "longest time without a picture", "ms", millis(stats.longest_gap(since)));
    report.add(
        name,
        "longest time without a new picture",
        "ms",
        millis(stats.longest_freeze(since)),
    );
    report_ages(report, name, ["age when first shown, p50", "age when first shown, p95"], &frames);
    let sent = stats.sent.len() - before.sent.len();
    report.add(
        name,
        "keyframes asked of the camera",
        "1/min",
        60.0 * per(&stats, &before, |it| it.keyframe_requests) / seconds,
    );
    report.add(
        name,
        "undecodable",
        "1/min",
        60.0 * per(&stats, &before, |it| it.undecodable) / seconds,
    );
    report.add(
        name,
        "packets sent again by the client",
        "1/frame",
        per(&stats, &before, |it| it.resent) / sent as f64,
    );
    report.add(
        name,
        "datagrams of the server",
        "1/frame",
        per(&stats, &before, |it| it.network[1].sent) / sent as f64,
    );
}

/// Nothing passes for two seconds.
pub(crate) fn blackout(report: &mut Report, name: &'static str, clip: &Arc<Clip>) {
    let cluster = Cluster::launch("flip");
    let open = Conditions { delay: DELAY, ..Conditions::default() };
    let peer = connect(&cluster, clip, Network::both(SEED, open));
    let peers = std::slice::from_ref(&peer);
    let before = watch(peers, AROUND_SECS).remove(0);
    peer.set_network(Network::both(SEED, Conditions { blackout: true, ..open }));
    watch(peers, BLACKOUT_SECS);
    peer.set_network(Network::both(SEED, open));
    let over = Instant::now().into_std();
    watch(peers, 1);
    let after = watch(peers, AROUND_SECS).remove(0);
    let stats = peer.stats();
    let shown = stats.received.iter().filter(|frame| frame.complete > over && frame.code.is_some());
    // What was sent before the blackout ended is old, however fresh it is on the screen.
    let current = |frame: &&Received| frame.age.is_some_and(|age| frame.complete - age > over);
    for (metric, frame) in [
        ("first picture after", shown.clone().next()),
        ("first current picture after", shown.clone().find(current)),
    ] {
        // None: it never came back.
        report.add(
            name,
            metric,
            "ms",
            frame.map_or(f64::INFINITY, |frame| millis(frame.complete - over)),
        );
    }
    report_ages(report, name, ["before: age when first shown, p50", "before: p95"], &before);
    report_ages(
        report,
        name,
        ["a second later: age when first shown, p50", "a second later: p95"],
        &after,
    );
    report.add(
        name,
        "a second later: new pictures",
        "fps",
        new_pictures(&after) / f64::from(AROUND_SECS),
    );
}

fn connect(cluster: &Cluster, clip: &Arc<Clip>, network: Network) -> Peer {
    let options = Options::camera("loss", Video::Clip(Arc::clone(clip))).with_network(network);
    let peer = Peer::connect(&cluster.page(""), options)
        .unwrap_or_else(|reply| panic!("no answer but {reply:?}"));
    peer.wait_received(1, PATIENCE);
    peer
}

fn report_ages(
    report: &mut Report,
    name: &'static str,
    [p50, p95]: [&'static str; 2],
    frames: &[Received],
) {
    let ages = ages(frames);
    report.add(name, p50, "ms", percentile_ms(&ages, 50));
    report.add(name, p95, "ms", percentile_ms(&ages, 95));
}

fn new_pictures(frames: &[Received]) -> f64 {
    let mut numbers: Vec<_> = frames.iter().filter_map(|frame| Some(frame.code?.number)).collect();
    numbers.dedup();
    numbers.len() as f64
}

fn per(stats: &Stats, before: &Stats, count: impl Fn(&Stats) -> u64) -> f64 {
    (count(stats) - count(before)) as f64
}
