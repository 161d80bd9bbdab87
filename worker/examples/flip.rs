//! The smallest program: a function over frames.
//!
//! `cargo run --release --example flip -- launch`

use reframe_worker::{Frame, Stream, VideoStreamHandler};

fn flip(frame: Frame) -> Frame {
    frame.flip_vertical()
}

fn main() -> std::process::ExitCode {
    Stream::builder(VideoStreamHandler::new(flip)).title("Upside down").build().run()
}
