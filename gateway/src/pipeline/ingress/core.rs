//! What becomes of the packets of one stream: pure, tested in virtual time.
//!
//! > Whatever waits is decoded, in order. When the oldest packet of a batch has waited for
//! > [`BACKLOG_AGE`], everything but the newest keyframe is dropped. After a loss nothing is
//! > decoded before the next keyframe, and the browser is asked for one: at most once in
//! > [`KEYFRAME_REQUEST_INTERVAL`].
//!
//! A batch is what one [`Core::begin_batch`] announces. The order of calls is: `begin_batch`,
//! `push` for each packet, then [`Core::decide`] until it says [`Decision::Wait`], then
//! [`Core::request_keyframe`]. `Core` keeps every unit that it has not handed out yet, and hands
//! out each one once.

use std::time::Duration;

use tokio::time::Instant;

use crate::codec::Codec;
use crate::media::packet::Packet;
use crate::pipeline::assembler::{AccessUnit, Assembler};

/// How long packets may wait: three frames at 30 fps. A container that has used up its CPU quota is
/// stopped for at most as long, and that is no overload (`docs/decisions/0013-overload.md`). Only
/// our own delay counts: packets that a network held back have just arrived.
pub(super) const BACKLOG_AGE: Duration = Duration::from_millis(100);
/// How long a turn may be: a sender of much video at once must not make its neighbours late.
const TURN: Duration = Duration::from_millis(50);
/// Refused frames after which the client is told, once: a second's worth, so that a hiccup at the
/// start is not reported.
const TELL_AFTER_FRAMES: u32 = 30;
/// Between two keyframe requests: longer than most round trips, so that one loss asks once.
const KEYFRAME_REQUEST_INTERVAL: Duration = Duration::from_millis(400);

/// Why packets were dropped, as in the metric's label: they waited too long for the decoder.
const BACKLOG: &str = "backlog";

/// What to do next.
#[derive(Debug)]
pub(super) enum Decision {
    /// Count these packets, which are gone. Then decide again, at the same instant.
    Drop { packets: usize, reason: &'static str },
    /// Decode this unit. Call [`Core::decode_failed`] if the decoder fails.
    Decode(AccessUnit),
    /// The batch is over: wait for packets, or until [`Core::deadline`].
    Wait,
}

/// See the module. One for each stream.
pub(super) struct Core {
    /// Holds the packets, and the tickets of their frames.
    assembler: Assembler,
    /// When the oldest packet of the batch arrived. `None` once the batch was too old: the rest of
    /// it is then decoded, however late.
    oldest: Option<Instant>,
    /// Frames behind the kept keyframe were dropped: the batch ends with a loss.
    cut_off: bool,
    /// When the present turn began.
    turn_began: Instant,
    /// When the browser was last asked for a keyframe.
    keyframe_requested: Option<Instant>,
    /// Decoded frames that the session's queue has refused so far.
    refused_frames: u32,
}

impl Core {
    pub(super) fn new(now: Instant, codec: Codec) -> Self {
        Self {
            assembler: Assembler::new(codec),
            oldest: None,
            cut_off: false,
            turn_began: now,
            keyframe_requested: None,
            refused_frames: 0,
        }
    }

    /// When [`Self::decide`] must be called again even if no packet comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.assembler.deadline()
    }

    /// Begins a batch whose oldest packet arrived at `oldest`; `None` for an empty batch. `lost`
    /// says that packets before it were dropped.
    pub(super) fn begin_batch(&mut self, lost: bool, oldest: Option<Instant>) {
        if lost {
            self.assembler.give_up();
        }
        self.oldest = oldest;
    }

    /// Takes one packet of the batch. False if it came late, twice, or from a hostile sender, and
    /// was dropped.
    pub(super) fn push(&mut self, now: Instant, packet: Packet) -> bool {
        self.assembler.push(now, packet)
    }

    /// What to do at `now`.
    pub(super) fn decide(&mut self, now: Instant) -> Decision {
        // Checked before each unit: a batch grows old while its first units are decoded.
        if self.oldest.take_if(|oldest| now >= *oldest + BACKLOG_AGE).is_some() {
            let kept = self.assembler.keep_newest_keyframe();
            self.cut_off = kept.broken_off;
            return Decision::Drop { packets: kept.packets_dropped, reason: BACKLOG };
        }
        if let Some(unit) = self.assembler.pop(now) {
            return Decision::Decode(unit);
        }
        // Only now: giving up earlier would drop the kept keyframe too.
        if std::mem::take(&mut self.cut_off) {
            self.assembler.give_up();
        }
        Decision::Wait
    }

    /// The decoder lost its references: nothing is decoded before the next keyframe.
    pub(super) fn decode_failed(&mut self) {
        self.assembler.give_up();
    }

    /// The session's queue refused a decoded frame. Returns true if the client must be told that
    /// its handler falls behind.
    pub(super) fn frame_refused(&mut self) -> bool {
        self.refused_frames += 1;
        self.refused_frames == TELL_AFTER_FRAMES
    }

    /// Starts to measure the present turn.
    pub(super) fn begin_turn(&mut self, now: Instant) {
        self.turn_began = now;
    }

    /// Whether other tasks of the thread must run before the next unit is decoded.
    pub(super) fn turn_is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.turn_began) >= TURN
    }

    /// Whether to ask the browser for a keyframe at `now`. True counts as a request.
    pub(super) fn request_keyframe(&mut self, now: Instant) -> bool {
        let since = self.keyframe_requested.map(|at| now.saturating_duration_since(at));
        let may_ask = since.is_none_or(|since| since >= KEYFRAME_REQUEST_INTERVAL);
        if !may_ask || !self.assembler.needs_keyframe() {
            return false;
        }
        self.keyframe_requested = Some(now);
        true
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "core_sequence_tests.rs"]
mod sequence_tests;
