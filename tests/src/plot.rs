//! Lines as an SVG file: panels one below the other.

use std::error::Error;

use plotters::prelude::*;

/// Pixels.
const WIDTH: u32 = 900;
/// Of one panel.
const HEIGHT: u32 = 250;
/// Of the lines of a panel, in their order.
const COLOURS: [RGBColor; 4] = [BLUE, RED, BLACK, RGBColor(0, 128, 0)];

/// Lines that share their axes.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Above it: what the lines are of, and their unit.
    pub title: String,
    /// Behind the numbers below it.
    pub unit: &'static str,
    /// A name and points for each; a single line has no name.
    pub lines: Vec<(&'static str, Vec<(f64, f64)>)>,
}

/// The file's text.
///
/// # Errors
/// As the library finds a reason.
pub fn svg(panels: &[Panel]) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    {
        let count = u32::try_from(panels.len())?;
        let root = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT * count)).into_drawing_area();
        root.fill(&WHITE)?;
        for (Panel { title, unit, lines }, area) in
            panels.iter().zip(root.split_evenly((panels.len(), 1)))
        {
            let points = || lines.iter().flat_map(|(_, points)| points);
            let end = points().map(|(x, _)| *x).fold(1.0, f64::max);
            let top = points().map(|(_, y)| *y).fold(1.0, f64::max);
            let mut chart = ChartBuilder::on(&area)
                .caption(title, ("sans-serif", 16))
                .margin(8)
                // Half of the last number.
                .margin_right(32)
                .x_label_area_size(24)
                .y_label_area_size(48)
                .build_cartesian_2d(0.0..end, 0.0..1.1 * top)?;
            chart
                .configure_mesh()
                .light_line_style(WHITE)
                .y_labels(6)
                .x_label_formatter(&|x| {
                    if end < 5.0 { format!("{x:.1} {unit}") } else { format!("{x:.0} {unit}") }
                })
                .y_label_formatter(&|y| {
                    if top < 5.0 { format!("{y:.1}") } else { format!("{y:.0}") }
                })
                .draw()?;
            for ((name, points), colour) in lines.iter().zip(COLOURS.into_iter().cycle()) {
                let drawn = chart
                    .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
                if lines.len() > 1 {
                    drawn
                        .label(*name)
                        .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
                }
            }
            if lines.len() > 1 {
                let at = SeriesLabelPosition::UpperLeft;
                chart
                    .configure_series_labels()
                    .position(at)
                    .background_style(WHITE.mix(0.8))
                    .draw()?;
            }
        }
        root.present()?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_panel_has_its_title_and_lines() {
        let line = |name| (name, vec![(0.0, 1.0), (2.0, 3.0)]);
        let panel = |title: &str, lines: &[_]| Panel {
            title: title.into(),
            unit: "s",
            lines: lines.to_vec(),
        };
        let text = svg(&[
            panel("first", &[line("alone")]),
            panel("second", &[line("one"), line("other")]),
        ])
        .unwrap();
        assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"), "{text}");
        for shown in ["first", "second", "one", "other"] {
            assert!(text.contains(shown), "{shown}");
        }
        assert!(!text.contains("alone") && !text.contains("NaN"));
    }

    #[test]
    fn nothing_has_a_plot_too() {
        let empty = Panel { title: "nothing".into(), unit: "", lines: vec![("", Vec::new())] };
        assert!(svg(&[empty]).unwrap().starts_with("<svg "));
    }
}
