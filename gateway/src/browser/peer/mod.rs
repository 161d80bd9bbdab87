//! The WebRTC connection with one browser: all that is not hop 1 (`tracks`) or hop 10
//! (`frame_sender`).
//! In:    `OutFrame`s from `egress`, at most `OUT_FRAMES`; texts, at most `OUT_TEXTS`.
//! Out:   datagrams.
//! Runs:  the media runtime; callbacks run on the connection's driver and only store or spawn.
//! Full:  see the queues' constants; each loss is counted.
//! Clock: RTP 90 kHz; ICE and DTLS keep their own timers.
//!
//! Types of the `webrtc` crates stay in `browser`, but for the payloaders of `codec::payload`.

mod bitrates;
mod callbacks;
mod codecs;
mod congestion;
#[cfg(test)]
#[path = "../../../../tests/src/offers.rs"]
#[expect(unreachable_pub, reason = "the harness has it too, and there it is reached")]
pub(crate) mod corpus;
#[cfg(test)]
mod corpus_tests;
mod data_channel;
mod extensions;
mod failure;
mod feedback;
mod frame_sender;
mod h264_level;
mod interceptors;
mod keyframes;
mod nack;
mod pass_through;
mod remb;
mod remote_candidates;
mod renegotiation;
mod retransmissions;
mod tracks;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::Recipient;
use parking_lot::Mutex;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::transport::{RTCDtlsRole, RTCIceCandidateInit};
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Instrument, debug};
use webrtc::error::Error;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCPeerConnectionState,
};
use webrtc::rtp_transceiver::RtpSender;

#[cfg(any(test, feature = "internals"))]
pub(crate) use self::bitrates::Feedback;
pub(crate) use self::bitrates::ask;
use self::callbacks::{Callbacks, Messaging, report_check, report_driver, report_state};
pub(crate) use self::extensions::ExtensionIds;
use self::failure::Progress;
use self::frame_sender::FrameSender;
#[cfg(any(test, feature = "internals"))]
pub(crate) use self::nack::Missing;
#[cfg(any(test, feature = "internals"))]
pub(crate) use self::pass_through::PacketFilter;
#[cfg(any(test, feature = "internals"))]
pub(crate) use self::remb::Remb;
use self::remote_candidates::RemoteCandidates;
use self::tracks::Tracks;
use crate::browser::guard::{SUITES, provider};
use crate::browser::net::{Nudge, SessionPort, SessionRuntime};
use crate::browser::offer::{self, Negotiated, Offer, OfferError, Plan, Settled};
use crate::media::encoded::OutFrame;
use crate::media::event::{ConnectStage, SessionEvent};
use crate::media::limits::{BitrateLimits, VideoLimits};
use crate::pipeline::backlog::PacketQueue;
use crate::pipeline::bandwidth::padding::Padding;
use crate::stream::live_session::LiveSession;
use crate::stream::spec::Mode;
use crate::telemetry;

/// Encoded frames that may wait for the socket. Full: the frame is dropped (`hop="peer"`) and the
/// next is a keyframe.
const OUT_FRAMES: usize = 4;
/// Texts that may wait for the data channel, also while it opens. Full: the text is dropped and
/// counted.
const OUT_TEXTS: usize = 64;
/// Bytes handed to the data channel that the browser has not acknowledged. Full: as above.
const OUT_TEXT_BYTES: usize = 256 * 1024;
/// ICE: silence until "disconnected", from there until "failed", and the interval of our own
/// checks. A vanished browser is noticed after the sum of the first two: one that stood still for
/// ten seconds, or whose network did, goes on. Browsers themselves wait for thirty (RFC 7675).
const ICE_DISCONNECTED: Duration = Duration::from_secs(3);
const ICE_FAILED: Duration = Duration::from_secs(10);
const ICE_KEEPALIVE: Duration = Duration::from_secs(1);
/// How long the last words of a session that ended before there was a data channel wait for it.
const CHANNEL_TIMEOUT: Duration = Duration::from_secs(5);
/// Gathering host candidates only lists interfaces; more than this and the machine is in trouble.
const GATHER_TIMEOUT: Duration = Duration::from_secs(2);

/// What a connection feeds.
pub(crate) struct PeerChannels {
    pub(crate) live: Arc<LiveSession>,
    pub(crate) events: Recipient<SessionEvent>,
    pub(crate) media_channels: MediaChannels,
}

