//! Hop 3 of 10: decoded frames, accepted or skipped; and everything else that a session decides.
//! In:    the session's `FrameQueue`, filled by `ingress`.   Out: the same queue, emptied by `link::send`.
//! Runs:  the session arbiter.   Full: skipping frames, the newest takes the waiting one's place
//!        (`reason="skipped"`); else `FIFO_FRAMES` wait and a further one is refused (`reason="overflow"`), which the
//!        client is told once.
//! Clock: monotonic, for the deadline to connect only.

pub(crate) mod client;
mod early;
mod registry;
mod seek;

use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, ArbiterHandle, AsyncContext, Context, Handler, Message, Recipient,
    SpawnHandle, StreamHandler, WrapFuture,
};
use rtc::peer_connection::transport::RTCIceCandidateInit;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, info, warn};

pub(crate) use self::client::{EndReason, Level, Notice};
pub(crate) use self::registry::{Candidate, Close, Drain, Gateway, List, Offer, OfferRefused, Running, Shutdown};
pub(crate) use self::seek::Seek;
use self::seek::{Found, Last};
use crate::arbiters::{Arbiters, CodecArbiter};
use crate::books::Hop;
use crate::codec::{CodecError, Vp8Decoder, Vp8Encoder};
use crate::controls::Controls;
use crate::egress::{Egress, Releases};
use crate::frame::{FrameQueue, Policy};
use crate::ingress::{Ingress, PacketQueue};
use crate::link::{self, Attached, Dialed, Ends, Flight};
use crate::pacer::PacerActor;
use crate::peer::{Peer, Taps};
use crate::placement::Slot;
use crate::pool::{Health, Serving};
use crate::spec::Mode;
use crate::telemetry::{self, Failover};

/// Frames that wait in order when nothing is skipped, and pictures of a generator: a quarter of a second at 30 fps,
/// 11 MB at 720p.
const FIFO_FRAMES: usize = 8;
/// Pictures that may wait for the encoder: the newest; of a generator those whose time is still to come.
const RELEASES: usize = 1;
/// See [`RELEASES`].
const EARLY_RELEASES: usize = 3;
/// Events from the connection and the worker. Full: their tasks wait, and with them only this session's peer.
const EVENTS: usize = 32;
/// Nudges and candidates. Full: a nudge is dropped, which loses nothing.
const MAILBOX: usize = 16;
/// How often the client is told what it cannot count itself.
const STATS_INTERVAL: Duration = Duration::from_secs(1);
/// An offer whose browser never connects gives its slot back after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A worker that was lost sooner than this after it took the session may have been lost by the session's doing.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// Workers that one session may lose in such a way, one after the other. A frame that makes the handler's process crash
/// must not go through all of them.
const MAX_LOSSES: u32 = 3;

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

/// What exists before the session does: the ends that its connection is built with.
pub(crate) struct Wiring {
    packets: Arc<PacketQueue>,
    keyframe_wanted: Arc<Notify>,
    keyframe_due: Arc<Notify>,
    events: mpsc::Sender<SessionEvent>,
    inbox: mpsc::Receiver<SessionEvent>,
}

/// Everything that a session needs to start.
pub(crate) struct Plan {
    pub(crate) id: String,
    /// All that is done for it is done within.
    pub(crate) span: Span,
    pub(crate) wiring: Wiring,
    pub(crate) peer: Peer,
    /// Where it begins.
    pub(crate) claimed: (Serving, Slot),
    /// How it finds others.
    pub(crate) seek: Seek,
    /// How long it may be without one.
    pub(crate) reconnect_limit: Duration,
    pub(crate) controls: Arc<Controls>,
    pub(crate) bitrate_kbps: u32,
}

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
    frames: Arc<FrameQueue>,
    stop: CancellationToken,
    span: Span,
    _codecs: CodecArbiter,
}

/// A session's way to a worker.
struct Route {
    link: Option<Attached>,
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
    told: bool,
}

impl Wiring {
    pub(crate) fn new() -> Self {
        let (events, inbox) = mpsc::channel(EVENTS);
        Self { packets: Arc::default(), keyframe_wanted: Arc::default(), keyframe_due: Arc::default(), events, inbox }
    }

    pub(crate) fn taps(&self, controls: Arc<Controls>) -> Taps {
        Taps {
            controls,
            packets: Arc::clone(&self.packets),
            events: self.events.clone(),
            keyframe_wanted: Arc::clone(&self.keyframe_wanted),
            keyframe_due: Arc::clone(&self.keyframe_due),
        }
    }
}

