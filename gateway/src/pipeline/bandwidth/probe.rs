//! Tries a higher bitrate. An estimate that has once met a limit creeps up by 40 kbit/s a second,
//! so a minute of bad Wi-Fi would cost half a minute of blur afterwards. An estimate that is not
//! used does not rise at all.
//!
//! So, when nothing has gone wrong for a while, the bitrate is raised: to what the newest bursts
//! have measured ([`super::burst`]), or, if they say nothing or too little, by a step. If that was
//! too much, the estimator falls within a second, and the next raise of that kind waits twice as
//! long.

use std::time::Duration;

use tokio::time::Instant;

/// Factor on the bitrate: so small that on an unchanged path the queue is a tenth of a second
/// before the estimator falls.
const STEP: f64 = 1.5;
/// Share of what a burst has measured, as libwebrtc takes for a probe that met a limit.
pub(crate) const OF_MEASURED: f64 = 0.85;
/// A raise by less than this factor is left to the estimator.
const WORTH_IT: f64 = 1.1;
/// Without a fall, before the first raise and between good ones: to what was measured, and by a
/// step. Feedback comes ten times a second.
const MIN_BACKOFF: [Duration; 2] = [Duration::from_millis(700), Duration::from_secs(1)];
/// Before the next after many that were too much.
const MAX_BACKOFF: Duration = Duration::from_secs(32);
/// Before the next measured one after many of a [`SMALL`] raise.
const MAX_BACKOFF_SMALL: Duration = Duration::from_millis(1_400);
/// A raise by less than this costs a path that carries no more as little as the estimator itself
/// does, which tries the limit every other second.
const SMALL: f64 = 2.0;
/// Time without a fall before bursts are made to measure by: a queue must have drained.
const MEASURE_AFTER: Duration = Duration::from_millis(400);
/// A fall this soon after a raise is caused by it.
const VERDICT: Duration = Duration::from_secs(3);
/// Share of the highest estimate below which it counts as a fall: estimators quiver.
const FALL: f64 = 0.97;

/// What a raise is based on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Raise {
    /// What bursts have measured. It is wrong where bursts pass faster than a stream does.
    Measured,
    /// Nothing.
    Step,
}

#[derive(Clone, Copy, Debug)]
struct Raised {
    at: Instant,
    by: Raise,
    /// How many times the bitrate before.
    factor: f64,
}

/// When to try more.
#[derive(Debug)]
pub(crate) struct Probe {
    /// The wait before a raise to what was measured, and before a step.
    backoff: [Duration; 2],
    /// The highest since the last fall or raise.
    high: f64,
    /// Since when nothing has gone wrong; `None` before the first estimate.
    quiet_since: Option<Instant>,
    /// The last raise, until it has gone well or wrong.
    raised: Option<Raised>,
}

impl Default for Probe {
    fn default() -> Self {
        Self { backoff: MIN_BACKOFF, high: 0.0, quiet_since: None, raised: None }
    }
}

