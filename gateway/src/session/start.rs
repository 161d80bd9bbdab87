//! A session's beginning, in two steps: what it needs to wait for its browser, and, once it is
//! admitted, its codecs, queues, actors and tasks, each on its own kind of thread.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, Addr, AsyncContext, Context, Handler, Recipient};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::answers::Answers;
use super::core::{Core, Limits};
use super::perform::{Admitted, now};
use super::rate::Offers;
use super::{Admit, Held, Session, SessionStopped, WorkerSearch};
use crate::browser::offer::{Negotiated, Offer};
use crate::browser::peer::{Peer, PeerChannels};
use crate::codec::payload::{MTU_PAYLOAD_BYTES, Packetiser};
use crate::codec::{Codec, CodecError, Encoder, H264Encoder};
use crate::media::event::{FrameWaiting, SessionEvent};
use crate::media::frame::{FrameQueue, Policy};
use crate::media::limits::{BitrateLimits, VideoLimits};
use crate::media::session_id::SessionId;
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
use crate::threads::relief::Steps;
use crate::workers::link::{CreditWindow, LinkContext};

/// Frames that wait in order when nothing is skipped, and pictures of a generator: a quarter of a
/// second at 30 fps, 11 MB at 720p.
const FIFO_FRAMES: usize = 8;
/// Pictures that may wait for the encoder: the newest; of a generator those whose time is still to
/// come.
const RELEASES: usize = 1;
/// See [`RELEASES`].
const EARLY_RELEASES: usize = 3;
/// Messages that may wait for a session's actor: what its connection, decoder, worker and gateway
/// tell it. Full: their tasks wait, and with them only this session's peer; a nudge, which is not
/// waited for, is dropped, counted, and loses nothing.
const MAILBOX: usize = 32;

/// What exists before the session does: its mailbox, and the ends that its connection is built
/// with.
pub(crate) struct SessionChannels {
    /// Into `mailbox`.
    address: Addr<Session>,
    /// The one way in. What comes before the actor runs waits there.
    mailbox: AddressReceiver<Session>,
    handles: MediaHandles,
}

/// What the hops share, each with its neighbour.
struct MediaHandles {
    packets: Arc<PacketQueue>,
    keyframe_wanted: Arc<Notify>,
    keyframe_due: Arc<Notify>,
    bitrates: BitrateLimits,
    video_limits: VideoLimits,
    /// What the path to the browser carries, kbit/s.
    available_kbps: watch::Sender<u32>,
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
    pub(crate) id: SessionId,
    /// Whose it is.
    pub(crate) client: Option<IpAddr>,
    /// Its first.
    pub(crate) offer: Offer,
    /// All that is done for it is done within.
    pub(crate) span: Span,
    pub(crate) channels: SessionChannels,
    pub(crate) peer: Peer,
    /// How it finds workers.
    pub(crate) search: WorkerSearch,
    pub(crate) timeouts: Timeouts,
    pub(crate) live: Arc<LiveSession>,
    pub(crate) answers: Arc<Answers>,
}

/// What waits for [`Session::begin`].
pub(super) struct Parts {
    handles: MediaHandles,
    codec: Negotiated,
    arbiters: Arc<Arbiters>,
}

impl SessionChannels {
    pub(crate) fn new(bitrates: BitrateLimits, video_limits: VideoLimits) -> Self {
        let (address, mailbox) = channel(MAILBOX);
        let handles = MediaHandles {
            packets: Arc::default(),
            keyframe_wanted: Arc::default(),
            keyframe_due: Arc::default(),
            bitrates,
            video_limits,
            // What it stays for a browser that tells nothing.
            available_kbps: watch::Sender::new(bitrates.max),
        };
        Self { address: Addr::new(address), mailbox, handles }
    }

    /// Where the session is told what has happened.
    pub(crate) fn events(&self) -> Recipient<SessionEvent> {
        self.address.clone().recipient()
    }

