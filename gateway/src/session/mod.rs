//! Hop 3 of 10: decoded frames, accepted or skipped; and everything else that a session decides.
//! In:    the session's `FrameQueue`, filled by `ingress`.   Out: the same queue, emptied by `link::send`.
//! Runs:  the session arbiter.   Full: skipping frames, the newest takes the waiting one's place
//!        (`reason="skipped"`); else `FIFO_FRAMES` wait and a further one is refused (`reason="overflow"`), which the
//!        client is told once.
//! Clock: monotonic, for the deadline to connect only.

pub(crate) mod client;
mod early;
mod registry;
mod renegotiation;
mod route;
mod seek;
mod start;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, ArbiterHandle, AsyncContext, Context, Handler, Message, StreamHandler};
use futures_util::StreamExt;
use reframe_trace::STRANGER;
use rtc::peer_connection::transport::RTCIceCandidateInit;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tokio_util::sync::CancellationToken;
use tracing::{Span, debug, info};

pub(crate) use self::client::{EndReason, Level, Notice};
pub(crate) use self::registry::{Candidate, Close, Drain, Gateway, List, Offer, OfferRefused, Running, Shutdown};
pub(crate) use self::renegotiation::Renegotiate;
use self::route::Route;
use self::seek::Last;
pub(crate) use self::seek::Seek;
use self::start::{Plan, Wiring, start};
use crate::arbiters::CodecArbiter;
use crate::bandwidth::asked_fps;
use crate::controls::Controls;
use crate::link::Ends;
use crate::peer::Peer;
use crate::placement::Slot;
use crate::pool::Serving;
use crate::spec::Mode;
use crate::telemetry;

/// Nudges and candidates. Full: a nudge is dropped, which loses nothing.
const MAILBOX: usize = 16;
/// How often the client is told what it cannot count itself.
const STATS_INTERVAL: Duration = Duration::from_secs(1);
/// An offer whose browser never connects gives its slot back after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A frame was put into the queue that the receiver empties. Losing one is harmless when another waits.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FrameWaiting;

/// A trickled candidate for a session that runs.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AddCandidate(pub(crate) RTCIceCandidateInit);

/// End the session.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct End(pub(crate) EndReason);

/// What a session's connection, decoder and worker tell it.
#[derive(Debug)]
pub(crate) enum SessionEvent {
    /// The browser is connected.
    Connected,
    /// Frames find no room, for the first time.
    FallingBehind,
    /// From inside the handler, for the client.
    Notice(Notice),
    /// Its codec thread does more or less for its streams: the client is told without delay.
    Relieved,
    /// Its worker wants to be rid of it.
    Draining,
    /// There is no link any more. It was the last that this one did.
    Detached(Detached),
    /// No other worker has room so far.
    Waiting,
    /// It is over.
    Ended(EndReason),
}

/// Why there is no link any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detached {
    /// The session left it.
    Left,
    /// The worker went away.
    Lost,
}

/// Tell the browser to go to another gateway: this one is stopping.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Reconnect;

/// The actor. It owns the session: when it stops, everything of it is dropped, and with that closed and counted.
pub(crate) struct Session {
    id: String,
    peer: Peer,
    route: Route,
    ends: Ends,
    seek: Seek,
    reconnect_limit: Duration,
    /// The client was asked to go to another gateway.
    leaving: bool,
    media: tokio::runtime::Handle,
    arbiter: ArbiterHandle,
    /// The worker that it begins with.
    first: Option<(Serving, Slot)>,
    inbox: Option<mpsc::Receiver<SessionEvent>>,
    registry: Addr<Gateway>,
    controls: Arc<Controls>,
    stop: CancellationToken,
    span: Span,
    codecs: CodecArbiter,
}

