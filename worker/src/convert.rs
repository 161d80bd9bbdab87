//! Wire messages in and out of the worker's own types. The generated types end here.

use std::time::Duration;

use reframe_proto::{
    MAX_DIMENSION, PROTOCOL_VERSION, i420_len,
    v1::{
        self, EndStream, FromWorker, Notice, Opened, Picture, StreamSpec, ToWorker, from_worker, notice::Level, result,
        to_worker,
    },
};
use tonic::Status;

use crate::{
    i420::I420,
    runner::{Incoming, Reply},
    stream::Stream,
};

pub(crate) fn spec(stream: &Stream, capacity: u32) -> StreamSpec {
    StreamSpec {
        protocol_version: PROTOCOL_VERSION,
        name: stream.name.clone(),
        title: stream.title.clone(),
        fps: stream.fps(),
        skip_frames: stream.skip_frames(),
        capacity,
    }
}

/// The session id of the first message.
pub(crate) fn open(message: Option<ToWorker>) -> Result<String, Status> {
    match message.and_then(|message| message.message) {
        Some(to_worker::Message::Open(open)) => Ok(open.session_id),
        Some(to_worker::Message::Frame(_)) => Err(Status::invalid_argument("message: a frame came before open")),
        None => Err(Status::invalid_argument("message: empty or unknown; the first must be open")),
    }
}

/// Any message but the first: a frame, checked so that everything behind may rely on its size.
pub(crate) fn frame(message: ToWorker) -> Result<Incoming, Status> {
    let frame = match message.message {
        Some(to_worker::Message::Frame(frame)) => frame,
        Some(to_worker::Message::Open(_)) => return Err(Status::invalid_argument("message: a session opens once")),
        None => return Err(Status::invalid_argument("message: empty or unknown; a frame was expected")),
    };
    let v1::Frame { seq, capture_time_us, width, height, data } = frame;
    for (field, side) in [("frame.width", width), ("frame.height", height)] {
        if !(1..=MAX_DIMENSION).contains(&side) {
            return Err(Status::invalid_argument(format!("{field}: {side} is not 1 to {MAX_DIMENSION} pixels")));
        }
    }
    let (actual, expected) = (data.len(), i420_len(width, height));
    if actual != expected {
        let text = format!("frame.data: {actual} bytes, but a {width}x{height} I420 picture has {expected}");
        return Err(Status::invalid_argument(text));
    }
    let capture_time = Duration::from_micros(capture_time_us);
    Ok(Incoming { seq, capture_time, picture: I420 { width, height, data } })
}

pub(crate) fn reply(reply: Reply) -> FromWorker {
    let message = match reply {
        Reply::Opened { credits } => from_worker::Message::Opened(Opened { credits }),
        Reply::Result { seq, handler_time, outcome } => from_worker::Message::Result(v1::Result {
            seq,
            handler_us: u64::try_from(handler_time.as_micros()).unwrap_or(u64::MAX),
            outcome: Some(match outcome {
                Ok(I420 { width, height, data }) => result::Outcome::Picture(Picture { width, height, data }),
                Err(error) => result::Outcome::Error(error.message().to_owned()),
            }),
        }),
        Reply::Error { message } => from_worker::Message::Notice(Notice { level: Level::Error.into(), message }),
        Reply::Failed { message } => from_worker::Message::EndStream(EndStream { message, failed: true }),
    };
    FromWorker { message: Some(message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn message(width: u32, height: u32, bytes: usize) -> ToWorker {
        let frame = v1::Frame { seq: 1, capture_time_us: 2, width, height, data: vec![0; bytes].into() };
        ToWorker { message: Some(to_worker::Message::Frame(frame)) }
    }

    #[test]
    fn odd_sizes_are_sizes() {
        let incoming = frame(message(3, 5, 15 + 6 + 6)).unwrap();
        assert_eq!((incoming.seq, incoming.capture_time), (1, Duration::from_micros(2)));
        assert_eq!((incoming.picture.width, incoming.picture.height), (3, 5));
    }

    #[test]
    fn a_refusal_names_its_field() {
        for (message, field) in [
            (message(0, 2, 0), "frame.width"),
            (message(2, 0, 0), "frame.height"),
            (message(MAX_DIMENSION + 1, 2, 0), "frame.width"),
            (message(2, u32::MAX, 0), "frame.height"),
            (message(2, 2, 5), "frame.data"),
            (message(2, 2, 7), "frame.data"),
            (ToWorker { message: Some(to_worker::Message::Open(v1::Open::default())) }, "message"),
            (ToWorker { message: None }, "message"),
        ] {
            let status = frame(message).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().starts_with(&format!("{field}: ")), "{status}");
        }
    }

    #[test]
    fn only_open_opens() {
        let status = open(Some(message(2, 2, 6))).unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "message: a frame came before open"));
        assert_eq!(open(None).unwrap_err().code(), Code::InvalidArgument);
    }
}
