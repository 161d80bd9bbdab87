//! Mode receive is a metronome: the target rate exactly, whatever the generator does.
//!
//! The demo `ticker` draws its pictures' numbers; it can be told to stall, and to end after some.

use reframe_tests::peer::Received;
use reframe_tests::source::{Format, Video};
use serde_json::json;
use tokio::time::Instant;

use super::*;

/// For how long the rate is watched.
const WATCHED: Duration = Duration::from_secs(10);

/// Frames that left on a grid of `fps`.
struct Grid {
    /// Each frame's place on the grid, counted from the first one's.
    slots: Vec<u64>,
    /// By how much the least delayed frame of the last second came later than that of the first:
    /// what a client sees of a drift.
    drift: f64,
}

impl Grid {
    /// # Panics
    /// When a timestamp is not on the grid, or one does not follow the one before it.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of frames"
    )]
    #[track_caller]
    fn of(frames: &[Received], fps: f64) -> Self {
        let tick = 90_000.0 / fps;
        // Timestamps are whole ticks, so a rate that does not divide the clock is rounded at both
        // ends.
        let tolerance = if tick.fract() == 0.0 { 0.0 } else { 1.0 };
        let origin = frames.first().expect("frames").rtp_time;
        let mut slots = Vec::with_capacity(frames.len());
        for frame in frames {
            let time = frame.rtp_time.wrapping_sub(origin) as f64;
            let slot = (time / tick).round();
            assert!((time - slot * tick).abs() <= tolerance, "{time} is not on a grid of {tick}");
            slots.push(slot as u64);
        }
        assert!(slots.is_sorted_by(|a, b| a < b), "two frames in one place: {slots:?}");
        let lateness = |n: usize| {
            let due = Duration::from_secs_f64(slots[n] as f64 / fps);
            frames[n].arrived.duration_since(frames[0].arrived).as_secs_f64() - due.as_secs_f64()
        };
        let second = (fps as usize).min(frames.len());
        let least =
            |range: std::ops::Range<usize>| range.map(lateness).fold(f64::INFINITY, f64::min);
        let drift = least(frames.len() - second..frames.len()) - least(0..second);
        Self { slots, drift }
    }
}

#[track_caller]
fn view(cluster: &Cluster, id: &str, inputs: Value) -> Peer {
    connect_with(cluster, Options::viewer(id).with_inputs(inputs))
}

/// Side by side, which is ten seconds in all.
#[test]
fn the_rate_is_exact_and_does_not_drift() {
    let rates = [15.0, 29.97, 60.0];
    let clusters =
        rates.map(|fps| (fps, Cluster::launch_with("ticker", &["--fps", &fps.to_string()])));
    std::thread::scope(|scope| {
        for (fps, cluster) in &clusters {
            scope.spawn(move || {
                let options = Options { decode: false, ..Options::viewer("metronome") };
                let mut peer = connect_with(cluster, options);
                peer.wait_received(1, PATIENCE);
                let first = peer.stats().received[0].arrived;
                let what = "ten seconds of pictures";
                peer.wait_until(what, WATCHED + PATIENCE, |stats| {
                    stats
                        .received
                        .last()
                        .filter(|frame| frame.arrived.duration_since(first) >= WATCHED)
                        .map(drop)
                });
                let received = peer.stats().received;
                let Grid { slots, drift } = Grid::of(&received, *fps);
                // Hardly a place was left empty. What the bench holds to a millisecond is held here
                // to what a stalled test cannot do by itself.
                assert!(drift.abs() < 0.05, "{fps} fps: {drift:.4} s of drift in {WATCHED:?}");
                let places = slots.last().expect("frames were received") + 1;
                assert!(
                    received.len() as u64 * 10 >= places * 9,
                    "{fps} fps: {} of {places} places",
                    received.len()
                );
                peer.close();
                assert_balanced(cluster);
            });
        }
    });
}

