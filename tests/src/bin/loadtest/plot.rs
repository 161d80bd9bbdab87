//! The run as a picture: one panel below the other, over the same seconds.

use std::error::Error;

use plotters::prelude::*;

use super::seconds::Second;

const SIZE: (u32, u32) = (900, 1_000);

/// What is plotted, a panel each: its title, and its lines with their names.
const PANELS: [(&str, &[Line]); 4] = [
    ("streams", &[("up", BLUE, |second| Some(second.up as f64))]),
    ("frames a second, mean of the streams that are up", &[("fps", BLUE, |second| second.fps)]),
    (
        "latency, ms",
        &[("p50", BLUE, |second| Some(second.latency_ms?.p50)), ("p99", RED, |second| Some(second.latency_ms?.p99))],
    ),
    (
        "CPU, % of a core",
        &[("servers", BLUE, |second| second.cpu_percent), ("this tool", RED, |second| second.tool_cpu_percent)],
    ),
];

/// A name, a colour and a figure; where there is none the line has no point.
type Line = (&'static str, RGBColor, fn(&Second) -> Option<f64>);

/// An SVG file's text.
pub(crate) fn svg(seconds: &[Second]) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        for ((title, lines), area) in PANELS.into_iter().zip(root.split_evenly((PANELS.len(), 1))) {
            let points = |figure: fn(&Second) -> Option<f64>| {
                seconds.iter().filter_map(move |second| Some((second.at, figure(second)?)))
            };
            let end = seconds.last().map_or(1.0, |second| second.at);
            let top = lines.iter().flat_map(|(.., figure)| points(*figure)).map(|(_, value)| value).fold(1.0, f64::max);
            let mut chart = ChartBuilder::on(&area)
                .caption(title, ("sans-serif", 16))
                .margin(8)
                .x_label_area_size(24)
                .y_label_area_size(48)
                .build_cartesian_2d(0.0..end, 0.0..1.1 * top)?;
            chart
                .configure_mesh()
                .light_line_style(WHITE)
                .y_labels(6)
                .x_label_formatter(&|x| format!("{x:.0} s"))
                .y_label_formatter(&|y| format!("{y:.0}"))
                .draw()?;
            for (name, colour, figure) in lines {
                let drawn = chart.draw_series(LineSeries::new(points(*figure), colour.stroke_width(2)))?;
                if lines.len() > 1 {
                    let colour = *colour;
                    drawn.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
                }
            }
            if lines.len() > 1 {
                let at = SeriesLabelPosition::UpperLeft;
                chart.configure_series_labels().position(at).background_style(WHITE.mix(0.8)).draw()?;
            }
        }
        root.present()?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn every_panel_has_its_title_and_lines() {
        let text = svg(&report().seconds).unwrap();
        assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"), "{text}");
        for (title, lines) in PANELS {
            assert!(text.contains(title), "{title}");
            assert!(lines.len() == 1 || lines.iter().all(|(name, ..)| text.contains(name)), "{title}");
        }
        assert!(!text.contains("NaN"));
    }

    #[test]
    fn a_run_without_a_second_has_a_plot_too() {
        assert!(svg(&[]).unwrap().starts_with("<svg "));
    }
}
