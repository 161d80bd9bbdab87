//! The start of a session in two steps: first the resources to wait for its browser, and, once it
//! is admitted, its codecs, queues, actors and tasks, each on its kind of thread.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, Addr, AsyncContext, Context, Handler, Recipient};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::answers::Answers;
use super::core::{Core, Limits};
use super::nearer::LOOK_EVERY;
use super::perform::{Admitted, now};
use super::{Admit, Held, Renegotiation, Session, SessionStopped, Unwatched, WorkerSearch};
use crate::browser::offer::{Negotiated, Offer};
use crate::browser::peer::{MediaChannels, Peer, PeerChannels};
use crate::codec::{CodecError, Format};
use crate::media::event::{FrameWaiting, SessionEvent};
use crate::media::frame::{FrameQueue, Policy};
use crate::media::limits::{BitrateLimits, VideoLimits};
use crate::media::session_id::SessionId;
use crate::pipeline::bandwidth::Throttle;
use crate::pipeline::egress::{Egress, PacedQueue};
use crate::pipeline::fanout::{Fanout, Recipe, Renditions};
use crate::pipeline::ingress::Ingress;
use crate::pipeline::intake::Intake;
use crate::pipeline::pacer::PacerActor;
use crate::stream::live_session::LiveSession;
use crate::stream::spec::{Mode, Spec};
use crate::telemetry::ledger::Hop;
use crate::telemetry::{self, audit};
use crate::threads::arbiters::Arbiters;
use crate::threads::relief::ReliefLevel;
use crate::workers::link::{CreditWindow, LinkContext};

/// Frames that may wait in order when none are skipped, and pictures of a generator: a quarter of a
/// second at 30 fps, 11 MB at 720p.
const FIFO_FRAMES: usize = 8;
/// Pictures that may wait for the encoder: the newest one; for a generator, those that are not due
/// yet.
const RELEASES: usize = 1;
/// See [`RELEASES`].
const EARLY_RELEASES: usize = 3;
/// Messages that may wait for a session's actor, from its connection, decoder, worker and gateway.
/// Full: the sending tasks wait, which affects only this session's peer. A wake-up is not waited
/// for: it is dropped and counted, which loses nothing.
const MAILBOX: usize = 32;

/// What exists before the session: its mailbox, and the channel ends that its connection is created
/// with.
pub(crate) struct SessionChannels {
    /// Into `mailbox`.
    address: Addr<Session>,
    /// The only receiving end. Messages before the actor's start wait there.
    mailbox: AddressReceiver<Session>,
    media_channels: MediaChannels,
}

/// Time limits from the options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// For a session without a worker.
    pub(crate) reconnect: Duration,
    /// For a session whose browser has stopped sending video.
    pub(crate) idle: Duration,
}

/// A session that waits for its browser. It has no slot and no place on a codec thread.
pub(crate) struct PendingSession {
    pub(crate) id: SessionId,
    /// Whose it is.
    pub(crate) client: Option<IpAddr>,
    /// The first offer, and its connection; `None`: a broadcast.
    pub(crate) connection: Option<(Offer, Peer)>,
    /// The span of all work for this session.
    pub(crate) span: Span,
    pub(crate) channels: SessionChannels,
    /// For its worker searches.
    pub(crate) search: WorkerSearch,
    pub(crate) timeouts: Timeouts,
    pub(crate) live: Arc<LiveSession>,
    pub(crate) answers: Arc<Answers>,
}

/// The parts that [`Session::begin`] needs.
pub(super) struct Parts {
    media_channels: MediaChannels,
    /// Of its client's video.
    codec: Option<Negotiated>,
    arbiters: Arc<Arbiters>,
}

impl SessionChannels {
    pub(crate) fn new(bitrates: BitrateLimits, video_limits: VideoLimits) -> Self {
        let (address, mailbox) = channel(MAILBOX);
        let media_channels = MediaChannels {
            packets: Arc::default(),
            keyframe_wanted: Arc::default(),
            keyframe_due: Arc::default(),
            bitrates,
            video_limits,
            // The rate for a browser that sends no feedback.
            available_kbps: watch::Sender::new(bitrates.max),
        };
        Self { address: Addr::new(address), mailbox, media_channels }
    }

