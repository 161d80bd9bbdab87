//! The time in which this process ran.
//!
//! While a process is stopped (SIGSTOP, a paused container, a machine that sleeps) no browser can
//! be heard, and the clock of the system goes on. Whoever asks that clock "how long has nothing
//! come?" blames the browser. This one leaves such times out.
//!
//! Runs:  the watchdog's thread reads it four times a second, so that no other gap is as long as
//!        [`STANDSTILL`]; where no watchdog runs, it is the system's clock.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A longer gap between two readings is time in which nothing ran: four ticks of the watchdog.
const STANDSTILL: Duration = Duration::from_secs(1);

static CLOCK: Mutex<Clock> = Mutex::new(Clock { last: None, left_out: Duration::ZERO });

/// Now, without the times in which this process was stopped.
pub(crate) fn now() -> Instant {
    // Read under the lock: a reading from before a gap must not be taken for one from after it.
    let mut clock = CLOCK.lock();
    clock.read(Instant::now())
}

/// Has gaps between readings noticed; to be called four times a second from then on.
pub(crate) fn tick() {
    let mut clock = CLOCK.lock();
    clock.last.get_or_insert_with(Instant::now);
    clock.read(Instant::now());
}

#[derive(Debug)]
struct Clock {
    /// The last reading, by the system's clock; `None` while nothing ticks.
    last: Option<Instant>,
    left_out: Duration,
}

impl Clock {
    fn read(&mut self, system: Instant) -> Instant {
        if let Some(last) = &mut self.last {
            let gap = system.saturating_duration_since(*last);
            if gap > STANDSTILL {
                self.left_out += gap;
            }
            *last = system.max(*last);
        }
        // It is less than has passed since the first tick.
        system.checked_sub(self.left_out).unwrap_or(system)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(250);

    #[test]
    fn it_stands_still_while_the_process_does_and_never_goes_back() {
        let start = Instant::now();
        let mut clock = Clock { last: Some(start), left_out: Duration::ZERO };
        let mut system = start;
        let mut last = start;
        for gap in [TICK, TICK, TICK * 4, Duration::from_secs(10), TICK, Duration::from_secs(3_600)]
        {
            system += gap;
            let now = clock.read(system);
            assert!(now >= last);
            last = now;
        }
        assert_eq!(last, start + TICK * 7);
    }

    #[test]
    fn without_ticks_it_is_the_systems() {
        let mut clock = Clock { last: None, left_out: Duration::ZERO };
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(clock.read(later), later);
        assert_eq!(clock.read(later + TICK), later + TICK);
    }
}
