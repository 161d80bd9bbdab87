use reframe_tests::pattern::Code;
use reframe_tests::peer::Sent;

use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A decoded 640x480 frame that was complete at `at` and whose picture, of this number, was `age`
/// old.
pub(crate) fn frame(at: Instant, number: u32, age: Duration) -> Received {
    Received {
        code: Some(Code { number, flipped: true }),
        rtp_time: 0,
        arrived: at,
        complete: at,
        age: Some(age),
        captured: None,
        keyframe: false,
        width: 640,
        height: 480,
    }
}

/// A stream offered at the given time that saw these frames, and sent one with each.
pub(crate) fn stream(offered: Instant, received: Vec<Received>) -> Stream {
    let mut stats = Stats::default();
    stats.connected = Some(offered);
    stats.sent = received.iter().map(|frame| Sent { number: 0, at: frame.complete }).collect();
    stats.received = received;
    Stream { offered, decodes: true, seen: Ok(stats) }
}

const EXPECTED: Expected = Expected { fps: 10.0, size: (640, 480) };

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[test]
fn a_stream_that_was_served() {
    let start = now();
    // Ten a second from 500 ms on, each picture 20 ms old; the third is shown twice.
    let at = |n: u32| start + ms(500) + ms(100) * n;
    let number = |n: u32| if n == 3 { 2 } else { n };
    let received: Vec<_> =
        (0..40).map(|n| frame(at(n), number(n), if n == 3 { ms(120) } else { ms(20) })).collect();
    let window = Window { from: start + ms(2_500), to: start + ms(4_500) };
    let row = Row::of(7, &stream(start, received), start + ms(4_500), Some(window), EXPECTED);
    assert_eq!((row.stream, row.outcome, row.reason), (7, Outcome::Served, None));
    assert_eq!(
        (row.received, row.measured_frames, row.fps, row.sent_fps),
        (40, 20, Some(10.0), Some(10.0))
    );
    assert_eq!((row.decoded, row.new_pictures, row.out_of_order), (40, 39, 0));
    assert_eq!(row.latency_ms, Some(Percentiles { p50: 20.0, p95: 20.0, p99: 20.0 }));
    assert_eq!([row.first_frame_ms, row.full_rate_ms, row.full_quality_ms], [Some(500.0); 3]);
}

#[test]
fn quality_is_full_when_rate_and_size_are() {
    let start = now();
    // Two a second for two seconds, then ten; full size only from 3.5 s on.
    let slow = (0..4_u32).map(|n| ms(500) * n);
    let times = slow.chain((0..40).map(|n| ms(2_000) + ms(100) * n));
    let mut frames: Vec<_> = times.map(|at| frame(start + at, 0, ms(1))).collect();
    for frame in frames.iter_mut().filter(|frame| frame.complete < start + ms(3_500)) {
        (frame.width, frame.height) = (320, 240);
    }
    let row = Row::of(0, &stream(start, frames), start + ms(5_900), None, EXPECTED);
    // The second that begins at 1.5 s has six frames, that at 2 s all ten.
    assert_eq!(
        [row.first_frame_ms, row.full_rate_ms, row.full_quality_ms],
        [Some(0.0), Some(2_000.0), Some(3_500.0)]
    );
    assert_eq!((row.fps, row.latency_ms), (None, None), "nothing was measured");
}

#[test]
fn an_older_picture_after_a_newer_one_is_out_of_order() {
    let start = now();
    let sent = |n: u64| start + ms(100 * n);
    let shown =
        |n: u64, after: u64| frame(sent(n) + ms(after), u32::try_from(n % 3).unwrap(), ms(after));
    // The numbers repeat after three: only the second of these, sent before the first, is out of
    // order.
    let frames = vec![shown(1, 150), shown(0, 300), shown(2, 150), shown(3, 150), shown(4, 150)];
    assert_eq!(out_of_order(&frames), 1);
    assert_eq!(new_pictures(&frames).count(), 5);
}

#[test]
fn why_a_stream_was_not_served() {
    let start = now();
    let end = start + ms(10_000);
    let row = |stream: &Stream| {
        let row = Row::of(0, stream, end, None, EXPECTED);
        (row.outcome, row.reason.unwrap_or_default())
    };
    let refused = Stream {
        offered: start,
        decodes: false,
        seen: Err("concurrency_limit_reached".to_owned()),
    };
    assert_eq!(row(&refused), (Outcome::Refused, "concurrency_limit_reached".to_owned()));
    let never = Stream { offered: start, decodes: false, seen: Ok(Stats::default()) };
    assert_eq!(row(&never), (Outcome::Silent, "never connected".to_owned()));
    assert_eq!(row(&stream(start, Vec::new())), (Outcome::Silent, "no frame came".to_owned()));
    let last = |at| stream(start, vec![frame(start + ms(at), 0, ms(1))]);
    assert_eq!(row(&last(6_999)), (Outcome::Silent, "no frame any more".to_owned()));
    assert_eq!(row(&last(7_000)), (Outcome::Served, String::new()));
    let mut closed = last(9_999);
    if let Ok(stats) = &mut closed.seen {
        stats.closed_by_server = true;
    }
    assert_eq!(row(&closed), (Outcome::Silent, "closed by the server".to_owned()));
}