impl Session {
    /// Tells the client, if it is its business, and stops.
    fn end(&mut self, reason: &EndReason, ctx: &mut Context<Self>) {
        let _in_span = self.span.enter();
        // Until its browser is connected anybody can have a session begin and end.
        let (connected, label) = (self.controls.is_connected(), reason.label());
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
            None if connected => info!(reason = label, "session ended"),
            None => info!(target: STRANGER, reason = label, "session ended, never connected"),
        }
        telemetry::session_ended(reason.label());
        self.controls.outputs.end(&client::last_words(reason).unwrap_or_default());
        for text in client::farewell(reason, self.leaving) {
            self.tell(text);
        }
        ctx.stop();
    }

    fn connected(&self, ctx: &mut Context<Self>) {
        if self.controls.is_connected() {
            // Back after an interruption.
            return;
        }
        self.controls.set_connected();
        self.span.in_scope(|| info!(worker = self.controls.worker(), "connected"));
        if let Some(limit) = self.controls.spec.time_limit {
            ctx.run_later(limit, move |session, ctx| session.end(&EndReason::TimeLimit(limit), ctx));
        }
    }

    /// What the client cannot know; also our sign of life.
    fn tell_stats(&self) {
        if !self.controls.is_connected() {
            return;
        }
        let spec = &self.controls.spec;
        // What a generator makes was never sent, and is not late.
        let sends = spec.mode != Mode::Receive;
        let skipped = sends.then(|| self.ends.waiting.skipped());
        let asked = self.codecs.turns().relief().asked;
        let max_fps = (sends && asked > 0).then(|| asked_fps(spec.fps, asked));
        self.tell(client::stats(skipped, self.controls.take_latency().filter(|_| sends), max_fps));
    }

    fn tell(&self, text: String) {
        if !self.peer.send_text(text) {
            telemetry::message_dropped();
        }
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        if let Some(inbox) = self.inbox.take() {
            ctx.add_stream(ReceiverStream::new(inbox));
        }
        ctx.add_stream(WatchStream::new(self.codecs.turns().reliefs()).map(|_| SessionEvent::Relieved));
        ctx.run_later(CONNECT_TIMEOUT, |session, ctx| {
            if !session.controls.is_connected() {
                session.end(&EndReason::NeverConnected(session.peer.step()), ctx);
            }
        });
        ctx.run_interval(STATS_INTERVAL, |session, _| session.tell_stats());
        if let Some(first) = self.first.take() {
            self.seek(Last::Claimed(Box::new(first)), ctx);
        }
        self.span.in_scope(|| debug!("session started"));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.stop.cancel();
        // However it stopped, nobody shall wait for more.
        self.controls.outputs.end("");
        let ended = registry::Ended(self.id.clone());
        let registry = self.registry.clone();
        actix::spawn(async move {
            // Closed: the whole gateway is going down.
            registry.send(ended).await.ok();
        });
    }
}

impl Handler<FrameWaiting> for Session {
    type Result = ();

    fn handle(&mut self, _: FrameWaiting, _: &mut Self::Context) {
        // Without a link it waits for the next one, which looks by itself.
        if let Some(link) = &self.route.link {
            link.nudge();
        }
    }
}

impl Handler<AddCandidate> for Session {
    type Result = ();

    fn handle(&mut self, message: AddCandidate, _: &mut Self::Context) {
        self.peer.add_candidate(message.0);
    }
}

impl Handler<Reconnect> for Session {
    type Result = ();

    fn handle(&mut self, _: Reconnect, _: &mut Self::Context) {
        self.leaving = true;
        self.tell(client::connection("reconnect"));
    }
}

impl Handler<End> for Session {
    type Result = ();

    fn handle(&mut self, message: End, ctx: &mut Self::Context) {
        self.end(&message.0, ctx);
    }
}

impl StreamHandler<SessionEvent> for Session {
    fn handle(&mut self, event: SessionEvent, ctx: &mut Self::Context) {
        match event {
            SessionEvent::Connected => self.connected(ctx),
            // Without a worker it is not the handler that is slow.
            SessionEvent::FallingBehind if self.route.link.is_none() => {}
            SessionEvent::FallingBehind => self.tell(client::falling_behind()),
            SessionEvent::Notice(notice) => self.tell(client::notice(&notice)),
            SessionEvent::Relieved => self.tell_stats(),
            SessionEvent::Draining => self.leave_if_draining(ctx),
            SessionEvent::Detached(why) => self.detached(why, ctx),
            SessionEvent::Waiting => {
                if self.route.link.is_none() {
                    self.lost(ctx);
                    if !std::mem::replace(&mut self.route.told, true) {
                        self.tell(client::connection("reconnecting"));
                    }
                }
            }
            SessionEvent::Ended(reason) => self.end(&reason, ctx),
        }
    }
}
