//! Hop 6 of 10: frames in, what the handler made of them out.
//! In:    the actor's mailbox, filled by `service`, <= the credits of the session; beside it one
//!        frame that a newer may replace (`newest`).
//! Out:   `service`, <= REPLIES + NOTICES (13 messages).
//! Runs:  one actor a session, on a thread of its own: the handler and both pixel conversions.
//! Full:  what the mailbox refuses came without a credit, and ends its session; while the replies
//!        are full, the handler waits.
//! Clock: monotonic, around the handler's call only (`calls`).

mod core;
mod credits;
mod inbox;
mod pool;
mod shown;
mod thread;

use std::ops::ControlFlow;
use std::sync::Arc;

use actix::{Actor, ActorContext, Context, Handler};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::DropGuard;
use tonic::Status;

use self::core::Core;
use self::credits::Credits;
pub(crate) use self::inbox::Inbox;
pub(crate) use self::pool::{Call, Pool};
use crate::error::HandlerError;
use crate::message::{Job, Reply};
use crate::session::Session;

/// The worker's half of a session: it runs the handler on the frames of its mailbox, in order.
pub(crate) struct SessionActor {
    core: Core,
    session: Session,
    // Dropped last, and in this order: whoever sees the call end finds the slot free.
    /// Held until the author's code has really returned, however the call ended: `--capacity`
    /// bounds threads, not calls.
    _slot: OwnedSemaphorePermit,
    /// Cancels `Call::returned` when the author's code has returned.
    _returned: DropGuard,
    outbox: Outbox,
}

/// The actor's replies to the gateway.
struct Outbox {
    replies: mpsc::Sender<Result<Reply, Status>>,
    /// The credits that the gateway is given when the handler has started.
    granted: u32,
    credits: Arc<Credits>,
    /// A failed frame has been logged.
    reported: bool,
}

impl Actor for SessionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.session.set_current();
        let Self { core, outbox, .. } = self;
        if core.start(outbox.granted, &mut |reply| outbox.send(reply)).is_break() {
            ctx.stop();
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        let summary = self.core.finish();
        self.session.newest().clear();
        // The panic hook is the author's and stays untouched: the default one has printed where the
        // panic was, under this thread's name. This line adds the session.
        for fault in &summary.faults {
            tracing::error!(%fault);
        }
        let (frames, errors, superseded) = (summary.frames, summary.errors, summary.superseded);
        let dropped_notices = self.session.dropped_notices();
        let refused = self.outbox.credits.refused();
        if frames > 0 {
            tracing::info!(frames, errors, superseded, dropped_notices, refused, "session ended");
        } else {
            // Strangers can cause such sessions at will.
            tracing::info!(
                target: reframe_trace::STRANGER,
                dropped_notices,
                refused,
                "session ended without a frame"
            );
        }
    }
}

impl Handler<Job> for SessionActor {
    type Result = ();

    fn handle(&mut self, job: Job, ctx: &mut Self::Context) {
        let Self { core, outbox, .. } = self;
        let mut reply = |reply| outbox.send(reply);
        // Once the inbox is dropped the session is over, and waiting jobs are dropped.
        if !ctx.connected() || core.answer(job, &mut reply).is_break() {
            ctx.stop();
        }
    }
}

impl Outbox {
    /// Sends a reply, and waits for room. Breaks when the gateway no longer listens.
    fn send(&mut self, reply: Reply) -> ControlFlow<()> {
        // Credits are counted before the gateway can see the reply, because it may send a frame at
        // once.
        match &reply {
            Reply::Opened { credits } => self.credits.give(*credits),
            Reply::Result { outcome, more_credits, .. } => {
                self.credits.give(1 + *more_credits);
                if let Err(error) = outcome
                    && !error.is_superseded()
                {
                    self.report(error);
                }
            }
            Reply::Notice { .. } | Reply::End { .. } => {}
        }
        let sent = self.replies.blocking_send(Ok(reply));
        sent.map_or(ControlFlow::Break(()), ControlFlow::Continue)
    }

    /// Logs one line a session: a handler often fails on every frame, and the summary has the
    /// count.
    fn report(&mut self, error: &HandlerError) {
        if !std::mem::replace(&mut self.reported, true) {
            let error = error.chain();
            tracing::warn!(error, "the handler failed on a frame; more are only counted");
        }
    }
}

#[cfg(test)]
mod tests;
