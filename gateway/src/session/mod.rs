//! Hop 3 of 10: decoded frames, accepted or skipped; and everything else that a session decides.
//! In:    the session's `FrameQueue`, filled by `ingress`.   Out: the same queue, emptied by `link::send`.
//! Runs:  the session arbiter.   Full: skipping frames, the newest takes the waiting one's place
//!        (`reason="skipped"`); else `FIFO_FRAMES` wait and a further one is refused (`reason="overflow"`), which the
//!        client is told once.
//! Clock: monotonic, for the deadline to connect only.

pub(crate) mod client;
mod early;
mod registry;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient, StreamHandler};
use rtc::peer_connection::transport::RTCIceCandidateInit;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, info, info_span};

pub(crate) use self::client::{EndReason, Level, Notice};
pub(crate) use self::registry::{
    Candidate, CandidateError, Close, Gateway, List, Listed, Offer, OfferRefused, Running, Shutdown,
};
use crate::arbiters::{Arbiters, CodecArbiter};
use crate::books::Hop;
use crate::codec::{CodecError, Vp8Decoder, Vp8Encoder};
use crate::controls::Controls;
use crate::egress::{Egress, Releases};
use crate::frame::{FrameQueue, Policy};
use crate::ingress::{Ingress, PacketQueue};
use crate::link::{self, Flight, Link, Sinks, Source};
use crate::pacer::PacerActor;
use crate::peer::{Peer, Taps};
use crate::placement::Slot;
use crate::pool::Client;
use crate::spec::Mode;
use crate::telemetry;

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
    /// It is over.
    Ended(EndReason),
}

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
    pub(crate) wiring: Wiring,
    pub(crate) peer: Peer,
    pub(crate) slot: Slot,
    pub(crate) worker: Client,
    pub(crate) controls: Arc<Controls>,
    pub(crate) bitrate_kbps: u32,
}

/// The actor. It owns the session: when it stops, everything of it is dropped, and with that closed and counted.
pub(crate) struct Session {
    id: String,
    peer: Peer,
    /// The one address from which the link is nudged; a generator's link needs no nudge.
    link: Option<Addr<Link>>,
    inbox: Option<mpsc::Receiver<SessionEvent>>,
    registry: Addr<Gateway>,
    controls: Arc<Controls>,
    frames: Arc<FrameQueue>,
    stop: CancellationToken,
    span: Span,
    _codecs: CodecArbiter,
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
    let Plan { id, wiring, peer, slot, worker, controls, bitrate_kbps } = plan;
    let span = info_span!("session", session = id);
    let spec = Arc::clone(&controls.spec);
    let decoder = if spec.mode == Mode::Receive { None } else { Some(Box::new(Vp8Decoder::new()?)) };
    let policy = if spec.skip_frames { Policy::NewestWins } else { Policy::Fifo(FIFO_FRAMES) };
    let frames = FrameQueue::new(Hop::Session, policy);
    let stop = CancellationToken::new();
    let codecs = arbiters.codec();
    let Wiring { packets, keyframe_wanted, keyframe_due, events, inbox } = wiring;
    let flight = Flight::new();

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

    let source =
        Source { session_id: id.clone(), waiting: Arc::clone(&frames), controls: Arc::clone(&controls), flight };
    let sinks = Sinks { results, nudge: pacer.recipient(), events: events.clone() };
    let link = span.in_scope(|| link::open((worker, slot), source, sinks, stop.clone(), &arbiters.session, media));

    let session = Session {
        id,
        peer,
        link,
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
        for text in client::farewell(reason) {
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
            // What a generator makes was never sent, and is not late.
            if session.controls.is_connected() && session.controls.spec.mode != Mode::Receive {
                session.tell(client::stats(session.frames.skipped(), session.controls.take_latency()));
            }
        });
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
        // Full: the worker is behind, a nudge waits already, and the frame that it will find is the newest.
        if let Some(link) = &self.link {
            drop(link.try_send(FrameWaiting));
        }
    }
}

impl Handler<AddCandidate> for Session {
    type Result = ();

    fn handle(&mut self, message: AddCandidate, _: &mut Self::Context) {
        self.peer.add_candidate(message.0);
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
            SessionEvent::FallingBehind => self.tell(client::falling_behind()),
            SessionEvent::Notice(notice) => self.tell(client::notice(&notice)),
            SessionEvent::Ended(reason) => self.end(&reason, ctx),
        }
    }
}
