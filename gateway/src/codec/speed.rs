//! Chooses a VP8 encoder's speed, and so its quality, by its share of the frame interval and by the
//! load of its thread. Pure.

use std::time::Duration;

/// libvpx's `cpu-used`, best quality first. Negative values are fixed speeds. -8 is the knee of the
/// curve (5.7 ms and 37.8 dB at 720p); -16 loses 3 dB and is never used.
const SPEEDS: [i32; 4] = [-6, -8, -10, -12];
/// The speed at which a stream begins.
const START: usize = 1;
/// Smoothed share of the frame interval above which the next faster speed is used. A shared core
/// has little more time.
const BUSY: f64 = 0.40;
/// Share below which the next slower speed is used. Two steps differ by less than the ratio of the
/// two bounds, so that no step back follows.
const IDLE: f64 = 0.18;
/// Weight of the newest frame: a second's worth of frames decides, one slow frame does not.
const WEIGHT: f64 = 0.05;
/// Frames between two changes: two seconds at 30 fps.
const DWELL: u32 = 60;

/// See the module.
#[derive(Debug)]
pub(super) struct Speed {
    step: usize,
    load: f64,
    /// Frames since the last change.
    held: u32,
    /// The thread is overloaded, whatever this encoder's share.
    set_fastest: bool,
}

impl Default for Speed {
    fn default() -> Self {
        Self { step: START, load: f64::midpoint(IDLE, BUSY), held: 0, set_fastest: false }
    }
}

impl Speed {
    /// The `cpu-used` to encode with.
    pub(super) fn cpu_used(&self) -> i32 {
        if self.set_fastest { SPEEDS[SPEEDS.len() - 1] } else { SPEEDS[self.step] }
    }

    /// Turns the fastest speed on or off. Returns true if the speed changed.
    pub(super) fn set_fastest(&mut self, set_fastest: bool) -> bool {
        let before = self.cpu_used();
        self.set_fastest = set_fastest;
        self.cpu_used() != before
    }

    /// Records that a frame took `took`, with a frame every `interval`. Returns true if the speed
    /// changed.
    pub(super) fn observe(&mut self, took: Duration, interval: Duration) -> bool {
        if self.set_fastest {
            return false;
        }
        self.load += WEIGHT * (took.as_secs_f64() / interval.as_secs_f64() - self.load);
        self.held += 1;
        if self.held < DWELL {
            return false;
        }
        let step = match self.load {
            load if load > BUSY => (self.step + 1).min(SPEEDS.len() - 1),
            load if load < IDLE => self.step.saturating_sub(1),
            _ => self.step,
        };
        let changed = step != self.step;
        if changed {
            (self.step, self.held) = (step, 0);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(33);

    /// Encodes for ten seconds, with the time that each speed takes. Returns the speeds used, in
    /// order.
    fn run(speed: &mut Speed, took: impl Fn(i32) -> u64) -> Vec<i32> {
        let mut used = vec![speed.cpu_used()];
        for _ in 0..300 {
            if speed.observe(Duration::from_millis(took(speed.cpu_used())), INTERVAL) {
                used.push(speed.cpu_used());
            }
        }
        used
    }

    #[test]
    fn load_makes_it_faster_and_idleness_better() {
        let mut speed = Speed::default();
        assert_eq!(run(&mut speed, |_| 20), [-8, -10, -12]);
        assert_eq!(run(&mut speed, |_| 2), [-12, -10, -8, -6]);
    }

    #[test]
    fn it_does_not_swing() {
        // 1080p on a slow core: -8 is too slow, -10 is not, and going back would be wrong.
        let mut speed = Speed::default();
        assert_eq!(run(&mut speed, |cpu| if cpu == -8 { 14 } else { 11 }), [-8, -10]);
        assert_eq!(run(&mut speed, |cpu| if cpu == -8 { 14 } else { 11 }), [-10]);
    }

    #[test]
    fn a_busy_thread_makes_it_fastest_at_once() {
        let mut speed = Speed::default();
        assert!(speed.set_fastest(true) && !speed.set_fastest(true));
        assert_eq!(run(&mut speed, |_| 2), [-12]);
        assert!(speed.set_fastest(false));
        assert_eq!(speed.cpu_used(), -8);
    }

    #[test]
    fn one_slow_frame_changes_nothing() {
        let mut speed = Speed::default();
        let took = |frame: u32| Duration::from_millis(if frame % 100 == 99 { 90 } else { 8 });
        assert!((0..3_000).all(|frame| !speed.observe(took(frame), INTERVAL)));
    }
}
