//! Hop 3 of 10: decoded frames, accepted or skipped; and everything else that a session decides.
//! In:    the session's `FrameQueue`, filled by `ingress`.   Out: the same queue, emptied by `link::send`.
//! Runs:  the session arbiter.   Full: skipping frames, the newest takes the waiting one's place
//!        (`reason="skipped"`); else `FIFO_FRAMES` wait and a further one is refused (`reason="overflow"`), which the
//!        client is told once.
//! Clock: monotonic, for deadlines and for how long nothing has come.

mod answers;
mod opening;
mod rate;
mod renegotiation;
mod route;
mod seek;
mod start;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, ArbiterHandle, AsyncContext, Context, Handler, Message, Recipient, StreamHandler};
use reframe_trace::STRANGER;
use rtc::peer_connection::transport::RTCIceCandidateInit;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::{Span, error, info};

pub(crate) use self::answers::Answers;
pub(crate) use self::opening::{Admit, Admitted};
use self::rate::Offers;
pub(crate) use self::rate::new_sessions;
pub(crate) use self::renegotiation::Answer;
use self::route::Route;
pub(crate) use self::seek::{Seek, workers_for};
use self::start::Parts;
pub(crate) use self::start::{Plan, Timeouts, Wiring, open};
use self::watch::Watch;
use crate::browser::messages;
use crate::browser::peer::Peer;
use crate::media::event::{EndReason, FrameWaiting, SessionEvent};
use crate::pipeline::bandwidth::asked_fps;
use crate::stream::controls::Controls;
use crate::stream::spec::Mode;
use crate::telemetry;
use crate::threads::arbiters::CodecArbiter;
use crate::workers::link::Ends;

/// Nudges and candidates. Full: a nudge is dropped, which loses nothing.
const MAILBOX: usize = 16;
/// How often the client is told what it cannot count itself.
const STATS_INTERVAL: Duration = Duration::from_secs(1);
/// A session whose browser sends no signed check ends after this. Browsers send their checks one round trip after the
/// answer; until then the session takes some 400 kB.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A trickled candidate for a session that runs.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AddCandidate(pub(crate) RTCIceCandidateInit);

/// End the session.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct End(pub(crate) EndReason);

/// Tell the browser to go to another gateway: this one is stopping.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Reconnect;

/// A session's actor has stopped.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SessionStopped(pub(crate) String);

/// The actor. It owns the session: when it stops, everything of it is dropped, and with that closed and counted.
pub(crate) struct Session {
    id: String,
    peer: Peer,
    route: Route,
    /// What it begins with; none once it has begun.
    parts: Option<Box<Parts>>,
    /// Once it is admitted.
    held: Option<Held>,
    /// A signed check has come.
    checked: bool,
    offers: Offers,
    answers: Arc<Answers>,
    /// Once it is connected.
    watch: Option<Watch>,
    seek: Seek,
    timeouts: Timeouts,
    /// The client was asked to go to another gateway.
    leaving: bool,
    media: tokio::runtime::Handle,
    arbiter: ArbiterHandle,
    inbox: Option<mpsc::Receiver<SessionEvent>>,
    admission: Recipient<Admit>,
    stopped: Recipient<SessionStopped>,
    controls: Arc<Controls>,
    stop: CancellationToken,
    span: Span,
}

/// What a session has while it holds a slot.
struct Held {
    ends: Ends,
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
            // A client may have made it so, and may again.
            None if matches!(reason, EndReason::Driver(_)) => {
                error!(target: STRANGER, reason = label, "session ended: its connection's driver is gone");
            }
            None if connected => info!(reason = label, "session ended"),
            None => info!(target: STRANGER, reason = label, "session ended, never connected"),
        }
        telemetry::session_ended(reason.label());
        self.controls.outputs.end(&messages::last_words(reason).unwrap_or_default());
        for text in messages::farewell(reason, self.leaving) {
            self.tell(text);
        }
        ctx.stop();
    }

    /// What the client cannot know; also our sign of life, and that it was admitted.
    fn tell_stats(&self) {
        let Some(Held { ends, codecs }) = self.held.as_ref().filter(|_| self.controls.is_connected()) else {
            return;
        };
        let spec = &self.controls.spec;
        // What a generator makes was never sent, and is not late.
        let sends = spec.mode != Mode::Receive;
        let skipped = sends.then(|| ends.waiting.skipped());
        let asked = codecs.turns().relief().asked;
        let max_fps = (sends && asked > 0).then(|| asked_fps(spec.fps, asked));
        self.tell(messages::stats(skipped, self.controls.take_latency().filter(|_| sends), max_fps));
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
        ctx.run_later(CONNECT_TIMEOUT, |session, ctx| {
            // With one, DTLS has its own time.
            if !session.checked && !session.controls.is_connected() {
                session.end(&EndReason::NeverConnected(session.peer.step()), ctx);
            }
        });
        ctx.run_interval(STATS_INTERVAL, |session, ctx| {
            session.tell_stats();
            session.look(ctx);
        });
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.stop.cancel();
        // However it stopped, nobody shall wait for more.
        self.controls.outputs.end("");
        if self.parts.is_some() {
            // No slot was taken, whose end would tell the other gateways.
            let (placement, id) = (Arc::clone(&self.seek.placement), self.id.clone());
            let stream = self.controls.spec.name.clone();
            self.media.spawn(async move { placement.disown(&id, &stream).await });
        }
        let stopped = self.stopped.send(SessionStopped(self.id.clone()));
        actix::spawn(async move {
            // Closed: the whole gateway is going down.
            stopped.await.ok();
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
        self.tell(messages::connection("reconnect"));
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
            SessionEvent::Checked => self.first_check(ctx),
            SessionEvent::Connected => self.connected(ctx),
            // Without a worker it is not the handler that is slow.
            SessionEvent::FallingBehind if self.route.link.is_none() => {}
            SessionEvent::FallingBehind => self.tell(messages::falling_behind()),
            SessionEvent::Notice(notice) => self.tell(messages::notice(&notice)),
            SessionEvent::Relieved => self.tell_stats(),
            SessionEvent::Draining => self.leave_if_draining(ctx),
            SessionEvent::Detached(why) => self.detached(why, ctx),
            SessionEvent::Waiting => {
                if self.route.link.is_none() {
                    self.lost(ctx);
                    if !std::mem::replace(&mut self.route.told, true) {
                        self.tell(messages::connection("reconnecting"));
                    }
                }
            }
            SessionEvent::Ended(reason) => self.end(&reason, ctx),
        }
    }
}
