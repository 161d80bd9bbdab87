//! For how long a thread has given no sign of life. Pure.
//!
//! Time is that of the watchdog's own ticks, each of which counts for [`TICK`] whatever the clock
//! says: while the whole process was stopped, or its machine slept, the watchdog did not tick, and
//! nobody is blamed for it.

use std::time::Duration;

/// Between two looks at all threads.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// From here on a thread is stuck: it is told, and the process is not ready.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(1);
/// From here on it is not believed to come back by itself: the process is not healthy.
pub(super) const UNHEALTHY_AFTER: Duration = Duration::from_secs(10);

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// It has answered, or waits for something to do.
    Alive,
    /// It has not, and for this much of the last tick that was its own doing: it had the CPU, or
    /// waited for something else than the CPU.
    Silent(Duration),
}

/// What is new about a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Stuck,
    Unhealthy,
    /// It was stuck, for that long.
    Recovered(Duration),
}

/// One thread's silence.
#[derive(Debug, Default)]
pub(super) struct Patience {
    silent: Duration,
}

impl Patience {
    /// Since its last sign of life.
    pub(super) fn silent(&self) -> Duration {
        self.silent
    }

    /// To be called once a tick.
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
