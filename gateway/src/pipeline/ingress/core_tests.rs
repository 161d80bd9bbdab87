//! Each decision by itself, in virtual time.

use super::*;
use crate::media::packet::HeaderExtensions;
use crate::pipeline::assembler::PATIENCE;

const FRAME: Duration = Duration::from_millis(33);
const MOMENT: Duration = Duration::from_millis(1);

/// Packet `index` of a frame that has `of`; `sequence` is that of its first.
pub(super) fn packet(number: u32, sequence: u16, (index, of): (u16, u16), key: bool) -> Packet {
    let descriptor = if index == 0 { 0x10 } else { 0x00 };
    let tag = if key { 0x10 } else { 0x11 };
    let index_byte = u8::try_from(index).unwrap();
    let payload = [&[descriptor, tag][..], &number.to_be_bytes(), &[index_byte]].concat();
    Packet {
        ssrc: 1,
        sequence: sequence.wrapping_add(index),
        timestamp: number * 3_000,
        marker: index + 1 == of,
        marks: HeaderExtensions::default(),
        payload: payload.into(),
    }
}

/// A frame of one packet.
fn single(number: u16, keyframe: bool) -> Packet {
    packet(number.into(), number, (0, 1), keyframe)
}

/// A core, and a batch that arrived at `now`.
struct Stream {
    core: Core,
    now: Instant,
}

impl Stream {
    fn new() -> Self {
        let now = Instant::now();
        Self { core: Core::new(now, Codec::Vp8), now }
    }

    fn batch(&mut self, packets: impl IntoIterator<Item = (u16, bool)>) {
        self.core.begin_batch(false, Some(self.now));
        for (number, keyframe) in packets {
            assert!(self.core.push(self.now, single(number, keyframe)));
        }
    }

    /// A decision as text: a frame's number, `-` and the packets dropped, or nothing for the end.
    fn decide(&mut self) -> String {
        match self.core.decide(self.now) {
            Decision::Decode(unit) => (unit.timestamp / 3_000).to_string(),
            Decision::Drop { packets, reason } => {
                assert_eq!(reason, "backlog");
                format!("-{packets}")
            }
            Decision::Wait => String::new(),
        }
    }

    /// All decisions of a batch.
    fn all(&mut self) -> Vec<String> {
        std::iter::from_fn(|| Some(self.decide()).filter(|decision| !decision.is_empty())).collect()
    }
}

#[test]
fn whatever_waits_is_decoded_in_order() {
    let mut stream = Stream::new();
    stream.batch([(1, true), (3, false), (2, false)]);
    stream.now += BACKLOG_AGE - MOMENT;
    assert_eq!(stream.all(), ["1", "2", "3"]);
    assert!(!stream.core.request_keyframe(stream.now), "nothing is missing");
    stream.core.begin_batch(false, None);
    assert!(stream.all().is_empty(), "an empty batch");
}

#[test]
fn of_a_batch_that_is_too_old_the_newest_keyframe_is_decoded_and_another_is_asked_for() {
    let mut stream = Stream::new();
    stream.batch([(1, true), (2, false), (3, true), (4, false)]);
    stream.now += BACKLOG_AGE;
    assert_eq!(stream.all(), ["-3", "3"]);
    assert!(stream.core.request_keyframe(stream.now));
    stream.batch([(5, false)]);
    assert!(stream.all().is_empty(), "it refers to what was dropped");
    stream.batch([(6, true), (7, false)]);
    assert_eq!(stream.all(), ["6", "7"]);
}

#[test]
fn a_keyframe_at_the_end_of_what_is_too_old_goes_on() {
    let mut stream = Stream::new();
    stream.batch([(1, true), (2, false), (3, true)]);
    stream.now += BACKLOG_AGE;
    assert_eq!(stream.all(), ["-2", "3"]);
    assert!(!stream.core.request_keyframe(stream.now));
    stream.batch([(4, false)]);
    assert_eq!(stream.all(), ["4"]);
}

