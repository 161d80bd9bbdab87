//! Durations and counts as figures.

use std::time::Duration;

use serde::Serialize;

/// Nearest-rank percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// Of twenty, one is more.
    pub p95: f64,
    /// Of a hundred, one is more.
    pub p99: f64,
}

impl Percentiles {
    /// `None` of nothing.
    #[must_use]
    pub fn of(mut durations: Vec<Duration>) -> Option<Self> {
        durations.sort_unstable();
        let at = |percent: usize| {
            let rank = (durations.len() * percent).div_ceil(100);
            Some(millis(*durations.get(rank.checked_sub(1)?)?))
        };
        Some(Self { p50: at(50)?, p95: at(95)?, p99: at(99)? })
    }
}

/// Of one figure of several streams.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// Of all, each as much as any other.
    pub mean: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// `None` of nothing.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<_> = values.into_iter().collect();
        let min = values.iter().copied().reduce(f64::min)?;
        let max = values.iter().copied().reduce(f64::max)?;
        Some(Self { min, mean: values.iter().sum::<f64>() / values.len() as f64, max })
    }
}

/// Milliseconds.
#[must_use]
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Of a million bytes.
#[must_use]
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let of =
            |count: u64| Percentiles::of((1..=count).rev().map(Duration::from_millis).collect());
        assert_eq!(of(100), Some(Percentiles { p50: 50.0, p95: 95.0, p99: 99.0 }));
        assert_eq!(of(3), Some(Percentiles { p50: 2.0, p95: 3.0, p99: 3.0 }));
        assert_eq!(of(1), Some(Percentiles { p50: 1.0, p95: 1.0, p99: 1.0 }));
        assert_eq!(of(0), None);
    }

    #[test]
    fn spread_of_some_and_of_none() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { min: 1.0, mean: 2.0, max: 3.0 }));
        assert_eq!(Spread::of([]), None);
    }
}
