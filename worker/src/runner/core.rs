//! One session from its first frame to its last, as a function from jobs to replies. No I/O, no clock, no thread: those
//! are arguments, so the tests run thousands of sessions in no time.
//!
//! > The session opens once its handler has started. Jobs are answered once each and in order, up to what ends the
//! > session; a handler that started is stopped once, whatever it did.

use std::any::Any;
use std::mem;
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};

use tokio::time::Instant;
use tracing::Span;

use super::shown::Shown;
use crate::error::HandlerError;
use crate::frame::Frame;
use crate::frame::pixels::I420;
use crate::handler::{Output, Work};
use crate::message::Level;
use crate::message::{Job, Reply};
use crate::mode::Mode;
use crate::session::Session;
use crate::stream::Stream;

/// What the client is told when a generator has no more items.
const GENERATED: &str = "The stream has ended";

/// How a session went, for the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Frames and pulls answered.
    pub(crate) frames: u64,
    /// Of these, how many the handler failed on.
    pub(crate) errors: u64,
    /// What went wrong, in the order in which it did. The first ended the session, unless only the clean-up failed.
    pub(crate) faults: Vec<Fault>,
}

/// What a handler did that ends its session.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the handler did not start: {message}")]
    Start { message: String },
    #[error("the handler panicked in {call}: {message}")]
    Panic { call: &'static str, message: String },
}

/// Runs a session until `jobs` ends, `reply` breaks, or the handler ends it or faults. `credits` is how many jobs may be
/// under way.
pub(crate) fn run(
    stream: &Stream,
    session: &Session,
    credits: u32,
    jobs: impl Iterator<Item = Job>,
    mut reply: impl FnMut(Reply) -> ControlFlow<()>,
    now: impl Fn() -> Instant,
) -> Summary {
    let mut summary = Summary::default();
    let mut work = match guard("its factory", || stream.handler.make(session)).and_then(started) {
        Ok(work) => work,
        Err(fault) => {
            tell(told(&fault), &mut reply);
            return Summary { faults: vec![fault], ..summary };
        }
    };
    let start = guard("start", || work.start(session)).and_then(started);
    let must_stop = start.is_ok();
    // Only now: a gateway that moves a session here leaves its old worker when it hears that this one is ready.
    let open = |()| match reply(Reply::Opened { credits }) {
        ControlFlow::Continue(()) => answer(stream, session, &mut work, jobs, &mut reply, now, &mut summary),
        ControlFlow::Break(()) => Ok(None),
    };
    // The client is told before `stop`, which may take its time.
    match start.and_then(open) {
        Ok(Some(message)) => tell([Reply::End { message, failed: false }], &mut reply),
        Ok(None) => {}
        Err(fault) => {
            tell(told(&fault), &mut reply);
            summary.faults.push(fault);
        }
    }
    if must_stop {
        summary.faults.extend(guard("stop", || work.stop()).err());
    }
    summary.faults.extend(guard("its destructor", || drop(work)).err());
    summary
}

fn started<T>(result: Result<T, HandlerError>) -> Result<T, Fault> {
    result.map_err(|error| Fault::Start { message: error.into_message() })
}

