//! How long the model takes for a batch, learnt from its batches.

use std::collections::BTreeSet;
use std::time::Duration;

/// The memory, in batches: about a second at the rate of a busy model.
const MEMORY: u32 = 32;

/// How much variance of the size it takes to move the slope, in items². Batches of one size say
/// nothing about the slope, and with them it stays as it is.
const STIFFNESS: f64 = 0.1;

/// What is left of a slope after a batch that says nothing about it. A wrong slope may be the very
/// reason why all batches have one size; within some thousand of them the fit forgets it and tries
/// another.
const FADING: f64 = 0.999;

/// A batch that takes longer than this many times the expected counts as that long. A model that
/// has become slower is learnt within a few batches, and one hiccup is not.
const SURPRISE: f64 = 4.0;

/// The service time T(n) = a + b·n of a batch of n, by least squares over the latest batches, the
/// newest with the most weight. Times are in seconds.
///
/// While all batches have had one size, b is 0: the core then tries what waiting brings, and learns
/// b from the larger batches that come of it.
#[derive(Debug, Default)]
pub(super) struct ServiceTime {
    /// Up to [`MEMORY`].
    batches: u32,
    mean_size: f64,
    mean_time: f64,
    variance: f64,
    covariance: f64,
    slope: f64,
    sizes: BTreeSet<usize>,
}

impl ServiceTime {
    /// Learns from a batch. The first of each size teaches nothing: with it, frameworks allocate
    /// and compile for the new shape.
    pub(super) fn learn(&mut self, size: usize, took: Duration) {
        if self.sizes.insert(size) {
            return;
        }
        let (size, mut took) = (real(size), took.as_secs_f64());
        if self.batches > 0 {
            took = took.min(SURPRISE * self.of(size));
        }
        self.batches = MEMORY.min(self.batches + 1);
        let weight = f64::from(self.batches).recip();
        let (size, took) = (size - self.mean_size, took - self.mean_time);
        self.mean_size += weight * size;
        self.mean_time += weight * took;
        self.variance = (1.0 - weight) * (self.variance + weight * size * size);
        self.covariance = (1.0 - weight) * (self.covariance + weight * size * took);
        let slope = self.covariance + STIFFNESS * FADING * self.slope;
        // Neither a nor b is negative.
        self.slope =
            (slope / (self.variance + STIFFNESS)).clamp(0.0, self.mean_time / self.mean_size);
    }

    /// The expected time of a batch of `size`, which may be an expected number; 0 while nothing is
    /// known.
    pub(super) fn of(&self, size: f64) -> f64 {
        self.mean_time + self.slope * (size - self.mean_size)
    }
}

/// A number of items for a calculation.
pub(super) fn real(items: usize) -> f64 {
    u32::try_from(items).unwrap_or(u32::MAX).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn linear(size: usize) -> Duration {
        MILLISECOND * (4 + 3 * u32::try_from(size).unwrap())
    }

    /// In milliseconds, rounded.
    fn of(service: &ServiceTime, size: usize) -> f64 {
        (service.of(real(size)) * 1e3).round()
    }

    #[test]
    fn a_line_is_found() {
        let mut service = ServiceTime::default();
        for size in (1..=5).cycle().take(100) {
            service.learn(size, linear(size));
        }
        assert_eq!([0, 1, 8].map(|size| of(&service, size)), [4.0, 7.0, 28.0]);
    }

    #[test]
    fn the_first_of_a_size_teaches_nothing() {
        let mut service = ServiceTime::default();
        service.learn(4, MILLISECOND * 900);
        assert_eq!(of(&service, 4), 0.0, "unknown");
        service.learn(4, linear(4));
        service.learn(5, MILLISECOND * 900);
        assert_eq!(of(&service, 4), 16.0);
    }

    #[test]
    fn one_size_keeps_the_slope_for_a_while() {
        let mut service = ServiceTime::default();
        for _ in 0..3 {
            service.learn(4, linear(4));
        }
        assert_eq!(of(&service, 8), 16.0, "before it is known, there is none");
        for size in [4, 8].into_iter().cycle().take(40) {
            service.learn(size, linear(size));
        }
        let of_eight = of(&service, 8);
        assert_eq!(of_eight, 28.0);
        for _ in 0..200 {
            service.learn(4, linear(4));
        }
        assert!((24.0..=28.0).contains(&of(&service, 8)), "{service:?}");
        for _ in 0..10_000 {
            service.learn(4, linear(4));
        }
        assert_eq!(of(&service, 8), 16.0, "then it is forgotten");
    }

    #[test]
    fn a_hiccup_passes_and_a_slower_model_does_not() {
        let mut service = ServiceTime::default();
        for _ in 0..40 {
            service.learn(2, MILLISECOND * 10);
        }
        service.learn(2, MILLISECOND * 10_000);
        assert_eq!(of(&service, 2), 11.0);
        for _ in 0..150 {
            service.learn(2, MILLISECOND * 100);
        }
        assert!((95.0..=100.0).contains(&of(&service, 2)), "{service:?}");
    }

    #[test]
    fn nothing_makes_it_negative() {
        let mut service = ServiceTime::default();
        for size in [1, 8].into_iter().cycle().take(50) {
            service.learn(size, if size == 8 { Duration::ZERO } else { MILLISECOND * 9 });
            assert!((0..=8).all(|size| of(&service, size) >= 0.0), "{service:?}");
        }
    }
}
