//! One stream and four, through `reframe-worker launch --demo flip`.

use std::sync::Arc;
use std::time::Duration;

use reframe_tests::cluster::Cluster;
use reframe_tests::peer::{Options, Peer, Received, Stats};
use reframe_tests::source::{Clip, Video};
use tokio::time::Instant;

use super::report::{
    CONNECTED, CPU, FASTEST, FIRST_FRAME, FPS, LATENCY_P50, LATENCY_P95, RATIO, REPEATED, RSS, Report, SLOWEST,
};
use super::{Plan, millis};

/// For anything that should take a second or two: beyond it the machine is too busy to measure on.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Of every clip.
const CAMERA_FPS: u32 = 30;

/// One stream: CPU first, then the latency with a client that decodes.
pub(crate) fn one(report: &mut Report, name: &'static str, clip: &Arc<Clip>, floor_ms: f64, plan: &Plan) {
    let cluster = Cluster::launch("flip");
    let offered = Instant::now().into_std();
    let mut peer = connect(&cluster, "", "cpu", clip, false);
    peer.wait_received(1, PATIENCE);
    let stats = peer.stats();
    let connected = stats.connected.expect("before the first frame").duration_since(offered);
    let first_frame = stats.received[0].complete.duration_since(offered);
    let load = Load::measure(&cluster, std::slice::from_ref(&peer), plan);
    report.add(name, FPS, "fps", Stats::fps(&load.received[0]));
    load.report(report, name, floor_ms);
    report.add(name, RSS, "MB", megabytes(cluster.gateway.rss_bytes()));
    report.add(name, CONNECTED, "ms", millis(connected));
    report.add(name, FIRST_FRAME, "ms", millis(first_frame));
    peer.close();

    let viewer = connect(&cluster, "", "latency", clip, true);
    watch(std::slice::from_ref(&viewer), plan.warm_up_secs);
    let ages = ages(&watch(std::slice::from_ref(&viewer), plan.window_secs)[0]);
    report.add(name, LATENCY_P50, "ms", percentile_ms(&ages, 50));
    report.add(name, LATENCY_P95, "ms", percentile_ms(&ages, 95));
}

/// Four streams at once.
pub(crate) fn four(report: &mut Report, name: &'static str, clip: &Arc<Clip>, floor_ms: f64, plan: &Plan) {
    let cluster = Cluster::launch("flip");
    let peers: Vec<_> = (0..4).map(|n| connect(&cluster, "", &n.to_string(), clip, false)).collect();
    peers.iter().for_each(|peer| peer.wait_received(1, PATIENCE));
    let load = Load::measure(&cluster, &peers, plan);
    let fps = load.received.iter().map(|frames| Stats::fps(frames));
    report.add(name, SLOWEST, "fps", fps.clone().fold(f64::INFINITY, f64::min));
    report.add(name, FASTEST, "fps", fps.fold(0.0, f64::max));
    load.report(report, name, floor_ms);
    report.add(name, RSS, "MB", megabytes(cluster.gateway.rss_bytes()));
}

/// What the server did in one window.
struct Load {
    /// By each peer.
    received: Vec<Vec<Received>>,
    repeated: f64,
    cpu: Duration,
}

impl Load {
    fn measure(cluster: &Cluster, peers: &[Peer], plan: &Plan) -> Self {
        let repeated = || cluster.metrics().sum("reframe_frames_repeated_total", &[]);
        watch(peers, plan.warm_up_secs);
        let repeated_before = repeated();
        let cpu_before = cluster.gateway.cpu_time();
        let received = watch(peers, plan.window_secs);
        let cpu = cluster.gateway.cpu_time() - cpu_before;
        Self { received, repeated: repeated() - repeated_before, cpu }
    }

    fn report(&self, report: &mut Report, name: &'static str, floor_ms: f64) {
        let frames: usize = self.received.iter().map(Vec::len).sum();
        let cpu_ms = millis(self.cpu) / frames as f64;
        report.add(name, REPEATED, "%", 100.0 * self.repeated / frames as f64);
        report.add(name, CPU, "CPU-ms/frame", cpu_ms);
        report.add(name, RATIO, "x", cpu_ms / floor_ms);
    }
}

/// Sends `clip` to the stream at `path`, which may be empty where there is one. Without `decode` a client costs next to
/// nothing, so that it does not take the server's CPU.
pub(crate) fn connect(cluster: &Cluster, path: &str, id: &str, clip: &Arc<Clip>, decode: bool) -> Peer {
    let options = Options { decode, ..Options::camera(id, Video::Clip(Arc::clone(clip))) };
    Peer::connect(&cluster.page(path), options).unwrap_or_else(|reply| panic!("no answer but {reply:?}"))
}

/// What each of `peers` receives while the first sends `seconds` of video.
pub(crate) fn watch(peers: &[Peer], seconds: u32) -> Vec<Vec<Received>> {
    let start: Vec<_> = peers.iter().map(|peer| peer.stats().received.len()).collect();
    let sent = peers[0].stats().sent.len() + (seconds * CAMERA_FPS) as usize;
    let patience = Duration::from_secs(u64::from(seconds)) + PATIENCE;
    peers[0].wait_until("a window of video", patience, |stats| (stats.sent.len() >= sent).then_some(()));
    peers.iter().zip(start).map(|(peer, start)| peer.stats().received.split_off(start)).collect()
}

/// How old each picture was when it was shown for the first time: from the last packet that carried it to the server to
/// the last packet that brought it back.
///
/// # Panics
/// When nothing was decoded: the figures would be of something else.
pub(crate) fn ages(frames: &[Received]) -> Vec<Duration> {
    let first_shown = frames.windows(2).filter(|pair| pair[0].code != pair[1].code).map(|pair| &pair[1]);
    let flipped = first_shown.filter(|frame| frame.code.is_some_and(|code| code.flipped));
    let ages: Vec<_> = flipped.filter_map(|frame| frame.age).collect();
    assert!(!ages.is_empty(), "{} frames, none of them flipped", frames.len());
    ages
}

pub(crate) fn percentile_ms(durations: &[Duration], percent: usize) -> f64 {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    millis(sorted[(sorted.len() - 1) * percent / 100])
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
