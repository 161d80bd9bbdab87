//! Clients of a stream, and what is seen by them.

use std::sync::Arc;
use std::time::Duration;

use reframe_tests::cluster::Cluster;
use reframe_tests::figures::millis;
use reframe_tests::peer::{Options, Peer, Received, Stats};
use reframe_tests::source::{Clip, Video};
use tokio::time::Instant;

use super::Plan;

/// For anything that should take a second or two: beyond it the machine is too busy to measure on.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Of a clip, where nothing else is said.
pub(crate) const CAMERA_FPS: u32 = 30;

/// Sends `clip` to the stream at `path`, which may be empty if there is only one. Without `decode`
/// a client costs next to nothing, so that it does not take the server's CPU.
pub(crate) fn connect(
    cluster: &Cluster,
    path: &str,
    id: &str,
    clip: &Arc<Clip>,
    decode: bool,
) -> Peer {
    let options = Options { decode, ..Options::camera(id, Video::Clip(Arc::clone(clip))) };
    Peer::connect(&cluster.page(path), options)
        .unwrap_or_else(|reply| panic!("no answer but {reply:?}"))
}

/// What each of `peers` receives while the first sends `seconds` of video.
pub(crate) fn watch(peers: &[Peer], seconds: u32) -> Vec<Vec<Received>> {
    watch_at(CAMERA_FPS, peers, seconds)
}

/// The same of cameras at another rate.
pub(crate) fn watch_at(fps: u32, peers: &[Peer], seconds: u32) -> Vec<Vec<Received>> {
    let sent = peers[0].stats().sent.len() + (seconds * fps) as usize;
    watch_until(peers, seconds, |stats| stats.sent.len() >= sent)
}

/// What each of `peers` receives in `seconds`, however much the first sends.
pub(crate) fn watch_for(peers: &[Peer], seconds: u32) -> Vec<Vec<Received>> {
    let until = Instant::now() + Duration::from_secs(seconds.into());
    watch_until(peers, seconds, |_| Instant::now() >= until)
}

/// What each of `peers` receives until the first is `done`, which takes some `seconds`.
fn watch_until(peers: &[Peer], seconds: u32, done: impl Fn(&Stats) -> bool) -> Vec<Vec<Received>> {
    let start: Vec<_> = peers.iter().map(|peer| peer.stats().received.len()).collect();
    let patience = Duration::from_secs(seconds.into()) + PATIENCE;
    peers[0].wait_until("a window", patience, |stats| done(stats).then_some(()));
    peers.iter().zip(start).map(|(peer, start)| peer.stats().received.split_off(start)).collect()
}

/// What the server did in one window.
pub(crate) struct Window {
    /// Results that were sent; what is sent again while nothing new is there costs little, and is
    /// none.
    pub(crate) new_frames: f64,
    /// CPU of all server processes.
    pub(crate) cpu: Duration,
    pub(crate) took: Duration,
    /// By the stream that returned least, re-emissions too.
    pub(crate) slowest_fps: f64,
}

impl Window {
    /// CPU-ms of a new frame.
    pub(crate) fn cpu_ms(&self) -> f64 {
        millis(self.cpu) / self.new_frames
    }
}

/// `streams` times `clip`, whose cameras have `fps`, to the only stream of `cluster`: what it does
/// once all of them run. They stay until what is given beside it is dropped.
pub(crate) fn window(
    cluster: &Cluster,
    clip: &Arc<Clip>,
    streams: u32,
    fps: u32,
    plan: &Plan,
) -> (Window, Vec<Peer>) {
    let peers: Vec<_> =
        (0..streams).map(|n| connect(cluster, "", &n.to_string(), clip, false)).collect();
    peers.iter().for_each(|peer| peer.wait_received(1, PATIENCE));
    watch_at(fps, &peers, plan.warm_up_secs);
    let cpu = || cluster.processes().map(|process| process.cpu_time()).sum::<Duration>();
    let (cpu_before, new_before, began) = (cpu(), new_frames(cluster), Instant::now());
    let received = watch_at(fps, &peers, plan.window_secs);
    let window = Window {
        cpu: cpu() - cpu_before,
        new_frames: new_frames(cluster) - new_before,
        took: began.elapsed(),
        slowest_fps: received.iter().map(|frames| Stats::fps(frames)).fold(f64::INFINITY, f64::min),
    };
    (window, peers)
}

/// Results that were sent so far.
pub(crate) fn new_frames(cluster: &Cluster) -> f64 {
    cluster.metrics().sum("reframe_frames_emitted_total", &[])
}

/// How old each picture was when it was shown for the first time: from the last packet that carried
/// it to the server to the last packet that brought it back.
///
/// # Panics
/// When nothing was decoded: the figures would be of something else.
pub(crate) fn ages(frames: &[Received]) -> Vec<Duration> {
    let first_shown =
        frames.windows(2).filter(|pair| pair[0].code != pair[1].code).map(|pair| &pair[1]);
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
