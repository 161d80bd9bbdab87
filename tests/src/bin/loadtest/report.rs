//! The whole report, as it is written to `--json`.

use std::collections::BTreeMap;
use std::time::Duration;

use reframe_tests::figures::{Percentiles, Spread};
use reframe_tests::source::Format;
use serde::Serialize;

use super::memory::Memory;
use super::plan::Plan;
use super::run::Run;
use super::seconds::{Second, seconds};
use super::stream::{Expected, Outcome, Row, Window, latencies};
use super::usage::{Cost, servers, window};

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) sent: Sent,
    /// Seconds; `None` when the run ended before its warm-up.
    pub(crate) measured: Option<f64>,
    pub(crate) total: Total,
    /// All of `--pid` together.
    pub(crate) servers: Option<Cost>,
    pub(crate) memory: Option<Memory>,
    pub(crate) processes: Vec<Process>,
    pub(crate) tool: Cost,
    pub(crate) streams: Vec<Row>,
    pub(crate) seconds: Vec<Second>,
}

/// What each stream sent.
#[derive(Debug, Serialize)]
pub(crate) struct Sent {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) fps: f64,
    pub(crate) bitrate_kbps: u32,
    pub(crate) codec: &'static str,
}

/// Of all streams.
#[derive(Debug, Serialize)]
pub(crate) struct Total {
    pub(crate) planned: u32,
    pub(crate) offered: usize,
    pub(crate) served: usize,
    pub(crate) refused: usize,
    pub(crate) silent: usize,
    /// Offers made again, because the server had refused them for the moment.
    pub(crate) retries: u32,
    /// Why, and how often, streams were not served.
    pub(crate) reasons: BTreeMap<String, usize>,
    pub(crate) measured_frames: usize,
    /// What was sent, and what came back, of the streams that were not refused.
    pub(crate) sent_fps: Option<Spread>,
    pub(crate) fps: Option<Spread>,
    pub(crate) sampled: usize,
    pub(crate) decoded: usize,
    pub(crate) new_pictures: usize,
    pub(crate) out_of_order: usize,
    /// Of all sampled streams' pictures together.
    pub(crate) latency_ms: Option<Percentiles>,
    pub(crate) first_frame_ms: Option<Spread>,
    pub(crate) full_rate_ms: Option<Spread>,
    pub(crate) full_quality_ms: Option<Spread>,
    pub(crate) gaps: u64,
    pub(crate) plis_sent: u64,
    pub(crate) keyframe_requests: u64,
    pub(crate) undecodable: u64,
}

/// One of `--pid`.
#[derive(Debug, Serialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    #[serde(flatten)]
    pub(crate) cost: Cost,
}

impl Report {
    pub(crate) fn of(run: &Run, plan: &Plan, format: Format, pids: &[u32]) -> Self {
        let window = window(&run.looks, run.started + plan.measured_from());
        let expected = Expected { fps: format.fps, size: (format.width, format.height) };
        let row = |(index, stream)| Row::of(index, stream, run.ended, window, expected);
        let streams: Vec<_> = run.streams.iter().enumerate().map(row).collect();
        let total = Total::of(run, plan, window, &streams);
        let frames = total.measured_frames;
        let processes = pids.iter().enumerate().map(|(index, pid)| {
            let cost = Cost::of(&run.looks, window, frames, |look| {
                look.servers.get(index).copied().flatten()
            });
            Process { pid: *pid, cost }
        });
        let Format { width, height, fps, bitrate_kbps, codec } = format;
        Self {
            sent: Sent { width, height, fps, bitrate_kbps, codec: codec.name() },
            measured: window.map(|window| (window.to - window.from).as_secs_f64()),
            servers: (!pids.is_empty()).then(|| Cost::of(&run.looks, window, frames, servers)),
            memory: window.and_then(|window| Memory::of(&run.looks, window, total.served)),
            processes: processes.collect(),
            tool: Cost::of(&run.looks, window, frames, |look| Some(look.tool)),
            streams,
            seconds: seconds(run),
            total,
        }
    }

    /// Every stream that was offered has been served.
    pub(crate) fn all_served(&self) -> bool {
        self.total.served == self.total.offered
    }
}