/// Starts all of a session's actors and tasks, each on its own kind of thread.
///
/// # Errors
/// A codec could not be made; the plan is dropped, which closes the connection and frees the slot.
pub(crate) fn start(
    plan: Plan,
    arbiters: &Arbiters,
    media: &tokio::runtime::Handle,
    registry: Addr<Gateway>,
) -> Result<Addr<Session>, CodecError> {
    let Plan { id, span, wiring, peer, claimed, seek, reconnect_limit, controls, bitrate_kbps } = plan;
    let spec = Arc::clone(&controls.spec);
    let decoder = if spec.mode == Mode::Receive { None } else { Some(Box::new(Vp8Decoder::new()?)) };
    let policy = if spec.skip_frames { Policy::NewestWins } else { Policy::Fifo(FIFO_FRAMES) };
    let frames = FrameQueue::new(Hop::Session, policy);
    let stop = CancellationToken::new();
    let codecs = arbiters.codec();
    let Wiring { packets, keyframe_wanted, keyframe_due, events, inbox } = wiring;
    let flight = Arc::new(Flight::new());

    let (results, releases, pacer) = if spec.mode == Mode::Receive {
        let results = FrameQueue::new(Hop::Pacer, Policy::Fifo(FIFO_FRAMES));
        let releases = Arc::new(Releases::new(EARLY_RELEASES));
        let (queue, out) = (Arc::clone(&results), Arc::clone(&releases));
        let pacer = PacerActor::metronome(spec.fps, Arc::clone(&flight), queue, out, stop.clone());
        (results, releases, pacer)
    } else {
        // Also when nothing is skipped: the handler has seen every frame, and a queue of results in front of a meter
        // that runs at the camera's own rate would never drain again.
        let results = FrameQueue::new(Hop::Pacer, Policy::NewestWins);
        let releases = Arc::new(Releases::new(RELEASES));
        let pacer = PacerActor::new(spec.fps, Arc::clone(&results), Arc::clone(&releases), stop.clone());
        (results, releases, pacer)
    };
    let pacer = PacerActor::start_in_arbiter(&arbiters.pacer, |_| pacer);
    if spec.mode != Mode::Send {
        let encoder = Box::new(Vp8Encoder::new(bitrate_kbps, spec.fps));
        let egress = Egress { releases, encoder, out: peer.frames(), keyframe_due, stop: stop.clone() };
        codecs.spawn(egress.run().instrument(span.clone()));
    }

    let ends = Ends {
        waiting: Arc::clone(&frames),
        controls: Arc::clone(&controls),
        flight,
        results,
        nudge: pacer.recipient(),
        events: events.clone(),
    };
    let session = Session {
        id,
        peer,
        route: Route {
            link: None,
            next: None,
            seeking: false,
            lost: None,
            limit: None,
            attached: None,
            losses: 0,
            told: false,
        },
        ends,
        seek,
        reconnect_limit,
        leaving: false,
        media: media.clone(),
        arbiter: arbiters.session.clone(),
        first: Some(claimed),
        inbox: Some(inbox),
        registry,
        controls,
        frames: Arc::clone(&frames),
        stop: stop.clone(),
        span: span.clone(),
        _codecs: codecs.clone(),
    };
    let session = Session::start_in_arbiter(&arbiters.session, |_| session);
    if let Some(decoder) = decoder {
        let nudge: Recipient<FrameWaiting> = session.clone().recipient();
        let ingress = Ingress { packets, decoder, frames, nudge, events, keyframe_wanted, stop };
        codecs.spawn(ingress.run().instrument(span));
    }
    Ok(session)
}

impl Session {
    /// Tells the client, if it is its business, and stops.
    fn end(&mut self, reason: &EndReason, ctx: &mut Context<Self>) {
        let _in_span = self.span.enter();
        info!(reason = reason.label(), "session ended");
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
        self.span.in_scope(|| info!("connected"));
        if let Some(limit) = self.controls.spec.time_limit {
            ctx.run_later(limit, move |session, ctx| session.end(&EndReason::TimeLimit(limit), ctx));
        }
    }

    /// Looks for a worker, in the background.
    fn seek(&mut self, last: Last, ctx: &mut Context<Self>) {
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
    fn leave_if_draining(&mut self, ctx: &mut Context<Self>) {
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
        let link = self.span.in_scope(|| link::open(dialed, &self.ends, &self.stop, &self.arbiter, &self.media));
        self.span.in_scope(|| info!(worker = link.worker.name, "worker attached"));
        self.controls.set_worker(Some(&link.worker.name));
        self.route.link = Some(link);
        if let Some(limit) = self.route.limit.take() {
            ctx.cancel_future(limit);
        }
        if std::mem::take(&mut self.route.told) {
            self.tell(client::connection("connected"));
        }
        let lost = self.route.lost.take();
        if self.route.attached.replace(Instant::now()).is_none() {
            return;
        }
        if let Some(lost) = lost {
            telemetry::failover(Failover::Recovered, lost.elapsed());
            self.tell(client::taken_over());
        } else if moved {
            telemetry::failover(Failover::Moved, Duration::ZERO);
            self.tell(client::moved());
        }
    }

    /// There is no link any more.
    fn detached(&mut self, why: Detached, ctx: &mut Context<Self>) {
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
    fn lost(&mut self, ctx: &mut Context<Self>) {
        self.route.lost.get_or_insert_with(Instant::now);
        if self.route.limit.is_none() {
            self.route.limit = Some(ctx.run_later(self.reconnect_limit, |session, ctx| {
                if session.route.attached.is_some() {
                    telemetry::failover(Failover::Lost, session.reconnect_limit);
                }
                session.end(&EndReason::WorkerLost, ctx);
            }));
        }
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
            if !session.controls.is_connected() {
                session.end(&EndReason::NeverConnected, ctx);
            }
        });
        ctx.run_interval(STATS_INTERVAL, |session, _| {
            if !session.controls.is_connected() {
                return;
            }
            // What a generator makes was never sent, and is not late; but the page takes these for our sign of life.
            let sends = session.controls.spec.mode != Mode::Receive;
            let skipped = sends.then(|| session.frames.skipped());
            session.tell(client::stats(skipped, session.controls.take_latency().filter(|_| sends)));
        });
        if let Some(first) = self.first.take() {
            self.seek(Last::Claimed(Box::new(first)), ctx);
        }
        self.span.in_scope(|| info!("session started"));
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
