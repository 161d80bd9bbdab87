//! The actor of one session. Its pure `core` decides; the actor carries out the decisions
//! (`perform`), and forwards wake-ups when a frame waits for the worker.
//!
//! It may import `browser`, `pipeline` and what is below them. It knows the gateway only by two
//! addresses, each for one message. It runs on the session arbiter.

mod answers;
mod core;
mod nearer;
mod perform;
mod rate;
mod renegotiation;
mod start;
mod viewers;
mod watch;
mod worker_search;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actix::{
    Actor, ArbiterHandle, AsyncContext, Context, Handler, Message, Recipient, SpawnHandle,
};
use rtc::peer_connection::transport::RTCIceCandidateInit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Span;

pub(crate) use self::answers::Answers;
use self::core::{Core, Event};
pub(crate) use self::perform::{Admit, Admitted};
pub(crate) use self::rate::{moves, new_sessions};
pub(crate) use self::renegotiation::{Answer, Renegotiation};
use self::start::Parts;
pub(crate) use self::start::{PendingSession, SessionChannels, Timeouts, open};
pub(crate) use self::viewers::AddViewer;
use self::viewers::Unwatched;
pub(crate) use self::worker_search::{WorkerSearch, claim, workers_for};
use crate::browser::messages;
use crate::browser::peer::Peer;
use crate::media::event::{EndReason, FrameWaiting, SessionEvent};
use crate::media::receive_stats::Counts;
use crate::media::session_id::SessionId;
use crate::pipeline::bandwidth::asked_fps;
use crate::pipeline::fanout::Renditions;
use crate::stream::live_session::LiveSession;
use crate::stream::spec::Mode;
use crate::telemetry;
use crate::threads::arbiters::CodecArbiter;
use crate::workers::link::{Attached, Dialed, LinkContext};
use crate::workers::placement::Slot;
use crate::workers::pool::WorkerHandle;

/// How often the client is sent figures that only the server knows.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// A trickled candidate for a running session.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AddCandidate(pub(crate) RTCIceCandidateInit);

/// End the session.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct End(pub(crate) EndReason);

/// Ask the browser to move to another gateway, because this one is stopping.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Reconnect;

/// A session's actor has stopped.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SessionStopped(pub(crate) SessionId);

/// The actor. It owns the session: when it stops, everything in it is dropped, and so closed and
/// counted.
pub(crate) struct Session {
    id: SessionId,
    /// `None`: of a broadcast, which has no client of its own, only viewers.
    peer: Option<Peer>,
    unwatched: Unwatched,
    /// The decisions; everything else here is needed to carry them out.
    core: Core,
    /// Its browser is shown the results.
    shows: bool,
    /// The timer of the core's deadline, with its time.
    timer: Option<(Instant, SpawnHandle)>,
    /// What it begins with; none once it has begun.
    parts: Option<Box<Parts>>,
    /// What the gateway admitted it with; `None` once it has begun.
    admitted: Option<Box<Admitted>>,
    /// Once it has begun.
    held: Option<Held>,
    /// The slot that was claimed for it, until the search takes it.
    claimed: Option<Box<(WorkerHandle, Slot)>>,
    /// The worker that the search has found, until the link is created.
    found: Option<Dialed>,
    link: Option<Attached>,
    renegotiation: Renegotiation,
    search: WorkerSearch,
    /// The client knows another declaration than the one that holds.
    outdated: bool,
    /// The client was asked to move to another gateway.
    leaving: bool,
    media: tokio::runtime::Handle,
    arbiter: ArbiterHandle,
    admission: Recipient<Admit>,
    stopped: Recipient<SessionStopped>,
    live: Arc<LiveSession>,
    stop: CancellationToken,
    span: Span,
}

/// The resources of a session that holds a slot.
struct Held {
    context: LinkContext,
    /// Whether frames are turned for the handler.
    upright: Arc<AtomicBool>,
    codecs: CodecArbiter,
    /// What its browser and its viewers are shown.
    renditions: Renditions,
}

