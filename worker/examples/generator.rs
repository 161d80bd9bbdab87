//! Pictures from an iterator, with no camera: a bar that moves over a colour of the client's
//! choice.
//!
//! `cargo run --release --example generator -- launch`

use reframe_worker::{ColorPicker, Frame, HandlerError, Session, Stream, VideoStreamHandler};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 360;

/// One session's pictures. The function runs once for each session, the iterator on that session's
/// thread.
fn bars(
    session: Session,
) -> Result<impl Iterator<Item = Result<Frame, HandlerError>>, HandlerError> {
    Ok((0..WIDTH).step_by(4).cycle().map(move |left| {
        let colour: [u8; 3] = session.inputs().get("colour")?;
        let mut frame = Frame::filled(WIDTH, HEIGHT, colour)?;
        let bar = left as usize * 3..(left as usize + 4) * 3;
        for row in frame.data_mut().chunks_exact_mut(WIDTH as usize * 3) {
            row[bar.clone()].fill(255);
        }
        Ok(frame)
    }))
}

fn main() -> std::process::ExitCode {
    Stream::builder(VideoStreamHandler::generator(bars).fps(60.0))
        .title("A moving bar")
        .additional_inputs([ColorPicker::new("colour").value("#204060").label("Background")])
        .build()
        .run()
}
