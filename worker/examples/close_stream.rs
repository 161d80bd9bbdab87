//! A handler that ends its stream: it counts down from the first frame on.
//!
//! `cargo run --release --example close_stream -- launch`

use std::time::Duration;

use reframe_worker::{
    AdditionalOutputs, CloseStream, Frame, Number, Output, Stream, VideoStreamHandler,
};

const SHOW: Duration = Duration::from_secs(10);

fn countdown(frame: Frame) -> Output {
    let left = SHOW.saturating_sub(frame.capture_time());
    if left.is_zero() {
        // This picture is shown, then the stream ends with the text.
        return (frame, CloseStream::new("That was your ten seconds.")).into();
    }
    (frame, AdditionalOutputs::new([left.as_secs()])).into()
}

fn main() -> std::process::ExitCode {
    Stream::builder(VideoStreamHandler::new(countdown))
        .title("Ten seconds")
        .additional_outputs([Number::new("left").label("Seconds left")])
        .concurrency_limit(4)
        .time_limit(SHOW * 2)
        .build()
        .run()
}