/// What a connection shares with the hops beside it.
#[derive(Clone)]
pub(crate) struct MediaChannels {
    pub(crate) packets: Arc<PacketQueue>,
    /// Notified by `ingress` when it needs a keyframe of the browser.
    pub(crate) keyframe_wanted: Arc<Notify>,
    /// Notified when the browser needs a keyframe of us.
    pub(crate) keyframe_due: Arc<Notify>,
    pub(crate) bitrates: BitrateLimits,
    pub(crate) video_limits: VideoLimits,
    /// What the path to the browser carries, kbit/s of video; the maximum until told otherwise.
    pub(crate) available_kbps: watch::Sender<u32>,
}

/// What every answer says of our side.
#[derive(Clone)]
struct Terms {
    codec: Negotiated,
    mode: Mode,
    bitrates: BitrateLimits,
    video_limits: VideoLimits,
}

impl Terms {
    /// Our description as the browser is told it; by then its checks are known as ours, also after
    /// an ICE restart, which brings a name fragment of its own.
    async fn describe(
        &self,
        connection: &dyn PeerConnection,
        port: &SessionPort,
        plan: &Plan,
    ) -> Result<String, OfferError> {
        let local = connection.local_description().await.ok_or(Error::ErrConnectionClosed)?;
        port.learn(&local.sdp);
        let asked = ask(&local.sdp, self.bitrates, self.video_limits);
        Ok(plan.answer(&asked, &port.candidates())?)
    }
}

/// The connection with one browser. Dropping it closes the connection in the background, after the
/// texts that wait were delivered, or a second passed (before there is a data channel:
/// [`CHANNEL_TIMEOUT`]).
pub(crate) struct Peer {
    connection: Arc<dyn PeerConnection>,
    texts: mpsc::Sender<String>,
    frames: mpsc::Sender<OutFrame>,
    runtime: tokio::runtime::Handle,
    stop: CancellationToken,
    flushed: watch::Receiver<bool>,
    callbacks: Arc<Callbacks>,
    /// Held while a further offer is answered.
    turn: Arc<tokio::sync::Mutex<()>>,
    candidates: Arc<Mutex<RemoteCandidates>>,
    port: Arc<SessionPort>,
    terms: Terms,
    /// What its offers have settled so far.
    settled: Arc<Mutex<Settled>>,
    /// Whether an offer had a data channel: otherwise nobody reads texts.
    channel: Arc<AtomicBool>,
    /// Held until the connection is closed.
    open: TaskTrackerToken,
}

