//! How the cost of a frame grows: with streams, size, frame rate and workers; one of them changed
//! at a time.

use std::sync::Arc;

use reframe_tests::cluster::{Cluster, Worker};
use reframe_tests::plot::Panel;
use reframe_tests::source::{Clip, Format};

use super::report::Report;
use super::streams::window;
use super::{KEYFRAME_EVERY, Plan, SHORT_FRAMES, floor, step};

const STREAMS: [u32; 6] = [1, 2, 4, 8, 12, 16];
const SIZES: [(u32, u32, u32); 5] = [
    (320, 240, 300),
    (640, 480, 1_000),
    (960, 540, 1_500),
    (1280, 720, 2_000),
    (1920, 1080, 4_000),
];
const RATES: [u32; 5] = [5, 10, 15, 20, 30];
const WORKERS: [u32; 3] = [1, 2, 4];

/// One point of a line.
struct Point {
    /// CPU of all server processes, % of a core.
    cpu_percent: f64,
    /// Of a new picture.
    cpu_ms: f64,
    slowest_fps: f64,
    /// Mean of the streams.
    new_fps: f64,
    alone_ms: f64,
}

/// Measures all lines, and draws them.
pub(crate) fn lines(report: &mut Report, plan: &Plan) -> Vec<Panel> {
    let mut measure = |what: &str, x: f64, format: Format, streams: u32, cluster: Cluster| {
        step(&format!("scaling: {what} {x}"));
        let fps = (1..=30).find(|fps| f64::from(*fps) >= format.fps).expect("at most 30");
        let clip = Arc::new(
            Clip::encode(format, SHORT_FRAMES, KEYFRAME_EVERY).expect("the encoder works"),
        );
        let alone_ms = floor::paced(&clip, 1, plan).cpu_ms;
        let (window, _) = window(&cluster, &clip, streams, fps, plan);
        let seconds = window.took.as_secs_f64();
        let point = Point {
            cpu_percent: 100.0 * window.cpu.as_secs_f64() / seconds,
            cpu_ms: window.cpu_ms(),
            slowest_fps: window.slowest_fps,
            new_fps: window.new_frames / seconds / f64::from(streams),
            alone_ms,
        };
        for (metric, unit, value) in [
            ("CPU of a new picture", "CPU-ms/frame", point.cpu_ms),
            ("new pictures, mean of the streams", "fps", point.new_fps),
            ("the codecs alone, one stream", "CPU-ms/frame", point.alone_ms),
            ("CPU", "% of a core", point.cpu_percent),
            ("returned, slowest stream", "fps", point.slowest_fps),
        ] {
            report.add(&format!("{what} {x}"), metric, unit, value);
        }
        (x, point)
    };
    let vga = Format::VGA;
    let embedded = || Cluster::launch("flip");
    let streams = STREAMS.map(|n| measure("streams", f64::from(n), vga, n, embedded()));
    let sizes = SIZES.map(|(width, height, bitrate_kbps)| {
        let format = Format { width, height, bitrate_kbps, ..vga };
        measure("megapixels", f64::from(width * height) / 1e6, format, 1, embedded())
    });
    let rates = RATES.map(|fps| {
        measure("fps", f64::from(fps), Format { fps: fps.into(), ..vga }, 1, embedded())
    });
    let workers = WORKERS.map(|n| {
        let cluster = Cluster::of((0..n).map(|_| Worker::on_socket("flip")).collect());
        measure("workers", f64::from(n), vga, 4, cluster)
    });
    vec![
        panel("640x480 streams: CPU-ms a frame", "streams", &streams, &[COST, ALONE]),
        panel("640x480 streams: new pictures a second of each", "streams", &streams, &[FPS]),
        panel("one stream by its size: CPU-ms a frame", "megapixels", &sizes, &[COST, ALONE]),
        panel("one 640x480 stream by the camera's rate: CPU, % of a core", "fps", &rates, &[CPU]),
        panel(
            "four 640x480 streams on so many workers: CPU-ms a frame",
            "workers",
            &workers,
            &[COST, ALONE],
        ),
    ]
}

type Line = (&'static str, fn(&Point) -> f64);
const COST: Line = ("all of it", |point| point.cpu_ms);
const ALONE: Line = ("the codecs alone", |point| point.alone_ms);
const FPS: Line = ("fps", |point| point.new_fps);
const CPU: Line = ("CPU", |point| point.cpu_percent);

fn panel(title: &str, unit: &'static str, points: &[(f64, Point)], lines: &[Line]) -> Panel {
    let lines = lines
        .iter()
        .map(|(name, figure)| {
            (*name, points.iter().map(|(x, point)| (*x, figure(point))).collect())
        })
        .collect();
    Panel { title: title.into(), unit, lines }
}
