//! A session's way to its worker, through losses and moves.
//!
//! > There is one link at a time. A new one is made when the last has said [`Detached`], after which nothing of it touches
//! > what they share.

use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, SpawnHandle, WrapFuture};
use tokio::time::Instant;
use tracing::{Instrument, info, warn};

use super::Session;
use super::seek::{Found, Last};
use crate::browser::messages;
use crate::media::event::{Detached, EndReason};
use crate::telemetry::{self, Failover};
use crate::workers::link::{self, Attached, Dialed};
use crate::workers::pool::Health;

/// A worker that was lost sooner than this after it took the session may have been lost by the session's doing.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// Workers that one session may lose in such a way, one after the other. A frame that makes the handler's process crash
/// must not go through all of them.
const MAX_LOSSES: u32 = 3;

/// A session's way to a worker.
#[derive(Default)]
pub(super) struct Route {
    pub(super) link: Option<Attached>,
    /// The worker that takes over when the link has been left.
    next: Option<Dialed>,
    /// Looking for a worker.
    seeking: bool,
    /// Since when there is no worker, after there was one; or since the first refused.
    lost: Option<Instant>,
    /// Ends the session when it was lost for too long.
    limit: Option<SpawnHandle>,
    /// Since when there is, or was, the last one; never any is `None`.
    attached: Option<Instant>,
    /// Workers that were lost soon after, in a row.
    losses: u32,
    /// The client knows that it has none.
    pub(super) told: bool,
}

impl Session {
    /// Looks for a worker, in the background.
    pub(super) fn seek(&mut self, last: Last, ctx: &mut Context<Self>) {
        self.route.seeking = true;
        let seeking = self.stop.clone().run_until_cancelled_owned(self.seek.clone().run(last));
        // On the media runtime, like all that serves a socket.
        let seeking = self.media.spawn(seeking.instrument(self.span.clone())).into_actor(self);
        ctx.spawn(seeking.map(|found, session, ctx| {
            session.route.seeking = false;
            match found {
                Ok(Some(Ok(Found::Worker(dialed)))) => session.found(*dialed, ctx),
                // It serves again, unless it was lost after it said so.
                Ok(Some(Ok(Found::Stay))) if session.route.link.is_none() => session.seek(Last::Nothing, ctx),
                Ok(Some(Ok(Found::Stay))) => session.leave_if_draining(ctx),
                Ok(Some(Err(reason))) => session.end(&reason, ctx),
                Err(error) if error.is_panic() => session.end(&EndReason::WorkerLost, ctx),
                // The session has ended; or the media runtime, and with it the gateway.
                Ok(None) | Err(_) => {}
            }
        }));
    }

    /// Looks for another worker if ours wants to be rid of us, and nobody looks yet.
    pub(super) fn leave_if_draining(&mut self, ctx: &mut Context<Self>) {
        let busy = self.route.seeking || self.route.next.is_some();
        if let Some(link) = self.route.link.as_ref().filter(|_| !busy)
            && *link.worker.health.borrow() == Health::Draining
        {
            let worker = link.worker.clone();
            self.seek(Last::Leaving(worker), ctx);
        }
    }

    /// A worker is ready: it takes over as soon as the last one is left.
    fn found(&mut self, dialed: Dialed, ctx: &mut Context<Self>) {
        match &self.route.link {
            Some(link) => {
                link.leave(&self.media);
                self.route.next = Some(dialed);
            }
            None => self.attach(dialed, false, ctx),
        }
    }

    fn attach(&mut self, dialed: Dialed, moved: bool, ctx: &mut Context<Self>) {
        // There is: nobody dials for a session that has not begun.
        let Some(held) = &self.held else { return };
        let link = self.span.in_scope(|| link::open(dialed, &held.ends, &self.stop, &self.arbiter, &self.media));
        // Before, anybody can cause it; the line of the connection names the worker too.
        if self.controls.is_connected() {
            self.span.in_scope(|| info!(worker = link.worker.name, "worker attached"));
        }
        self.controls.set_worker(Some(&link.worker.name));
        self.route.link = Some(link);
        if let Some(limit) = self.route.limit.take() {
            ctx.cancel_future(limit);
        }
        if std::mem::take(&mut self.route.told) {
            self.tell(messages::connection("connected"));
        }
        let lost = self.route.lost.take();
        if self.route.attached.replace(Instant::now()).is_none() {
            return;
        }
        if let Some(lost) = lost {
            telemetry::failover(Failover::Recovered, lost.elapsed());
            self.tell(messages::taken_over());
        } else if moved {
            telemetry::failover(Failover::Moved, Duration::ZERO);
            self.tell(messages::moved());
        }
    }

    /// There is no link any more.
    pub(super) fn detached(&mut self, why: Detached, ctx: &mut Context<Self>) {
        let last = self.route.link.take();
        self.controls.set_worker(None);
        if let Some(next) = self.route.next.take() {
            return self.attach(next, true, ctx);
        }
        if why == Detached::Left {
            // With nobody to go to: the session itself is ending.
            return;
        }
        let soon = self.route.attached.is_some_and(|since| since.elapsed() < GOOD_AFTER);
        self.route.losses = if soon { self.route.losses + 1 } else { 1 };
        if self.route.losses > MAX_LOSSES {
            self.span.in_scope(|| warn!(workers = self.route.losses, "lost one worker after the other, giving up"));
            telemetry::failover(Failover::Lost, Duration::ZERO);
            return self.end(&EndReason::WorkerLost, ctx);
        }
        self.lost(ctx);
        if let (Some(last), false) = (last, self.route.seeking) {
            self.seek(Last::Lost(last.worker), ctx);
        }
    }

    /// There is no worker, and that may not go on for ever.
    pub(super) fn lost(&mut self, ctx: &mut Context<Self>) {
        self.route.lost.get_or_insert_with(Instant::now);
        if self.route.limit.is_none() {
            self.route.limit = Some(ctx.run_later(self.timeouts.reconnect, |session, ctx| {
                if session.route.attached.is_some() {
                    telemetry::failover(Failover::Lost, session.timeouts.reconnect);
                }
                session.end(&EndReason::WorkerLost, ctx);
            }));
        }
    }
}
