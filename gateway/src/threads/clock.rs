//! A clock of the time in which this process ran.
//!
//! While a process is stopped (SIGSTOP, a paused container) it hears no browser, but the system's
//! clock goes on. By that clock, the browsers would seem to have been silent. This clock leaves
//! such times out. (`Instant` itself leaves out the times in which the machine sleeps.)
//!
//! Runs:  the watchdog's thread reads it four times a second, so that no other gap is as long as
//!        [`STANDSTILL`]; where no watchdog runs, it is the system's clock.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A longer gap between two readings is time in which nothing ran: four ticks of the watchdog.
const STANDSTILL: Duration = Duration::from_secs(1);

static CLOCK: Mutex<Clock> =
    Mutex::new(Clock { last: None, ticked: false, suspended: Duration::ZERO });

/// Now, without the times in which this process was stopped.
pub(crate) fn now() -> Instant {
    // Read under the lock: a reading from before a gap must not be taken for one from after it.
    let mut clock = CLOCK.lock();
    clock.read(Instant::now())
}

/// Turns on the detection of gaps between readings. Call it four times a second from then on.
pub(crate) fn tick() {
    let mut clock = CLOCK.lock();
    let now = Instant::now();
    clock.last.get_or_insert(now);
    clock.read(now);
    clock.ticked = true;
}

#[derive(Debug)]
struct Clock {
    /// The last reading, by the system's clock; `None` while nothing ticks.
    last: Option<Instant>,
    /// Whether it ticked since the last gap.
    ticked: bool,
    suspended: Duration,
}

impl Clock {
    fn read(&mut self, system: Instant) -> Instant {
        if let Some(last) = self.last {
            let gap = system.saturating_duration_since(last);
            self.last = Some(system.max(last));
            // A second gap without a tick in between: `tick` is not called any more.
            if gap > STANDSTILL && !std::mem::take(&mut self.ticked) {
                self.last = None;
            } else if gap > STANDSTILL {
                self.suspended += gap;
            }
        }
        // `suspended` is less than the time since the first tick.
        system.checked_sub(self.suspended).unwrap_or(system)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(250);

    #[test]
    fn it_stands_still_while_the_process_does_and_never_goes_back() {
        let start = Instant::now();
        let mut clock = Clock { last: Some(start), ticked: true, suspended: Duration::ZERO };
        let mut system = start;
        let mut last = start;
        for gap in [TICK, TICK, TICK * 4, Duration::from_secs(10), TICK, Duration::from_secs(3_600)]
        {
            system += gap;
            let now = clock.read(system);
            clock.ticked = true;
            assert!(now >= last);
            last = now;
        }
        assert_eq!(last, start + TICK * 7);
    }

    #[test]
    fn when_nothing_ticks_any_more_it_goes_on() {
        let start = Instant::now();
        let mut clock = Clock { last: Some(start), ticked: true, suspended: Duration::ZERO };
        let seconds = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(clock.read(seconds(10)), start, "it may have stood still");
        assert_eq!(clock.read(seconds(20)), seconds(10));
        assert_eq!(clock.read(seconds(30)), seconds(20));
    }

    #[test]
    fn without_ticks_it_is_the_systems() {
        let mut clock = Clock { last: None, ticked: false, suspended: Duration::ZERO };
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(clock.read(later), later);
        assert_eq!(clock.read(later + TICK), later + TICK);
    }
}
