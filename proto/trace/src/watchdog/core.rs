//! How long a thread has been silent. Pure.
//!
//! Time is counted in the watchdog's own ticks of [`TICK`] each, whatever the clock says: while the
//! whole process was stopped, or its machine slept, the watchdog did not tick, and no thread counts
//! as silent.

use std::time::Duration;

/// Between two checks of all threads.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// A thread that is silent for this long is stuck: this is logged, and the process is not ready.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(1);
/// A thread that is silent for this long is not expected to recover: the process is unhealthy.
pub(super) const UNHEALTHY_AFTER: Duration = Duration::from_secs(10);

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// It has answered, or waits for work.
    Alive,
    /// It has not answered, and for this much of the last tick that was its own fault: it had the
    /// CPU, or waited for something else than the CPU.
    Silent(Duration),
}

/// A change of a thread's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Stuck,
    Unhealthy,
    /// It recovered after this long.
    Recovered(Duration),
}

/// The silence of one thread.
#[derive(Debug, Default)]
pub(super) struct Patience {
    silent: Duration,
}

impl Patience {
    /// Since its last sign of life.
    pub(super) fn silent(&self) -> Duration {
        self.silent
    }

    /// Call once a tick.
    pub(super) fn tick(&mut self, sign: Sign) -> Option<Change> {
        let before = self.silent;
        match sign {
            Sign::Alive => {
                self.silent = Duration::ZERO;
                (before >= STUCK_AFTER).then_some(Change::Recovered(before))
            }
            Sign::Silent(counts) => {
                self.silent += counts.min(TICK);
                let reached = |limit| before < limit && self.silent >= limit;
                if reached(UNHEALTHY_AFTER) {
                    Some(Change::Unhealthy)
                } else {
                    reached(STUCK_AFTER).then_some(Change::Stuck)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(patience: &mut Patience, ticks: u32, sign: Sign) -> Vec<(u32, Change)> {
        (1..=ticks).filter_map(|tick| Some((tick, patience.tick(sign)?))).collect()
    }

    #[test]
    fn four_ticks_are_a_second_and_forty_are_ten() {
        let mut patience = Patience::default();
        assert_eq!(changes(&mut patience, 1_000, Sign::Alive), []);
        assert_eq!(changes(&mut patience, 3, Sign::Silent(TICK)), []);
        assert_eq!(changes(&mut patience, 1, Sign::Alive), [], "nobody was told that it was late");
        let reported = changes(&mut patience, 1_000, Sign::Silent(TICK));
        assert_eq!(reported, [(4, Change::Stuck), (40, Change::Unhealthy)]);
        assert_eq!(patience.tick(Sign::Alive), Some(Change::Recovered(TICK * 1_000)));
        assert_eq!(patience.silent(), Duration::ZERO);
        assert_eq!(changes(&mut patience, 4, Sign::Silent(TICK)), [(4, Change::Stuck)], "again");
    }

    #[test]
    fn a_thread_that_waits_for_the_cpu_is_not_blamed_for_it() {
        let mut patience = Patience::default();
        // One that gets a hundredth of a core: a second of its own takes a hundred.
        let starved = Sign::Silent(TICK / 100);
        assert_eq!(changes(&mut patience, 399, starved), []);
        assert_eq!(changes(&mut patience, 1, starved), [(1, Change::Stuck)]);
        // And one that gets none.
        assert_eq!(changes(&mut patience, 1_000_000, Sign::Silent(Duration::ZERO)), []);
    }

    #[test]
    fn no_tick_counts_for_more_than_a_tick() {
        let mut patience = Patience::default();
        assert_eq!(changes(&mut patience, 3, Sign::Silent(Duration::from_secs(3_600))), []);
        assert_eq!(patience.silent(), TICK * 3);
    }
}