impl Total {
    fn of(run: &Run, plan: &Plan, window: Option<Window>, rows: &[Row]) -> Self {
        let count = |outcome| rows.iter().filter(|row| row.outcome == outcome).count();
        let sum = |figure: fn(&Row) -> usize| rows.iter().map(figure).sum();
        let losses = |figure: fn(&Row) -> u64| rows.iter().map(figure).sum();
        let spread = |figure: fn(&Row) -> Option<f64>| Spread::of(rows.iter().filter_map(figure));
        let mut reasons = BTreeMap::new();
        for reason in rows.iter().filter_map(|row| row.reason.clone()) {
            *reasons.entry(reason).or_default() += 1;
        }
        let seen = run.streams.iter().filter_map(|stream| stream.seen.as_ref().ok());
        let pooled: Vec<Duration> = window
            .map(|window| seen.flat_map(|stats| latencies(stats, window)).collect())
            .unwrap_or_default();
        Self {
            planned: plan.streams,
            offered: rows.len(),
            served: count(Outcome::Served),
            refused: count(Outcome::Refused),
            silent: count(Outcome::Silent),
            retries: run.retries,
            reasons,
            measured_frames: sum(|row| row.measured_frames),
            sent_fps: spread(|row| row.sent_fps),
            fps: spread(|row| row.fps),
            sampled: rows.iter().filter(|row| row.sampled).count(),
            decoded: sum(|row| row.decoded),
            new_pictures: sum(|row| row.new_pictures),
            out_of_order: sum(|row| row.out_of_order),
            latency_ms: Percentiles::of(pooled),
            first_frame_ms: spread(|row| row.first_frame_ms),
            full_rate_ms: spread(|row| row.full_rate_ms),
            full_quality_ms: spread(|row| row.full_quality_ms),
            gaps: losses(|row| row.gaps),
            plis_sent: losses(|row| row.plis_sent),
            keyframe_requests: losses(|row| row.keyframe_requests),
            undecodable: losses(|row| row.undecodable),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use reframe_tests::source::Format;

    use super::super::run::Stream;
    use super::super::stream::tests::{frame, stream};
    use super::super::usage::tests::look;
    use super::*;

    /// Five seconds of one stream at 10 fps, every picture 20 ms old, and of one that was refused.
    pub(crate) fn report() -> Report {
        let start = tokio::time::Instant::now().into_std();
        let ms = Duration::from_millis;
        let frames = (0..50_u32).map(|n| frame(start + ms(100) * n, n, ms(20))).collect();
        let refused = Stream {
            offered: start,
            decodes: false,
            seen: Err("concurrency_limit_reached".to_owned()),
        };
        let run = Run {
            started: start,
            ended: start + ms(5_000),
            streams: vec![stream(start, frames), refused],
            looks: (0..=5).map(|n| look(start, n, &[Some((n, 100))])).collect(),
            retries: 3,
        };
        let plan = Plan { streams: 2, ramp: Duration::ZERO, duration: ms(3_000), sample: 1 };
        Report::of(&run, &plan, Format { fps: 10.0, ..Format::VGA }, &[77])
    }

    #[test]
    fn one_stream_served_and_one_refused() {
        let report = report();
        assert_eq!(report.measured, Some(3.0), "without the warm-up");
        let total = &report.total;
        assert_eq!([total.offered, total.served, total.refused, total.silent], [2, 1, 1, 0]);
        assert_eq!(total.retries, 3);
        assert!(!report.all_served());
        assert_eq!(total.reasons, BTreeMap::from([("concurrency_limit_reached".to_owned(), 1)]));
        assert_eq!(
            total.fps,
            Some(Spread { min: 10.0, mean: 10.0, max: 10.0 }),
            "the refused one has none"
        );
        assert_eq!((total.measured_frames, total.decoded, total.new_pictures), (30, 50, 50));
        assert_eq!(total.latency_ms, Some(Percentiles { p50: 20.0, p95: 20.0, p99: 20.0 }));
        let server = Cost {
            cpu_ms_per_frame: Some(100.0),
            cpu_percent: Some(100.0),
            peak_rss_mb: Some(100.0),
        };
        assert_eq!((report.processes[0].pid, &report.processes[0].cost), (77, &server));
        assert_eq!(report.servers, Some(server));
        assert_eq!(report.seconds.len(), 5);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["streams"][1]["outcome"], "refused");
        assert_eq!(json["processes"][0]["cpu_ms_per_frame"], 100.0);
    }
}
