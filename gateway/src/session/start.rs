//! A session's beginning: its queues, actors and tasks, each on its own kind of thread.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, Recipient};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::route::Route;
use super::{FrameWaiting, Gateway, Seek, Session, SessionEvent};
use crate::arbiters::{Arbiters, CodecArbiter};
use crate::bandwidth::{Limits, Throttle};
use crate::books::Hop;
use crate::codec::{Codec, CodecError, Encoder, H264Encoder};
use crate::controls::Controls;
use crate::egress::{Egress, Releases};
use crate::frame::{FrameQueue, Policy};
use crate::ingress::{Ingress, PacketQueue};
use crate::intake::{Intake, Most};
use crate::link::{Ends, Flight};
use crate::offer::Negotiated;
use crate::pacer::PacerActor;
use crate::payload::{MTU_PAYLOAD_BYTES, Packetiser};
use crate::peer::{Peer, Taps};
use crate::placement::Slot;
use crate::pool::Serving;
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

/// What exists before the session does: the ends that its connection is built with.
pub(crate) struct Wiring {
    packets: Arc<PacketQueue>,
    keyframe_wanted: Arc<Notify>,
    keyframe_due: Arc<Notify>,
    pub(super) events: mpsc::Sender<SessionEvent>,
    inbox: mpsc::Receiver<SessionEvent>,
    bitrates: Limits,
    most: Most,
    /// What the path to the browser carries, kbit/s.
    carries: watch::Sender<u32>,
}

/// Everything that a session needs to start.
pub(crate) struct Plan {
    pub(crate) id: String,
    /// All that is done for it is done within.
    pub(crate) span: Span,
    pub(crate) wiring: Wiring,
    pub(crate) peer: Peer,
    pub(crate) codec: Negotiated,
    /// Where it is coded.
    pub(crate) codecs: CodecArbiter,
    /// Where it begins.
    pub(crate) claimed: (Serving, Slot),
    /// How it finds others.
    pub(crate) seek: Seek,
    /// How long it may be without one.
    pub(crate) reconnect_limit: Duration,
    pub(crate) controls: Arc<Controls>,
}

impl Wiring {
    pub(crate) fn new(bitrates: Limits, most: Most) -> Self {
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

    pub(crate) fn taps(&self, controls: Arc<Controls>) -> Taps {
        Taps {
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
        Codec::H264 if negotiated.single_nal => {
            Box::new(H264Encoder::new(kbps, fps).with_max_slice(u32::try_from(MTU_PAYLOAD_BYTES).unwrap_or(u32::MAX)))
        }
        codec => codec.encoder(kbps, fps),
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
    let Plan { id, span, wiring, peer, codec: negotiated, codecs, claimed, seek, reconnect_limit, controls } = plan;
    let spec = Arc::clone(&controls.spec);
    let codec = negotiated.codec;
    let decoder = if spec.mode == Mode::Receive { None } else { Some(codec.decoder()?) };
    let policy = if spec.skip_frames { Policy::NewestWins } else { Policy::Fifo(FIFO_FRAMES) };
    let frames = FrameQueue::new(Hop::Session, policy);
    let stop = CancellationToken::new();
    let Wiring { packets, keyframe_wanted, keyframe_due, events, inbox, bitrates, most, carries } = wiring;
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
        let encoder = encoder(&negotiated, bitrates.start, spec.fps);
        let egress = Egress {
            releases,
            encoder,
            turns: codecs.turns(),
            packetiser: Packetiser::new(codec, negotiated.single_nal),
            throttle: Throttle::new(bitrates, spec.fps),
            carries: carries.subscribe(),
            out: peer.frames(),
            keyframe_due,
            stop: stop.clone(),
        };
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
        route: Route::default(),
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
        stop: stop.clone(),
        span: span.clone(),
        codecs: codecs.clone(),
    };
    let session = Session::start_in_arbiter(&arbiters.session, |_| session);
    if let Some(decoder) = decoder {
        let nudge: Recipient<FrameWaiting> = session.clone().recipient();
        let intake = Intake::new(most, !spec.as_sent);
        let turns = codecs.turns();
        let ingress = Ingress { packets, codec, decoder, turns, frames, nudge, events, keyframe_wanted, stop, intake };
        codecs.spawn(ingress.run().instrument(span));
    }
    telemetry::session_started(codec);
    Ok(session)
}