    pub(crate) fn for_peer(&self, live: Arc<LiveSession>) -> PeerChannels {
        let MediaHandles {
            packets,
            keyframe_wanted,
            keyframe_due,
            bitrates,
            video_limits,
            available_kbps,
        } = &self.handles;
        PeerChannels {
            live,
            packets: Arc::clone(packets),
            events: self.events(),
            keyframe_wanted: Arc::clone(keyframe_wanted),
            keyframe_due: Arc::clone(keyframe_due),
            bitrates: *bitrates,
            video_limits: *video_limits,
            available_kbps: available_kbps.clone(),
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
    pending: PendingSession,
    arbiters: &Arc<Arbiters>,
    media: &tokio::runtime::Handle,
    gateway: &Addr<G>,
) -> Addr<Session>
where
    G: Actor<Context = Context<G>> + Handler<Admit> + Handler<SessionStopped>,
{
    let PendingSession {
        id,
        client: _,
        offer,
        span,
        channels,
        peer,
        search,
        timeouts,
        live,
        answers,
    } = pending;
    let SessionChannels { address, mailbox, handles } = channels;
    let limits =
        Limits { reconnect: timeouts.reconnect, idle: timeouts.idle, time: live.spec.time_limit };
    let core = Core::new(now(), limits, live.spec.mode != Mode::Receive);
    let offers = Offers::new(Instant::now(), offer.ufrag());
    let arbiter = arbiters.session.clone();
    let parts = Parts { handles, codec: offer.codec, arbiters: Arc::clone(arbiters) };
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
        offers,
        answers,
        search,
        leaving: false,
        media: media.clone(),
        arbiter: arbiter.clone(),
        admission: gateway.clone().recipient(),
        stopped: gateway.clone().recipient(),
        live,
        stop: CancellationToken::new(),
        span,
    };
    // An error is an arbiter that has stopped, and with it the gateway.
    arbiter.spawn_fn(move || drop(Context::with_receiver(mailbox).run(session)));
    address
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
        let Parts { handles, codec: negotiated, arbiters } = parts;
        let MediaHandles {
            packets,
            keyframe_wanted,
            keyframe_due,
            bitrates,
            video_limits,
            available_kbps,
        } = handles;
        let events: Recipient<SessionEvent> = ctx.address().recipient();
        let (live, stop) = (Arc::clone(&self.live), self.stop.clone());
        let (spec, codec) = (Arc::clone(&live.spec), negotiated.codec);
        let decoder = if spec.mode == Mode::Receive { None } else { Some(codec.decoder()?) };
        let policy = if spec.skip_frames { Policy::NewestWins } else { Policy::Fifo(FIFO_FRAMES) };
        let frames = FrameQueue::new(Hop::Session, policy);
        let window = Arc::new(CreditWindow::new());

        let (results, releases, pacer) = if spec.mode == Mode::Receive {
            let results = FrameQueue::new(Hop::Pacer, Policy::Fifo(FIFO_FRAMES));
            let releases = Arc::new(PacedQueue::new(EARLY_RELEASES));
            let (queue, out) = (Arc::clone(&results), Arc::clone(&releases));
            let pacer =
                PacerActor::metronome(spec.fps, Arc::clone(&window), queue, out, stop.clone());
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
                schedule: codecs.schedule(),
                packetiser: Packetiser::new(codec, negotiated.single_nal),
                throttle: Throttle::new(bitrates, spec.fps),
                available_kbps: available_kbps.subscribe(),
                out: self.peer.frames(),
                keyframe_due,
                stop: stop.clone(),
            };
            codecs.spawn(egress.run().instrument(self.span.clone()));
        }
        let context = LinkContext {
            waiting: Arc::clone(&frames),
            mode: spec.mode,
            outputs: Arc::clone(&live.outputs),
            status: Arc::clone(&live.status),
            window,
            results,
            nudge: pacer.recipient(),
            events: events.clone(),
        };
        if let Some(decoder) = decoder {
            let nudge: Recipient<FrameWaiting> = ctx.address().recipient();
            let (intake, schedule) =
                (Intake::new(video_limits, !spec.keep_rotation), codecs.schedule());
            let signs = Arc::clone(&live.signs);
            let ingress = Ingress {
                packets,
                codec,
                decoder,
                schedule,
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
        let reliefs = report_reliefs(codecs.schedule().reliefs(), self.search.events.clone());
        self.media.spawn(self.stop.clone().run_until_cancelled_owned(reliefs));
        self.held = Some(Held { context, codecs });
        telemetry::session_started(codec);
        self.claimed = Some(Box::new((worker, slot)));
        Ok(())
    }
}

/// Tells the session whenever its codec thread does more or less for its streams; at once what it
/// does now.
async fn report_reliefs(mut reliefs: watch::Receiver<Steps>, events: Recipient<SessionEvent>) {
    loop {
        reliefs.mark_unchanged();
        if events.send(SessionEvent::Relieved).await.is_err() || reliefs.changed().await.is_err() {
            return;
        }
    }
}
