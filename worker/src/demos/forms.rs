//! The test aid `forms`: a different answer to each of ten frames.

use reframe_worker::{
    AdditionalOutputs, CloseStream, Frame, HandlerError, Number, Output, PixelFormat, Session,
    Stream, StreamBuilder, VideoStreamHandler,
};

/// The frame that ends the stream, counted from 0.
const LAST: u32 = 200;

pub(super) fn stream() -> StreamBuilder {
    Stream::builder(VideoStreamHandler::per_session(handler))
        .additional_outputs([Number::new("frame")])
}

fn handler() -> impl FnMut(Frame, &Session) -> Result<Output, HandlerError> {
    let mut next = 0;
    move |frame, session| {
        let n = next;
        next += 1;
        answer(n, frame, session)
    }
}

fn answer(n: u32, frame: Frame, session: &Session) -> Result<Output, HandlerError> {
    if n == LAST {
        return Ok((frame, CloseStream::new("done")).into());
    }
    let outputs = AdditionalOutputs::new([n]);
    let flat = |width, height| -> Result<Output, HandlerError> {
        Ok(Frame::filled(width, height, COLOUR)?.into())
    };
    match n % 10 {
        1 => Ok((frame, outputs).into()),
        2 => Ok(outputs.into()),
        3 => flat((frame.width() / 2).max(1), (frame.height() / 2).max(1)),
        4 => flat(33, 17),
        5 => flat(16, 16),
        6 => flat(1920, 1080),
        7 => Err(format!("frame {n} fails on purpose").into()),
        8 => {
            session.log(format_args!("log {n}"));
            session.warning(format_args!("warning {n}"));
            session.error(format_args!("error {n}"));
            Ok(frame.into())
        }
        9 => Ok(frame.to_format(PixelFormat::Gray8).into()),
        _ => Ok(frame.into()),
    }
}

/// Of the pictures that are not the camera's.
const COLOUR: [u8; 3] = [40, 120, 200];
