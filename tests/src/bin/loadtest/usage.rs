//! What processes used: CPU a frame and at a time, memory at most.

use std::time::{Duration, Instant};

use reframe_tests::figures::{megabytes, millis};
use reframe_tests::process::Usage;
use serde::Serialize;

use super::run::Look;
use super::stream::Window;

/// Of one process, or of several together.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Cost {
    /// User and system time within what is measured, to all frames that came back in it.
    pub(crate) cpu_ms_per_frame: Option<f64>,
    /// 100 is one core.
    pub(crate) cpu_percent: Option<f64>,
    /// Of the looks of the whole run, one a second.
    pub(crate) peak_rss_mb: Option<f64>,
}

impl Cost {
    /// Of what `process` picks from each look; figures that a process did not live to see are
    /// `None`.
    pub(crate) fn of(
        looks: &[Look],
        window: Option<Window>,
        frames: usize,
        process: impl Fn(&Look) -> Option<Usage>,
    ) -> Self {
        let used = window.and_then(|window| {
            Some((cpu_between(looks, window, &process)?, window.to - window.from))
        });
        Self {
            cpu_ms_per_frame: used
                .filter(|_| frames > 0)
                .map(|(cpu, _)| millis(cpu) / frames as f64),
            cpu_percent: used.map(|(cpu, time)| 100.0 * cpu.as_secs_f64() / time.as_secs_f64()),
            peak_rss_mb: looks
                .iter()
                .filter_map(&process)
                .map(|usage| usage.rss_bytes)
                .max()
                .map(megabytes),
        }
    }
}

/// All of `--pid` together; `None` without any, or once one is gone.
pub(crate) fn servers(look: &Look) -> Option<Usage> {
    let together = |sum: Usage, one: Usage| Usage {
        cpu: sum.cpu + one.cpu,
        rss_bytes: sum.rss_bytes + one.rss_bytes,
    };
    look.servers.iter().copied().reduce(|sum, one| Some(together(sum?, one?))).flatten()
}

/// From the first look that is not before `from` to the last one; `None` when there are not two.
pub(crate) fn window(looks: &[Look], from: Instant) -> Option<Window> {
    let first = looks.iter().find(|look| look.at >= from)?;
    let last = looks.last().filter(|last| last.at > first.at)?;
    Some(Window { from: first.at, to: last.at })
}

/// CPU time between the two looks at the ends of `window`.
fn cpu_between(
    looks: &[Look],
    window: Window,
    process: impl Fn(&Look) -> Option<Usage>,
) -> Option<Duration> {
    let at = |end: Instant| looks.iter().find(|look| look.at == end).and_then(&process);
    Some(at(window.to)?.cpu - at(window.from)?.cpu)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// After so many seconds from `start`: this tool at a tenth of a core, and these processes (CPU
    /// seconds, MB).
    pub(crate) fn look(start: Instant, second: u64, servers: &[Option<(u64, u64)>]) -> Look {
        let usage = |(cpu, megabytes): (u64, u64)| Usage {
            cpu: Duration::from_secs(cpu),
            rss_bytes: megabytes * 1_000_000,
        };
        Look {
            at: start + Duration::from_secs(second),
            tool: Usage { cpu: Duration::from_millis(100 * second), rss_bytes: 1_000_000 },
            servers: servers.iter().map(|server| server.map(usage)).collect(),
        }
    }

    #[test]
    fn cpu_is_of_the_window_and_memory_of_the_run() {
        let start = tokio::time::Instant::now().into_std();
        let looks = [
            look(start, 0, &[Some((1, 90)), Some((5, 10))]),
            look(start, 1, &[Some((3, 50)), Some((5, 10))]),
            look(start, 3, &[Some((5, 60)), Some((6, 10))]),
        ];
        let window = window(&looks, start + Duration::from_millis(500));
        let cost = Cost::of(&looks, window, 60, servers);
        let expected = Cost {
            cpu_ms_per_frame: Some(50.0),
            cpu_percent: Some(150.0),
            peak_rss_mb: Some(100.0),
        };
        assert_eq!(cost, expected);
        assert_eq!(
            Cost::of(&looks, window, 0, |look| Some(look.tool)).cpu_ms_per_frame,
            None,
            "no frames"
        );
    }

    #[test]
    fn what_is_gone_has_no_figures() {
        let start = tokio::time::Instant::now().into_std();
        let looks = [look(start, 0, &[Some((1, 90))]), look(start, 1, &[None])];
        let cost = Cost::of(&looks, window(&looks, start), 30, servers);
        assert_eq!(
            cost,
            Cost { cpu_ms_per_frame: None, cpu_percent: None, peak_rss_mb: Some(90.0) }
        );
        assert_eq!(servers(&look(start, 0, &[])), None, "no --pid");
        assert!(
            window(&looks, start + Duration::from_secs(1)).is_none(),
            "it ended before two looks"
        );
    }
}
