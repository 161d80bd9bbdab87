//! Whether a session's browser is still there, and still sends what the session is for. The core is
//! pure.
//!
//! The stack has timers of its own, but they run in the stack: when its driver is dead or stuck
//! they say nothing. So what is counted here is what was *taken* from the network
//! ([`crate::media::receive_stats::ReceiveStats`]), by the code that takes it, and a session looks
//! at the counts once a second ([`Watch::look`]).
//!
//! Time is counted by looks, each of which counts for [`MAX_STEP`] at most: while this whole
//! process was stopped it could hear nobody, which is no client's fault.

use std::time::Duration;

use tokio::time::Instant;

use crate::media::receive_stats::{Counts, Fault};

/// No authenticated packet for this long: whatever the stack believes, the session is dead. A
/// browser checks its path every 5 s at the least (RFC 7675, section 5.1).
const SILENCE: Duration = Duration::from_secs(15);
/// A session that is to send video has so long for its first frame.
const FIRST_FRAME: Duration = Duration::from_secs(20);
/// After so long without a frame the client is told what came instead.
const NOTHING_SHOWN: Duration = Duration::from_secs(3);
/// What one look may count for: two intervals.
const MAX_STEP: Duration = Duration::from_secs(2);

/// Why a session is to end, or to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is heard any more.
    Silent,
    /// No frame ever came; whether packets did.
    NoVideo { packets: bool },
    /// Frames came, and then none for as long as may be.
    Idle,
    /// It goes on; of what comes, if anything does, no frame is decoded.
    NothingShown(Fault),
}

/// Watches one session from when it is connected.
#[derive(Debug)]
pub(super) struct Watch {
    last: (Instant, Counts),
    /// For how long nothing was heard.
    silence: Duration,
    /// For how long no frame was decoded; `None` in a mode without any.
    idle: Option<Duration>,
    idle_limit: Duration,
    /// The client knows that nothing is decoded.
    told: bool,
}

impl Watch {
    /// `sends`: the browser is to send video.
    pub(super) fn new(now: Instant, counts: Counts, sends: bool, idle_limit: Duration) -> Self {
        Self {
            last: (now, counts),
            silence: Duration::ZERO,
            idle: sends.then_some(Duration::ZERO),
            idle_limit,
            told: false,
        }
    }

    /// Compares the counts with those of the last look.
    pub(super) fn look(&mut self, now: Instant, counts: Counts) -> Option<Verdict> {
        let (then, before) = std::mem::replace(&mut self.last, (now, counts));
        let step = now.saturating_duration_since(then).min(MAX_STEP);
        self.silence =
            if counts.heard == before.heard { self.silence + step } else { Duration::ZERO };
        if let Some(idle) = &mut self.idle {
            *idle = if counts.frames == before.frames { *idle + step } else { Duration::ZERO };
        }
        self.told &= counts.frames == before.frames;
        let idle = self.idle();
        // Later on a camera may be off. What comes is to be decodable, though.
        let to_tell = counts.frames == 0 || counts.packets > before.packets;
        if self.silence >= SILENCE {
            Some(Verdict::Silent)
        } else if self.idle.is_some() && counts.frames == 0 && idle >= FIRST_FRAME {
            Some(Verdict::NoVideo { packets: counts.packets > 0 })
        } else if counts.frames > 0 && idle >= self.idle_limit {
            Some(Verdict::Idle)
        } else if idle >= NOTHING_SHOWN && to_tell && !std::mem::replace(&mut self.told, true) {
            Some(Verdict::NothingShown(counts.fault))
        } else {
            None
        }
    }

