//! The figures of all rounds, as one table or as JSON.

use std::fmt;

use serde_json::{Value, json};

/// What to hold some of the figures against: our aims, and FastRTC 0.0.34 (Python, aiortc) as once
/// measured on two cores where [`super::floor`] was about 7.5 CPU-ms at 1280x720. Where the floor
/// is another, so would these be.
const CONTEXT: [(&str, &str, &str); 27] = [
    ("720p VP8 x1", "embedded, I420: to the codecs alone", "aim <= 1.15"),
    ("720p VP8 x1", "Unix socket, I420: to the codecs alone", "aim <= 1.20"),
    ("720p VP8 x1", "TCP, I420: to the codecs alone", "aim <= 1.45"),
    ("720p VP8 x1", "embedded, RGB24: to the codecs alone", "aim <= 1.25"),
    ("720p VP8 x1", "embedded, RGB24: CPU of a returned frame", "FastRTC 14.4"),
    ("720p VP8 x1", "embedded, RGB24: memory above idle, a stream", "aim <= 25"),
    ("720p VP8 x4", "embedded, RGB24: returned, slowest stream", "aim 30; FastRTC 17.7 to 25.4"),
    ("480p VP8 x1", "embedded, RGB24: CPU of a returned frame", "FastRTC 7.0 to 7.5"),
    ("latency 720p", "embedded: p50 beyond the codecs'", "aim <= 3"),
    ("latency 720p", "embedded: p99 beyond the codecs'", "aim <= 8"),
    ("latency 720p", "embedded: added latency, p50", "FastRTC 46"),
    ("latency 480p", "embedded: added latency, p50", "FastRTC 40 to 51"),
    ("limit", LIMIT, "aim >= 0.90"),
    ("setup", CONNECTED, "FastRTC 145"),
    ("setup", FIRST_FRAME, "FastRTC 195 to 230"),
    ("setup aiortc", BEYOND, "aim <= 60"),
    ("slow-handler", "slow: age when first shown, p50, first 10 s", "aim < 280; FastRTC 456"),
    ("slow-handler", "fast: returned, beside the slow one", "30; FastRTC 4.5"),
    ("receive-30", EXTRA, "aim -1 to 1"),
    ("receive-30", EMPTY, "aim 0"),
    ("receive-30", RELEASE_P99, "aim < 2"),
    ("receive-30", ARRIVAL_P99, "aim < 2; FastRTC 6 to 28"),
    ("receive-busy", RELEASE_P99, "aim <= 1"),
    ("receive-60", EXTRA, "aim -1 to 1"),
    ("receive-60", EMPTY, "aim 0"),
    ("receive-60", RELEASE_P99, "aim < 2"),
    ("receive-60", ARRIVAL_P99, "aim < 2; FastRTC 7.5 to 13"),
];

const FOOTER: &str = "FastRTC's figures are from a machine whose floor at 1280x720 was about 7.5 \
                      CPU-ms: compare ratios.";

// Metrics that several scenarios have.
pub(crate) const FPS: &str = "returned";
pub(crate) const CONNECTED: &str = "offer to connected";
pub(crate) const FIRST_FRAME: &str = "offer to first frame";
pub(crate) const BEYOND: &str = "beyond the client's own set-up";
pub(crate) const LIMIT: &str = "of what they reach by themselves";
pub(crate) const SLOWEST: &str = "returned, slowest stream";
pub(crate) const FASTEST: &str = "returned, fastest stream";
pub(crate) const EXTRA: &str = "more than the rate has";
pub(crate) const EMPTY: &str = "places on the grid without a picture";
pub(crate) const RELEASE_P50: &str = "late at the socket, p50, at most";
pub(crate) const RELEASE_P99: &str = "late at the socket, p99, at most";
pub(crate) const ARRIVAL_P50: &str = "off the grid at the client, p50";
pub(crate) const ARRIVAL_P99: &str = "off the grid at the client, p99";

/// Rows in the order in which they were first added, and what is to be said below them, each once.
#[derive(Default)]
pub(crate) struct Report(Vec<Row>, Vec<String>);

struct Row {
    scenario: String,
    metric: String,
    unit: &'static str,
    /// One for each round.
    values: Vec<f64>,
}

impl Report {
    /// Adds one round's `value`.
    pub(crate) fn add(&mut self, scenario: &str, metric: &str, unit: &'static str, value: f64) {
        match self.0.iter_mut().find(|row| row.scenario == scenario && row.metric == metric) {
            Some(row) => row.values.push(value),
            None => self.0.push(Row {
                scenario: scenario.into(),
                metric: metric.into(),
                unit,
                values: vec![value],
            }),
        }
    }

    /// Says something below the table.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.1.iter().any(|known| known == text) {
            self.1.push(text.to_owned());
        }
    }

    /// A list of rows, each with the values of its rounds in order.
    pub(crate) fn json(&self) -> Value {
        let row = |row: &Row| {
            let Row { scenario, metric, unit, values } = row;
            let (median, min, max) = row.spread();
            json!({ "scenario": scenario, "metric": metric, "unit": unit,
                    "median": median, "min": min, "max": max, "rounds": values })
        };
        self.0.iter().map(row).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line =
            |f: &mut fmt::Formatter<'_>,
             [scenario, metric, median, min, max, unit, context]: [&str; 7]| {
                let text = format!(
                    "{scenario:<13} {metric:<44} {median:>8} {min:>8} {max:>8}  {unit:<13} \
                     {context}"
                );
                writeln!(f, "{}", text.trim_end())
            };
        line(f, ["scenario", "metric", "median", "min", "max", "unit", "context"])?;
        let mut last = "";
        for row in &self.0 {
            if row.scenario != last {
                writeln!(f)?;
            }
            let (median, min, max) = row.spread();
            let [median, min, max] = [median, min, max].map(|value| format!("{value:.2}"));
            let context = CONTEXT
                .iter()
                .find(|(scenario, metric, _)| *scenario == row.scenario && *metric == row.metric);
            let scenario = if row.scenario == last { "" } else { row.scenario.as_str() };
            line(
                f,
                [
                    scenario,
                    &row.metric,
                    &median,
                    &min,
                    &max,
                    row.unit,
                    context.map_or("", |(.., text)| text),
                ],
            )?;
            last = &row.scenario;
        }
        writeln!(f)?;
        self.1.iter().try_for_each(|note| writeln!(f, "{note}"))?;
        writeln!(f, "{FOOTER}")
    }
}

impl Row {
    /// Median, least and greatest; a row has at least one value.
    fn spread(&self) -> (f64, f64, f64) {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        (f64::midpoint(sorted[(count - 1) / 2], sorted[count / 2]), sorted[0], sorted[count - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_meet_in_one_row() {
        let mut report = Report::default();
        for value in [3.0, 1.0, 8.0] {
            report.add("a", "m", "ms", value);
        }
        report.add("a", "n", "ms", 1.0);
        report.add("b", "m", "ms", 2.0);
        report.add("b", "m", "ms", 5.0);
        let row = |n: usize| report.json()[n].clone();
        assert_eq!(report.0.len(), 3);
        assert_eq!(row(0)["rounds"], json!([3.0, 1.0, 8.0]));
        assert_eq!([&row(0)["median"], &row(0)["min"], &row(0)["max"]], [3.0, 1.0, 8.0]);
        assert_eq!(row(2)["median"], 3.5);
        assert_eq!(
            report.to_string().lines().count(),
            1 + 3 + 2 + 2,
            "a header, the rows, their gaps, the footer"
        );
    }
}
