//! Asking a path for more: an estimator that has once met a limit creeps up by 60 kbit/s a second,
//! and a minute of bad Wi-Fi would cost half a minute of blur after it is over.
//!
//! So, when nothing has gone wrong for a while, the bitrate is raised in a step, as libwebrtc's
//! probes do; when that was too much the estimator says so within a second, and the next step waits
//! twice as long.

use std::time::Duration;

use tokio::time::Instant;

/// Of the bitrate: large enough that 300 kbit/s are 2 Mbit/s again after five steps, small enough
/// that a path that has not changed gets a queue of a tenth of a second until the estimator falls.
const STEP: f64 = 1.5;
/// Without a fall, before the first step and between good ones. Feedback comes ten times a second.
const PATIENCE: Duration = Duration::from_secs(1);
/// Before the next after many that were too much.
const MAX_PATIENCE: Duration = Duration::from_secs(32);
/// A fall this soon after a step is the step's.
const VERDICT: Duration = Duration::from_secs(3);
/// What is a fall: estimators quiver.
const FALL: f64 = 0.97;

/// When to try more.
#[derive(Debug)]
pub(crate) struct Probe {
    patience: Duration,
    /// The highest since the last fall or step.
    high: f64,
    /// Since when nothing has gone wrong; none before the first estimate.
    quiet_since: Option<Instant>,
    stepped: Option<Instant>,
}

impl Default for Probe {
    fn default() -> Self {
        Self { patience: PATIENCE, high: 0.0, quiet_since: None, stepped: None }
    }
}

impl Probe {
    /// Given the newest estimate, in any unit; what to try instead, if it is time.
    pub(crate) fn update(&mut self, now: Instant, estimate: f64, max: f64) -> Option<f64> {
        let quiet_since = *self.quiet_since.get_or_insert(now);
        let since_step = self.stepped.map(|at| now.saturating_duration_since(at));
        if estimate < self.high * FALL {
            if since_step.is_some_and(|since| since < VERDICT) {
                // The step's, and so that one step is not held against us twice.
                self.patience = (self.patience * 2).min(MAX_PATIENCE);
                self.stepped = None;
            }
            self.high = estimate;
            self.quiet_since = Some(now);
            return None;
        }
        self.high = self.high.max(estimate);
        if since_step.is_some_and(|since| since >= VERDICT) {
            self.stepped = None;
            self.patience = PATIENCE;
        }
        if estimate >= max || now.saturating_duration_since(quiet_since) < self.patience {
            return None;
        }
        let more = (estimate * STEP).min(max);
        (self.high, self.quiet_since, self.stepped) = (more, Some(now), Some(now));
        Some(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of `path` kbit/s under an estimator that falls to 85 % of it and does not rise by
    /// itself. The estimates, ten a second.
    fn run(path: impl Fn(u64) -> f64, seconds: u64) -> Vec<f64> {
        let (mut probe, start) = (Probe::default(), Instant::now());
        let mut estimate = 1_000.0_f64;
        let step = |tenth: u64| {
            if estimate > path(tenth) {
                estimate = path(tenth) * 0.85;
            }
            let now = start + Duration::from_millis(tenth * 100);
            if let Some(more) = probe.update(now, estimate, 2_000.0) {
                estimate = more;
            }
            estimate
        };
        (0..seconds * 10).map(step).collect()
    }

    #[test]
    fn an_open_path_is_used_within_seconds_and_again_after_a_narrow_minute() {
        let path = |tenth: u64| if (100..700).contains(&tenth) { 300.0 } else { 9_000.0 };
        let estimates = run(path, 130);
        assert_eq!(estimates[25], 2_000.0, "{:?}", &estimates[..30]);
        let back = estimates[700..].iter().position(|estimate| *estimate == 2_000.0).unwrap();
        assert!(back < 450, "after {back} tenths of a second");
    }

    #[test]
    fn a_path_that_does_not_carry_more_is_seldom_asked() {
        let estimates = run(|_| 600.0, 300);
        let too_much = estimates.iter().filter(|estimate| **estimate > 600.0).count();
        assert!((3..=20).contains(&too_much), "{too_much} of 3000 tenths");
        assert!(estimates[20..].iter().all(|estimate| *estimate >= 510.0));
    }
}
