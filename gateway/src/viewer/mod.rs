//! The actor of one viewer: somebody who watches a session of another client. A thin one: its
//! connection is as a session's, and what it is shown is decided where pictures are encoded
//! (`pipeline::fanout`). It takes no slot, and neither decodes nor encodes.
//!
//! It may import `session` and what is below it. It knows the gateway only by two addresses, each
//! for one message. It runs on the session arbiter.

mod core;
mod start;

use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient,
    ResponseFuture, WrapFuture,
};
use reframe_trace::STRANGER;
use tokio::sync::Notify;
use tracing::{Span, info};

use self::core::Core;
pub(crate) use self::start::{PendingViewer, ViewerChannels, open};
use crate::browser::messages;
use crate::browser::peer::Peer;
use crate::codec::Format;
use crate::media::event::{EndReason, SessionEvent};
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::pipeline::fanout::Output;
use crate::session::{AddCandidate, AddViewer, Answer, End, Reconnect, Renegotiation, Session};
use crate::stream::live_session::LiveSession;
use crate::telemetry::{self, message_dropped};
use crate::threads::clock;

/// How often it is looked at whether anybody is there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A viewer's client has sent a signed check, or DTLS is up: it waits for nobody any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ViewerChecked(pub(crate) SessionId);

/// A viewer's actor has stopped.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ViewerStopped(pub(crate) SessionId);

/// The actor. When it stops, its connection is closed.
pub(crate) struct Viewer {
    core: Core,
    id: SessionId,
    peer: Peer,
    renegotiation: Renegotiation,
    /// What its connection takes.
    format: Format,
    output: Arc<Output>,
    /// Notified when its client needs a keyframe.
    keyframe_due: Arc<Notify>,
    /// Whom it watches.
    session: actix::Addr<Session>,
    live: Arc<LiveSession>,
    /// What it watches.
    watched: Arc<LiveSession>,
    /// Its client was asked to go to another gateway.
    leaving: bool,
    checked: Recipient<ViewerChecked>,
    stopped: Recipient<ViewerStopped>,
    span: Span,
}

impl Viewer {
    /// Shows it the session, until that ends.
    fn join(&self, ctx: &mut Context<Self>) {
        self.span.in_scope(|| info!("a viewer is connected"));
        let output = Arc::clone(&self.output);
        let joining = self.session.send(AddViewer { format: self.format, output });
        ctx.spawn(joining.into_actor(self).map(|joined, viewer, ctx| match joined {
            Ok(Some(session)) => {
                let ended = session.cancelled_owned().into_actor(viewer);
                ctx.spawn(ended.map(|(), viewer, ctx| viewer.end_with_session(ctx)));
            }
            // It ended meanwhile.
            Ok(None) | Err(_) => viewer.end_with_session(ctx),
        }));
    }

    /// The sign of life that the page waits for.
    fn tell_stats(&self) {
        self.tell(messages::stats(None, None, None, self.live.handler_times.take()));
    }

    fn tell_checked(&self, ctx: &mut Context<Self>) {
        // Closed: the gateway is stopping.
        let telling = self.checked.send(ViewerChecked(self.id.clone())).into_actor(self);
        ctx.spawn(telling.map(|_, _, _| ()));
    }

    /// Tells its client, if that has a data channel: those of WHEP mostly have none, and nothing
    /// waits for them.
    fn tell(&self, text: String) {
        if !self.peer.send_text(text) {
            message_dropped();
        }
    }

    /// The session is over. Who watches a broadcast is told why, as its client would be: a page
    /// would begin it again otherwise.
    fn end_with_session(&mut self, ctx: &mut Context<Self>) {
        let why = self.watched.end().filter(|_| self.watched.spec.broadcast);
        let told = why.filter(|why| !matches!(why, EndReason::Shutdown | EndReason::Unwatched));
        let told = told.unwrap_or(EndReason::SessionEnded);
        self.end_telling(&EndReason::SessionEnded, &told, ctx);
    }

    fn end(&mut self, reason: &EndReason, ctx: &mut Context<Self>) {
        self.end_telling(reason, reason, ctx);
    }

    fn end_telling(&mut self, reason: &EndReason, told: &EndReason, ctx: &mut Context<Self>) {
        let _in_span = self.span.enter();
        let label = reason.label();
        if self.core.is_connected() {
            info!(reason = label, "a viewer ended");
        } else {
            // Strangers can begin and end them at will.
            info!(target: STRANGER, reason = label, "a viewer ended, never connected");
        }
        if let Some(step) = reason.step() {
            telemetry::connection_failed(step.label());
        }
        telemetry::viewers::ended(label);
        for text in messages::farewell(told, self.leaving) {
            self.tell(text);
        }
        ctx.stop();
    }
}

impl Actor for Viewer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(LOOK_EVERY, |viewer, ctx| {
            let (heard, step) = (viewer.peer.heard(), viewer.peer.step());
            if let Some(reason) = viewer.core.look(clock::now(), heard, step) {
                return viewer.end(&reason, ctx);
            }
            if viewer.core.is_connected() {
                viewer.tell_stats();
            }
        });
        let (due, output) = (Arc::clone(&self.keyframe_due), Arc::clone(&self.output));
        let requests = async move {
            loop {
                due.notified().await;
                output.lost_reference();
            }
        };
        ctx.spawn(requests.into_actor(self));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.output.end();
        let stopped = self.stopped.send(ViewerStopped(self.id.clone()));
        actix::spawn(async move {
            // Closed: the gateway is stopping.
            stopped.await.ok();
        });
    }
}

impl Handler<SessionEvent> for Viewer {
    type Result = ();

    fn handle(&mut self, event: SessionEvent, ctx: &mut Self::Context) {
        match event {
            SessionEvent::Checked => {
                self.core.checked(clock::now());
                self.tell_checked(ctx);
            }
            SessionEvent::Connected if self.core.connected(clock::now()) => {
                // The check may have been lost on its way here.
                self.tell_checked(ctx);
                self.tell_stats();
                self.join(ctx);
            }
            SessionEvent::Ended(reason) => self.end(&reason, ctx),
            // Of what a viewer has not: a decoder, a worker.
            _ => {}
        }
    }
}

impl Handler<AddCandidate> for Viewer {
    type Result = ();

    fn handle(&mut self, message: AddCandidate, _: &mut Self::Context) {
        self.peer.add_candidate(message.0);
    }
}

impl Handler<Answer> for Viewer {
    type Result = ResponseFuture<Result<String, OfferRefused>>;

    fn handle(&mut self, Answer(offer): Answer, _: &mut Self::Context) -> Self::Result {
        let (checked, connected) = (self.core.is_checked(), self.core.is_connected());
        self.renegotiation.answer(&offer, &self.peer, checked, connected, &self.span)
    }
}

impl Handler<Reconnect> for Viewer {
    type Result = ();

    fn handle(&mut self, _: Reconnect, _: &mut Self::Context) {
        self.leaving = true;
        self.tell(messages::connection("reconnect"));
    }
}

impl Handler<End> for Viewer {
    type Result = ();

    fn handle(&mut self, message: End, ctx: &mut Self::Context) {
        self.end(&message.0, ctx);
    }
}
