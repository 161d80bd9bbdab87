//! The frame rate of the pictures, for an encoder that divides its bitrate by it and does not
//! measure it. Pure.

/// Ticks a second.
const CLOCK: f64 = 90_000.0;
/// Weight of the newest interval: three quarters of a change are learnt within ten pictures, and
/// jitter evens out.
const WEIGHT: f64 = 0.125;
/// A longer interval counts as this many times the current one. A pause is not a frame rate: it
/// raises a picture's share by at most 3/8, of which a quarter is left ten pictures later.
const PAUSE: f64 = 4.0;
/// Relative error of the rate above which the encoder is updated: less than the error of rate
/// control itself.
const SLACK: f64 = 1.0 / 16.0;
/// The range that OpenH264 accepts.
const RATES: std::ops::RangeInclusive<f64> = 1.0..=60.0;

/// See the module.
#[derive(Debug)]
pub(super) struct Rate {
    /// Ticks, smoothed.
    interval: f64,
    last: Option<u64>,
    encoder_fps: f64,
}

impl Rate {
    /// For pictures that should come at `fps`.
    pub(super) fn new(fps: f64) -> Self {
        Self { interval: CLOCK / fps, last: None, encoder_fps: fps }
    }

    /// Records a picture of any size. Returns true if the rate has changed.
    pub(super) fn observe(&mut self, pts: u64) -> bool {
        if let Some(last) = self.last.replace(pts) {
            let interval = (pts.saturating_sub(last) as f64).min(PAUSE * self.interval);
            self.interval += WEIGHT * (interval - self.interval);
        }
        let fps = (CLOCK / self.interval).clamp(*RATES.start(), *RATES.end());
        let changed = (fps - self.encoder_fps).abs() > SLACK * self.encoder_fps;
        if changed {
            self.encoder_fps = fps;
        }
        changed
    }

    /// Pictures a second.
    #[expect(clippy::cast_possible_truncation, reason = "a frame rate within 1..=240")]
    pub(super) fn fps(&self) -> f32 {
        self.encoder_fps as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rate after `count` further pictures at these intervals, in turn, in ticks.
    fn after(rate: &mut Rate, count: usize, intervals: &[u64]) -> f32 {
        let mut pts = rate.last.unwrap_or(0);
        for interval in intervals.iter().cycle().take(count) {
            pts += interval;
            rate.observe(pts);
        }
        rate.fps()
    }

    #[test]
    fn each_rate_is_learned_and_left_within_forty_pictures() {
        let mut rate = Rate::new(30.0);
        for (intervals, fps) in [
            (&[3_000][..], 30.0),
            (&[6_000], 15.0),
            (&[3_000, 6_000], 20.0),
            (&[9_000], 10.0),
            (&[18_000], 5.0),
            (&[1_500], 60.0),
            (&[3_000], 30.0),
        ] {
            let learned = after(&mut rate, 40, intervals);
            assert!((learned / fps - 1.0).abs() < 0.15, "{fps}: {learned}");
        }
    }

    #[test]
    fn jitter_is_not_told() {
        let mut rate = Rate::new(30.0);
        let mut pts = 0;
        for frame in 0..300 {
            pts += [2_700, 3_300, 2_900, 3_100][frame % 4];
            assert!(!rate.observe(pts));
        }
    }

    #[test]
    fn a_pause_is_no_rate() {
        let mut rate = Rate::new(30.0);
        after(&mut rate, 30, &[3_000]);
        assert!(after(&mut rate, 1, &[900_000]) > 20.0);
        assert!(after(&mut rate, 30, &[3_000]) > 28.0);
        assert!(after(&mut rate, 500, &[900_000]) >= 1.0, "what the library takes");
    }
}
