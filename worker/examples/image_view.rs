//! Frames as pictures of the `image` crate, and so of everything that works on those.
//!
//! `cargo run --release --example image_view -- launch`

use image::{Rgb, imageops};
use reframe_worker::{Frame, HandlerError, Stream, VideoStreamHandler};

/// Turns the picture by a quarter, with a frame around it: the size changes, which is all right.
fn turn(mut frame: Frame) -> Result<Frame, HandlerError> {
    let (right, bottom) = (frame.width() - 1, frame.height() - 1);
    let mut image = frame.rgb_image_mut();
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        if x < 8 || y < 8 || x + 8 > right || y + 8 > bottom {
            *pixel = Rgb([255, 200, 0]);
        }
    }
    Ok(Frame::try_from(imageops::rotate90(&frame.into_rgb_image()))?)
}

fn main() -> std::process::ExitCode {
    Stream::builder(VideoStreamHandler::new(turn).skip_frames(true))
        .title("A quarter turn")
        .build()
        .run()
}
