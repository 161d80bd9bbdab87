//! A session's beginning, in two steps: what it needs to wait for its browser, and, once it is
//! admitted, its codecs, queues, actors and tasks, each on its own kind of thread.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Recipient};
use futures_util::StreamExt;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::answers::Answers;
use super::core::{Core, Limits};
use super::perform::Admitted;
use super::rate::Offers;
use super::{Admit, Held, Session, SessionStopped, WorkerSearch};
use crate::browser::offer::Negotiated;
use crate::browser::peer::{Peer, PeerChannels};
use crate::codec::payload::{MTU_PAYLOAD_BYTES, Packetiser};
use crate::codec::{Codec, CodecError, Encoder, H264Encoder};
use crate::media::event::{FrameWaiting, SessionEvent};
use crate::media::frame::{FrameQueue, Policy};
use crate::media::limits::{BitrateLimits, VideoLimits};
use crate::pipeline::backlog::PacketQueue;
use crate::pipeline::bandwidth::Throttle;
use crate::pipeline::egress::{Egress, PacedQueue};
use crate::pipeline::ingress::Ingress;
use crate::pipeline::intake::Intake;
use crate::pipeline::pacer::PacerActor;
use crate::stream::live_session::LiveSession;
use crate::stream::spec::Mode;
use crate::telemetry;
use crate::telemetry::ledger::Hop;
use crate::threads::arbiters::Arbiters;
use crate::workers::link::{CreditWindow, LinkContext};

/// Frames that wait in order when nothing is skipped, and pictures of a generator: a quarter of a
/// second at 30 fps, 11 MB at 720p.
const FIFO_FRAMES: usize = 8;
/// Pictures that may wait for the encoder: the newest; of a generator those whose time is still to
/// come.
const RELEASES: usize = 1;
/// See [`RELEASES`].
const EARLY_RELEASES: usize = 3;
/// Events from the connection and the worker. Full: their tasks wait, and with them only this
/// session's peer.
const EVENTS: usize = 32;

/// What exists before the session does: the ends that its connection is built with.
pub(crate) struct SessionChannels {
    packets: Arc<PacketQueue>,
    keyframe_wanted: Arc<Notify>,
    keyframe_due: Arc<Notify>,
    pub(crate) events: mpsc::Sender<SessionEvent>,
    inbox: mpsc::Receiver<SessionEvent>,
    bitrates: BitrateLimits,
    most: VideoLimits,
    /// What the path to the browser carries, kbit/s.
    carries: watch::Sender<u32>,
}

/// How long things may last, by the options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// A session without a worker.
    pub(crate) reconnect: Duration,
    /// A session whose browser has stopped sending video.
    pub(crate) idle: Duration,
}

/// What a session needs to wait for its browser. It holds no slot, and no place on a codec thread.
pub(crate) struct PendingSession {
    pub(crate) id: String,
    /// All that is done for it is done within.
    pub(crate) span: Span,
    pub(crate) wiring: SessionChannels,
    pub(crate) peer: Peer,
    pub(crate) codec: Negotiated,
    /// How it finds workers.
    pub(crate) seek: WorkerSearch,
    pub(crate) timeouts: Timeouts,
    pub(crate) controls: Arc<LiveSession>,
    /// Of its first offer.
    pub(crate) ufrag: Option<String>,
    pub(crate) answers: Arc<Answers>,
}

/// What waits for [`Session::begin`].
pub(super) struct Parts {
    packets: Arc<PacketQueue>,
    keyframe_wanted: Arc<Notify>,
    keyframe_due: Arc<Notify>,
    events: mpsc::Sender<SessionEvent>,
    bitrates: BitrateLimits,
    most: VideoLimits,
    carries: watch::Sender<u32>,
    codec: Negotiated,
    arbiters: Arc<Arbiters>,
}

impl SessionChannels {
    pub(crate) fn new(bitrates: BitrateLimits, most: VideoLimits) -> Self {
        let (events, inbox) = mpsc::channel(EVENTS);
        // What it stays for a browser that tells nothing.
        let carries = watch::Sender::new(bitrates.max);
        Self {
            packets: Arc::default(),
            keyframe_wanted: Arc::default(),
            keyframe_due: Arc::default(),
            events,
            inbox,
            bitrates,
            most,
            carries,
        }
    }

    pub(crate) fn taps(&self, controls: Arc<LiveSession>) -> PeerChannels {
        PeerChannels {
            controls,
            packets: Arc::clone(&self.packets),
            events: self.events.clone(),
            keyframe_wanted: Arc::clone(&self.keyframe_wanted),
            keyframe_due: Arc::clone(&self.keyframe_due),
            bitrates: self.bitrates,
            most: self.most,
            carries: self.carries.clone(),
        }
    }
}

fn encoder(negotiated: &Negotiated, kbps: u32, fps: f64) -> Box<dyn Encoder> {
    match negotiated.codec {
        Codec::H264 if negotiated.single_nal => Box::new(
            H264Encoder::new(kbps, fps)
                .with_max_slice(u32::try_from(MTU_PAYLOAD_BYTES).unwrap_or(u32::MAX)),
        ),
        codec => codec.encoder(kbps, fps),
    }
}