impl Probe {
    /// Takes the newest estimate and what bursts have measured, in the same unit. Returns what to
    /// try instead, if it is time and nothing is `wrong`: no packets are lost, and none wait.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        estimate: f64,
        max: f64,
        capacity: Option<f64>,
        wrong: bool,
    ) -> Option<f64> {
        let quiet_since = *self.quiet_since.get_or_insert(now);
        let passed = |at: Instant| now.saturating_duration_since(at);
        if estimate < self.high * FALL {
            if let Some(raised) = self.raised.take().filter(|raised| passed(raised.at) < VERDICT) {
                self.went_wrong(raised);
            }
            self.high = estimate;
            self.quiet_since = Some(now);
            return None;
        }
        self.high = self.high.max(estimate);
        if self.raised.is_some_and(|raised| passed(raised.at) >= VERDICT) {
            self.went_well();
        }
        if estimate >= max || wrong {
            return None;
        }
        let since = |by| self.raised.filter(|last| last.by == by).map(|last| passed(last.at));
        let is_due = |by: Raise| {
            let backoff = self.backoff[by as usize];
            passed(quiet_since) >= backoff && since(by).is_none_or(|since| since >= backoff)
        };
        let measured = capacity
            .map(|capacity| capacity * OF_MEASURED)
            .filter(|more| is_due(Raise::Measured) && *more >= estimate * WORTH_IT);
        // Not where it was measured to be too much.
        let may_step = capacity.is_none_or(|capacity| capacity >= estimate * STEP);
        let (more, by) = match measured {
            Some(more) => (more.min(max), Raise::Measured),
            None if is_due(Raise::Step) && may_step => ((estimate * STEP).min(max), Raise::Step),
            None => return None,
        };
        // A raise after which there is another has gone well.
        self.went_well();
        self.high = more;
        self.raised = Some(Raised { at: now, by, factor: more / estimate });
        Some(more)
    }

    fn went_well(&mut self) {
        if let Some(Raised { by, .. }) = self.raised.take() {
            self.backoff[by as usize] = MIN_BACKOFF[by as usize];
        }
    }

    fn went_wrong(&mut self, Raised { by, factor, .. }: Raised) {
        let small = by == Raise::Measured && factor < SMALL;
        let most = if small { MAX_BACKOFF_SMALL } else { MAX_BACKOFF };
        let backoff = &mut self.backoff[by as usize];
        *backoff = (*backoff * 2).min(most.max(*backoff));
    }

    /// How long a raise to what was measured waits beyond the least, because the last ones were
    /// wrong.
    #[cfg(test)]
    pub(crate) fn distrust(&self) -> Duration {
        self.backoff[Raise::Measured as usize].saturating_sub(MAX_BACKOFF_SMALL)
    }

    /// Whether bursts are to measure the path now.
    pub(crate) fn measures(&self, now: Instant, estimate: f64, max: f64) -> bool {
        let quiet = self.quiet_since.map(|since| now.saturating_duration_since(since));
        estimate < max && quiet.is_some_and(|quiet| quiet >= MEASURE_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of `path` kbit/s under an estimator that falls to 85 % of it and does not rise by
    /// itself. The estimates, ten a second; `capacity` is what bursts measure.
    fn run(
        path: impl Fn(u64) -> f64,
        capacity: impl Fn(u64) -> Option<f64>,
        seconds: u64,
    ) -> Vec<f64> {
        let (mut probe, start) = (Probe::default(), Instant::now());
        let mut estimate = 1_000.0_f64;
        let step = |tenth: u64| {
            if estimate > path(tenth) {
                estimate = path(tenth) * 0.85;
            }
            let now = start + Duration::from_millis(tenth * 100);
            if let Some(more) = probe.update(now, estimate, 2_000.0, capacity(tenth), false) {
                estimate = more;
            }
            estimate
        };
        (0..seconds * 10).map(step).collect()
    }

    fn narrow_for_a_minute(tenth: u64) -> f64 {
        if (100..700).contains(&tenth) { 300.0 } else { 9_000.0 }
    }

    #[test]
    fn an_open_path_is_used_within_seconds_and_again_after_a_narrow_minute() {
        let estimates = run(narrow_for_a_minute, |_| None, 130);
        assert_eq!(estimates[25], 2_000.0, "{:?}", &estimates[..30]);
        let back = estimates[700..].iter().position(|estimate| *estimate == 2_000.0).unwrap();
        assert!(back < 450, "after {back} tenths of a second");
    }

    #[test]
    fn what_bursts_measure_is_used_within_a_second() {
        let estimates = run(narrow_for_a_minute, |tenth| Some(narrow_for_a_minute(tenth)), 130);
        assert_eq!(estimates[11], 2_000.0, "{:?}", &estimates[..30]);
        let back = estimates[700..].iter().position(|estimate| *estimate == 2_000.0).unwrap();
        assert!(back <= 11, "after {back} tenths of a second");
    }

    #[test]
    fn a_path_that_does_not_carry_more_is_seldom_asked() {
        let estimates = run(|_| 600.0, |_| None, 300);
        let too_much = estimates.iter().filter(|estimate| **estimate > 600.0).count();
        assert!((3..=20).contains(&too_much), "{too_much} of 3000 tenths");
        // Also where bursts pass faster than a stream.
        let estimates = run(|_| 600.0, |_| Some(5_000.0), 300);
        let too_much = estimates.iter().filter(|estimate| **estimate > 600.0).count();
        assert!((3..=40).contains(&too_much), "{too_much} of 3000 tenths");
    }

    #[test]
    fn it_measures_only_where_there_is_more_to_gain_and_no_queue_can_be() {
        let (mut probe, start) = (Probe::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        assert!(!probe.measures(start, 1_000.0, 2_000.0), "nothing is known");
        probe.update(start, 1_000.0, 2_000.0, None, false);
        assert!(!probe.measures(after(300), 1_000.0, 2_000.0));
        assert!(probe.measures(after(400), 1_000.0, 2_000.0));
        assert!(!probe.measures(after(400), 2_000.0, 2_000.0));
        probe.update(after(500), 600.0, 2_000.0, None, false);
        assert!(!probe.measures(after(800), 600.0, 2_000.0), "it fell");
    }
}
