//! One session from its first frame to its last, as a state with three steps. It has no I/O and no
//! thread, so that tests run thousands of sessions in a short time.
//!
//! > The session opens once its handler has started. Jobs are answered once each and in order, up
//! > to what ends the session; a handler that started is stopped once, whatever it did.

use std::any::Any;
use std::mem;
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use tracing::Span;

use super::shown::Shown;
use crate::calls::Caller;
use crate::error::HandlerError;
use crate::frame::Frame;
use crate::frame::pixels::I420;
use crate::handler::{Output, Work};
use crate::message::{HANDLER_SPAN, Job, Reply, Severity, Times};
use crate::mode::Mode;
use crate::session::Session;
use crate::stream::Stream;

/// The message to the client when a generator has no more items.
const GENERATED: &str = "The stream has ended";

/// The outcome of a session, for the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Frames and pulls answered.
    pub(crate) frames: u64,
    /// How many of them the handler failed on.
    pub(crate) errors: u64,
    /// How many of them it gave up for a newer one.
    pub(crate) superseded: u64,
    /// What went wrong, in order. The first fault ended the session, unless only the clean-up
    /// failed.
    pub(crate) faults: Vec<Fault>,
}

/// A fault of the handler that ends its session.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the handler did not start: {message}")]
    Start { message: String },
    #[error("the handler panicked in {call}: {message}")]
    Panic { call: &'static str, message: String },
}

/// How a step replies to the gateway. It breaks when the gateway no longer listens.
pub(crate) type ReplySink<'a> = dyn FnMut(Reply) -> ControlFlow<()> + 'a;

/// A session's handler and the state between its frames. After a step breaks, only
/// [`finish`](Self::finish) may follow.
pub(crate) struct Core {
    stream: Arc<Stream>,
    session: Session,
    caller: Caller,
    /// `None` before the handler is made and after it has been dropped.
    work: Option<Work>,
    /// The handler has started.
    must_stop: bool,
    /// The buffer of the last output becomes that of the next input, so a handler that draws in
    /// place causes no allocation of megabytes.
    buffer: Vec<u8>,
    shown: Shown,
    summary: Summary,
}

impl Core {
    pub(crate) fn new(stream: Arc<Stream>, session: Session, caller: Caller) -> Self {
        let (buffer, shown, summary) = (Vec::new(), Shown::default(), Summary::default());
        Self { stream, session, caller, work: None, must_stop: false, buffer, shown, summary }
    }

    /// Makes the handler and starts it, then opens the session with `credits`, the number of jobs
    /// that may be outstanding.
    pub(crate) fn start(&mut self, credits: u32, reply: &mut ReplySink<'_>) -> ControlFlow<()> {
        match self.make() {
            // Not before: a gateway that moves a session here leaves its old worker when it hears
            // that this one is ready.
            Ok(()) => reply(Reply::Opened { credits }),
            Err(fault) => self.fail(fault, reply),
        }
    }

    /// Answers one job.
    pub(crate) fn answer(&mut self, job: Job, reply: &mut ReplySink<'_>) -> ControlFlow<()> {
        // The client is told before `stop`, which may be slow.
        match self.process(job, reply) {
            Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
            Ok(ControlFlow::Break(End::Unheard)) => ControlFlow::Break(()),
            Ok(ControlFlow::Break(End::Meant(message))) => {
                let end = Reply::End { message, failed: false };
                tell([end], reply)
            }
            Err(fault) => self.fail(fault, reply),
        }
    }

    /// Stops the handler, if it had started, and drops it.
    pub(crate) fn finish(&mut self) -> Summary {
        let Self { work, must_stop, summary, caller, .. } = self;
        if let Some(mut work) = work.take() {
            caller.call(|| {
                if *must_stop {
                    summary.faults.extend(guard("stop", || work.stop()).err());
                }
                summary.faults.extend(guard("its destructor", || drop(work)).err());
            });
        }
        mem::take(summary)
    }

    fn make(&mut self) -> Result<(), Fault> {
        let Self { stream, session, work, must_stop, caller, .. } = self;
        let made = caller.call(|| {
            let made = guard("its factory", || stream.handler.make(session)).and_then(started)?;
            let work = work.insert(made);
            guard("start", || work.start(session)).and_then(started)
        });
        session.take_batch();
        *must_stop = made.is_ok();
        made
    }

