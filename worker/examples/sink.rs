//! Mode send: the camera is watched, and only values come back.
//!
//! `cargo run --release --example sink -- launch`

use reframe_worker::{
    AdditionalOutputs, Frame, LinePlot, Mode, PixelFormat, Stream, VideoStreamHandler,
};

fn brightness(frame: Frame) -> AdditionalOutputs {
    let sum: u64 = frame.data().iter().copied().map(u64::from).sum();
    AdditionalOutputs::new([sum / frame.data().len() as u64])
}

fn main() -> std::process::ExitCode {
    let handler =
        VideoStreamHandler::new(brightness).pixel_format(PixelFormat::Gray8).skip_frames(true);
    Stream::builder(handler)
        .mode(Mode::Send)
        .title("Brightness")
        .additional_outputs([LinePlot::new("brightness").label("Brightness, 0 to 255").points(300)])
        .build()
        .run()
}