    /// For how long no frame was decoded.
    pub(super) fn idle(&self) -> Duration {
        self.idle.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::receive_stats::ReceiveStats;

    const LOOK: Duration = Duration::from_secs(1);
    const LIMIT: Duration = Duration::from_secs(300);

    /// A session that is looked at each second.
    struct Watched {
        watch: Watch,
        counts: Counts,
        now: Instant,
        told: Vec<Fault>,
    }

    impl Watched {
        fn new(sends: bool) -> Self {
            let now = Instant::now();
            Self {
                watch: Watch::new(now, Counts::default(), sends, LIMIT),
                counts: Counts::default(),
                now,
                told: Vec::new(),
            }
        }

        fn after(&mut self, passed: Duration) -> Option<Verdict> {
            self.now += passed;
            self.watch.look(self.now, self.counts)
        }

        fn ends(&mut self, verdict: Verdict) -> bool {
            let Verdict::NothingShown(fault) = verdict else { return true };
            self.told.push(fault);
            false
        }

        /// Looks until there is a verdict that ends it, `each` second doing this before; says after
        /// how many seconds it came.
        fn verdict(
            &mut self,
            seconds: u32,
            mut each: impl FnMut(&mut Counts),
        ) -> Option<(u32, Verdict)> {
            (1..=seconds).find_map(|second| {
                each(&mut self.counts);
                let verdict = self.after(LOOK);
                verdict.filter(|verdict| self.ends(*verdict)).map(|verdict| (second, verdict))
            })
        }
    }

    #[test]
    fn who_is_not_heard_for_fifteen_seconds_is_gone() {
        for sends in [true, false] {
            let mut watched = Watched::new(sends);
            watched.counts.frames = u64::from(sends);
            let mut seconds = 0;
            // A check every 14 s is enough.
            assert_eq!(
                watched.verdict(19, |counts| {
                    seconds += 1;
                    counts.heard += u64::from(seconds % 14 == 0);
                }),
                None
            );
            assert_eq!(
                watched.verdict(60, |_| {}),
                Some((10, Verdict::Silent)),
                "5 s have passed already"
            );
        }
    }

    #[test]
    fn a_client_that_never_sends_a_frame_is_told_what_came() {
        let heard = |counts: &mut Counts| counts.heard += 1;
        assert_eq!(
            Watched::new(true).verdict(60, heard),
            Some((20, Verdict::NoVideo { packets: false }))
        );
        let rubbish = |counts: &mut Counts| {
            counts.heard += 1;
            counts.packets += 1;
        };
        assert_eq!(
            Watched::new(true).verdict(60, rubbish),
            Some((20, Verdict::NoVideo { packets: true }))
        );
        assert_eq!(Watched::new(false).verdict(1_000, heard), None, "it is to send none");
    }

    #[test]
    fn a_client_of_which_nothing_is_decoded_is_told_once() {
        let mut watched = Watched::new(true);
        let come = |counts: &mut Counts| {
            counts.heard += 1;
            counts.packets += 1;
            counts.fault = Fault::TooLarge;
        };
        assert_eq!(watched.verdict(2, come), None);
        assert_eq!(watched.told, []);
        assert_eq!(watched.verdict(10, come), None);
        assert_eq!(watched.told, [Fault::TooLarge]);
        // Then frames, and then a camera that is off: nobody's fault.
        watched.counts.frames += 1;
        assert_eq!(watched.verdict(20, |counts| counts.heard += 1), None);
        assert_eq!(watched.told.len(), 1);
        // What comes and cannot be decoded is one again.
        assert_eq!(watched.verdict(20, come), None);
        assert_eq!(watched.told.len(), 2);
        assert_eq!(Watched::new(false).verdict(10, |counts| counts.heard += 1), None);
    }

    #[test]
    fn a_client_that_stopped_has_until_the_limit_and_gives_way_before() {
        let mut watched = Watched::new(true);
        let received = ReceiveStats::default();
        assert_eq!(
            watched.verdict(60, |counts| {
                counts.heard += 1;
                counts.frames += 1;
            }),
            None
        );
        for (seconds, gives_way) in [(20, None), (1, Some(Duration::from_secs(21)))] {
            assert_eq!(watched.verdict(seconds, |counts| counts.heard += 1), None);
            received.set_idle(watched.watch.idle());
            assert_eq!(received.gives_way(), gives_way);
        }
        assert_eq!(
            watched.verdict(1_000, |counts| counts.heard += 1),
            Some((300 - 21, Verdict::Idle))
        );
    }

    #[test]
    fn a_frame_in_time_begins_the_limit_anew() {
        let mut watched = Watched::new(true);
        for _ in 0..10 {
            watched.counts.frames += 1;
            assert_eq!(watched.verdict(299, |counts| counts.heard += 1), None);
        }
    }

    #[test]
    fn a_look_that_comes_late_blames_nobody() {
        let mut watched = Watched::new(true);
        assert_eq!(watched.after(Duration::from_secs(3_600)), None);
        assert_eq!(watched.verdict(12, |_| {}), None);
        assert_eq!(watched.after(LOOK), Some(Verdict::Silent));
    }

    #[test]
    fn counts_add_up() {
        let received = ReceiveStats::default();
        received.packet();
        received.packet();
        received.message();
        received.frame();
        let fault = Fault::NothingCame;
        assert_eq!(received.counts(7), Counts { heard: 10, packets: 2, frames: 1, fault });
    }

    #[test]
    fn what_is_wrong_is_the_first_thing_that_is() {
        let received = ReceiveStats::default();
        let fault = || received.counts(0).fault;
        assert_eq!(fault(), Fault::NothingCame);
        received.rtp();
        assert_eq!(fault(), Fault::PayloadType);
        received.packet();
        assert_eq!(fault(), Fault::NoKeyframe);
        received.undecodable(true);
        assert_eq!(fault(), Fault::TooLarge);
        received.undecodable(false);
        assert_eq!(fault(), Fault::Undecodable);
    }
}
