//! Clients of a stream, and what is seen by them.

use std::sync::Arc;
use std::time::Duration;

use reframe_tests::cluster::Cluster;
use reframe_tests::figures::millis;
use reframe_tests::peer::{Options, Peer, Received};
use reframe_tests::source::{Clip, Video};

/// For anything that should take a second or two: beyond it the machine is too busy to measure on.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Of a clip, where nothing else is said.
const CAMERA_FPS: u32 = 30;

/// Sends `clip` to the stream at `path`, which may be empty where there is one. Without `decode` a client costs next to
/// nothing, so that it does not take the server's CPU.
pub(crate) fn connect(cluster: &Cluster, path: &str, id: &str, clip: &Arc<Clip>, decode: bool) -> Peer {
    let options = Options { decode, ..Options::camera(id, Video::Clip(Arc::clone(clip))) };
    Peer::connect(&cluster.page(path), options).unwrap_or_else(|reply| panic!("no answer but {reply:?}"))
}

/// What each of `peers` receives while the first sends `seconds` of video.
pub(crate) fn watch(peers: &[Peer], seconds: u32) -> Vec<Vec<Received>> {
    watch_at(CAMERA_FPS, peers, seconds)
}

/// The same of cameras at another rate.
pub(crate) fn watch_at(fps: u32, peers: &[Peer], seconds: u32) -> Vec<Vec<Received>> {
    let start: Vec<_> = peers.iter().map(|peer| peer.stats().received.len()).collect();
    let sent = peers[0].stats().sent.len() + (seconds * fps) as usize;
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