#[test]
fn what_is_too_old_and_has_no_keyframe_is_all_dropped() {
    let mut stream = Stream::new();
    stream.batch([(1, true)]);
    assert_eq!(stream.all(), ["1"]);
    stream.batch([(2, false), (3, false)]);
    stream.now += BACKLOG_AGE;
    assert_eq!(stream.all(), ["-2"]);
    assert!(stream.core.request_keyframe(stream.now));
}

#[test]
fn a_batch_that_grows_old_while_it_is_decoded_is_dropped_once() {
    let mut stream = Stream::new();
    stream.batch([(1, true), (2, false), (3, false), (4, true)]);
    stream.now += BACKLOG_AGE - MOMENT;
    assert_eq!(stream.decide(), "1");
    stream.now += MOMENT;
    assert_eq!(stream.decide(), "-2");
    stream.now += BACKLOG_AGE;
    assert_eq!(stream.all(), ["4"], "however late");
}

#[test]
fn after_packets_that_were_dropped_before_nothing_comes_but_a_keyframe() {
    let mut stream = Stream::new();
    stream.batch([(1, true)]);
    assert_eq!(stream.all(), ["1"]);
    stream.core.begin_batch(true, Some(stream.now));
    assert!(stream.core.push(stream.now, single(3, false)));
    assert!(stream.all().is_empty());
    assert!(stream.core.request_keyframe(stream.now));
}

#[test]
fn after_a_failed_decoder_nothing_comes_but_a_keyframe() {
    let mut stream = Stream::new();
    stream.batch([(1, true), (2, false), (3, false), (4, true)]);
    assert_eq!((stream.decide(), stream.decide()), ("1".to_owned(), "2".to_owned()));
    stream.core.decode_failed();
    assert_eq!(stream.all(), ["4"]);
    assert!(!stream.core.request_keyframe(stream.now), "one was there");
    stream.core.decode_failed();
    assert!(stream.core.request_keyframe(stream.now));
}

#[test]
fn a_keyframe_is_asked_for_once_in_400_ms() {
    let mut stream = Stream::new();
    assert!(!stream.core.request_keyframe(stream.now), "nothing was ever sent");
    stream.batch([(1, false)]);
    assert!(stream.all().is_empty());
    assert!(stream.core.request_keyframe(stream.now));
    stream.now += KEYFRAME_REQUEST_INTERVAL - MOMENT;
    assert!(!stream.core.request_keyframe(stream.now));
    stream.now += MOMENT;
    assert!(stream.core.request_keyframe(stream.now));
    stream.now += KEYFRAME_REQUEST_INTERVAL;
    stream.batch([(2, true)]);
    assert!(!stream.core.request_keyframe(stream.now), "it has begun");
}

#[test]
fn a_missing_packet_is_waited_for_until_the_deadline() {
    let mut stream = Stream::new();
    stream.batch([(1, true), (3, false)]);
    assert_eq!(stream.core.deadline(), None);
    assert_eq!(stream.all(), ["1"]);
    assert_eq!(stream.core.deadline(), Some(stream.now + PATIENCE));
    stream.now += PATIENCE;
    stream.core.begin_batch(false, None);
    assert!(stream.all().is_empty());
    assert_eq!(stream.core.deadline(), None);
    assert!(stream.core.request_keyframe(stream.now));
}

#[test]
fn a_packet_that_came_already_is_refused() {
    let mut stream = Stream::new();
    stream.batch([(1, true)]);
    assert!(!stream.core.push(stream.now, single(1, true)), "twice");
    assert_eq!(stream.all(), ["1"]);
    assert!(!stream.core.push(stream.now, single(1, true)), "late");
}

#[test]
fn the_client_is_told_once_that_frames_are_refused() {
    let mut stream = Stream::new();
    let reported: Vec<_> = (1..=100).filter(|_| stream.core.frame_refused()).collect();
    assert_eq!(reported, [TELL_AFTER_FRAMES]);
}

#[test]
fn a_turn_is_over_after_its_time() {
    let mut stream = Stream::new();
    stream.now += FRAME;
    stream.core.begin_turn(stream.now);
    assert!(!stream.core.turn_is_over(stream.now + TURN - MOMENT));
    assert!(stream.core.turn_is_over(stream.now + TURN));
}