/// Starts the session's actor, which waits for the browser.
pub(crate) fn open<G>(
    plan: PendingSession,
    arbiters: &Arc<Arbiters>,
    media: &tokio::runtime::Handle,
    gateway: &Addr<G>,
) -> Addr<Session>
where
    G: Actor<Context = Context<G>> + Handler<Admit> + Handler<SessionStopped>,
{
    let PendingSession { id, span, wiring, peer, codec, seek, timeouts, controls, ufrag, answers } =
        plan;
    let SessionChannels {
        packets,
        keyframe_wanted,
        keyframe_due,
        events,
        inbox,
        bitrates,
        most,
        carries,
    } = wiring;
    let arbiters = Arc::clone(arbiters);
    let arbiter = arbiters.session.clone();
    let parts = Parts {
        packets,
        keyframe_wanted,
        keyframe_due,
        events,
        bitrates,
        most,
        carries,
        codec,
        arbiters,
    };
    let limits = Limits {
        reconnect: timeouts.reconnect,
        idle: timeouts.idle,
        time: controls.spec.time_limit,
    };
    let core = Core::new(Instant::now(), limits, controls.spec.mode != Mode::Receive);
    let session = Session {
        id,
        peer,
        core,
        timer: None,
        parts: Some(Box::new(parts)),
        admitted: None,
        held: None,
        claimed: None,
        found: None,
        link: None,
        offers: Offers::new(Instant::now(), ufrag.as_deref()),
        answers,
        seek,
        leaving: false,
        media: media.clone(),
        arbiter: arbiter.clone(),
        inbox: Some(inbox),
        admission: gateway.clone().recipient(),
        stopped: gateway.clone().recipient(),
        controls,
        stop: CancellationToken::new(),
        span,
    };
    Session::start_in_arbiter(&arbiter, |_| session)
}

impl Session {
    /// Makes all of an admitted session's actors and tasks, and begins with the worker that was
    /// claimed.
    ///
    /// # Errors
    /// A codec could not be made; the slot is free again.
    pub(super) fn begin(
        &mut self,
        parts: Parts,
        admitted: Admitted,
        ctx: &mut Context<Self>,
    ) -> Result<(), CodecError> {
        let Admitted { codecs, worker, slot } = admitted;
        let Parts {
            packets,
            keyframe_wanted,
            keyframe_due,
            events,
            bitrates,
            most,
            carries,
            codec: negotiated,
            arbiters,
        } = parts;
        let (controls, stop) = (Arc::clone(&self.controls), self.stop.clone());
        let (spec, codec) = (Arc::clone(&controls.spec), negotiated.codec);
        let decoder = if spec.mode == Mode::Receive { None } else { Some(codec.decoder()?) };
        let policy = if spec.skip_frames { Policy::NewestWins } else { Policy::Fifo(FIFO_FRAMES) };
        let frames = FrameQueue::new(Hop::Session, policy);
        let flight = Arc::new(CreditWindow::new());

        let (results, releases, pacer) = if spec.mode == Mode::Receive {
            let results = FrameQueue::new(Hop::Pacer, Policy::Fifo(FIFO_FRAMES));
            let releases = Arc::new(PacedQueue::new(EARLY_RELEASES));
            let (queue, out) = (Arc::clone(&results), Arc::clone(&releases));
            let pacer =
                PacerActor::metronome(spec.fps, Arc::clone(&flight), queue, out, stop.clone());
            (results, releases, pacer)
        } else {
            // Also when nothing is skipped: the handler has seen every frame, and a queue of
            // results in front of a meter that runs at the camera's own rate would never drain
            // again.
            let results = FrameQueue::new(Hop::Pacer, Policy::NewestWins);
            let releases = Arc::new(PacedQueue::new(RELEASES));
            let pacer = PacerActor::new(
                spec.fps,
                Arc::clone(&results),
                Arc::clone(&releases),
                stop.clone(),
            );
            (results, releases, pacer)
        };
        let pacer = PacerActor::start_in_arbiter(&arbiters.pacer, |_| pacer);
        if spec.mode != Mode::Send {
            let encoder = encoder(&negotiated, bitrates.start, spec.fps);
            let egress = Egress {
                releases,
                encoder,
                turns: codecs.turns(),
                packetiser: Packetiser::new(codec, negotiated.single_nal),
                throttle: Throttle::new(bitrates, spec.fps),
                carries: carries.subscribe(),
                out: self.peer.frames(),
                keyframe_due,
                stop: stop.clone(),
            };
            codecs.spawn(egress.run().instrument(self.span.clone()));
        }
        let ends = LinkContext {
            waiting: Arc::clone(&frames),
            controls: Arc::clone(&controls),
            flight,
            results,
            nudge: pacer.recipient(),
            events: events.clone(),
        };
        if let Some(decoder) = decoder {
            let nudge: Recipient<FrameWaiting> = ctx.address().recipient();
            let (intake, turns) = (Intake::new(most, !spec.keep_rotation), codecs.turns());
            let signs = Arc::clone(&controls.signs);
            let ingress = Ingress {
                packets,
                codec,
                decoder,
                turns,
                frames,
                nudge,
                events,
                keyframe_wanted,
                stop,
                intake,
                signs,
            };
            codecs.spawn(ingress.run().instrument(self.span.clone()));
        }
        ctx.add_stream(WatchStream::new(codecs.turns().reliefs()).map(|_| SessionEvent::Relieved));
        self.held = Some(Held { ends, codecs });
        telemetry::session_started(codec);
        self.claimed = Some(Box::new((worker, slot)));
        Ok(())
    }
}
