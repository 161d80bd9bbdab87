//! When the next picture goes out: pure, tested in virtual time.
//!
//! > A result at or below the target rate is released the moment it comes. Faster results are held
//! > to the rate. If none came for an interval, the last is re-emitted, as far as the target rate
//! > has room.
//!
//! Two meters (the generic cell rate algorithm of ITU-T I.371) do this. `results` admits a result
//! when it comes at most [`Pacer::tolerance`] before its theoretical time, so that camera and
//! network jitter within half an interval delays nothing, and runs [`SLACK`] fast, so that a camera
//! with a fast crystal is not held up. `shown` meters results and re-emissions together without
//! tolerance: it decides re-emissions only, so they fill gaps and never crowd out or delay a
//! result.

use std::time::Duration;

use tokio::time::Instant;

use crate::media::frame::ticks;

/// The fraction by which results may exceed the target. A camera of nominally the same rate is off
/// by 0.01 %; without slack each of its frames would be held a little longer than the last, up to
/// an interval. 1/64 also lets 30 fps pass at 29.97.
const SLACK: u32 = 64;
/// How long after a result has failed to come gaps are filled as soon as the meter has room:
/// results come unevenly then, frames wait for lost packets and arrive together.
const UNEVEN: Duration = Duration::from_secs(1);
/// The least RTP ticks (90 kHz) between two releases: one millisecond.
const MIN_STEP_TICKS: u64 = 90;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Take the waiting result, call [`Pacer::released`] with its capture time, and show it.
    Release,
    /// Show the last picture again at this time stamp.
    Repeat {
        /// 90 kHz ticks.
        pts: u64,
        /// When it leaves; `None` is at once.
        leave_at: Option<Instant>,
    },
    /// Nothing before this instant, unless a result comes.
    Wait(Option<Instant>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pacer {
    interval: Duration,
    /// Theoretical time of the next result.
    results: Option<Instant>,
    /// Theoretical time of the next picture of any kind.
    shown: Option<Instant>,
    last: Option<Last>,
    /// When a result was last missed by more than its grace.
    missed: Option<Instant>,
    /// The last release of a result.
    result: Option<Instant>,
}

/// The last release.
#[derive(Clone, Copy, Debug)]
struct Last {
    at: Instant,
    pts: u64,
}

impl Pacer {
    /// A pacer for `fps` frames a second (fractions are exact to a nanosecond an interval).
    pub(crate) fn new(fps: f64) -> Self {
        Self {
            interval: Duration::from_secs_f64(1.0 / fps),
            results: None,
            shown: None,
            last: None,
            missed: None,
            result: None,
        }
    }

    /// How much earlier than its theoretical time a result may go out: half an interval.
    fn tolerance(&self) -> Duration {
        self.interval / 2
    }

    /// What to do at `now`, given whether a result waits. Call again at the instant returned or
    /// when a result comes.
    pub(crate) fn poll(&mut self, now: Instant, result_waits: bool) -> Action {
        let release_at =
            self.results.map_or(now, |due| due.checked_sub(self.tolerance()).unwrap_or(due));
        if result_waits {
            return if now >= release_at {
                Action::Release
            } else {
                Action::Wait(Some(release_at))
            };
        }
        let (Some(last), Some(shown)) = (self.last, self.shown) else { return Action::Wait(None) };
        // Results that come evenly have half an interval of grace: one that is merely late must not
        // be preceded by a needless encode.
        let missed_at = self.result.map_or(now, |at| at + self.interval + self.tolerance());
        let uneven = self.missed.is_some_and(|at| now < at + UNEVEN);
        let repeat_at = if uneven { shown } else { shown.max(missed_at) };
        if now < repeat_at {
            return Action::Wait(Some(repeat_at));
        }
        let pts = last.pts + ticks(now - last.at).max(MIN_STEP_TICKS);
        self.shown = Some(self.next_slot(shown, now));
        self.last = Some(Last { at: now, pts });
        if now >= missed_at {
            self.missed = Some(now);
        }
        Action::Repeat { pts, leave_at: None }
    }

    /// Notes the release of a result captured at `captured` (since the session's first frame);
    /// returns its time stamp.
    ///
    /// Time stamps follow capture time, so that the receiver's jitter buffer sees the camera's
    /// rhythm and not the handler's; where re-emissions have run ahead of it they step by the
    /// minimum until capture time catches up.
    pub(crate) fn released(&mut self, now: Instant, captured: Duration) -> u64 {
        let pts = ticks(captured).max(self.last.map_or(0, |last| last.pts + MIN_STEP_TICKS));
        let spacing = self.interval - self.interval / SLACK;
        self.results = Some(self.results.map_or(now, |due| due.max(now)) + spacing);
        self.shown = Some(self.shown.map_or(now, |due| due.max(now)) + self.interval);
        self.last = Some(Last { at: now, pts });
        self.result = Some(now);
        pts
    }

    /// The slot after `due`, on the same grid; slots missed by a stall are skipped, never replayed.
    fn next_slot(&self, due: Instant, now: Instant) -> Instant {
        if now < due + self.interval { due + self.interval } else { now + self.interval }
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
