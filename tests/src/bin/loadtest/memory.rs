//! What streams keep in memory: above the idle processes, and whether it grows.

use std::time::Duration;

use reframe_tests::figures::megabytes;
use serde::Serialize;

use super::run::Look;
use super::stream::Window;
use super::usage::servers;

/// From the beginning of what is measured, where that is longer: bitrates have risen, and every
/// queue was full once.
const SETTLE: Duration = Duration::from_secs(60);
/// Of settled memory; over less a slope for an hour is a guess.
const GROWTH_FROM: Duration = Duration::from_secs(300);

/// Resident, of all of `--pid` together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Memory {
    /// Before the first offer.
    pub(crate) idle_mb: f64,
    /// The mean, once settled.
    pub(crate) settled_mb: f64,
    /// What is settled above idle, by the streams that were served.
    pub(crate) mb_per_stream: Option<f64>,
    /// The slope of the line through what is settled, by least squares.
    pub(crate) growth_mb_per_hour: Option<f64>,
}

impl Memory {
    /// `None` without processes, or once one is gone.
    pub(crate) fn of(looks: &[Look], window: Window, served: usize) -> Option<Self> {
        let idle_mb = megabytes(servers(looks.first()?)?.rss_bytes);
        let settled =
            if window.to - window.from > SETTLE { window.from + SETTLE } else { window.from };
        let looks = looks.iter().filter(|look| (settled..=window.to).contains(&look.at));
        let points = looks.map(|look| {
            Some(((look.at - settled).as_secs_f64(), megabytes(servers(look)?.rss_bytes)))
        });
        let points: Vec<_> = points.collect::<Option<_>>()?;
        let settled_mb = points.iter().map(|(_, mb)| mb).sum::<f64>() / points.len() as f64;
        let long = window.to - settled >= GROWTH_FROM;
        Some(Self {
            idle_mb,
            settled_mb,
            mb_per_stream: (served > 0).then(|| (settled_mb - idle_mb) / served as f64),
            growth_mb_per_hour: long.then(|| 3_600.0 * slope(&points)),
        })
    }
}

/// Of the line through `points` by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let sum = |term: &dyn Fn(f64, f64) -> f64| {
        points.iter().map(|point| term(point.0 - x, point.1 - y)).sum::<f64>()
    };
    sum(&|x, y| x * y) / sum(&|x, _| x * x)
}

#[cfg(test)]
mod tests {
    use super::super::usage::tests::look;
    use super::*;

    fn memory(seconds: u64, served: usize, rss: impl Fn(u64) -> u64) -> Option<Memory> {
        let start = tokio::time::Instant::now().into_std();
        let looks: Vec<_> = (0..=seconds)
            .map(|at| look(start, at, &[Some((at, rss(at))), Some((at, 10))]))
            .collect();
        let from = start + Duration::from_secs(2);
        Memory::of(&looks, Window { from, to: start + Duration::from_secs(seconds) }, served)
    }

    #[test]
    fn growth_is_of_what_has_settled() {
        // 40 MB idle; 90 in the first minute and a bit, then a megabyte each 100 s.
        let grown = |at| match at {
            0 => 40,
            1..62 => 90,
            _ => 100 + (at - 62) / 100,
        };
        let memory = memory(662, 4, grown).unwrap();
        assert_eq!(memory.idle_mb, 50.0);
        assert!((112.5..112.6).contains(&memory.settled_mb), "{memory:?}");
        assert!((15.6..15.7).contains(&memory.mb_per_stream.unwrap()), "{memory:?}");
        assert!((34.0..38.0).contains(&memory.growth_mb_per_hour.unwrap()), "{memory:?}");
    }

    #[test]
    fn a_short_run_has_no_slope_and_one_without_streams_no_share() {
        let memory = memory(20, 0, |at| if at == 0 { 40 } else { 90 }).unwrap();
        let expected = Memory {
            idle_mb: 50.0,
            settled_mb: 100.0,
            mb_per_stream: None,
            growth_mb_per_hour: None,
        };
        assert_eq!(memory, expected);
        let start = tokio::time::Instant::now().into_std();
        let gone = [look(start, 0, &[Some((0, 40))]), look(start, 1, &[None])];
        assert_eq!(Memory::of(&gone, Window { from: start, to: gone[1].at }, 1), None);
    }
}