impl Session {
    /// Sends the figures that only the server knows. It is also our keep-alive, and the sign that
    /// the session was admitted.
    fn tell_stats(&self) {
        let Some(Held { context, codecs, .. }) =
            self.held.as_ref().filter(|_| self.live.status.is_connected())
        else {
            return;
        };
        let spec = &self.live.spec;
        // A generator's picture has no capture time and so no latency.
        let sends = spec.mode != Mode::Receive;
        let skipped = context.waiting.skipped() + self.live.handler_times.superseded();
        let skipped = sends.then_some(skipped);
        let asked = codecs.schedule().relief().asked;
        let max_fps = (sends && asked > 0).then(|| asked_fps(spec.fps, asked));
        let (latency, handler) = (self.live.latency.take(), self.live.handler_times.take());
        self.tell(messages::stats(skipped, latency.filter(|_| sends), max_fps, handler));
    }

    /// What its client has sent so far; `None` without a client.
    fn counts(&self) -> Option<Counts> {
        Some(self.live.received.counts(self.peer.as_ref()?.heard()))
    }

    fn tell(&self, text: String) {
        if self.peer.as_ref().is_some_and(|peer| !peer.send_text(text)) {
            telemetry::message_dropped();
        }
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(STATS_INTERVAL, |session, ctx| {
            session.tell_stats();
            session.look_after_viewers(ctx);
            let Some(counts) = session.counts() else { return };
            session.handle_event(Event::Counted(counts), ctx);
            // A session that never had a frame ends soon anyway, and does not give way.
            let idle = if counts.frames > 0 { session.core.idle() } else { Duration::ZERO };
            session.live.received.set_idle(idle);
        });
        self.set_timer(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.stop.cancel();
        // Whatever stopped it, nothing may wait for it any longer.
        self.live.outputs.end("");
        if self.parts.is_some() {
            // No slot was taken, whose release would inform the other gateways.
            let (placement, id) = (Arc::clone(&self.search.placement), self.id.clone());
            let stream = self.live.spec.name.clone();
            self.media.spawn(async move { placement.disown(&id, &stream).await });
        }
        let stopped = self.stopped.send(SessionStopped(self.id.clone()));
        actix::spawn(async move {
            // Closed: the gateway is stopping.
            stopped.await.ok();
        });
    }
}

impl Handler<FrameWaiting> for Session {
    type Result = ();

    fn handle(&mut self, _: FrameWaiting, _: &mut Self::Context) {
        // Without a link the frame waits for the next one, which checks the queue when it starts.
        if let Some(link) = &self.link {
            link.nudge();
        }
    }
}

impl Handler<AddCandidate> for Session {
    type Result = ();

    fn handle(&mut self, message: AddCandidate, _: &mut Self::Context) {
        if let Some(peer) = &self.peer {
            peer.add_candidate(message.0);
        }
    }
}

impl Handler<Reconnect> for Session {
    type Result = ();

    fn handle(&mut self, _: Reconnect, ctx: &mut Self::Context) {
        self.leaving = true;
        if self.peer.is_none() {
            // Another gateway can only begin it when it is over here.
            return self.handle_event(Event::End(EndReason::Shutdown), ctx);
        }
        self.tell(messages::connection("reconnect"));
    }
}

impl Handler<End> for Session {
    type Result = ();

    fn handle(&mut self, message: End, ctx: &mut Self::Context) {
        self.handle_event(Event::End(message.0), ctx);
    }
}

impl Handler<SessionEvent> for Session {
    type Result = ();

    fn handle(&mut self, event: SessionEvent, ctx: &mut Self::Context) {
        let event = match event {
            SessionEvent::Checked => Event::Checked,
            SessionEvent::Connected => Event::Connected(self.counts().unwrap_or_default()),
            SessionEvent::FallingBehind => Event::FallingBehind,
            SessionEvent::Notice(notice) => return self.tell(messages::notice(&notice)),
            SessionEvent::Relieved => return self.tell_stats(),
            SessionEvent::Draining => match self.draining_worker() {
                Some(worker) => Event::Draining(worker),
                // The worker serves again already.
                None => return,
            },
            SessionEvent::Detached(why) => {
                let last = self.link.take();
                self.live.status.set_worker(None);
                Event::Detached(why, last.map(|link| link.worker))
            }
            SessionEvent::Waiting => Event::Waiting,
            SessionEvent::Ended(reason) => Event::End(reason),
        };
        self.handle_event(event, ctx);
    }
}