    /// The recipient of the session's events.
    pub(crate) fn events(&self) -> Recipient<SessionEvent> {
        self.address.clone().recipient()
    }

    pub(crate) fn for_peer(&self, live: Arc<LiveSession>) -> PeerChannels {
        PeerChannels { live, events: self.events(), media_channels: self.media_channels.clone() }
    }
}

/// Of the frames that wait for a worker.
fn policy(spec: &Spec) -> Policy {
    if spec.skip_frames { Policy::NewestWins } else { Policy::Fifo(FIFO_FRAMES) }
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
        connection,
        span,
        channels,
        search,
        timeouts,
        live,
        answers,
    } = pending;
    let SessionChannels { address, mailbox, media_channels } = channels;
    // At another time for each, so that those of a zone that is back do not look at once.
    let nearer = live.spec.movable.then(|| LOOK_EVERY.mul_f64(rand::random_range(0.75..1.25)));
    let Timeouts { reconnect, idle, .. } = timeouts;
    let limits = Limits { reconnect, idle, time: live.spec.time_limit, nearer };
    let core = Core::new(now(), limits, live.spec.mode != Mode::Receive);
    let (offer, peer) = connection.unzip();
    let ufrag = offer.as_ref().and_then(Offer::ufrag);
    let renegotiation = Renegotiation::new(Instant::now(), ufrag, answers);
    let receives = offer.as_ref().is_some_and(|offer| offer.video.receives);
    let shows = live.spec.mode != Mode::Send && receives;
    let codec = offer.map(|offer| offer.codec);
    let arbiter = arbiters.session.clone();
    let parts = Parts { media_channels, codec, arbiters: Arc::clone(arbiters) };
    let session = Session {
        id,
        peer,
        unwatched: Unwatched::default(),
        core,
        shows,
        timer: None,
        parts: Some(Box::new(parts)),
        admitted: None,
        held: None,
        claimed: None,
        found: None,
        link: None,
        renegotiation,
        search,
        outdated: live.outdated,
        leaving: false,
        media: media.clone(),
        arbiter: arbiter.clone(),
        admission: gateway.clone().recipient(),
        stopped: gateway.clone().recipient(),
        live,
        stop: CancellationToken::new(),
        span,
    };
    // An error means that the arbiter, and with it the gateway, has stopped.
    arbiter.spawn_fn(move || drop(Context::with_receiver(mailbox).run(session)));
    address
}

impl Held {
    /// From now on frames wait, and are turned, as a handler of this declaration wants it.
    pub(super) fn follow(&self, spec: &Spec) {
        self.context.waiting.set_policy(policy(spec));
        self.upright.store(!spec.keep_rotation, Ordering::Relaxed);
    }
}

