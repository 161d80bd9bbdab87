//! Mode receive: a picture at every `1/fps`, whatever the generator does. Pure, tested in virtual
//! time.
//!
//! > Tick `n` is at `start + n/fps`, computed from `n` each time: no error adds up. Its time stamp
//! > is `n * 90000/fps`. A tick shows the picture that waits, or the last one again. A missed tick
//! > is skipped, never made up for.
//!
//! A tick comes [`Metronome::lead`] before its picture is due: encoding takes a varying time, and
//! what is encoded early can leave on time. So the arbiter may stall for that long too and no tick
//! is missed.

use std::time::Duration;

use tokio::time::Instant;

use super::core::Action;

/// From a tick until its picture leaves: two intervals, at most this. Bounds the pictures between
/// pacer and socket to three, and the delay from generator to screen.
const MAX_LEAD: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug)]
pub(super) struct Metronome {
    fps: f64,
    /// Tick 0: when the first answer came.
    start: Option<Instant>,
    /// The next tick.
    next: u64,
}

impl Metronome {
    pub(super) fn new(fps: f64) -> Self {
        Self { fps, start: None, next: 0 }
    }

    /// How long after its tick a picture leaves.
    pub(super) fn lead(&self) -> Duration {
        Duration::from_secs_f64(2.0 / self.fps).min(MAX_LEAD)
    }

    /// Begins to tick, even with nothing to show: a generator has answered, and goes on at this
    /// rate.
    pub(super) fn begin(&mut self, now: Instant) {
        self.start.get_or_insert(now);
    }

    /// What to do at `now`. After [`Action::Release`], [`Self::ticked`] goes on to the next
    /// tick.
    pub(super) fn poll(&mut self, now: Instant, result_waits: bool) -> Action {
        let start = match self.start {
            Some(start) => start,
            None if result_waits => *self.start.insert(now),
            None => return Action::Wait(None),
        };
        // Skips ticks whose pictures would leave late.
        while start + self.offset(self.next) + self.lead() < now {
            self.next += 1;
        }
        let due = start + self.offset(self.next);
        if now < due {
            Action::Wait(Some(due))
        } else if result_waits {
            Action::Release
        } else {
            let (pts, leave_at) = self.ticked();
            Action::Repeat { pts, leave_at: Some(leave_at) }
        }
    }

    /// The tick that is due is done: its time stamp, and when its picture leaves.
    ///
    /// # Panics
    /// Before the first picture.
    pub(super) fn ticked(&mut self) -> (u64, Instant) {
        let start = self.start.expect("a tick comes after the start");
        let tick = self.next;
        self.next += 1;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and below 2^53 for ever"
        )]
        let pts = (tick as f64 * 90_000.0 / self.fps).round() as u64;
        (pts, start + self.offset(tick) + self.lead())
    }

    fn offset(&self, tick: u64) -> Duration {
        Duration::from_secs_f64(tick as f64 / self.fps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drives a metronome for `seconds`. `late` is how late the n-th wake-up comes, `waits` whether
    /// a picture waits at an instant. Returns (time stamp, leaves at, is a new picture).
    fn run(
        fps: f64,
        seconds: f64,
        mut late: impl FnMut() -> Duration,
        waits: impl Fn(Duration) -> bool,
    ) -> Vec<(u64, Duration, bool)> {
        let (mut metronome, start) = (Metronome::new(fps), Instant::now());
        let (mut now, mut left) = (start, Vec::new());
        while now < start + Duration::from_secs_f64(seconds) {
            match metronome.poll(now, waits(now - start)) {
                Action::Wait(Some(until)) => now = until + late(),
                Action::Wait(None) => now += Duration::from_millis(1),
                Action::Repeat { pts, leave_at } => {
                    left.push((pts, leave_at.unwrap() - start, false))
                }
                Action::Release => {
                    let (pts, leave_at) = metronome.ticked();
                    left.push((pts, leave_at - start, true));
                }
            }
        }
        left
    }

    #[test]
    fn every_rate_is_exact_over_an_hour() {
        for fps in [15.0, 24.0, 29.97, 30.0, 60.0] {
            let left = run(fps, 3_600.0, || Duration::ZERO, |_| true);
            let expected = 3_600.0 * fps;
            assert!(
                (left.len() as f64 - expected).abs() <= 1.0,
                "{fps}: {} of {expected}",
                left.len()
            );
            for (n, (pts, ..)) in left.iter().enumerate() {
                assert!(
                    (*pts as f64 - n as f64 * 90_000.0 / fps).abs() <= 0.5,
                    "{fps}: {pts} at {n}"
                );
            }
        }
    }

    #[test]
    fn wake_ups_within_the_lead_cost_nothing() {
        use rand::{RngExt, SeedableRng};
        for seed in 0..20 {
            let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
            let left =
                run(60.0, 60.0, || Duration::from_millis(random.random_range(0..30)), |_| true);
            assert!(
                left.iter().enumerate().all(|(n, (pts, ..))| *pts == n as u64 * 1_500),
                "seed {seed}"
            );
            assert!(left.len() >= 3_598, "seed {seed}: {}", left.len());
        }
    }

    #[test]
    fn a_stalled_generator_is_bridged_and_never_made_up_for() {
        let stalled =
            |at: Duration| !(Duration::from_secs(2)..Duration::from_secs(5)).contains(&at);
        let left = run(30.0, 10.0, || Duration::ZERO, stalled);
        let intervals: Vec<_> = left.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
        let interval = Duration::from_secs_f64(1.0 / 30.0);
        assert!(
            intervals.iter().all(|took| took.abs_diff(interval) < Duration::from_micros(1)),
            "{intervals:?}"
        );
        assert_eq!(left.iter().filter(|(.., new)| !new).count(), 90);
    }

    #[test]
    fn our_own_stall_leaves_ticks_out() {
        let mut wakes = 0;
        let late = || {
            wakes += 1;
            if wakes == 100 { Duration::from_millis(500) } else { Duration::ZERO }
        };
        let left = run(30.0, 10.0, late, |_| true);
        let steps: Vec<_> = left.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert_eq!(steps.iter().filter(|step| **step != 3_000).count(), 1, "one gap, on the grid");
        assert!(steps.iter().all(|step| step % 3_000 == 0));
        // Half a second less the lead of 50 ms, and no burst of missed pictures.
        assert!((285..=288).contains(&left.len()), "{}", left.len());
    }

    #[test]
    fn nothing_is_shown_before_there_is_something() {
        let left = run(30.0, 2.0, || Duration::ZERO, |at| at >= Duration::from_secs(1));
        assert!(left[0].2 && left[0].0 == 0 && left[0].1 >= Duration::from_secs(1));
        assert_eq!(left.len(), 30);
    }
}
