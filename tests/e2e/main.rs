//! End to end: real processes, real sockets, an independent WebRTC client. One binary, one module
//! for each theme.
//!
//! Needs the binaries: `cargo build --bins` first. Bounds in time are for hangs, not for speed:
//! they are several times what a busy two-core machine takes; counts and orders are exact.

mod access;
mod attacks;
mod balancers;
mod bandwidth;
mod batch;
mod beginnings;
mod browser;
mod browser_networks;
mod capture;
mod change;
mod client_limits;
mod clients;
mod codecs;
mod config;
mod corpus;
mod docs;
mod drain;
mod edge;
mod ends;
mod failover;
mod firefox;
mod flip;
mod forward;
mod forwarded;
mod health;
mod herd;
mod hostile;
mod inputs;
mod inside;
mod ipv6;
mod junk;
mod limits;
mod load;
mod logs;
mod loss;
mod manners;
mod modes;
mod monitoring;
mod nats;
mod netns;
mod networks;
mod offers;
mod outputs;
mod overload;
mod pages;
mod pool;
mod probes;
mod processes;
mod python;
mod receive;
mod reconnect;
mod replicas;
mod requests;
mod rolling;
mod same_host;
mod signalling;
mod skip_frames;
mod slots;
mod standstill;
mod streams;
mod stuck;
mod tls;
mod trace;
mod viewers;
mod watched;
mod whip;
mod worker_port;
mod zones;

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use reframe_gateway::codec::Picture;
use reframe_tests::cluster::Cluster;
use reframe_tests::metrics::Metrics;
use reframe_tests::pattern::{Camera, psnr};
use reframe_tests::peer::{Options, Peer, Stats};
use reframe_tests::source::Video;
use reframe_tests::wait::{eventually, try_eventually};
use serde_json::Value;

/// For things that take milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// An orderly close must free everything within a second; the rest is for the machine.
const CLOSED: Duration = Duration::from_secs(3);

/// A camera with its picture coming back, connected and admitted.
#[track_caller]
fn connect(cluster: &Cluster, id: &str, video: Video) -> Peer {
    connect_with(cluster, Options::camera(id, video))
}

#[track_caller]
fn connect_with(cluster: &Cluster, options: Options) -> Peer {
    connect_at(cluster, "", options)
}

/// To the stream at `path`, `/NAME` or nothing.
#[track_caller]
fn connect_at(cluster: &Cluster, path: &str, options: Options) -> Peer {
    // Who has begun many sessions lately waits, as a page does.
    let answered = eventually("a turn for a new session", PATIENCE, || {
        match Peer::connect(&cluster.page(path), options.clone()) {
            Err(reply) if reply.status == 429 => None,
            answered => Some(answered),
        }
    });
    let peer = answered.unwrap_or_else(|reply| panic!("no answer: {reply:?}"));
    peer.wait_connected(PATIENCE);
    // It has its slot: only then does the server begin to tell figures. Or it had it.
    peer.wait_until("admitted", PATIENCE, |stats| {
        (stats.server_stats.is_some() || stats.message("end_stream").is_some()).then_some(())
    });
    peer
}

/// Everything that came back came back upside down, was sent before, and is in order; a picture is
/// shown again only right after itself, which is a re-emission.
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

/// Every plane of a picture that came back, against what it shall be: a shifted row or exchanged
/// colours would show.
#[track_caller]
fn assert_planes(picture: &Picture, expected: &[u8]) {
    let (width, height) = (picture.width, picture.height);
    let (luma, chroma) = (width as usize * height as usize, expected.len());
    for (plane, range) in
        [("Y", 0..luma), ("U", luma..(luma + chroma) / 2), ("V", (luma + chroma) / 2..chroma)]
    {
        let psnr = psnr(&picture.data[range.clone()], &expected[range]);
        // Twice VP8 and a trip through RGB: about 30 dB; any mistake in a plane is below 20.
        assert!(psnr > 25.0, "{width}x{height} {plane}: {psnr:.1} dB");
    }
}

