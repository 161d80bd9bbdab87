//! Frames as arrays of shape (height, width, channels), as numpy has them.
//!
//! `cargo run --release --example ndarray_view -- launch`

use ndarray::{Axis, s};
use reframe_worker::{Frame, HandlerError, PixelFormat, Stream, VideoStreamHandler};

/// The left half and its mirror image.
fn mirror(mut frame: Frame) -> Result<Frame, HandlerError> {
    let mut array = frame.array_mut();
    let half = array.dim().1 / 2;
    let (left, mut right) = array.view_mut().split_at(Axis(1), half);
    let offset = right.dim().1 - half;
    right.slice_mut(s![.., offset.., ..]).assign(&left.slice(s![.., ..;-1, ..]));
    Ok(frame)
}

fn main() -> std::process::ExitCode {
    let handler = VideoStreamHandler::new(mirror).pixel_format(PixelFormat::Bgr24);
    Stream::builder(handler).title("A mirror").build().run()
}