/// Answers an offer. Must run on the media runtime: the connection's driver is spawned on the
/// current one.
///
/// # Errors
/// The stack refused the offer, or its answer would be no success; nothing is left behind.
pub(crate) async fn answer(
    offer: &Offer,
    port: Arc<SessionPort>,
    channels: PeerChannels,
    open: TaskTrackerToken,
) -> Result<(String, Peer), OfferError> {
    let (negotiated, sdp) = (&offer.codec, offer.sdp());
    telemetry::candidates_ignored(offer.ignored_candidates);
    port.set_remote_password(sdp);
    let codec = codecs::parameters(negotiated);
    let mut engine = MediaEngine::default();
    engine.register_codec(codec.clone(), RtpCodecKind::Video)?;
    extensions::register(&mut engine)?;
    let PeerChannels { live, events, media_channels } = channels;
    let MediaChannels {
        packets,
        keyframe_wanted,
        keyframe_due,
        bitrates,
        video_limits,
        available_kbps,
    } = media_channels;
    let registry = interceptors::registry(&mut engine, Arc::clone(&live.received))?;
    let padding = Arc::new(Padding::default());
    let registry = bitrates::control(
        registry,
        &mut engine,
        sdp,
        bitrates,
        available_kbps,
        Arc::clone(&padding),
    );
    let settings = SettingEngineBuilder::new()
        .with_ice_timeouts(Some(ICE_DISCONNECTED), Some(ICE_FAILED), Some(ICE_KEEPALIVE))
        .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
        .with_crypto_provider(
            provider(port.guard()).map_err(|error| Error::Crypto(error.to_string()))?,
        )
        .with_dtls_cipher_suites(SUITES.to_vec())
        .with_answering_dtls_role(if offer::is_dtls_client(sdp) {
            RTCDtlsRole::Server
        } else {
            RTCDtlsRole::Client
        })
        .build();

    let (texts, texts_rx) = mpsc::channel(OUT_TEXTS);
    let (frames, frames_rx) = mpsc::channel(OUT_FRAMES);
    let (state_tx, state) = watch::channel(RTCPeerConnectionState::New);
    let (gathered_tx, mut gathered) = watch::channel(false);
    let (flushed_tx, flushed) = watch::channel(false);
    let (driver_ended, driver) = oneshot::channel();
    let stop = CancellationToken::new();
    let runtime = tokio::runtime::Handle::current();
    let tokio = webrtc::runtime::default_runtime().ok_or(Error::ErrUnknownType)?;
    // The results of a client that only sends are for others.
    let mode = if offer.video.receives { live.spec.mode } else { Mode::Send };
    let channel = Arc::new(AtomicBool::new(offer::has_channel(sdp)));
    // Now, so that what comes before the channel is open waits for it.
    let reader = || live.outputs.subscribe("channel");
    let outputs = channel.load(Ordering::Relaxed).then(reader).flatten();
    let (nudge, extensions) = (Arc::new(Nudge::default()), Arc::new(OnceLock::new()));
    let tracks = Arc::new(Tracks::default());
    tokio::spawn(keyframes::send_requests(Arc::clone(&tracks), keyframe_wanted, stop.clone()));
    let callbacks = Arc::new(Callbacks {
        nudge: Arc::clone(&nudge),
        extensions: Arc::clone(&extensions),
        state: state_tx,
        gathered: gathered_tx,
        // Nobody looks at what a browser sends to a generator's stream, should it send.
        video: (mode != Mode::Receive).then_some((packets, Arc::clone(&tracks))),
        received: Arc::clone(&live.received),
        messaging: Mutex::new(Some(Messaging {
            texts: texts_rx,
            flushed: flushed_tx,
            outputs,
            all_outputs: Arc::clone(&live.outputs),
            inputs: Arc::clone(&live.inputs),
            received: Arc::clone(&live.received),
        })),
        progress: Progress::default(),
        stop: stop.clone(),
        events: events.clone(),
    });

    let connection: Arc<dyn PeerConnection> = Arc::new(
        PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings)
            .with_handler(Arc::clone(&callbacks) as Arc<dyn PeerConnectionEventHandler>)
            .with_udp_addrs(port.addresses())
            .with_tcp_addrs(port.tcp_addresses())
            .with_runtime(Arc::new(SessionRuntime::new(
                tokio,
                Arc::clone(&port),
                nudge,
                driver_ended,
            )))
            .with_data_channel_send_buffer_limit(OUT_TEXT_BYTES)
            .build()
            .await?,
    );
    // From here on an early return closes the connection by dropping the peer.
    let peer = Peer {
        connection,
        texts,
        frames,
        runtime,
        stop: stop.clone(),
        flushed,
        callbacks,
        turn: Arc::default(),
        candidates: Arc::new(Mutex::new(RemoteCandidates::new(port.policy()))),
        port: Arc::clone(&port),
        terms: Terms { codec: negotiated.clone(), mode, bitrates, video_limits },
        settled: Arc::new(Mutex::new(offer.settled.clone())),
        channel,
        open,
    };

    let offered = RTCSessionDescription::offer(peer.candidates.lock().of_offer(sdp))?;
    peer.connection.set_remote_description(offered).await?;
    // Before the answer, which says by it which way video goes.
    let track = if mode == Mode::Send {
        None
    } else {
        Some(add_track(&peer.connection, codec.rtp_codec).await?)
    };
    let answer = peer.connection.create_answer(None).await?;
    let extensions = *extensions.get_or_init(|| ExtensionIds::of(&answer.sdp));
    peer.connection.set_local_description(answer).await?;
    if let Some((track, sender, ssrc)) = track {
        let negotiated = sender.get_parameters().await?.rtp_parameters.codecs;
        let payload_type = negotiated.first().ok_or(Error::ErrNoPayloaderForCodec)?.payload_type;
        let sender = FrameSender {
            track: Arc::clone(&track),
            ssrc,
            payload_type,
            extensions,
            latency: Arc::clone(&live.latency),
            padding,
            guard: Arc::clone(port.guard()),
        };
        tokio::spawn(sender.run(frames_rx).in_current_span());
        tokio::spawn(keyframes::receive_requests(
            track,
            ssrc,
            Arc::clone(&keyframe_due),
            stop.clone(),
        ));
    }
    // Host candidates only, so the answer carries them all and nothing needs trickling to the
    // browser. Elapsed: it carries what there is.
    drop(tokio::time::timeout(GATHER_TIMEOUT, gathered.wait_for(|done| *done)).await);
    let answer = peer.terms.describe(&*peer.connection, &port, &offer.plan).await?;

    let step = {
        let (callbacks, port) = (Arc::clone(&peer.callbacks), Arc::clone(&port));
        move || callbacks.progress.next(port.checks())
    };
    tokio::spawn(
        stop.clone().run_until_cancelled_owned(report_check(Arc::clone(&port), events.clone())),
    );
    tokio::spawn(stop.clone().run_until_cancelled_owned(report_driver(driver, events.clone())));
    tokio::spawn(report_state(state, events, keyframe_due, stop, step).in_current_span());
    Ok((answer, peer))
}

