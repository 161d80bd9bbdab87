//! One session from its first frame to its last, as a function from frames to replies. No I/O, no clock, no thread:
//! those are arguments, so the tests run thousands of sessions in no time.
//!
//! > Frames are answered once each and in order, up to the fault that ends the session; a handler that started is
//! > stopped once, whatever it did.

use std::{
    any::Any,
    ops::ControlFlow,
    panic::{self, AssertUnwindSafe},
};

use tokio::time::Instant;

use super::{Incoming, Reply};
use crate::{handler::Handler, i420::I420};

/// How a session went, for the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Frames answered.
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

/// Runs a session until `frames` ends, `reply` breaks, or the handler faults.
pub(crate) fn run(
    make: impl FnOnce() -> Box<dyn Handler>,
    frames: impl Iterator<Item = Incoming>,
    mut reply: impl FnMut(Reply) -> ControlFlow<()>,
    now: impl Fn() -> Instant,
) -> Summary {
    let mut summary = Summary::default();
    let mut handler = match guard("its factory", make) {
        Ok(handler) => handler,
        Err(fault) => {
            tell(&fault, reply);
            return Summary { faults: vec![fault], ..summary };
        }
    };
    let started = guard("start", || handler.start())
        .and_then(|started| started.map_err(|error| Fault::Start { message: error.message().to_owned() }));
    let must_stop = started.is_ok();
    if let Err(fault) = started.and_then(|()| process(&mut *handler, frames, &mut reply, now, &mut summary)) {
        // Before `stop`, which may take its time.
        tell(&fault, reply);
        summary.faults.push(fault);
    }
    if must_stop {
        summary.faults.extend(guard("stop", || handler.stop()).err());
    }
    summary.faults.extend(guard("its destructor", || drop(handler)).err());
    summary
}

fn process(
    handler: &mut dyn Handler,
    frames: impl Iterator<Item = Incoming>,
    reply: &mut impl FnMut(Reply) -> ControlFlow<()>,
    now: impl Fn() -> Instant,
    summary: &mut Summary,
) -> Result<(), Fault> {
    // The last output's buffer is the next input's: no megabytes are allocated for a handler that draws in place.
    let mut buffer = Vec::new();
    for Incoming { seq, capture_time, picture } in frames {
        let frame = picture.to_frame(seq, capture_time, buffer);
        // The wire's copy is not needed while the handler, perhaps for long, has the frame.
        drop(picture);
        let begun = now();
        let processed = guard("process", || handler.process(frame))?;
        let handler_time = now() - begun;
        summary.frames += 1;
        summary.errors += u64::from(processed.is_err());
        let (outcome, freed) = match processed {
            Ok(frame) => (Ok(I420::from_frame(&frame)), frame.rgb),
            Err(error) => (Err(error), Vec::new()),
        };
        buffer = freed;
        if reply(Reply::Result { seq, handler_time, outcome }).is_break() {
            break;
        }
    }
    Ok(())
}

/// Tells the client. What a panic said is for the author, not for the client, and goes to the log only.
fn tell(fault: &Fault, mut reply: impl FnMut(Reply) -> ControlFlow<()>) {
    let (error, end) = match fault {
        Fault::Start { message } => (message.as_str(), "the handler could not start"),
        Fault::Panic { .. } => ("the handler crashed", "the stream ended because its handler crashed"),
    };
    for told in [Reply::Error { message: error.to_owned() }, Reply::Failed { message: end.to_owned() }] {
        if reply(told).is_break() {
            return;
        }
    }
}

/// Runs a piece of the author's code so that its panic ends this session and nothing else.
///
/// Unwind safety is asserted: of what `call` can reach, nothing but the handler outlives the panic, and the handler is
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