/// The picture that came back last is what it shall be.
#[track_caller]
fn assert_picture(stats: &Stats, shall: impl Fn(u32, u32, &[u8]) -> Vec<u8>) {
    let picture = stats.picture.as_ref().expect("a decoded picture");
    let number = stats.received.last().and_then(|frame| frame.code).expect("a number").number;
    let (width, height) = (picture.width, picture.height);
    assert_planes(picture, &shall(width, height, &Camera::new(width, height).frame(number)));
}

/// What became of the frames that came in.
struct Books {
    received: f64,
    emitted: f64,
    consumed: f64,
    dropped: f64,
    /// For the text of a failed assertion.
    detail: String,
}

impl Books {
    fn read(metrics: &Metrics) -> Self {
        let sum = |name: &str| metrics.sum(&format!("reframe_frames_{name}_total"), &[]);
        let reasons = metrics.by("reframe_frames_dropped_total", "reason");
        let hops = metrics.by("reframe_frames_dropped_total", "hop");
        let stages = metrics.by("reframe_stage_seconds_count", "stage");
        Self {
            received: sum("received"),
            emitted: sum("emitted"),
            consumed: sum("consumed"),
            dropped: sum("dropped"),
            detail: format!("dropped {reasons:?} = {hops:?}, passed {stages:?}"),
        }
    }

    /// Every frame that came in has found its one end.
    fn balanced(&self) -> bool {
        self.received == self.emitted + self.consumed + self.dropped
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, emitted, consumed, dropped, detail } = self;
        write!(
            f,
            "received {received}, emitted {emitted}, consumed {consumed}, dropped {dropped}: \
             {detail}"
        )
    }
}

/// Stops the camera and waits until the server has dealt with all that was sent; gives the final
/// notes and metrics.
///
/// Every frame sent was received by the server, and each was emitted, and shown to us, or has
/// another end in the books.
#[track_caller]
fn settle_books(cluster: &Cluster, peer: &Peer) -> (Stats, Metrics) {
    peer.stop_camera();
    eventually("every frame sent is in the books", PATIENCE, || {
        let sent = peer.stats().sent.len() as f64;
        let metrics = cluster.metrics();
        let books = Books::read(&metrics);
        let stats = peer.stats();
        let shown = stats.numbers().len() as f64;
        (books.received == sent && books.balanced() && books.emitted == shown)
            .then_some((stats, metrics))
    })
}

/// Ten pictures more than so far, each new.
#[track_caller]
fn wait_for_more(peer: &Peer) {
    let seen = peer.stats().numbers().len();
    peer.wait_until("more pictures", PATIENCE, |stats| {
        (stats.numbers().len() >= seen + 10).then_some(())
    });
}

/// Sessions that moved to another worker, recovered at one, or lost theirs for good.
fn failovers(cluster: &Cluster) -> [f64; 3] {
    let counts = cluster.metrics();
    ["moved", "recovered", "lost"]
        .map(|outcome| counts.sum("reframe_failovers_total", &[("outcome", outcome)]))
}

/// After all sessions have ended: each frame that came in was emitted, consumed, or is in one count
/// of drops.
///
/// A slot is free before the last frame that was being decoded has found its end, so this waits for
/// that too.
#[track_caller]
fn assert_balanced(cluster: &Cluster) -> Books {
    cluster.wait_for_sessions(0, CLOSED);
    let mut books = Books::read(&cluster.metrics());
    let balanced = try_eventually(CLOSED, || {
        books = Books::read(&cluster.metrics());
        (books.received > 0.0 && books.balanced()).then_some(())
    });
    assert!(balanced.is_some(), "{books}");
    books
}

/// The texts of all messages of `kind`; FastRTC's front-ends read one key or the other, so both
/// must say the same.
fn told(stats: &Stats, kind: &str) -> Vec<String> {
    let messages = stats.messages.iter().filter(|message| message["type"] == kind);
    let text = |message: &Value| {
        assert_eq!(message["data"], message["message"], "{message}");
        message["message"].as_str().unwrap_or_else(|| panic!("no text in {message}")).to_owned()
    };
    messages.map(text).collect()
}

/// The value in the middle.
fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[values.len() / 2]
}