/// Answers jobs; returns the client's message when the handler meant the end.
fn answer(
    stream: &Stream,
    session: &Session,
    work: &mut Work,
    jobs: impl Iterator<Item = Job>,
    reply: &mut impl FnMut(Reply) -> ControlFlow<()>,
    now: impl Fn() -> Instant,
    summary: &mut Summary,
) -> Result<Option<String>, Fault> {
    // The last output's buffer is the next input's: no megabytes are allocated for a handler that draws in place.
    let mut buffer = Vec::new();
    let mut shown = Shown::default();
    for job in jobs {
        let (seq, frame, traceparent) = match job {
            Job::Frame { seq, capture_time, picture, traceparent } => {
                // The wire's copy is gone before the handler, perhaps for long, has the frame.
                let frame = picture.into_frame(stream.handler.format(), seq, capture_time, mem::take(&mut buffer));
                (seq, Some(frame), traceparent)
            }
            Job::Pull { seq, traceparent } => (seq, None, traceparent),
        };
        let span = traced(&traceparent, seq);
        let begun = now();
        let made = span.in_scope(|| guard(work.call(), || work.run(frame, session)))?;
        let handler_time = now() - begun;
        drop(span);
        let Some(mut made) = made else {
            return Ok(Some(GENERATED.to_owned()));
        };
        let close = made.as_mut().ok().and_then(|output| output.close.take());
        let outcome = match made {
            Ok(output) => present(stream, output, close.is_some(), &mut shown)?,
            Err(error) => Err(error),
        };
        summary.frames += 1;
        summary.errors += u64::from(outcome.is_err());
        let (outcome, outputs) = match outcome {
            Ok((frame, outputs)) => {
                let (picture, freed) = frame.map(I420::from_frame).unzip();
                buffer = freed.unwrap_or_default();
                (Ok(picture), outputs)
            }
            Err(error) => (Err(error), Vec::new()),
        };
        if reply(Reply::Result { seq, handler_time, outcome, outputs }).is_break() {
            break;
        }
        if let Some(close) = close {
            return Ok(Some(close.message().to_owned()));
        }
    }
    Ok(None)
}

/// The span of a call whose frame is one of the few that are traced. It is the author's to add spans within.
fn traced(traceparent: &str, seq: u64) -> Span {
    if traceparent.is_empty() {
        return Span::none();
    }
    let span = tracing::info_span!("handler", seq);
    reframe_trace::follow(&span, traceparent);
    span
}

/// What is shown of an output: its picture, and its values as JSON.
type Shows = (Option<Frame>, Vec<String>);

/// Checks an output against the stream's mode and declaration. The inner error is the frame's, the outer the session's.
fn present(
    stream: &Stream,
    output: Output,
    closes: bool,
    shown: &mut Shown,
) -> Result<Result<Shows, HandlerError>, Fault> {
    let Output { frame, outputs, close: _ } = output;
    let empty = frame.is_none() && outputs.is_none() && !closes;
    match stream.mode {
        Mode::Send if frame.is_some() => {
            return Ok(Err("the handler returned a frame, but a stream of mode send shows none: return \
                           AdditionalOutputs or ()"
                .into()));
        }
        Mode::SendReceive if empty => {
            return Ok(Err("the handler returned nothing: mode send-receive needs a frame, or AdditionalOutputs at \
                           least"
                .into()));
        }
        _ => {}
    }
    let Some(current) = outputs else { return Ok(Ok((frame, Vec::new()))) };
    let handler = &stream.outputs_handler;
    let values = guard("additional_outputs_handler", || handler(shown.previous(), current.values()))?;
    Ok(shown.update(&stream.outputs, values).map(|outputs| (frame, outputs)))
}

/// What the client is told of a fault. What a panic said is for the author and goes to the log only.
fn told(fault: &Fault) -> [Reply; 2] {
    let (error, end) = match fault {
        Fault::Start { message } => (message.as_str(), "the handler could not start"),
        Fault::Panic { .. } => ("the handler crashed", "the stream ended because its handler crashed"),
    };
    [
        Reply::Notice { level: Level::Error, message: error.to_owned() },
        Reply::End { message: end.to_owned(), failed: true },
    ]
}

/// Tells the client, as far as the gateway listens.
fn tell(replies: impl IntoIterator<Item = Reply>, reply: &mut impl FnMut(Reply) -> ControlFlow<()>) {
    for told in replies {
        if reply(told).is_break() {
            return;
        }
    }
}

/// Runs a piece of the author's code so that its panic ends this session and nothing else.
///
/// Unwind safety is asserted: of what `code` can reach, nothing but the handler outlives the panic, and the handler is
/// only told to stop and dropped. What the author shares between handlers has the rules of threads: a `Mutex` says so
/// by its poison.
fn guard<T>(call: &'static str, code: impl FnOnce() -> T) -> Result<T, Fault> {
    panic::catch_unwind(AssertUnwindSafe(code))
        .map_err(|payload| Fault::Panic { call, message: text(&*payload).to_owned() })
}

/// The message of a `panic!`; other payloads (`panic_any`) have none.
fn text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(not a text)")
}

#[cfg(test)]
mod tests;
