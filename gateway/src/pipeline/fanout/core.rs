//! What of an encoding one viewer gets, and which encoding suits it: pure, tested in virtual time.
//!
//! > A viewer is sent each unit that its path and its queue have room for, and after one that it
//! > misses, only what it can decode. A viewer with a bad path costs the others no more than a
//! > keyframe now and then: when that does not help, it gets the smaller encoding.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Kind;
use crate::pipeline::bandwidth::budget::Budget;

/// Between two keyframes that one viewer asks for. Those who join get theirs at once.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// A viewer that lost its reference this often within [`TROUBLE_WITHIN`] gets the smaller encoding.
const MOST_TROUBLE: usize = 3;
const TROUBLE_WITHIN: Duration = Duration::from_secs(10);
/// How long the smaller encoding must have gone well before the full one is tried again; doubled
/// each time that this fails within [`FAILED_WITHIN`].
const FIRST_PATIENCE: Duration = Duration::from_secs(15);
const LAST_PATIENCE: Duration = Duration::from_secs(240);
const FAILED_WITHIN: Duration = Duration::from_secs(60);

/// Which of a session's encodings in one format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Quality {
    /// As good as the stream's bitrate allows.
    Full,
    /// For paths that do not carry that.
    Small,
}

/// What becomes of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Forward,
    Skip(Skipped),
}

/// Why a viewer does not get a unit: the values of the label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    /// It cannot decode anything before the next keyframe.
    AwaitsKeyframe,
    /// Its path carries less.
    Congested,
    /// Its queue is full.
    Overflow,
}

/// One viewer.
#[derive(Debug)]
pub(super) struct Core {
    quality: Quality,
    /// Only a keyframe can be decoded.
    awaits_keyframe: bool,
    /// It must be asked for.
    wants_keyframe: bool,
    asked: Option<Instant>,
    budget: Budget,
    /// The time stamp of the last unit that it was sent.
    sent: Option<u32>,
    /// Droppable units that it was not sent, modulo 2^16.
    left_out: u16,
    /// When it lost its reference lately; [`MOST_TROUBLE`] at most.
    trouble: VecDeque<Instant>,
    /// Since when all has been well at this quality.
    well_since: Instant,
    raised: Option<Instant>,
    patience: Duration,
}

impl Core {
    /// Of one that joins now.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            quality: Quality::Full,
            awaits_keyframe: true,
            wants_keyframe: true,
            asked: None,
            budget: Budget::default(),
            sent: None,
            left_out: 0,
            trouble: VecDeque::new(),
            well_since: now,
            raised: None,
            patience: FIRST_PATIENCE,
        }
    }

    /// What becomes of a unit of `bytes` with this RTP time stamp, while the path carries
    /// `path_kbps`.
    pub(super) fn decide(
        &mut self,
        now: Instant,
        Kind { keyframe, droppable }: Kind,
        timestamp: u32,
        bytes: usize,
        path_kbps: u32,
        queue_has_room: bool,
    ) -> Decision {
        let path_has_room = self.budget.allows(now, path_kbps);
        // Another encoding may be a picture behind the one that it comes from: receivers take no
        // picture that is not newer than the last.
        let newer = self.sent.is_none_or(|sent| timestamp.wrapping_sub(sent).cast_signed() > 0);
        if self.awaits_keyframe && !(keyframe && newer) {
            return Decision::Skip(Skipped::AwaitsKeyframe);
        }
        // Half of the video goes before any of what the rest refers to.
        let spare = droppable && self.budget.is_strained(path_kbps);
        let skipped = match (queue_has_room, path_has_room && !spare) {
            (true, true) => {
                self.awaits_keyframe = false;
                self.wants_keyframe &= !keyframe;
                self.budget.charge(bytes);
                self.sent = Some(timestamp);
                return Decision::Forward;
            }
            (false, _) => Skipped::Overflow,
            (true, false) => Skipped::Congested,
        };
        if droppable {
            self.left_out = self.left_out.wrapping_add(1);
        } else {
            self.lost_reference(now);
            self.awaits_keyframe = true;
        }
        Decision::Skip(skipped)
    }

    /// Units that it was not sent and does not miss, modulo 2^16.
    pub(super) fn left_out(&self) -> u16 {
        self.left_out
    }

    /// It cannot decode what comes: it said so, or did not get what the rest refers to.
    pub(super) fn lost_reference(&mut self, now: Instant) {
        self.wants_keyframe = true;
        if self.awaits_keyframe {
            // The same trouble still, or it has just joined.
            return;
        }
        self.well_since = now;
        self.trouble.retain(|at| now < *at + TROUBLE_WITHIN);
        if self.trouble.len() == MOST_TROUBLE {
            self.trouble.pop_front();
        }
        self.trouble.push_back(now);
    }

    /// Whether to ask its encoding for a keyframe now.
    pub(super) fn asks(&mut self, now: Instant) -> bool {
        let early = self.asked.is_some_and(|at| now < at + ASK_AGAIN);
        if !self.wants_keyframe || early {
            return false;
        }
        self.asked = Some(now);
        true
    }

    /// Which quality it should have, while the path carries `path_kbps` and the full one may take
    /// `full_kbps`.
    pub(super) fn wanted(&self, now: Instant, path_kbps: u32, full_kbps: u32) -> Quality {
        let suffices = path_kbps >= full_kbps / 10 * 9;
        match self.quality {
            Quality::Full if self.trouble.len() == MOST_TROUBLE => Quality::Small,
            Quality::Small if suffices && now >= self.well_since + self.patience => Quality::Full,
            quality => quality,
        }
    }

    /// It is at another encoding from now on.
    pub(super) fn moved(&mut self, now: Instant, quality: Quality) {
        if quality != self.quality {
            match quality {
                Quality::Full => self.raised = Some(now),
                Quality::Small => {
                    let failed = self.raised.is_some_and(|at| now < at + FAILED_WITHIN);
                    self.patience = if failed {
                        (self.patience * 2).min(LAST_PATIENCE)
                    } else {
                        FIRST_PATIENCE
                    };
                }
            }
        }
        self.quality = quality;
        (self.awaits_keyframe, self.wants_keyframe, self.asked) = (true, true, None);
        self.trouble.clear();
        self.well_since = now;
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
