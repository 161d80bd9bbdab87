//! A file, address or camera as a source, which needs an installed `ffmpeg`; the stream ends with
//! the clip.
//!
//! `cargo run --release --example clip -- launch --source clip.mp4`

use clap::Args;
use reframe_worker::sources::Video;
use reframe_worker::{Stream, VideoStreamHandler, cli};

/// The program's own options stand beside those of `launch` and `serve`.
#[derive(Args)]
struct Options {
    /// What is played [a file, an https or rtsp address, a camera].
    #[arg(long, default_value = "clip.mp4")]
    source: String,
}

fn main() -> std::process::ExitCode {
    cli::run(|options: Options| {
        // Opened for each session: everyone sees it from its beginning. At the stream's rate, so
        // that it plays at its own speed whatever rate it was made for.
        let clip = VideoStreamHandler::generator(move || {
            Ok(Video::options().fps(30.0).open(&options.source)?)
        });
        Ok([Stream::builder(clip.fps(30.0)).title("A clip").build()])
    })
}
