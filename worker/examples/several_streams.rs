//! Several streams in one program: `launch` shows all of them, `serve --stream NAME` is a worker of
//! one.
//!
//! `cargo run --release --example several_streams -- launch`

use reframe_worker::{Frame, Stream, VideoStreamHandler, cli};

/// Called for each frame on the session's own thread, so it may take as long as it takes.
fn invert(mut frame: Frame) -> Frame {
    frame.data_mut().iter_mut().for_each(|byte| *byte = 255 - *byte);
    frame
}

fn main() -> std::process::ExitCode {
    let flip = VideoStreamHandler::new(Frame::flip_vertical);
    let invert = VideoStreamHandler::new(invert).skip_frames(true);
    cli::run(|_: cli::NoOptions| {
        Ok([
            Stream::builder(flip).name("flip").title("Upside down").build(),
            Stream::builder(invert).name("invert").title("Negative").build(),
        ])
    })
}