impl Session {
    /// Creates the actors and tasks of an admitted session, and begins with the worker whose slot
    /// was claimed.
    ///
    /// # Errors
    /// A codec could not be created; the slot is free again.
    pub(super) fn begin(
        &mut self,
        parts: Parts,
        admitted: Admitted,
        ctx: &mut Context<Self>,
    ) -> Result<(), CodecError> {
        let Admitted { codecs, worker, slot } = admitted;
        let Parts { media_channels, codec: negotiated, arbiters } = parts;
        let MediaChannels {
            packets,
            keyframe_wanted,
            keyframe_due,
            bitrates,
            video_limits,
            available_kbps,
        } = media_channels;
        let events: Recipient<SessionEvent> = ctx.address().recipient();
        let (live, stop) = (Arc::clone(&self.live), self.stop.clone());
        let spec = Arc::clone(&live.spec);
        self.span.in_scope(|| audit::opened(&spec.name, live.owner.subject.as_deref()));
        let format =
            negotiated.map(|Negotiated { codec, single_nal, .. }| Format { codec, single_nal });
        let sends = format.filter(|_| spec.mode != Mode::Receive);
        let decoder = sends.map(|format| format.codec.decoder()).transpose()?;
        let frames = FrameQueue::new(Hop::Session, policy(&spec));
        let upright = Arc::new(AtomicBool::new(!spec.keep_rotation));
        let window = Arc::new(CreditWindow::new());

        let waiting = if spec.mode == Mode::Receive { EARLY_RELEASES } else { RELEASES };
        let releases =
            Arc::new(if self.shows { PacedQueue::new(waiting) } else { PacedQueue::unshown() });
        let (results, pacer) = if spec.mode == Mode::Receive {
            let results = FrameQueue::new(Hop::Pacer, Policy::Fifo(FIFO_FRAMES));
            let (queue, out) = (Arc::clone(&results), Arc::clone(&releases));
            let pacer =
                PacerActor::metronome(spec.fps, Arc::clone(&window), queue, out, stop.clone());
            (results, pacer)
        } else {
            // Newest wins even when no frame is skipped: the handler has seen every frame, and a
            // queue of results in front of a pacer that runs at the camera's rate would never drain
            // again.
            let results = FrameQueue::new(Hop::Pacer, Policy::NewestWins);
            let pacer = PacerActor::new(
                spec.fps,
                Arc::clone(&results),
                Arc::clone(&releases),
                stop.clone(),
            );
            (results, pacer)
        };
        let pacer = PacerActor::start_in_arbiter(&arbiters.pacer, |_| pacer);
        let offset = rand::random();
        let shown = self.peer.as_ref().zip(format).filter(|_| self.shows);
        let own = shown.map(|(peer, format)| {
            let fanout = Arc::<Fanout>::default();
            let egress = Egress {
                releases: Arc::clone(&releases),
                encoder: format.encoder(bitrates.start, spec.fps),
                schedule: codecs.schedule(),
                packetiser: format.packetiser(),
                throttle: Throttle::new(bitrates, spec.fps),
                available_kbps: available_kbps.subscribe(),
                out: Some(peer.frames()),
                fanout: Arc::clone(&fanout),
                offset,
                keyframe_due,
                stop: stop.clone(),
            };
            codecs.spawn(egress.run().instrument(self.span.clone()));
            (format, fanout)
        });
        let (fps, span) = (spec.fps, self.span.clone());
        let recipe = Recipe { codecs: codecs.clone(), bitrates, fps, waiting, offset, span };
        let renditions = Renditions::new(recipe, releases, own);
        let context = LinkContext {
            waiting: Arc::clone(&frames),
            mode: spec.mode,
            outputs: Arc::clone(&live.outputs),
            status: Arc::clone(&live.status),
            times: Arc::clone(&live.handler_times),
            latency: Arc::clone(&live.latency),
            window,
            results,
            nudge: pacer.recipient(),
            events: events.clone(),
        };
        if let Some((decoder, Format { codec, .. })) = decoder.zip(format) {
            let nudge: Recipient<FrameWaiting> = ctx.address().recipient();
            let (intake, schedule) =
                (Intake::new(video_limits, Arc::clone(&upright)), codecs.schedule());
            let received = Arc::clone(&live.received);
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
                received,
            };
            codecs.spawn(ingress.run().instrument(self.span.clone()));
        }
        let reliefs = report_reliefs(codecs.schedule().reliefs(), self.search.events.clone());
        self.media.spawn(self.stop.clone().run_until_cancelled_owned(reliefs));
        self.held = Some(Held { context, upright, codecs, renditions });
        telemetry::session_started(format.map(|format| format.codec));
        self.claimed = Some(Box::new((worker, slot)));
        self.look_after_viewers(ctx);
        Ok(())
    }
}

/// Sends an event to the session whenever its codec thread's relief changes, and at once with the
/// current relief.
async fn report_reliefs(
    mut reliefs: watch::Receiver<ReliefLevel>,
    events: Recipient<SessionEvent>,
) {
    loop {
        reliefs.mark_unchanged();
        if events.send(SessionEvent::Relieved).await.is_err() || reliefs.changed().await.is_err() {
            return;
        }
    }
}