impl Peer {
    /// The queue of encoded frames; hand it to `egress`.
    pub(crate) fn frames(&self) -> mpsc::Sender<OutFrame> {
        self.frames.clone()
    }

    /// Queues a text for the data channel; false when [`OUT_TEXTS`] wait and it was dropped. A
    /// client without a data channel is told nothing, and misses nothing.
    pub(crate) fn send_text(&self, text: String) -> bool {
        !self.channel.load(Ordering::Relaxed) || self.texts.try_send(text).is_ok()
    }

    /// The step at which the connection fails, if it goes no further.
    pub(crate) fn step(&self) -> ConnectStage {
        self.callbacks.progress.next(self.port.checks())
    }

    /// What is the browser's for certain and the connection's driver has taken, beside media and
    /// messages.
    pub(crate) fn heard(&self) -> u64 {
        self.port.heard()
    }

    /// Adds a trickled candidate in the background: the driver may be busy, the caller is an actor.
    /// A candidate that the stack refuses is one path less, no fault of the session's.
    pub(crate) fn add_candidate(&self, candidate: RTCIceCandidateInit) {
        if !self.candidates.lock().take(&candidate.candidate) {
            return;
        }
        let connection = Arc::clone(&self.connection);
        self.runtime.spawn(async move {
            if let Err(error) = connection.add_ice_candidate(candidate).await {
                debug!(%error, "candidate refused");
            }
        });
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A session may end before its browser is connected, when a handler does not start for
        // example: the channel is still to come, and the reason for it.
        let unread = self.texts.capacity() < OUT_TEXTS;
        let channel = self.callbacks.messaging.lock().is_none();
        let patience =
            if unread && !channel { CHANNEL_TIMEOUT } else { data_channel::FLUSH_TIMEOUT };
        // Closing the text queue tells the data channel's task to deliver what waits and then to
        // set `flushed`.
        let (texts, _) = mpsc::channel(1);
        self.texts = texts;
        if !unread {
            // Nothing to deliver: without a channel its half of `flushed` goes with this.
            drop(self.callbacks.messaging.lock().take());
        }
        let connection = Arc::clone(&self.connection);
        let mut flushed = self.flushed.clone();
        let (stop, open) = (self.stop.clone(), self.open.clone());
        self.runtime.spawn(async move {
            // An error is the sender gone: there was no data channel, or it has closed.
            drop(tokio::time::timeout(patience, flushed.wait_for(|done| *done)).await);
            stop.cancel();
            if let Err(error) = connection.close().await {
                debug!(%error, "closing the connection");
            }
            drop(open);
        });
    }
}

/// The track that we send, its sender and its SSRC.
async fn add_track(
    connection: &Arc<dyn PeerConnection>,
    codec: RTCRtpCodec,
) -> Result<(Arc<dyn TrackLocal>, Arc<dyn RtpSender>, u32), Error> {
    let ssrc = rand::random::<u32>();
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
        codec,
        ..Default::default()
    };
    let track = MediaStreamTrack::new(
        "reframe".to_owned(),
        "video".to_owned(),
        "processed".to_owned(),
        RtpCodecKind::Video,
        vec![encoding],
    );
    let track: Arc<dyn TrackLocal> = Arc::new(TrackLocalStaticRTP::new(track));
    let sender = connection.add_track(Arc::clone(&track)).await?;
    Ok((track, sender, ssrc))
}
