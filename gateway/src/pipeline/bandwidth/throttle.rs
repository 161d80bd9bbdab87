//! What `egress` asks before each picture: whether to encode it, at which bitrate and size.

use tokio::time::Instant;

use super::budget::Budget;
use super::ladder::{Ladder, Rung};
use super::pace::Pace;
use crate::media::limits::BitrateLimits;
use crate::telemetry::ledger::Reason;

/// A picture that is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// When it was released, or is to leave.
    pub(crate) at: Instant,
    /// False for one that is shown already.
    pub(crate) new: bool,
    /// Pixels: width and height.
    pub(crate) size: (u32, u32),
}

/// What to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kbps: u32,
    /// Pixels.
    pub(crate) width: u32,
    /// Pixels.
    pub(crate) height: u32,
}

/// Fits one stream to what its path carries.
#[derive(Debug)]
pub(crate) struct Throttle {
    limits: BitrateLimits,
    ladder: Ladder,
    budget: Budget,
    fps: f64,
    rung: Rung,
    pace: Pace,
}

impl Throttle {
    /// For pictures at `fps`.
    pub(crate) fn new(limits: BitrateLimits, fps: f64) -> Self {
        let ladder = Ladder::new(fps, limits.max);
        Self {
            limits,
            ladder,
            budget: Budget::default(),
            fps,
            rung: Rung::TOP,
            pace: Pace::default(),
        }
    }

    /// What to make of a picture while the path carries `kbps`, and our machine wants relief by
    /// `relief` rungs.
    ///
    /// # Errors
    /// Why it is to be left out.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        kbps: u32,
        relief: usize,
        Due { at, new, size }: Due,
    ) -> Result<Target, Reason> {
        let kbps = kbps.clamp(self.limits.min, self.limits.max);
        let rung = self.ladder.step(now, kbps, relief, size);
        if rung.keep != self.rung.keep {
            self.pace = Pace::default();
        }
        self.rung = rung;
        if !self.budget.allows(now, kbps) {
            return Err(Reason::Congested);
        }
        if rung.keep != Rung::TOP.keep && !self.pace.allows(at, rung.interval(self.fps), new) {
            return Err(if self.ladder.relieved() { Reason::Busy } else { Reason::Congested });
        }
        let (width, height) = rung.size(size.0, size.1);
        // Fewer pictures are larger ones: encoders keep their bitrate by the pictures' timestamps.
        let kbps = self.budget.target(kbps).max(self.limits.min);
        Ok(Target { kbps, width, height })
    }

    /// `bytes` of what was admitted go out.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.budget.charge(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: BitrateLimits = BitrateLimits { start: 1_500, min: 100, max: 2_000 };

    /// A new one of 720p, released now.
    fn due(at: Instant) -> Due {
        Due { at, new: true, size: (1280, 720) }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "thousands")]
    /// Ten seconds of 720p30 while the path carries `path`; the encoder makes `overshoot` times
    /// what it is told.
    fn run(path: u32, overshoot: f64) -> (Vec<Target>, f64) {
        let (mut throttle, start) = (Throttle::new(LIMITS, 30.0), Instant::now());
        let (mut encoded, mut bytes) = (Vec::new(), 0);
        for frame in 0..300 {
            let now = start + Duration::from_micros(frame * 33_333);
            let Ok(target) = throttle.admit(now, path, 0, due(now)) else { continue };
            let fps = if frame < 9 {
                30.0
            } else {
                30.0 * f64::from(throttle.rung.keep.0) / f64::from(throttle.rung.keep.1)
            };
            let size = (f64::from(target.kbps) * 125.0 / fps * overshoot) as usize;
            throttle.sent(size);
            bytes += size;
            encoded.push(target);
        }
        (encoded, bytes as f64 * 8.0 / 10.0 / 1_000.0)
    }

    #[test]
    fn an_open_path_shows_everything_and_never_more_than_the_maximum() {
        let (encoded, kbps) = run(90_000, 1.0);
        assert_eq!(encoded, vec![Target { kbps: 2_000, width: 1280, height: 720 }; 300]);
        assert!((1_990.0..2_010.0).contains(&kbps));
    }

    #[test]
    fn a_narrow_path_is_kept_to_also_by_an_encoder_that_does_not() {
        for (path, overshoot) in [(300, 1.0), (300, 1.6), (150, 3.0), (700, 2.0)] {
            let (encoded, kbps) = run(path, overshoot);
            assert!(kbps < f64::from(path) * 1.3, "{path} x {overshoot}: {kbps}");
            assert!(encoded.len() >= 45, "{path} x {overshoot}: {} pictures", encoded.len());
        }
    }

    /// As VP8 does for some seconds after a standstill.
    #[test]
    fn an_encoder_that_goes_over_its_rate_is_told_less_and_shows_everything() {
        for overshoot in [1.25, 1.4, 1.6] {
            let (encoded, kbps) = run(90_000, overshoot);
            assert!(encoded.len() >= 295, "{overshoot}: {} pictures", encoded.len());
            assert!(kbps < 2_000.0 * 1.25, "{overshoot}: {kbps}");
        }
    }

    #[test]
    fn two_of_three_are_spread_evenly() {
        let (mut throttle, start) = (Throttle::new(LIMITS, 30.0), Instant::now());
        let times = (0..60).map(|frame| start + Duration::from_micros(frame * 33_333));
        let shown: Vec<bool> =
            times.map(|now| throttle.admit(now, 800, 0, due(now)).is_ok()).collect();
        assert!(shown[..9].iter().all(|shown| *shown), "not before it is sure");
        assert_eq!(shown[30..].iter().filter(|shown| **shown).count(), 20);
        assert!(shown[30..].windows(2).all(|pair| pair[0] || pair[1]));
    }

    #[test]
    fn what_a_busy_machine_leaves_out_is_not_the_paths() {
        let left_out = |path, relief| {
            let (mut throttle, start) = (Throttle::new(LIMITS, 30.0), Instant::now());
            let times = (0..60).map(|frame| start + Duration::from_micros(frame * 33_333));
            let mut reasons: Vec<_> =
                times.filter_map(|now| throttle.admit(now, path, relief, due(now)).err()).collect();
            reasons.dedup();
            reasons
        };
        assert_eq!(left_out(2_000, 0), []);
        assert_eq!(left_out(2_000, 2), [Reason::Busy]);
        assert_eq!(
            left_out(500, 1),
            [Reason::Busy, Reason::Congested],
            "until the path asks for more"
        );
    }

    #[test]
    fn the_minimum_is_sent_whatever_the_path_says() {
        let (mut throttle, now) = (Throttle::new(LIMITS, 30.0), Instant::now());
        assert_eq!(
            throttle
                .admit(now, 1, 0, Due { size: (640, 480), ..due(now) })
                .map(|target| target.kbps),
            Ok(100)
        );
    }
}
