//! Wire messages in and out of the worker's own types. The generated types end here.

mod spec;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use reframe_proto::exchange::Exchange;
use reframe_proto::v1::{
    self, EndStream, FromWorker, NoPicture, Notice, Opened, Picture, ToWorker, from_worker, notice,
    result, to_worker, value,
};
use reframe_proto::{MAX_DIMENSION, i420_len};
pub(crate) use spec::{Process, spec};
use tonic::Status;

use crate::components::InputValue;
use crate::frame::Rotation;
use crate::frame::pixels::I420;
use crate::inputs::Inputs;
use crate::message::{BatchUse, Job, Reply, Severity, Times, micros};
use crate::mode::Mode;
use crate::stream::Stream;

/// Any message after the first.
#[derive(Debug)]
pub(crate) enum Message {
    Job(Job),
    /// All values that the client has set.
    Inputs(HashMap<String, v1::Value>),
}

/// The first message.
pub(crate) fn open(message: Option<ToWorker>) -> Result<v1::Open, Status> {
    match message.and_then(|message| message.message) {
        Some(to_worker::Message::Open(open)) => Ok(open),
        Some(_) => Err(Status::invalid_argument("message: another came before open")),
        None => Err(Status::invalid_argument("message: empty or unknown; the first must be open")),
    }
}

/// A message after the first, if the stream's mode allows it. With an exchange, its picture may be
/// in shared memory.
pub(crate) fn message(
    message: ToWorker,
    mode: Mode,
    exchange: Option<&Exchange>,
) -> Result<Message, Status> {
    let job = match (message.message, mode) {
        (Some(to_worker::Message::Frame(wire)), Mode::SendReceive | Mode::Send) => {
            frame(wire, exchange)?
        }
        (Some(to_worker::Message::Pull(v1::Pull { seq, traceparent })), Mode::Receive) => {
            Job::Pull { seq, traceparent }
        }
        (Some(to_worker::Message::Inputs(v1::Inputs { values })), _) => {
            return Ok(Message::Inputs(values));
        }
        (Some(to_worker::Message::Open(_)), _) => {
            return Err(Status::invalid_argument("message: a session opens once"));
        }
        (Some(to_worker::Message::Frame(_)), _) => return Err(misplaced("frame", mode)),
        (Some(to_worker::Message::Pull(_)), _) => return Err(misplaced("pull", mode)),
        (None, _) => return Err(Status::invalid_argument("message: empty or unknown")),
    };
    Ok(Message::Job(job))
}

fn misplaced(message: &str, mode: Mode) -> Status {
    Status::invalid_argument(format!("message: a stream of mode {mode} has no {message}"))
}

/// Converts a frame after checking that its data has the length that its size asks for.
fn frame(frame: v1::Frame, exchange: Option<&Exchange>) -> Result<Job, Status> {
    let v1::Frame { seq, capture_time_us, width, height, mut data, traceparent, rotation, slot } =
        frame;
    for (field, side) in [("frame.width", width), ("frame.height", height)] {
        if !(1..=MAX_DIMENSION).contains(&side) {
            return Err(Status::invalid_argument(format!(
                "{field}: {side} is not 1 to {MAX_DIMENSION} pixels"
            )));
        }
    }
    if let (Some(exchange), Some(slot)) = (exchange, slot) {
        // None: it is not there, and `data` is empty.
        data = exchange.frames.take(slot, i420_len(width, height)).unwrap_or(data);
    }
    let (actual, expected) = (data.len(), i420_len(width, height));
    if actual != expected {
        let text = format!(
            "frame.data: {actual} bytes, but a {width}x{height} I420 picture has {expected}"
        );
        return Err(Status::invalid_argument(text));
    }
    let Some(rotation) = Rotation::from_degrees(rotation) else {
        return Err(Status::invalid_argument(format!(
            "frame.rotation: {rotation} is not 0, 90, 180 or 270 degrees"
        )));
    };
    let capture_time = Duration::from_micros(capture_time_us);
    Ok(Job::Frame {
        seq,
        capture_time,
        picture: I420 { width, height, data, rotation },
        traceparent,
    })
}

/// The values after the client has set these. The gateway has checked them against the declaration;
/// here only their types are checked, because handlers rely on them.
pub(crate) fn inputs(stream: &Stream, set: HashMap<String, v1::Value>) -> Result<Inputs, Status> {
    let declared = Inputs::declared(&stream.inputs);
    let mut values = Vec::with_capacity(set.len());
    for (name, value) in set {
        let value = match value.kind {
            Some(value::Kind::Number(number)) => Some(InputValue::Number(number)),
            Some(value::Kind::Flag(flag)) => Some(InputValue::Flag(flag)),
            Some(value::Kind::Text(text)) => Some(InputValue::Text(text.into())),
            None => None,
        };
        match (declared.value(&name), value) {
            // The gateway has not read the declaration since this worker was replaced.
            (None, _) => tracing::debug!(input = ?name, "set, but not declared"),
            (Some(declared), Some(value)) if declared.same_type(&value) => {
                values.push((name, value))
            }
            (Some(_), _) => {
                return Err(Status::invalid_argument(format!(
                    "inputs.{name}: a value of another type than declared"
                )));
            }
        }
    }
    Ok(declared.with(values))
}

/// With an exchange, the picture goes into shared memory if there is room.
pub(crate) fn reply(reply: Reply, exchange: Option<&Exchange>) -> FromWorker {
    let message = match reply {
        Reply::Opened { credits } => {
            from_worker::Message::Opened(Opened { credits, exchange: exchange.is_some() })
        }
        Reply::Result { seq, times, outcome, outputs, more_credits } => {
            let Times { handler, turn, batch } = times;
            from_worker::Message::Result(v1::Result {
                seq,
                handler_us: micros(handler),
                turn_us: micros(turn),
                batch: batch.map(used),
                more_credits,
                outcome: Some(match outcome {
                    Ok(Some(I420 { width, height, data, rotation })) => {
                        let given = match exchange {
                            Some(exchange) => exchange.results.give(data),
                            None => Err(data),
                        };
                        let (slot, data) = given
                            .map_or_else(|data| (None, data), |slot| (Some(slot), Bytes::new()));
                        result::Outcome::Picture(Picture {
                            width,
                            height,
                            data,
                            rotation: rotation.degrees(),
                            slot,
                        })
                    }
                    Ok(None) => result::Outcome::NoPicture(NoPicture {}),
                    Err(error) if error.is_superseded() => {
                        result::Outcome::Superseded(v1::Superseded {})
                    }
                    Err(error) => result::Outcome::Error(error.into_message()),
                }),
                outputs,
            })
        }
        Reply::Notice { level, message } => {
            let level = match level {
                Severity::Log => notice::Level::Log,
                Severity::Warning => notice::Level::Warning,
                Severity::Error => notice::Level::Error,
            };
            from_worker::Message::Notice(Notice { level: level.into(), message })
        }
        Reply::End { message, failed } => {
            from_worker::Message::EndStream(EndStream { message, failed })
        }
    };
    FromWorker { message: Some(message) }
}

fn used(batch: BatchUse) -> v1::Batch {
    let BatchUse { size, wait, model, share, failed } = batch;
    v1::Batch {
        size,
        wait_us: micros(wait),
        model_us: micros(model),
        share_us: micros(share),
        failed,
    }
}

#[cfg(test)]
mod tests;