/// Every picture once and in order, and with its last one the stream ends.
#[test]
fn the_end_of_a_generator_is_told_after_its_last_picture() {
    const PICTURES: u32 = 45;
    let cluster = Cluster::launch("ticker");
    let mut peer = view(&cluster, "ends", json!({ "stop_after": PICTURES }));
    let stats = peer.wait_until("the end", PATIENCE, |stats| {
        stats.message("end_stream").map(|_| stats.clone())
    });
    assert_eq!(stats.messages.last().map(|message| &message["type"]), Some(&json!("end_stream")));
    cluster.wait_for_sessions(0, CLOSED);
    assert_every_number(&stats, PICTURES);
    assert_eq!(peer.stats().numbers(), stats.numbers(), "a new picture after the end");
    assert_eq!(told(&stats, "error"), Vec::<String>::new());
    let books = assert_balanced(&cluster);
    assert_eq!(books.emitted, f64::from(PICTURES), "{books}");
    let repeated = cluster.metrics().sum("reframe_frames_repeated_total", &[]);
    // What is shown again at the end may be on its way when that is told.
    let shown = stats.received.len() as f64;
    assert!(
        (shown..=shown + 3.0).contains(&(books.emitted + repeated)),
        "{shown} shown, {repeated} repeated, {books}"
    );
    let ended = cluster.metrics().by("reframe_sessions_ended_total", "reason");
    assert_eq!(ended.values().sum::<f64>(), 1.0, "{ended:?}");
    peer.close();
}

/// `ticker` counts from 0.
#[track_caller]
fn assert_every_number(stats: &Stats, count: u32) {
    assert_eq!((stats.undecodable, &stats.failed), (0, &None));
    assert!(
        stats.received.iter().all(|frame| frame.code.is_some_and(|code| !code.flipped)),
        "a picture has no number"
    );
    assert_eq!(stats.numbers(), Vec::from_iter(0..count));
}

#[test]
fn each_session_has_a_generator_of_its_own() {
    let cluster = Cluster::launch("ticker");
    let mut long = view(&cluster, "long", json!({ "stop_after": 90 }));
    long.wait_received(20, PATIENCE);
    let mut short = view(&cluster, "short", json!({ "stop_after": 20 }));
    for (peer, count) in [(&mut short, 20), (&mut long, 90)] {
        peer.wait_message("end_stream", PATIENCE);
        assert_every_number(&peer.stats(), count);
        peer.close();
    }
    assert_balanced(&cluster);
}

/// While it stalls the last picture is sent again and again; afterwards the rate is what it was,
/// and nothing is made up for.
#[test]
fn a_stall_is_followed_by_no_burst() {
    let cluster = Cluster::launch("ticker");
    let mut peer = view(&cluster, "stall", Value::Null);
    peer.wait_received(30, PATIENCE);
    peer.set_inputs(&json!({ "stall": true }));
    let shown = |count: usize| {
        let seen = peer.stats().received.len();
        peer.wait_received(seen + count, PATIENCE);
    };
    let newest = |stats: &Stats| stats.numbers().last().copied();
    peer.wait_until("the same picture for half a second", PATIENCE, |stats| {
        let last = &stats.received[stats.received.len() - 15..];
        last.iter().all(|frame| frame.code == last[0].code).then_some(())
    });
    let stalled = newest(&peer.stats()).expect("pictures were shown");
    shown(30);
    assert_eq!(newest(&peer.stats()), Some(stalled), "nothing new comes");
    peer.set_inputs(&json!({ "stall": false }));
    let resumed = Instant::now().into_std();
    let seen = peer.stats().received.len();
    shown(60);
    let stats = peer.stats();
    let Grid { slots, drift } = Grid::of(&stats.received, 30.0);
    assert!(drift.abs() < 1.0 / 30.0, "{drift:.4} s of drift");
    assert!(
        slots.len() as u64 * 10 >= slots.last().expect("frames were received") * 9,
        "{slots:?}"
    );
    let after = stats.received[seen..].iter().filter(|frame| frame.arrived >= resumed);
    let fps = Stats::fps(&after.copied().collect::<Vec<_>>());
    assert!(fps < 45.0, "{fps:.1} fps after the stall");
    // The generator went on where it was.
    assert!(
        newest(&stats).is_some_and(|number| number > stalled + 30),
        "{:?} after {stalled}",
        newest(&stats)
    );
    assert_every_number(&stats, newest(&stats).expect("pictures were shown") + 1);
    peer.close();
    assert_balanced(&cluster);
}

/// A client that offers a camera to a stream that wants none gets its pictures; what it sends is
/// not in the books.
#[test]
fn a_camera_that_nobody_asked_for_is_ignored() {
    let cluster = Cluster::launch("ticker");
    let options = Options::camera("eager", Video::Live(Format::SMALL));
    let mut peer = connect_with(&cluster, options.with_inputs(json!({ "stop_after": 30 })));
    peer.wait_message("end_stream", PATIENCE);
    assert_every_number(&peer.stats(), 30);
    peer.close();
    let books = assert_balanced(&cluster);
    assert_eq!(books.emitted, 30.0, "{books}");
    assert!(
        books.dropped <= 8.0,
        "pulls that the end left without a picture, and no camera's frames: {books}"
    );
}
