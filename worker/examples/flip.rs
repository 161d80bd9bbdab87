//! The smallest program: `cargo run --release --example flip -- launch`.

use reframe_worker::{Frame, HandlerError, Stream, VideoStreamHandler};

fn flip(frame: Frame) -> Result<Frame, HandlerError> {
    Ok(frame.flip_vertical())
}

fn main() -> std::process::ExitCode {
    Stream::builder(VideoStreamHandler::new(flip)).title("Upside down").build().run()
}
