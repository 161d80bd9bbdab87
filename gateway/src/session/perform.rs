//! Carries out the decisions of a session's core.

use std::sync::Arc;

use actix::{ActorContext, ActorFutureExt, AsyncContext, Context, Message, WrapFuture};
use reframe_trace::STRANGER;
use tokio::time::Instant;
use tracing::{Instrument, error, info, warn};

use super::Session;
use super::core::{Action, Event, Notification, Previous};
use super::worker_search::{SearchOutcome, workers_for};
use crate::browser::messages;
use crate::browser::peer::Peer;
use crate::codec::CodecError;
use crate::media::event::{ConnectStage, EndReason};
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::telemetry::{self, Failover};
use crate::threads::arbiters::CodecArbiter;
use crate::threads::clock;
use crate::workers::link;
use crate::workers::placement::{Slot, limit};
use crate::workers::pool::{Health, WorkerHandle};

/// A session's browser has sent its first signed check, or completed DTLS. `None`: nothing is
/// decided now.
#[derive(Message)]
#[rtype(result = "Option<Result<Admitted, OfferRefused>>")]
pub(crate) struct Admit {
    pub(crate) id: SessionId,
    /// DTLS is up.
    pub(crate) encrypted: bool,
}

/// The resources of an admitted session. Dropping them returns them.
pub(crate) struct Admitted {
    pub(crate) codecs: CodecArbiter,
    pub(crate) worker: WorkerHandle,
    pub(crate) slot: Slot,
}

/// By the core's clock.
pub(super) fn now() -> Instant {
    clock::now()
}

impl Session {
    /// Lets the core decide about an event, and carries out its actions.
    pub(super) fn handle_event(&mut self, event: Event<WorkerHandle>, ctx: &mut Context<Self>) {
        for action in self.core.handle(now(), event) {
            if let Err(error) = self.perform(action, ctx) {
                self.span.in_scope(|| error!(%error, "no codec"));
                // The actions after it depend on it.
                return self.handle_event(Event::NoCodec, ctx);
            }
        }
        self.set_timer(ctx);
    }

