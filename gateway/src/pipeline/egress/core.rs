//! What becomes of a picture that is due: pure, tested in virtual time.
//!
//! > A picture is left out if the network or the machine has no room for it. One that the browser
//! > shows already, at the same size, is repeated. All others are encoded. The next picture is a
//! > keyframe when the browser asked for one, or when it will never see a picture to which the
//! > encoder may refer.
//!
//! Each [`Attempt`] that [`Core::decide`] gives goes back by [`Core::encoded`], and the [`Unit`]
//! that this gives by [`Core::sent`] or [`Core::lost`]. Both are moved, so that no picture can be
//! reported twice.

use tokio::time::Instant;

use crate::codec::Picture;
use crate::pipeline::bandwidth::{Due, Target, Throttle};
use crate::telemetry::ledger::Reason;

/// What the decision on one picture needs to know.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) picture: &'a Picture,
    pub(super) due: Due,
    /// What the path to the browser carries, kbit/s.
    pub(super) path_kbps: u32,
    /// Rungs by which the machine wants cheaper pictures.
    pub(super) relief: usize,
    /// Whether the queue to the browser takes another frame.
    pub(super) queue_has_room: bool,
}

/// What to do with a picture.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Encode it.
    Encode(Attempt),
    /// The browser shows it: send a repeat. Encode it only if the encoder has no repeats.
    Repeat(Attempt),
    /// Leave it out. If it is a new result, count it with this reason.
    Skip(Reason),
}

/// How to encode one picture.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) target: Target,
    pub(super) keyframe: bool,
}

/// What the encoder made of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// A unit; or an error, after which nobody knows whether the encoder will refer to the picture.
    Frame,
    /// Nothing: the encoder left the picture out, and will not refer to it.
    Nothing,
    /// A repeat, of which the encoder knows nothing: no later picture refers to it.
    Repeat,
}

/// What was encoded and is not in the queue to the browser yet.
#[derive(Debug)]
pub(super) struct Unit {
    /// Pixels: width and height.
    size: (u32, u32),
    keyframe_if_lost: bool,
}

/// See the module. One for each stream.
pub(super) struct Core {
    throttle: Throttle,
    /// The next picture that is encoded must be a keyframe.
    keyframe_due: bool,
    /// What the browser shows: a picture as it was released, and the size at which it was sent.
    shown: Option<(Picture, (u32, u32))>,
}

impl Core {
    pub(super) fn new(throttle: Throttle) -> Self {
        Self { throttle, keyframe_due: false, shown: None }
    }

    /// The browser asked for a keyframe. The next picture that is not left out becomes one. It
    /// comes soon, because the pacer shows the last picture again every few intervals.
    pub(super) fn keyframe_requested(&mut self) {
        self.keyframe_due = true;
    }

    /// What to do at `now`.
    pub(super) fn decide(&mut self, now: Instant, request: Request<'_>) -> Decision {
        let Request { picture, due, path_kbps, relief, queue_has_room } = request;
        let target = match self.throttle.admit(now, path_kbps, relief, due) {
            Ok(target) => target,
            // A keyframe stays due.
            Err(reason) => return Decision::Skip(reason),
        };
        let keyframe = std::mem::take(&mut self.keyframe_due);
        if keyframe || due.new || !self.shows(picture, target) {
            return Decision::Encode(Attempt { target, keyframe });
        }
        if !queue_has_room {
            // A unit that finds no room has a picture id all the same, and a browser waits for it.
            return Decision::Skip(Reason::Overflow);
        }
        Decision::Repeat(Attempt { target, keyframe: false })
    }

    /// The attempt was made, and gave a unit of `bytes`: 0 for nothing or an error.
    pub(super) fn encoded(&mut self, attempt: Attempt, made: Made, bytes: usize) -> Unit {
        self.throttle.sent(bytes);
        if made != Made::Repeat {
            // Until this one is sent, nobody knows what a later repeat would repeat.
            self.shown = None;
        }
        let Attempt { target, keyframe } = attempt;
        // The browser still waits for the keyframe that it asked for. After a picture that the
        // encoder took and the browser never sees, the next picture must not refer to it.
        let keyframe_if_lost = keyframe || made == Made::Frame;
        Unit { size: (target.width, target.height), keyframe_if_lost }
    }

    /// The unit is in the queue to the browser.
    pub(super) fn sent(&mut self, unit: Unit, picture: Picture) {
        self.shown = Some((picture, unit.size));
    }

    /// The unit was dropped, or the encoder made none.
    pub(super) fn lost(&mut self, unit: Unit) {
        self.keyframe_due |= unit.keyframe_if_lost;
    }

    /// Whether the browser shows this very picture at this size.
    fn shows(&self, picture: &Picture, target: Target) -> bool {
        let same_size = |size: (u32, u32)| size == (target.width, target.height);
        let shown = self.shown.as_ref();
        shown.is_some_and(|(shown, size)| shown.is(picture) && same_size(*size))
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "core_sequence_tests.rs"]
mod sequence_tests;
