//! End to end: real processes, real sockets, an independent WebRTC client. One binary, one module for each theme.
//!
//! Needs the binaries: `cargo build --bins` first. Bounds in time are for hangs, not for speed: they are several times
//! what a busy two-core machine takes; counts and orders are exact.

mod browser;
mod config;
mod docs;
mod ends;
mod flip;
mod junk;
mod processes;
mod signalling;
mod skip_frames;

use std::collections::HashSet;
use std::time::Duration;

use reframe_tests::cluster::Cluster;
use reframe_tests::metrics::Metrics;
use reframe_tests::peer::{Options, Peer, Stats};
use reframe_tests::source::Video;
use reframe_tests::wait::{eventually, try_eventually};

/// For things that take milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// An orderly close must free everything within a second; the rest is for the machine.
const CLOSED: Duration = Duration::from_secs(3);

/// A camera with its picture coming back, connected.
#[track_caller]
fn connect(cluster: &Cluster, id: &str, video: Video) -> Peer {
    connect_with(cluster, Options::camera(id, video))
}

#[track_caller]
fn connect_with(cluster: &Cluster, options: Options) -> Peer {
    let peer = Peer::connect(&cluster.page(""), options).unwrap_or_else(|reply| panic!("no answer: {reply:?}"));
    peer.wait_connected(PATIENCE);
    peer
}

/// Everything that came back came back upside down, was sent before, and is in order; a picture is shown again only
/// right after itself, which is a re-emission.
#[track_caller]
fn assert_flipped_in_order(stats: &Stats) {
    assert_eq!((stats.undecodable, &stats.failed), (0, &None));
    let sent: HashSet<u32> = stats.sent.iter().map(|sent| sent.number).collect();
    for frame in &stats.received {
        let code = frame.code.unwrap_or_else(|| panic!("no number in {frame:?}"));
        assert!(code.flipped && sent.contains(&code.number), "{frame:?}");
    }
    let numbers = stats.numbers();
    assert!(numbers.is_sorted_by(|a, b| a < b), "out of order, or again later: {numbers:?}");
    let times: Vec<_> = stats.received.iter().map(|frame| frame.rtp_time).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "RTP timestamps do not grow: {times:?}");
}

/// Stops the camera and waits until the server has dealt with all that was sent; gives the final notes and books.
///
/// Every frame sent was received by the server, and each was emitted, and shown to us, or dropped for one reason.
#[track_caller]
fn settle_books(cluster: &Cluster, peer: &Peer) -> (Stats, Metrics) {
    peer.stop_camera();
    let accounted = |metrics: &Metrics| {
        metrics.sum("reframe_frames_emitted_total", &[]) + metrics.sum("reframe_frames_dropped_total", &[])
    };
    eventually("every frame sent is in the books", PATIENCE, || {
        let sent = peer.stats().sent.len() as f64;
        let metrics = cluster.metrics();
        let received = metrics.sum("reframe_frames_received_total", &[]);
        let emitted = metrics.sum("reframe_frames_emitted_total", &[]);
        let stats = peer.stats();
        let shown = stats.numbers().len() as f64;
        (received == sent && accounted(&metrics) == sent && emitted == shown).then_some((stats, metrics))
    })
}

/// After all sessions have ended: each frame that came in was emitted or is in one count of drops.
///
/// A slot is free before the last frame that was being decoded has found its end, so this waits for that too.
#[track_caller]
fn assert_balanced(cluster: &Cluster) {
    cluster.wait_for_sessions(0, CLOSED);
    let mut books = String::new();
    let balanced = try_eventually(CLOSED, || {
        let metrics = cluster.metrics();
        let received = metrics.sum("reframe_frames_received_total", &[]);
        let emitted = metrics.sum("reframe_frames_emitted_total", &[]);
        let dropped = metrics.by("reframe_frames_dropped_total", "reason");
        let hops = metrics.by("reframe_frames_dropped_total", "hop");
        let stages = metrics.by("reframe_stage_seconds_count", "stage");
        books = format!("received {received}, emitted {emitted}, dropped {dropped:?} = {hops:?}, passed {stages:?}");
        (received > 0.0 && received == emitted + dropped.values().sum::<f64>()).then_some(())
    });
    assert!(balanced.is_some(), "{books}");
}

/// The value in the middle.
fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[values.len() / 2]
}
