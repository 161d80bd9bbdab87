//! A slider that the handler obeys, and values that it tells beside its picture.
//!
//! `cargo run --release --example inputs_outputs -- launch`

use reframe_worker::{
    AdditionalOutputs, Frame, HandlerError, LinePlot, Number, Session, Slider, Stream,
    VideoStreamHandler,
};

/// Paints what is brighter than the slider says, and tells how much that is.
fn highlight(
    mut frame: Frame,
    session: &Session,
) -> Result<(Frame, AdditionalOutputs), HandlerError> {
    let threshold: f32 = session.inputs().get("threshold")?;
    let mut bright: u32 = 0;
    for pixel in frame.data_mut().chunks_exact_mut(3) {
        let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
        if 0.299 * red + 0.587 * green + 0.114 * blue > threshold * 255.0 {
            pixel.copy_from_slice(&[255, 64, 0]);
            bright += 1;
        }
    }
    let percent = 100.0 * f64::from(bright) / f64::from(frame.width() * frame.height());
    Ok((frame, AdditionalOutputs::new([percent, percent])))
}

fn main() -> std::process::ExitCode {
    Stream::builder(VideoStreamHandler::new(highlight).skip_frames(true))
        .title("Highlights")
        .additional_inputs([Slider::new("threshold", 0.0..=1.0)
            .step(0.01)
            .value(0.7)
            .label("Threshold")])
        .additional_outputs([Number::new("bright").label("Bright (%)")])
        .additional_outputs([LinePlot::new("history").label("Over time")])
        .build()
        .run()
}
