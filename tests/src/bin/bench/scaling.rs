//! How the cost of a frame grows: with streams, size, frame rate and workers; one of them changed at a time.

use std::sync::Arc;
use std::time::Duration;

use reframe_tests::cluster::{Cluster, Worker};
use reframe_tests::figures::millis;
use reframe_tests::peer::Stats;
use reframe_tests::plot::Panel;
use reframe_tests::source::{Clip, Format};

use super::cost::new_frames;
use super::report::Report;
use super::streams::{PATIENCE, connect, watch_at};
use super::{KEYFRAME_EVERY, Plan, SHORT_FRAMES, floor, step};

const STREAMS: [u32; 6] = [1, 2, 4, 8, 12, 16];
const SIZES: [(u32, u32, u32); 5] =
    [(320, 240, 300), (640, 480, 1_000), (960, 540, 1_500), (1280, 720, 2_000), (1920, 1080, 4_000)];
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
        let clip = Arc::new(Clip::encode(format, SHORT_FRAMES, KEYFRAME_EVERY).expect("the encoder works"));
        let alone_ms = floor::paced(&clip, 1, plan).cpu_ms;
        let point = point(&cluster, &clip, (streams, fps), alone_ms, plan);
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
    let rates = RATES.map(|fps| measure("fps", f64::from(fps), Format { fps: fps.into(), ..vga }, 1, embedded()));
    let workers = WORKERS.map(|n| {
        let cluster = Cluster::of((0..n).map(|_| Worker::on_socket("flip")).collect());
        measure("workers", f64::from(n), vga, 4, cluster)
    });
    vec![
        panel("640x480 streams: CPU-ms a frame", "streams", &streams, &[COST, ALONE]),
        panel("640x480 streams: new pictures a second of each", "streams", &streams, &[FPS]),
        panel("one stream by its size: CPU-ms a frame", "megapixels", &sizes, &[COST, ALONE]),
        panel("one 640x480 stream by the camera's rate: CPU, % of a core", "fps", &rates, &[CPU]),
        panel("four 640x480 streams on so many workers: CPU-ms a frame", "workers", &workers, &[COST, ALONE]),
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
        .map(|(name, figure)| (*name, points.iter().map(|(x, point)| (*x, figure(point))).collect()))
        .collect();
    Panel { title: title.into(), unit, lines }
}

fn point(cluster: &Cluster, clip: &Arc<Clip>, (streams, fps): (u32, u32), alone_ms: f64, plan: &Plan) -> Point {
    let cpu = || cluster.processes().map(|process| process.cpu_time()).sum::<Duration>();
    let peers: Vec<_> = (0..streams).map(|n| connect(cluster, "", &n.to_string(), clip, false)).collect();
    peers.iter().for_each(|peer| peer.wait_received(1, PATIENCE));
    watch_at(fps, &peers, plan.warm_up_secs);
    let (before, new_before, began) = (cpu(), new_frames(cluster), tokio::time::Instant::now());
    let received = watch_at(fps, &peers, plan.window_secs);
    let (used, new, took) = (cpu() - before, new_frames(cluster) - new_before, began.elapsed());
    let slowest_fps = received.iter().map(|frames| Stats::fps(frames)).fold(f64::INFINITY, f64::min);
    let cpu_percent = 100.0 * used.as_secs_f64() / took.as_secs_f64();
    let new_fps = new / took.as_secs_f64() / f64::from(streams);
    Point { cpu_percent, cpu_ms: millis(used) / new, new_fps, slowest_fps, alone_ms }
}
