//! The run as a picture: one panel below the other, over the same seconds.

use std::error::Error;

use reframe_tests::plot::{self, Panel};

use super::seconds::Second;

/// What is plotted, a panel each: its title, and its lines with their names.
const PANELS: [(&str, &[Line]); 4] = [
    ("streams", &[("up", |second| Some(second.up as f64))]),
    ("frames a second, mean of the streams that are up", &[("fps", |second| second.fps)]),
    (
        "latency, ms",
        &[
            ("p50", |second| Some(second.latency_ms?.p50)),
            ("p99", |second| Some(second.latency_ms?.p99)),
        ],
    ),
    (
        "CPU, % of a core",
        &[
            ("servers", |second| second.cpu_percent),
            ("this tool", |second| second.tool_cpu_percent),
        ],
    ),
];

/// A name and a figure; without a figure the line has no point.
type Line = (&'static str, fn(&Second) -> Option<f64>);

/// An SVG file's text.
pub(crate) fn svg(seconds: &[Second]) -> Result<String, Box<dyn Error>> {
    let points = |figure: fn(&Second) -> Option<f64>| {
        seconds.iter().filter_map(|second| Some((second.at, figure(second)?))).collect()
    };
    let lines =
        |lines: &[Line]| lines.iter().map(|(name, figure)| (*name, points(*figure))).collect();
    let panels =
        PANELS.map(|(title, shown)| Panel { title: title.into(), unit: "s", lines: lines(shown) });
    plot::svg(&panels)
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn a_run_has_every_panel() {
        let text = svg(&report().seconds).unwrap();
        for (title, _) in PANELS {
            assert!(text.contains(title), "{title}");
        }
        assert!(svg(&[]).is_ok(), "one without a second, too");
    }
}
