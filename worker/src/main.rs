//! The demos as a program: `reframe-worker launch` serves all of them, `--demo NAME` one.

mod demos;

use std::process::ExitCode;

use clap::Args;
use reframe_proto::FRAME_RATES;
use reframe_worker::{Stream, cli};

/// Frames are buffers of a megabyte and more, which glibc's allocator maps and unmaps one by one
/// (see "Cost" in the crate's documentation).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Values are texts, so that all wrong ones can be reported at once.
#[derive(Args)]
struct Options {
    #[arg(long, env = "REFRAME_DEMO", value_name = "NAME", help = demos::help())]
    demo: Option<String>,

    /// What `generation` plays in place of its sample clip: a file, an https or rtsp address, or a
    /// camera [/dev/video0].
    #[arg(long, env = "REFRAME_SOURCE", value_name = "URL")]
    source: Option<String>,

    /// Frames per second of the test aid `ticker` [1 to 240].
    #[arg(long, env = "REFRAME_FPS", value_name = "N", default_value = "30")]
    fps: String,

    /// Upper bound of the slider of the test aid `echo-inputs`, whose value is 0.3 of it [0.01 to
    /// 1000].
    #[arg(long, env = "REFRAME_SLIDER_MAX", value_name = "N", default_value = "1")]
    slider_max: String,
}

impl Options {
    fn streams(self) -> Result<Vec<Stream>, cli::Problems> {
        let mut problems = Vec::new();
        let fps = self.fps.trim().parse().ok().filter(|fps: &f64| FRAME_RATES.contains(fps));
        if fps.is_none() {
            problems.push(format!("--fps: `{}` is not a number from 1 to 240", self.fps));
        }
        let slider_max = self.slider_max.trim().parse().ok();
        let slider_max = slider_max.filter(|max: &f64| (0.01..=1_000.0).contains(max));
        if slider_max.is_none() {
            let text = self.slider_max;
            problems.push(format!("--slider-max: `{text}` is not a number from 0.01 to 1000"));
        }
        // An empty environment variable counts as one that is not set.
        let demo = self.demo.as_deref().filter(|demo| !demo.is_empty());
        if let (Some(_), Some(demo)) = (&self.source, demo.filter(|demo| *demo != "generation")) {
            problems.push(format!("--source: the demo `{demo}` plays none; `generation` does"));
        }
        let settings = demos::Settings {
            source: self.source,
            fps: fps.unwrap_or(30.0),
            slider_max: slider_max.unwrap_or(1.0),
        };
        let streams = demos::streams(demo, &settings).map_err(|problem| problems.push(problem));
        streams.ok().filter(|_| problems.is_empty()).ok_or_else(|| problems.into())
    }
}

fn main() -> ExitCode {
    // As in the gateway's `main`: the allocator reserves 24 MB of huge pages, and hardly uses them.
    rustix::thread::disable_transparent_huge_pages(true).ok();
    cli::run(Options::streams)
}
