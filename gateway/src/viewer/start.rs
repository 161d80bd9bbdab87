//! The start of a viewer: the channels that its connection is made with, and its actor.

use std::sync::Arc;

use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, Addr, ArbiterHandle, Context, Handler, Recipient};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Span;

use super::core::Core;
use super::{Viewer, ViewerChecked, ViewerStopped};
use crate::browser::offer::Offer;
use crate::browser::peer::{MediaChannels, Peer, PeerChannels};
use crate::codec::Format;
use crate::media::event::SessionEvent;
use crate::media::limits::{BitrateLimits, VideoLimits};
use crate::media::session_id::SessionId;
use crate::pipeline::fanout::Output;
use crate::session::{Answers, Renegotiation, Session};
use crate::stream::live_session::LiveSession;
use crate::threads::clock;

/// Messages that may wait for a viewer's actor, from its connection and the gateway. Full: the
/// sending tasks wait, which affects only this viewer.
const MAILBOX: usize = 16;

/// What exists before the viewer: its mailbox, and the channel ends that its connection is created
/// with.
pub(crate) struct ViewerChannels {
    address: Addr<Viewer>,
    mailbox: AddressReceiver<Viewer>,
    media_channels: MediaChannels,
    /// What the path carries.
    available_kbps: watch::Receiver<u32>,
    live: Arc<LiveSession>,
}

/// A viewer that waits for its client.
pub(crate) struct PendingViewer {
    pub(crate) id: SessionId,
    /// Its first.
    pub(crate) offer: Offer,
    pub(crate) channels: ViewerChannels,
    pub(crate) peer: Peer,
    pub(crate) answers: Arc<Answers>,
    /// Whom it watches.
    pub(crate) session: Addr<Session>,
    pub(crate) watched: Arc<LiveSession>,
    pub(crate) span: Span,
}

impl ViewerChannels {
    /// For a viewer of this session.
    pub(crate) fn new(
        watched: &LiveSession,
        bitrates: BitrateLimits,
        video_limits: VideoLimits,
    ) -> Self {
        let (address, mailbox) = channel(MAILBOX);
        let available = watch::Sender::new(bitrates.max);
        let available_kbps = available.subscribe();
        let media_channels = MediaChannels {
            packets: Arc::default(),
            keyframe_wanted: Arc::default(),
            keyframe_due: Arc::default(),
            bitrates,
            video_limits,
            available_kbps: available,
        };
        let live = watched.viewers();
        Self { address: Addr::new(address), mailbox, media_channels, available_kbps, live }
    }

    pub(crate) fn for_peer(&self) -> PeerChannels {
        let (live, media_channels) = (Arc::clone(&self.live), self.media_channels.clone());
        let events: Recipient<SessionEvent> = self.address.clone().recipient();
        PeerChannels { live, events, media_channels }
    }
}

/// Starts the viewer's actor, which waits for its client.
pub(crate) fn open<G>(
    pending: PendingViewer,
    arbiter: &ArbiterHandle,
    gateway: &Addr<G>,
) -> Addr<Viewer>
where
    G: Actor<Context = Context<G>> + Handler<ViewerChecked> + Handler<ViewerStopped>,
{
    let PendingViewer { id, offer, channels, peer, answers, session, watched, span } = pending;
    let ViewerChannels { address, mailbox, media_channels, available_kbps, live } = channels;
    let (codec, single_nal) = (offer.codec.codec, offer.codec.single_nal);
    let viewer = Viewer {
        core: Core::new(clock::now()),
        id,
        output: Arc::new(Output::new(peer.frames(), available_kbps, codec)),
        peer,
        renegotiation: Renegotiation::new(Instant::now(), offer.ufrag(), answers),
        format: Format { codec, single_nal },
        keyframe_due: media_channels.keyframe_due,
        session,
        live,
        watched,
        leaving: false,
        checked: gateway.clone().recipient(),
        stopped: gateway.clone().recipient(),
        span,
    };
    // False means that the arbiter, and with it the gateway, has stopped.
    arbiter.spawn_fn(move || drop(Context::with_receiver(mailbox).run(viewer)));
    address
}
