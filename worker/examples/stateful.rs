//! A handler with state: light leaves a trail. Each session has its own.
//!
//! `cargo run --release --example stateful -- launch`

use reframe_worker::{
    Frame, Handler, HandlerError, Output, PixelFormat, Session, Slider, Stream, VideoStreamHandler,
};

/// How bright each pixel still glows.
#[derive(Default)]
struct Trails {
    glow: Vec<u8>,
}

impl Handler for Trails {
    fn start(&mut self, session: &Session) -> Result<(), HandlerError> {
        // Here a model would be loaded. An error ends the session and is shown.
        session.log("Wave a light.");
        Ok(())
    }

    fn process(&mut self, mut frame: Frame, session: &Session) -> Result<Output, HandlerError> {
        let keep: u32 = session.inputs().get("keep")?;
        // Whatever the camera's size, which may change.
        self.glow.resize(frame.data().len(), 0);
        for (glow, pixel) in self.glow.iter_mut().zip(frame.data_mut()) {
            let faded = u8::try_from(u32::from(*glow) * keep / 100)?;
            *glow = faded.max(*pixel);
            *pixel = *glow;
        }
        Ok(frame.into())
    }

    fn stop(&mut self) {
        // Called once, whatever ended the session: also after a panic in `process`.
        self.glow.clear();
    }
}

fn main() -> std::process::ExitCode {
    let handler = VideoStreamHandler::per_session(Trails::default).pixel_format(PixelFormat::Gray8);
    Stream::builder(handler)
        .title("Trails")
        .additional_inputs([Slider::new("keep", 0.0..=100.0)
            .step(1.0)
            .value(95.0)
            .label("Keep (%)")])
        .build()
        .run()
}
