//! The report for a person.

use std::fmt;

use reframe_tests::figures::{Percentiles, Spread};

use super::memory::Memory;
use super::report::{Report, Total};
use super::stream::{Outcome, Row};
use super::usage::Cost;

const HEADER: [&str; 15] = [
    "stream",
    "",
    "fps",
    "frames",
    "new",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "first ms",
    "rate ms",
    "quality ms",
    "gaps",
    "PLI out",
    "PLI in",
    "bad",
];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, HEADER.map(str::to_owned))?;
        for row in &self.streams {
            line(f, cells(row))?;
        }
        writeln!(f, "(*: decoded; only these have latency, new pictures and quality)\n")?;
        let Total { planned, offered, served, refused, silent, .. } = &self.total;
        let early =
            if usize::try_from(*planned) == Ok(*offered) { "" } else { " (ended before the rest)" };
        fact(
            f,
            "streams",
            &format!("{served} of {offered} served, {refused} refused, {silent} silent{early}"),
        )?;
        if self.total.retries > 0 {
            let retries = self.total.retries;
            fact(
                f,
                "",
                &format!("{retries} offers made again, as the server asked to come later"),
            )?;
        }
        for (reason, count) in &self.total.reasons {
            fact(f, "", &format!("{count} x {reason}"))?;
        }
        match self.measured {
            Some(seconds) => fact(
                f,
                "measured",
                &format!("{seconds:.1} s, {} frames", self.total.measured_frames),
            )?,
            None => fact(f, "measured", "nothing: it ended during the warm-up")?,
        }
        self.total.facts(f)?;
        let (frames, streams) = (self.total.measured_frames, self.streams.len());
        if let Some(servers) = &self.servers {
            fact(f, "servers", &cost(servers))?;
        }
        for process in self.processes.iter().filter(|_| self.processes.len() > 1) {
            fact(f, &format!("  pid {}", process.pid), &cost(&process.cost))?;
        }
        if let Some(Memory { idle_mb, settled_mb, mb_per_stream, growth_mb_per_hour }) = self.memory
        {
            let (each, growth) = (number(mb_per_stream, 1), growth_mb_per_hour);
            let growth =
                growth.map_or_else(String::new, |growth| format!(", {growth:+.1} MB an hour"));
            fact(
                f,
                "memory",
                &format!(
                    "{idle_mb:.0} MB idle, then {settled_mb:.0} MB: {each} MB a stream{growth}"
                ),
            )?;
        }
        let each =
            self.tool.cpu_percent.filter(|_| frames > 0).map(|percent| percent / streams as f64);
        fact(f, "this tool", &format!("{}, {} % a stream", cost(&self.tool), number(each, 1)))
    }
}

impl Total {
    fn facts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, spread) in [("fps sent", self.sent_fps), ("fps returned", self.fps)] {
            if let Some(Spread { min, mean, max }) = spread {
                fact(f, name, &format!("mean {mean:.1}, slowest {min:.1}, fastest {max:.1}"))?;
            }
        }
        if let Some(Percentiles { p50, p95, p99 }) = self.latency_ms {
            fact(f, "latency", &format!("p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms"))?;
        }
        for (name, spread) in [
            ("first frame", self.first_frame_ms),
            ("full rate", self.full_rate_ms),
            ("full quality", self.full_quality_ms),
        ] {
            if let Some(Spread { min, mean, max }) = spread {
                fact(
                    f,
                    name,
                    &format!("mean {mean:.0} ms, soonest {min:.0} ms, latest {max:.0} ms"),
                )?;
            }
        }
        let Self { gaps, plis_sent, keyframe_requests, undecodable, out_of_order, .. } = self;
        let keyframes = format!(
            "keyframes asked for {plis_sent} times by us, {keyframe_requests} by the server"
        );
        fact(
            f,
            "losses",
            &format!(
                "{gaps} gaps, {undecodable} undecodable, {out_of_order} out of order; {keyframes}"
            ),
        )
    }
}

fn cells(row: &Row) -> [String; 15] {
    let outcome = match row.outcome {
        Outcome::Served => "served",
        Outcome::Silent => "silent",
        Outcome::Refused => "refused",
    };
    let latency = |pick: fn(Percentiles) -> f64| number(row.latency_ms.map(pick), 1);
    let sampled = |count: u64| if row.sampled { count.to_string() } else { "-".to_owned() };
    [
        format!("{}{}", row.stream, if row.sampled { "*" } else { " " }),
        outcome.to_owned(),
        number(row.fps, 1),
        row.received.to_string(),
        sampled(row.new_pictures as u64),
        latency(|latency| latency.p50),
        latency(|latency| latency.p95),
        latency(|latency| latency.p99),
        number(row.first_frame_ms, 0),
        number(row.full_rate_ms, 0),
        number(row.full_quality_ms, 0),
        row.gaps.to_string(),
        sampled(row.plis_sent),
        row.keyframe_requests.to_string(),
        sampled(row.undecodable),
    ]
}

fn line(f: &mut fmt::Formatter<'_>, cells: [String; 15]) -> fmt::Result {
    const WIDTHS: [usize; 15] = [6, 8, 5, 7, 6, 7, 7, 7, 8, 8, 10, 5, 7, 6, 4];
    let cells = WIDTHS.into_iter().zip(cells).map(|(width, cell)| format!("{cell:>width$}"));
    writeln!(f, "{}", cells.collect::<Vec<_>>().join(" "))
}

fn fact(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "{name:<13} {value}")
}

fn cost(cost: &Cost) -> String {
    let Cost { cpu_ms_per_frame, cpu_percent, peak_rss_mb } = cost;
    let (cpu, percent, memory) =
        (number(*cpu_ms_per_frame, 2), number(*cpu_percent, 0), number(*peak_rss_mb, 0));
    format!("{cpu} CPU-ms a frame, {percent} % of a core, at most {memory} MB")
}

/// `-` for what is not known.
fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;

    #[test]
    fn a_row_for_each_stream_and_the_facts() {
        let text = report().to_string();
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[..3].iter().all(|line| line.len() == lines[0].len()),
            "columns are in line:\n{text}"
        );
        assert!(
            lines[1].starts_with("    0*   served  10.0      50     50    20.0    20.0    20.0"),
            "{text}"
        );
        assert!(lines[2].starts_with("    1   refused     -       0      -       -"), "{text}");
        for fact in [
            "streams       1 of 2 served, 1 refused, 0 silent",
            "              3 offers made again, as the server asked to come later",
            "              1 x concurrency_limit_reached",
            "measured      3.0 s, 30 frames",
            "fps sent      mean 10.0, slowest 10.0, fastest 10.0",
            "latency       p50 20.0 ms, p95 20.0 ms, p99 20.0 ms",
            "servers       100.00 CPU-ms a frame, 100 % of a core, at most 100 MB",
            "memory        100 MB idle, then 100 MB: 0.0 MB a stream",
            "this tool     10.00 CPU-ms a frame, 10 % of a core, at most 1 MB, 5.0 % a stream",
        ] {
            assert!(lines.contains(&fact), "no line {fact:?} in\n{text}");
        }
    }
}