    fn process(&mut self, job: Job, reply: &mut ReplySink<'_>) -> Result<ControlFlow<End>, Fault> {
        let Self { stream, session, caller, work, buffer, shown, summary, .. } = self;
        let work = work.as_mut().expect("jobs come between the start and the end");
        let (seq, frame, traceparent) = match job {
            Job::Frame { seq, capture_time, picture, traceparent } => {
                // The wire's copy is freed before the handler, which may be slow, gets the frame.
                let (format, buffer) = (stream.handler.format(), mem::take(buffer));
                (seq, Some(picture.into_frame(format, seq, capture_time, buffer)), traceparent)
            }
            Job::Pull { seq, traceparent } => (seq, None, traceparent),
            Job::Newest => {
                // Taken before, or the session ends: then it has gone with it.
                let Some(job) = session.newest().take() else {
                    return Ok(ControlFlow::Continue(()));
                };
                return self.process(job, reply);
            }
        };
        let span = traced(&traceparent, seq);
        let (made, handler, turn) =
            span.in_scope(|| caller.frame(|| guard(work.call(), || work.run(frame, session))));
        let times = Times { handler, turn, batch: session.take_batch() };
        let made = made?;
        drop(span);
        let Some(mut made) = made else {
            return Ok(ControlFlow::Break(End::Meant(GENERATED.to_owned())));
        };
        let close = made.as_mut().ok().and_then(|output| output.close.take());
        let outcome = match made {
            Ok(output) => present(stream, output, close.is_some(), shown)?,
            Err(error) => Err(error),
        };
        // A generator has no newer frame: for it, this is an error like others.
        let outcome = outcome.map_err(|error| match stream.mode {
            Mode::Receive if error.is_superseded() => HandlerError::new(error.into_message()),
            _ => error,
        });
        let superseded = outcome.as_ref().is_err_and(HandlerError::is_superseded);
        summary.frames += 1;
        summary.superseded += u64::from(superseded);
        summary.errors += u64::from(outcome.is_err() && !superseded);
        let (outcome, outputs) = match outcome {
            Ok((frame, outputs)) => {
                let (picture, freed) = frame.map(I420::from_frame).unzip();
                *buffer = freed.unwrap_or_default();
                (Ok(picture), outputs)
            }
            Err(error) => (Err(error), Vec::new()),
        };
        let more_credits = session.newest().more_credits();
        if reply(Reply::Result { seq, times, outcome, outputs, more_credits }).is_break() {
            return Ok(ControlFlow::Break(End::Unheard));
        }
        Ok(match close {
            Some(close) => ControlFlow::Break(End::Meant(close.message().to_owned())),
            None => ControlFlow::Continue(()),
        })
    }

    /// Ends the session because of the handler's fault.
    fn fail(&mut self, fault: Fault, reply: &mut ReplySink<'_>) -> ControlFlow<()> {
        let flow = tell(replies_to(&fault), reply);
        self.summary.faults.push(fault);
        flow
    }
}

/// Why a session ends without a fault.
enum End {
    /// The handler ended it, with this message for the client.
    Meant(String),
    /// The gateway no longer listens.
    Unheard,
}

fn started<T>(result: Result<T, HandlerError>) -> Result<T, Fault> {
    result.map_err(|error| Fault::Start { message: error.into_message() })
}

/// The span of a call, if its frame is one of the few that are traced. The author's own spans
/// become its children.
fn traced(traceparent: &str, seq: u64) -> Span {
    if traceparent.is_empty() {
        return Span::none();
    }
    let span = tracing::info_span!(HANDLER_SPAN, seq);
    reframe_trace::follow(&span, traceparent);
    span
}

/// The visible part of an output: its picture, and its values as JSON.
type Shows = (Option<Frame>, Vec<String>);

/// Checks an output against the stream's mode and declaration. The inner error fails the frame, the
/// outer error ends the session.
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
            return Ok(Err(
                "the handler returned a frame, but a stream of mode send shows none: return \
                           AdditionalOutputs or ()"
                    .into(),
            ));
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
    let values =
        guard("additional_outputs_handler", || handler(shown.previous(), current.values()))?;
    Ok(shown.update(&stream.outputs, values).map(|outputs| (frame, outputs)))
}

/// What the client is told of a fault. What a panic said is for the author and goes to the log
/// only.
fn replies_to(fault: &Fault) -> [Reply; 2] {
    let (error, end) = match fault {
        Fault::Start { message } => (message.as_str(), "the handler could not start"),
        Fault::Panic { .. } => {
            ("the handler crashed", "the stream ended because its handler crashed")
        }
    };
    [
        Reply::Notice { level: Severity::Error, message: error.to_owned() },
        Reply::End { message: end.to_owned(), failed: true },
    ]
}

/// Tells the client, as far as the gateway listens, that the session is over: always breaks.
fn tell(replies: impl IntoIterator<Item = Reply>, reply: &mut ReplySink<'_>) -> ControlFlow<()> {
    replies.into_iter().try_for_each(reply)?;
    ControlFlow::Break(())
}

/// Runs a piece of the author's code so that its panic ends this session and nothing else.
///
/// Unwind safety is asserted: of what `code` can reach, nothing but the handler outlives the panic,
/// and the handler is only told to stop and dropped. What the author shares between handlers has
/// the rules of threads: a `Mutex` says so by its poison.
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
