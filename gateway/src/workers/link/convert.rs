//! Conversions between wire messages and our types. Generated messages are built and taken apart
//! only here.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use reframe_proto::exchange::Exchange;
use reframe_proto::v1::{
    self, FromWorker, ToWorker, from_worker, notice, result, to_worker, value,
};
use reframe_proto::{MAX_OUTPUTS_BYTES, i420_len, picture_fits};

use crate::codec::{Picture, Rotation, turn};
use crate::media::event::{Notice, Severity};
use crate::media::frame::Frame;
use crate::media::session_id::SessionId;
use crate::stream::inputs::{Value, Values};

/// A validated message of a worker.
pub(crate) enum Incoming {
    Opened { credits: usize, exchange: bool },
    Result { seq: u64, times: Times, outcome: Outcome, outputs: Vec<String>, more_credits: usize },
    Notice(Notice),
    End { message: String, failed: bool },
}

/// The result of a frame.
pub(crate) enum Outcome {
    Picture(Picture),
    /// No picture, deliberately.
    Consumed,
    /// The handler's message.
    Error(String),
    /// A newer frame, already at the worker, took its place.
    Superseded,
}

/// How long a frame took at its worker, as the worker measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) handler: Duration,
    /// Until it was the session's turn; zero where calls run in parallel.
    pub(crate) turn: Duration,
    pub(crate) batch: Option<Batch>,
}

/// A frame's use of models that work on the frames of several sessions at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// 0: none began.
    pub(crate) size: u32,
    pub(crate) wait: Duration,
    pub(crate) model: Duration,
    /// The frame's share of `model`.
    pub(crate) share: Duration,
    /// A call failed for all of its batch.
    pub(crate) failed: bool,
}

/// The worker violated the protocol.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("an empty message")]
    Empty,
    #[error("a result without an outcome")]
    NoOutcome,
    #[error("a picture of {width}x{height} in {bytes} bytes")]
    Picture { width: u32, height: u32, bytes: usize },
    #[error("outputs of {0} bytes")]
    Outputs(usize),
    #[error("a picture to be turned by {0} degrees")]
    Rotation(u32),
}

/// The most credits that a worker may give: they bound our memory.
pub(super) const MAX_CREDITS: usize = 8;

pub(crate) fn open(
    session_id: &SessionId,
    inputs: &Values,
    traceparent: String,
    exchange: Option<&Exchange>,
) -> ToWorker {
    let (session_id, exchange) = (session_id.digest(), exchange.map_or(0, Exchange::token));
    let open = v1::Open { session_id, inputs: values(inputs), traceparent, exchange };
    ToWorker { message: Some(to_worker::Message::Open(open)) }
}

pub(crate) fn inputs(inputs: &Values) -> ToWorker {
    ToWorker { message: Some(to_worker::Message::Inputs(v1::Inputs { values: values(inputs) })) }
}

pub(crate) fn pull(seq: u64, traceparent: String) -> ToWorker {
    ToWorker { message: Some(to_worker::Message::Pull(v1::Pull { seq, traceparent })) }
}

fn values(values: &Values) -> HashMap<String, v1::Value> {
    let value = |value: &Value| match value {
        Value::Number(number) => value::Kind::Number(*number),
        Value::Flag(flag) => value::Kind::Flag(*flag),
        Value::Text(text) => value::Kind::Text(text.clone()),
    };
    values.iter().map(|(name, set)| (name.clone(), v1::Value { kind: Some(value(set)) })).collect()
}

/// The pixels move out of the frame, into the message or the exchange.
pub(crate) fn frame(frame: &mut Frame, exchange: Option<&Exchange>) -> ToWorker {
    let pixels = std::mem::take(&mut frame.picture.data);
    let given = match exchange {
        Some(exchange) => exchange.frames.give(pixels),
        None => Err(pixels),
    };
    let (slot, data) =
        given.map_or_else(|pixels| (None, pixels), |slot| (Some(slot), Bytes::new()));
    let frame = v1::Frame {
        seq: frame.seq,
        capture_time_us: u64::try_from(frame.captured.as_micros()).unwrap_or(u64::MAX),
        width: frame.picture.width,
        height: frame.picture.height,
        data,
        traceparent: frame.ticket.traceparent(),
        rotation: frame.rotation.degrees(),
        slot,
    };
    ToWorker { message: Some(to_worker::Message::Frame(frame)) }
}

/// With an exchange, pictures may be in shared memory.
pub(crate) fn incoming(
    message: FromWorker,
    exchange: Option<&Exchange>,
) -> Result<Incoming, ProtocolError> {
    match message.message.ok_or(ProtocolError::Empty)? {
        from_worker::Message::Opened(opened) => {
            let v1::Opened { credits, exchange } = opened;
            Ok(Incoming::Opened { credits: MAX_CREDITS.min(credits as usize), exchange })
        }
        from_worker::Message::Result(result) => {
            let v1::Result { seq, handler_us, turn_us, batch, outcome, outputs, more_credits } =
                result;
            let outcome = match outcome.ok_or(ProtocolError::NoOutcome)? {
                result::Outcome::Picture(picture) => Outcome::Picture(checked(picture, exchange)?),
                result::Outcome::Error(message) => Outcome::Error(message),
                result::Outcome::NoPicture(v1::NoPicture {}) => Outcome::Consumed,
                result::Outcome::Superseded(v1::Superseded {}) => Outcome::Superseded,
            };
            let bytes = outputs.iter().map(String::len).sum();
            if bytes > MAX_OUTPUTS_BYTES {
                return Err(ProtocolError::Outputs(bytes));
            }
            let times = Times {
                handler: Duration::from_micros(handler_us),
                turn: Duration::from_micros(turn_us),
                batch: batch.map(used),
            };
            Ok(Incoming::Result {
                seq,
                times,
                outcome,
                outputs,
                more_credits: more_credits as usize,
            })
        }
        from_worker::Message::Notice(notice) => {
            let level = match notice.level() {
                notice::Level::Error => Severity::Error,
                notice::Level::Warning => Severity::Warning,
                notice::Level::Log | notice::Level::Unspecified => Severity::Log,
            };
            Ok(Incoming::Notice(Notice { level, message: notice.message }))
        }
        from_worker::Message::EndStream(end) => {
            Ok(Incoming::End { message: end.message, failed: end.failed })
        }
    }
}

fn used(batch: v1::Batch) -> Batch {
    let v1::Batch { size, wait_us, model_us, share_us, failed } = batch;
    let [wait, model, share] = [wait_us, model_us, share_us].map(Duration::from_micros);
    Batch { size, wait, model, share, failed }
}

/// Turned upright here, so that later hops need not know of rotation.
fn checked(picture: v1::Picture, exchange: Option<&Exchange>) -> Result<Picture, ProtocolError> {
    let v1::Picture { width, height, mut data, rotation, slot } = picture;
    let fits = picture_fits(width, height);
    if let (Some(exchange), Some(slot), true) = (exchange, slot, fits) {
        // None: it is not there, and `data` is empty.
        data = exchange.results.take(slot, i420_len(width, height)).unwrap_or(data);
    }
    if !fits || data.len() != i420_len(width, height) {
        return Err(ProtocolError::Picture { width, height, bytes: data.len() });
    }
    let rotation = Rotation::from_degrees(rotation).ok_or(ProtocolError::Rotation(rotation))?;
    Ok(turn(Picture { width, height, data }, rotation))
}
