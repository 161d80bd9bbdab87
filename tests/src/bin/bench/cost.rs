//! What a returned frame costs, and how long it takes, as a ratio to [`floor`]: in one process,
//! with a worker beside the gateway on a Unix socket, on TCP, and on TCP with TLS.

use std::sync::Arc;

use reframe_gateway::codec::Codec;
use reframe_tests::certificates::{Ca, GOOD};
use reframe_tests::cluster::{Cluster, Worker};
use reframe_tests::figures::{Percentiles, megabytes};
use reframe_tests::source::{Clip, Format};

use super::floor::{self, Floor};
use super::report::Report;
use super::streams::{CAMERA_FPS, ages, connect, watch, window};
use super::{Plan, step};

/// Where the handler is.
#[derive(Clone, Copy)]
enum Handler {
    /// In the gateway's process.
    Embedded,
    /// In another process of the host, which shares memory with the gateway.
    Unix,
    /// In another process, as on another host.
    Tcp,
    /// The same, each with a certificate.
    Tls,
}

impl Handler {
    const ALL: [Self; 4] = [Self::Embedded, Self::Unix, Self::Tcp, Self::Tls];

    const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Unix => "Unix socket",
            Self::Tcp => "TCP",
            Self::Tls => "TCP with TLS",
        }
    }

    fn start(self, demo: &str) -> Cluster {
        match self {
            Self::Embedded => Cluster::launch(demo),
            Self::Unix => Cluster::of(vec![Worker::on_socket(demo)]),
            Self::Tcp => Cluster::separate(demo, 1),
            Self::Tls => {
                let ca = Ca::new("bench", GOOD);
                let worker = ca.issue("reframe-worker", GOOD);
                let worker = Worker::serve_with(demo, "127.0.0.1:0", &worker.options());
                Cluster::of_with(vec![worker], &ca.issue("reframe-gateway", GOOD).options())
            }
        }
    }
}

/// The handlers that are measured, and what they are called in the table: both turn the picture
/// upside down.
const I420: (&str, &str) = ("flip", "I420");
const RGB24: (&str, &str) = ("flip-rgb", "RGB24");

/// Clips of each codec at one size, and what the size is called.
pub(crate) struct Size {
    name: &'static str,
    clips: [(Codec, Arc<Clip>); 2],
}

impl Size {
    /// Encodes the clips.
    pub(crate) fn new(
        name: &'static str,
        format: Format,
        frames: u32,
        keyframe_every: u32,
    ) -> Self {
        let clip = |codec| {
            Clip::encode(Format { codec, ..format }, frames, keyframe_every)
                .expect("the encoder works")
        };
        Self { name, clips: [Codec::Vp8, Codec::H264].map(|codec| (codec, Arc::new(clip(codec)))) }
    }

    /// The clip in VP8.
    pub(crate) fn vp8(&self) -> &Arc<Clip> {
        &self.clips[0].1
    }
}

/// CPU, memory and rate of every setting, one after the other.
pub(crate) fn ratios(report: &mut Report, sizes: &[Size], plan: &Plan) {
    for size in sizes {
        for (codec, clip) in &size.clips {
            for streams in [1, 4] {
                let scenario = format!("{} {} x{streams}", size.name, codec.sdp_name());
                step(&scenario);
                let floor = floor::paced(clip, streams, plan);
                report.add(&scenario, "the codecs alone", "CPU-ms/frame", floor.cpu_ms);
                if streams == 1 {
                    let at_once = floor::at_once(clip, plan).cpu_ms;
                    report.add(
                        &scenario,
                        "the codecs alone, without a pause",
                        "CPU-ms/frame",
                        at_once,
                    );
                }
                let one = size.name == "720p" && *codec == Codec::Vp8 && streams == 1;
                for demo in if one { &[I420, RGB24][..] } else { &[RGB24] } {
                    for handler in Handler::ALL {
                        cost(report, &scenario, (handler, *demo), clip, streams, &floor, plan);
                    }
                }
            }
        }
    }
}

fn cost(
    report: &mut Report,
    scenario: &str,
    (handler, (demo, pixels)): (Handler, (&str, &str)),
    clip: &Arc<Clip>,
    streams: u32,
    floor: &Floor,
    plan: &Plan,
) {
    let cluster = handler.start(demo);
    let rss = || cluster.processes().map(|process| process.rss_bytes()).sum::<u64>();
    let idle = rss();
    let (window, peers) = window(&cluster, clip, streams, CAMERA_FPS, plan);
    let cpu_ms = window.cpu_ms();
    let name = format!("{}, {pixels}", handler.name());
    report.add(scenario, &format!("{name}: to the codecs alone"), "x", cpu_ms / floor.cpu_ms);
    report.add(scenario, &format!("{name}: CPU of a returned frame"), "CPU-ms/frame", cpu_ms);
    let fps = window.new_frames / f64::from(streams * plan.window_secs);
    report.add(scenario, &format!("{name}: new pictures, mean of the streams"), "fps", fps);
    report.add(scenario, &format!("{name}: returned, slowest stream"), "fps", window.slowest_fps);
    let more = megabytes(rss().saturating_sub(idle)) / f64::from(streams);
    report.add(scenario, &format!("{name}: memory above idle, a stream"), "MB", more);
    drop(peers);
}

/// How long a frame of one stream takes, beyond the codecs.
pub(crate) fn latency(report: &mut Report, sizes: &[Size], plan: &Plan) {
    for size in sizes {
        let clip = size.vp8();
        let scenario = format!("latency {}", size.name);
        step(&scenario);
        let floor = floor::paced(clip, 1, plan).took;
        report.add(&scenario, "the codecs alone, p50", "ms", floor.p50);
        report.add(&scenario, "the codecs alone, p99", "ms", floor.p99);
        for handler in Handler::ALL {
            let cluster = handler.start(RGB24.0);
            let viewer = connect(&cluster, "", "latency", clip, true);
            let peers = std::slice::from_ref(&viewer);
            watch(peers, plan.warm_up_secs);
            let ages =
                Percentiles::of(ages(&watch(peers, plan.window_secs)[0])).expect("some frames");
            let name = handler.name();
            report.add(&scenario, &format!("{name}: added latency, p50"), "ms", ages.p50);
            report.add(&scenario, &format!("{name}: added latency, p99"), "ms", ages.p99);
            report.add(
                &scenario,
                &format!("{name}: p50 beyond the codecs'"),
                "ms",
                ages.p50 - floor.p50,
            );
            report.add(
                &scenario,
                &format!("{name}: p99 beyond the codecs'"),
                "ms",
                ages.p99 - floor.p99,
            );
        }
    }
}
