//! The run second by second, for the plot.

use reframe_tests::figures::{Percentiles, megabytes};
use reframe_tests::process::Usage;
use serde::Serialize;

use super::run::{Look, Run, Stream};
use super::stream::{Window, latencies, within};
use super::usage::servers;

/// Between two looks at the processes.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Second {
    /// Its end, in seconds since the start.
    pub(crate) at: f64,
    /// Streams that brought a frame in it.
    pub(crate) up: usize,
    /// Of these, the mean.
    pub(crate) fps: Option<f64>,
    pub(crate) latency_ms: Option<Percentiles>,
    /// 100 is one core.
    pub(crate) cpu_percent: Option<f64>,
    pub(crate) tool_cpu_percent: Option<f64>,
    pub(crate) rss_mb: Option<f64>,
}

/// All of them, in order.
pub(crate) fn seconds(run: &Run) -> Vec<Second> {
    let pairs = run.looks.windows(2).filter(|pair| pair[1].at > pair[0].at);
    pairs.map(|pair| second(run, &pair[0], &pair[1])).collect()
}

fn second(run: &Run, before: &Look, after: &Look) -> Second {
    let window = Window { from: before.at, to: after.at };
    let length = (after.at - before.at).as_secs_f64();
    let seen = || run.streams.iter().filter_map(|Stream { seen, .. }| seen.as_ref().ok());
    let frames: Vec<_> = seen().map(|stats| within(&stats.received, window).len()).collect();
    let up = frames.iter().filter(|frames| **frames > 0).count();
    let percent = |process: &dyn Fn(&Look) -> Option<Usage>| {
        Some(100.0 * (process(after)?.cpu - process(before)?.cpu).as_secs_f64() / length)
    };
    Second {
        at: (after.at - run.started).as_secs_f64(),
        up,
        fps: (up > 0).then(|| frames.iter().sum::<usize>() as f64 / length / up as f64),
        latency_ms: Percentiles::of(seen().flat_map(|stats| latencies(stats, window)).collect()),
        cpu_percent: percent(&servers),
        tool_cpu_percent: percent(&|look| Some(look.tool)),
        rss_mb: servers(after).map(|usage| megabytes(usage.rss_bytes)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::stream::tests::{frame, stream};
    use super::super::usage::tests::look;
    use super::*;

    #[test]
    fn each_second_has_its_own_frames_and_cpu() {
        let start = tokio::time::Instant::now().into_std();
        let at = |ms: u64, number| {
            frame(start + Duration::from_millis(ms), number, Duration::from_millis(10 + ms / 100))
        };
        let run = Run {
            started: start,
            ended: start + Duration::from_secs(2),
            streams: vec![
                stream(
                    start,
                    vec![at(100, 0), at(900, 1), at(1_000, 2), at(1_500, 3), at(1_900, 3)],
                ),
                stream(start, vec![at(1_200, 0)]),
            ],
            looks: vec![
                look(start, 0, &[Some((0, 10))]),
                look(start, 1, &[Some((1, 20))]),
                look(start, 2, &[Some((3, 30))]),
            ],
            retries: 0,
        };
        let [first, second] = seconds(&run).try_into().unwrap();
        assert_eq!((first.at, first.up, first.fps), (1.0, 1, Some(2.0)));
        assert_eq!((second.at, second.up, second.fps), (2.0, 2, Some(2.0)));
        assert_eq!([first.cpu_percent, second.cpu_percent], [Some(100.0), Some(200.0)]);
        assert_eq!((second.tool_cpu_percent, second.rss_mb), (Some(10.0), Some(30.0)));
        let latency = second.latency_ms.unwrap();
        assert_eq!(
            (latency.p50, latency.p99),
            (22.0, 25.0),
            "20, 22 and 25: shown again is no new picture"
        );
    }
}
