//! Hop 6 of 10: frames in, what the handler made of them out.
//! In:    `service`, <= the credits of the session.   Out: `service`, <= REPLIES + NOTICES (13 messages).
//! Runs:  one thread per session, with the handler and both pixel conversions.   Full: the handler waits.
//! Clock: monotonic, around the handler's call only.

mod core;
mod shown;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::{io, iter, thread};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tonic::Status;

use crate::message::{Job, Reply};
use crate::session::Session;
use crate::stream::Stream;

/// One call, as its session's thread has it.
pub(crate) struct Call {
    /// Held until the author's code has really returned, however the call ended: `capacity` bounds threads, not calls.
    pub(crate) slot: OwnedSemaphorePermit,
    /// Closed by the other end when the session is over. What waits then is dropped.
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) replies: mpsc::Sender<Result<Reply, Status>>,
    /// What the gateway is given when the handler has started.
    pub(crate) credits: u32,
    /// Permits are credits that the gateway has.
    pub(crate) budget: Arc<Semaphore>,
    /// Dropped when the author's code has returned.
    pub(crate) returned: oneshot::Sender<()>,
}

/// Starts the session's thread, which works in the caller's span.
///
/// # Errors
///
/// When the system refuses another thread.
pub(crate) fn spawn(stream: Arc<Stream>, session: Session, call: Call) -> io::Result<()> {
    // Linux shows 15 bytes. The id comes from outside, and a NUL in a name would panic.
    let prefix: String = session.id().chars().filter(char::is_ascii_alphanumeric).take(7).collect();
    let span = tracing::Span::current();
    thread::Builder::new().name(format!("handler-{prefix}")).spawn(move || run(&stream, &session, call, span)).map(drop)
}

fn run(stream: &Stream, session: &Session, call: Call, span: tracing::Span) {
    let Call { slot, mut jobs, replies, credits, budget, returned } = call;
    let span = span.entered();
    session.set_current();
    let mut reported = false;

    let next = iter::from_fn(|| jobs.blocking_recv().filter(|_| !jobs.is_closed()));
    let reply = |reply| {
        // Before the gateway can see the reply: it may answer with a frame at once.
        match &reply {
            Reply::Opened { credits } => budget.add_permits(*credits as usize),
            Reply::Result { .. } => budget.add_permits(1),
            Reply::Notice { .. } | Reply::End { .. } => {}
        }
        if let Reply::Result { outcome, .. } = &reply {
            // One line a session: an error in every frame is common, and the summary has the count.
            if let (Err(error), false) = (outcome, reported) {
                reported = true;
                tracing::warn!(error = error.chain(), "the handler failed on a frame; more are only counted");
            }
        }
        replies.blocking_send(Ok(reply)).map_or(ControlFlow::Break(()), ControlFlow::Continue)
    };
    let summary = core::run(stream, session, credits, next, reply, Instant::now);

    // The panic hook is the author's and stays untouched: the default one has printed where the panic was, under this
    // thread's name. This line adds the session.
    for fault in &summary.faults {
        tracing::error!(%fault);
    }
    let dropped_notices = session.dropped_notices();
    if summary.frames > 0 {
        tracing::info!(frames = summary.frames, errors = summary.errors, dropped_notices, "session ended");
    } else {
        // Such are had for the asking.
        tracing::info!(target: reframe_trace::STRANGER, dropped_notices, "session ended without a frame");
    }
    drop(span);
    // In this order: whoever sees the call end finds the slot free.
    drop((slot, returned));
    drop((jobs, replies));
}

#[cfg(test)]
mod tests;