    /// Keeps one timer, set for the core's deadline.
    pub(super) fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let due = self.core.deadline();
        if self.timer.as_ref().map(|(set, _)| *set) == due {
            return;
        }
        if let Some((_, timer)) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        self.timer = due.map(|due| {
            let timer = ctx.run_later(due.saturating_duration_since(now()), |session, ctx| {
                session.timer = None;
                let step = session.peer.as_ref().map_or(ConnectStage::NoPacket, Peer::step);
                session.handle_event(Event::Deadline(step), ctx);
            });
            (due, timer)
        });
    }

    /// # Errors
    /// [`Action::Begin`] failed: a codec could not be created. No other action fails.
    fn perform(
        &mut self,
        action: Action<WorkerHandle>,
        ctx: &mut Context<Self>,
    ) -> Result<(), CodecError> {
        match action {
            Action::AskAdmission { encrypted } => self.ask_admission(encrypted, ctx),
            Action::NoteConnected => {
                self.live.status.set_connected();
                self.span.in_scope(|| info!(worker = self.live.status.worker(), "connected"));
            }
            Action::Begin => self.begin_admitted(ctx)?,
            Action::Search(previous) => self.search(previous, ctx),
            Action::SearchNearer => {
                let worker = self.link.as_ref().map(|link| link.worker.clone());
                self.search(worker.map_or(Previous::Nothing, Previous::Far), ctx);
            }
            Action::Attach => self.attach(),
            Action::Leave => {
                if let Some(link) = &self.link {
                    link.leave(&self.media);
                }
            }
            Action::Notify(Notification::Stats) => self.tell_stats(),
            Action::Notify(Notification::Reconnecting) => {
                self.tell(messages::connection("reconnecting"))
            }
            Action::Notify(Notification::Reattached) => {
                self.tell(messages::connection("connected"))
            }
            Action::Notify(Notification::TakenOver) => self.tell(messages::taken_over()),
            Action::Notify(Notification::Moved) => self.tell(messages::moved()),
            Action::Notify(Notification::FallingBehind) => self.tell(messages::falling_behind()),
            Action::Notify(Notification::NothingShown(fault)) => {
                let fault_label = fault.label();
                self.span.in_scope(|| info!(fault = fault_label, "no frame is decoded"));
                telemetry::nothing_shown(fault_label);
                self.tell(messages::nothing_shown(fault));
            }
            Action::Count(outcome, took) => {
                if outcome == Failover::Lost {
                    self.span.in_scope(
                        || warn!(after = ?took, "no worker took over from the one that was lost"),
                    );
                }
                telemetry::failover(outcome, took);
            }
            Action::End(reason) => self.end(&reason, ctx),
        }
        Ok(())
    }

    fn ask_admission(&self, encrypted: bool, ctx: &mut Context<Self>) {
        let asking = self.admission.send(Admit { id: self.id.clone(), encrypted });
        ctx.spawn(asking.into_actor(self).map(|admitted, session, ctx| match admitted {
            Ok(Some(Ok(admitted))) => {
                session.admitted = Some(Box::new(admitted));
                session.handle_event(Event::Admitted, ctx);
                // A second admission is not needed, and returns its slot.
                session.admitted = None;
            }
            Ok(Some(Err(refused))) => session.handle_event(Event::Refused(refused), ctx),
            // Not now, or already admitted; or the gateway is stopping and ends this session.
            Ok(None) | Err(_) => {}
        }));
    }

    fn begin_admitted(&mut self, ctx: &mut Context<Self>) -> Result<(), CodecError> {
        match (self.parts.take(), self.admitted.take()) {
            (Some(parts), Some(admitted)) => self.begin(*parts, *admitted, ctx),
            _ => Ok(()),
        }
    }

    /// Searches for a worker in the background.
    fn search(&mut self, previous: Previous<WorkerHandle>, ctx: &mut Context<Self>) {
        let claimed = self.claimed.take().map(|place| *place);
        let searching = self.search.clone().run(previous, claimed);
        let searching = self.stop.clone().run_until_cancelled_owned(searching);
        // On the media runtime, like everything that uses a socket.
        let searching = self.media.spawn(searching.instrument(self.span.clone())).into_actor(self);
        ctx.spawn(searching.map(|found, session, ctx| {
            let event = match found {
                Ok(Some(Ok(SearchOutcome::Worker(dialed)))) => {
                    session.found = Some(*dialed);
                    Event::Found
                }
                Ok(Some(Ok(SearchOutcome::Stay { refused }))) => {
                    Event::Stay { draining: session.draining_worker(), refused }
                }
                Ok(Some(Err(reason))) => Event::SearchFailed(reason),
                Err(error) if error.is_panic() => Event::SearchFailed(EndReason::WorkerLost),
                // The session has ended, or the media runtime, and with it the gateway, is
                // stopping.
                Ok(None) | Err(_) => return,
            };
            session.handle_event(event, ctx);
        }));
    }

    /// This session's worker, if it drains.
    pub(super) fn draining_worker(&self) -> Option<WorkerHandle> {
        let link = self.link.as_ref()?;
        (*link.worker.health.borrow() == Health::Draining).then(|| link.worker.clone())
    }

    fn attach(&mut self) {
        // Both exist: no search runs for a session that has not begun.
        let (Some(held), Some(dialed)) = (&self.held, self.found.take()) else { return };
        // There is no other link, so nothing that they share is ever under two declarations.
        let spec = Arc::clone(&dialed.worker.spec);
        held.follow(&spec);
        if self.live.declare(&spec) || self.outdated {
            let slots = limit(&workers_for(&self.search.pool, &self.live));
            self.tell(messages::declaration(&self.live.declaration(slots)));
            self.outdated = false;
        }
        let link = self
            .span
            .in_scope(|| link::open(dialed, &held.context, &self.stop, &self.arbiter, &self.media));
        // Before the connection, strangers can cause this line at will; the line of the connection
        // names the worker too.
        if self.live.status.is_connected() {
            self.span.in_scope(|| info!(worker = link.worker.name, "worker attached"));
        }
        self.live.status.set_worker(Some(&link.worker.name));
        self.link = Some(link);
    }

    /// Tells the client if the reason concerns it, and stops.
    fn end(&mut self, reason: &EndReason, ctx: &mut Context<Self>) {
        let _in_span = self.span.enter();
        self.live.set_end(reason);
        // Before its browser is connected, strangers can begin and end sessions at will.
        let (connected, label) = (self.live.status.is_connected(), reason.label());
        match reason.step() {
            Some(step) => {
                let (words, step) = (step.in_words(), step.label());
                if connected {
                    info!(reason = label, step, "session ended: {words}");
                } else {
                    info!(target: STRANGER, reason = label, step, "session ended: {words}");
                }
                telemetry::connection_failed(step);
            }
            // A client may cause this repeatedly.
            None if matches!(reason, EndReason::Driver(_)) => {
                error!(target: STRANGER, reason = label, "session ended: its connection's driver \
                    is gone");
            }
            None if connected => info!(reason = label, "session ended"),
            None => info!(target: STRANGER, reason = label, "session ended, never connected"),
        }
        telemetry::session_ended(reason.label());
        self.live.outputs.end(&messages::last_words(reason).unwrap_or_default());
        for text in messages::farewell(reason, self.leaving) {
            self.tell(text);
        }
        ctx.stop();
    }
}
