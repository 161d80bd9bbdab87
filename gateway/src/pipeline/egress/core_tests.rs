//! Each decision by itself, in virtual time.

use std::time::Duration;

use super::*;
use crate::media::limits::BitrateLimits;

const LIMITS: BitrateLimits = BitrateLimits { start: 1_500, min: 100, max: 2_000 };
const FRAME: Duration = Duration::from_millis(33);
/// A unit, in bytes.
const UNIT: usize = 1_000;

/// A picture that differs from all others.
pub(super) fn picture(width: u32, height: u32) -> Picture {
    Picture { width, height, data: vec![0; (width * height * 3 / 2) as usize].into() }
}

pub(super) fn core() -> Core {
    Core::new(Throttle::new(LIMITS, 30.0))
}

/// A core, and the conditions of the next picture.
struct Stream {
    core: Core,
    now: Instant,
    relief: usize,
    queue_has_room: bool,
}

impl Stream {
    fn new() -> Self {
        Self { core: core(), now: Instant::now(), relief: 0, queue_has_room: true }
    }

    /// A picture that is new, or shown again, comes one frame later.
    fn decide(&mut self, picture: &Picture, new: bool) -> Decision {
        self.now += FRAME;
        let (relief, queue_has_room) = (self.relief, self.queue_has_room);
        let due = Due { at: self.now, new, size: (picture.width, picture.height) };
        let request = Request { picture, due, path_kbps: 2_000, relief, queue_has_room };
        self.core.decide(self.now, request)
    }

    fn attempt(&mut self, picture: &Picture, new: bool) -> Attempt {
        match self.decide(picture, new) {
            Decision::Encode(attempt) => attempt,
            other => panic!("{other:?}"),
        }
    }

    /// Encodes a new picture that is sent.
    fn show(&mut self, picture: &Picture) -> bool {
        let attempt = self.attempt(picture, true);
        let keyframe = attempt.keyframe;
        let unit = self.core.encoded(attempt, Made::Frame, UNIT);
        self.core.sent(unit, picture.clone());
        keyframe
    }

    /// Encodes a new picture that is lost; returns whether the next one is a keyframe.
    fn lose(&mut self, made: Made) -> bool {
        let attempt = self.attempt(&picture(2, 2), true);
        let unit = self.core.encoded(attempt, made, 0);
        self.core.lost(unit);
        self.show(&picture(2, 2))
    }
}

#[test]
fn what_is_new_is_encoded_even_if_it_looks_the_same() {
    let (mut stream, one) = (Stream::new(), picture(2, 2));
    for _ in 0..3 {
        let target = Target { kbps: 2_000, width: 2, height: 2 };
        let expected = Decision::Encode(Attempt { target, keyframe: false });
        let decision = stream.decide(&one, true);
        assert_eq!(decision, expected);
        let Decision::Encode(attempt) = decision else { unreachable!() };
        let unit = stream.core.encoded(attempt, Made::Frame, UNIT);
        stream.core.sent(unit, one.clone());
    }
}

#[test]
fn what_is_shown_is_repeated_and_stays_shown() {
    let (mut stream, one) = (Stream::new(), picture(2, 2));
    stream.show(&one);
    for sent in [true, false, true] {
        let Decision::Repeat(attempt) = stream.decide(&one, false) else { panic!("not shown") };
        assert!(!attempt.keyframe);
        let unit = stream.core.encoded(attempt, Made::Repeat, 10);
        if sent {
            stream.core.sent(unit, one.clone());
        } else {
            // Nothing refers to it: no keyframe.
            stream.core.lost(unit);
        }
    }
}

#[test]
fn what_the_browser_does_not_show_is_encoded() {
    let (mut stream, one) = (Stream::new(), picture(2, 2));
    assert!(!stream.attempt(&one, false).keyframe, "nothing was shown yet");
    stream.show(&one);
    assert!(!stream.attempt(&picture(2, 2), false).keyframe, "another picture");
    stream.show(&one);
    let attempt = stream.attempt(&one, true);
    let unit = stream.core.encoded(attempt, Made::Nothing, 0);
    stream.core.lost(unit);
    assert!(!stream.attempt(&one, false).keyframe, "the encoder was asked for another since");
}

#[test]
fn what_is_shown_at_another_size_is_encoded() {
    let (mut stream, one) = (Stream::new(), picture(1_280, 720));
    stream.show(&one);
    // Enough rungs to halve the sides.
    stream.relief = 4;
    let sizes: Vec<_> = (0..40)
        .filter_map(|_| match stream.decide(&one, false) {
            Decision::Encode(Attempt { target, .. }) => Some((target.width, target.height)),
            _ => None,
        })
        .collect();
    assert!(!sizes.is_empty() && sizes.iter().all(|size| *size != (1_280, 720)), "{sizes:?}");
}

#[test]
fn a_repeat_needs_room_and_a_result_is_encoded_without() {
    let (mut stream, one) = (Stream::new(), picture(2, 2));
    stream.show(&one);
    stream.queue_has_room = false;
    assert_eq!(stream.decide(&one, false), Decision::Skip(Reason::Overflow));
    assert!(matches!(stream.decide(&one, true), Decision::Encode(_)));
}

#[test]
fn a_keyframe_that_was_asked_for_is_due_until_a_picture_is_encoded() {
    let (mut stream, one) = (Stream::new(), picture(2, 2));
    stream.show(&one);
    stream.core.keyframe_requested();
    // More than the path carries for a while: it is left out.
    stream.core.throttle.sent(1_000_000);
    assert_eq!(stream.decide(&one, false), Decision::Skip(Reason::Congested));
    stream.now += Duration::from_secs(10);
    let attempt = stream.attempt(&one, false);
    assert!(attempt.keyframe, "though it is shown already");
    let unit = stream.core.encoded(attempt, Made::Frame, UNIT);
    stream.core.sent(unit, one.clone());
    assert!(matches!(stream.decide(&one, false), Decision::Repeat(_)), "one is enough");
}

#[test]
fn after_a_picture_that_the_encoder_took_and_nobody_sees_comes_a_keyframe() {
    let mut stream = Stream::new();
    assert!(stream.lose(Made::Frame));
    assert!(!stream.lose(Made::Nothing), "nothing refers to it");
}

#[test]
fn a_keyframe_that_is_lost_is_still_due() {
    for made in [Made::Frame, Made::Nothing] {
        let mut stream = Stream::new();
        stream.core.keyframe_requested();
        assert!(stream.lose(made), "{made:?}");
    }
}

#[test]
fn what_is_encoded_is_charged() {
    let (mut stream, one) = (Stream::new(), picture(2, 2));
    let attempt = stream.attempt(&one, true);
    let unit = stream.core.encoded(attempt, Made::Frame, 1_000_000);
    stream.core.sent(unit, one.clone());
    assert_eq!(stream.decide(&one, true), Decision::Skip(Reason::Congested));
}

#[test]
fn what_a_busy_machine_leaves_out_says_so() {
    let (mut stream, one) = (Stream::new(), picture(2, 2));
    stream.relief = 2;
    let skipped = (0..60).filter_map(|_| match stream.decide(&one, true) {
        Decision::Skip(reason) => Some(reason),
        _ => None,
    });
    let skipped: Vec<_> = skipped.collect();
    assert!(!skipped.is_empty() && skipped.iter().all(|reason| *reason == Reason::Busy));
}
