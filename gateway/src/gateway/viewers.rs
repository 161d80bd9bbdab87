//! Somebody watches a session: whether there is room, the answer, and the viewer that then waits
//! for its client.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::{
    ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, ResponseActFuture, WrapFuture,
};
use reframe_trace::STRANGER;
use tokio::time::Instant;
use tracing::{Instrument, Span, error, info, info_span};

use super::client_limits::NewOffer;
use super::{Entry, Gateway};
use crate::browser::offer::{Offer, OfferError, Parsed};
use crate::browser::peer;
use crate::codec::{Codec, Codecs};
use crate::config::Video;
use crate::media::limits::{BITRATES, BitrateLimits};
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::session::{AddCandidate, Session};
use crate::stream::live_session::LiveSession;
use crate::stream::spec::{Mode, Spec};
use crate::telemetry;
use crate::viewer::{self, PendingViewer, Viewer, ViewerChannels, ViewerChecked, ViewerStopped};

/// Answer the offer of a viewer of a session; the answer is SDP.
#[derive(Message)]
#[rtype(result = "Result<String, WatchRefused>")]
pub(crate) struct Watch {
    pub(crate) watched: Watched,
    /// The viewer's own id: drawn by us for WHEP, chosen by a page.
    pub(crate) viewer: SessionId,
    /// Of a client that receives video.
    pub(crate) offer: Parsed,
    /// The codecs that may be spoken.
    pub(crate) codecs: Codecs,
    /// Whose it is, for the log and for the answer's turn.
    pub(crate) client: Option<IpAddr>,
    /// Whose it is, for what one client may have; `None`: a program on this machine.
    pub(crate) limited: Option<IpAddr>,
    /// The subject of its access token.
    pub(crate) subject: Option<String>,
    /// Viewers and sessions that its token allows, each for itself.
    pub(crate) max_sessions: Option<u32>,
    /// The id of the viewer whose place it takes, which does not count for its client's limits.
    pub(crate) replaces: Option<String>,
    /// The nonce in its token.
    pub(crate) nonce: String,
    /// Its connection is a resource, which WHEP changes and deletes.
    pub(crate) is_resource: bool,
}

/// What is watched.
#[derive(Clone)]
pub(crate) enum Watched {
    /// A session, and the nonce in its token: another one that has the id later is not meant.
    Session(SessionId, String),
    /// The one session of this stream, which begins when somebody watches it.
    Broadcast(Arc<Spec>),
}

impl Watched {
    /// The session's.
    pub(crate) fn id(&self) -> SessionId {
        match self {
            Self::Session(id, _) => id.clone(),
            Self::Broadcast(spec) => SessionId::of_broadcast(&spec.name),
        }
    }
}

/// Why a viewer is not taken.
#[derive(Debug)]
pub(crate) enum WatchRefused {
    /// No session of this gateway has this id.
    UnknownSession,
    /// The session's stream shows nothing: its mode is `send`.
    NothingShown,
    /// The session has no picture yet.
    NoPicture,
    /// As many watch as may (`--max-viewers`).
    TooMany(u32),
    /// The offer cannot be answered.
    Offer(OfferError),
    /// The gateway takes nobody now.
    Refused(OfferRefused),
}

/// A viewer.
pub(super) struct ViewerEntry {
    /// The nonce in its token.
    pub(super) nonce: String,
    /// Of its first offer: see [`Entry::Running`].
    pub(super) origin: Option<String>,
    pub(super) state: ViewerState,
}

pub(super) enum ViewerState {
    /// The answer is being made; candidates wait for it.
    Opening(Vec<AddCandidate>),
    Running(Addr<Viewer>),
}

impl Handler<Watch> for Gateway {
    type Result = ResponseActFuture<Self, Result<String, WatchRefused>>;

    fn handle(&mut self, watch: Watch, _: &mut Context<Self>) -> Self::Result {
        if let Err(refused) = self.may_offer(&watch) {
            telemetry::viewers::refused(refused.label());
            return Box::pin(async { Err(refused) }.into_actor(self));
        }
        let begun = match &watch.watched {
            Watched::Broadcast(spec) => self.broadcast(watch.watched.id(), Arc::clone(spec)),
            Watched::Session(..) => None,
        };
        let Some(begun) = begun else { return self.watch(watch) };
        Box::pin(begun.then(|begun, gateway, _| match begun {
            Ok(()) => gateway.watch(watch),
            // At another gateway.
            Err(OfferRefused::AlreadyExists) => {
                gateway.refuse_viewer(&watch.viewer, WatchRefused::UnknownSession)
            }
            Err(refused) => gateway.refuse_viewer(&watch.viewer, WatchRefused::Refused(refused)),
        }))
    }
}

impl Gateway {
    fn watch(&mut self, watch: Watch) -> ResponseActFuture<Self, Result<String, WatchRefused>> {
        let viewer = watch.viewer.clone();
        let (watched, parsed) = (watch.watched.id(), watch.offer.clone());
        let (session, live, offer) = match self.may_watch(&watch) {
            Ok(may) => may,
            Err(refused) => return self.refuse_viewer(&viewer, refused),
        };
        let is_resource = watch.is_resource;
        let span = info_span!(
            "viewer",
            viewer = viewer.digest(),
            session = watched.digest(),
            client = watch.client.map(tracing::field::display),
            codec = offer.codec.codec.name()
        );
        let (nonce, state) = (watch.nonce.clone(), ViewerState::Opening(Vec::new()));
        let origin = offer.origin.clone();
        self.viewers.insert(viewer.clone(), ViewerEntry { nonce, origin, state });
        telemetry::viewers::active(self.viewers.len());
        let answering = self.answer_viewer(watch, session, live, offer, span.clone());
        let answering = self.media.spawn(answering.instrument(span)).into_actor(self);
        Box::pin(answering.map(move |answered, gateway, ctx| {
            let answered = answered.unwrap_or_else(|panic| {
                error!(target: STRANGER, viewer = viewer.digest(), %panic, "an offer was not answered");
                let ours = "our own fault; see the log".to_owned();
                Err(WatchRefused::Refused(OfferRefused::Unanswerable(ours)))
            });
            // Began before `Shutdown`, and would miss it.
            let draining = gateway.draining.load(Ordering::Relaxed);
            let answered = answered.and_then(|answered| {
                if draining {
                    Err(WatchRefused::Refused(OfferRefused::Draining))
                } else {
                    Ok(answered)
                }
            });
            match answered {
                Ok((sdp, pending)) => {
                    let running = viewer::open(pending, &gateway.arbiters.session, &ctx.address());
                    if is_resource {
                        gateway.resources.keep(viewer.clone(), Some(watched), parsed, &sdp);
                    }
                    let state = ViewerState::Running(running.clone());
                    let entry = gateway.viewers.get_mut(&viewer);
                    let before = entry.map(|entry| std::mem::replace(&mut entry.state, state));
                    if let Some(ViewerState::Opening(waiting)) = before {
                        // The mailbox is new; candidates beyond it are paths that the answer
                        // makes redundant.
                        waiting.into_iter().for_each(|it| drop(running.try_send(it)));
                    }
                    Ok(sdp)
                }
                Err(refused) => {
                    telemetry::viewers::refused(refused.label());
                    gateway.forget_viewer(&viewer);
                    Err(refused)
                }
            }
        }))
    }
}

impl Gateway {
    /// Whether this one may offer, whatever it would watch: also where the session turns out to be
    /// at another gateway, which does not know the client. Counts the viewer.
    fn may_offer(&mut self, watch: &Watch) -> Result<(), WatchRefused> {
        let Watch { viewer, offer, codecs, limited, subject, max_sessions, replaces, .. } = watch;
        if self.draining.load(Ordering::Relaxed) {
            return Err(WatchRefused::Refused(OfferRefused::Draining));
        }
        // A page chooses its id.
        if self.viewer_clients.counts(viewer) || self.sessions.contains_key(viewer) {
            return Err(WatchRefused::Refused(OfferRefused::AlreadyExists));
        }
        if self.viewers.len() >= self.max_viewers as usize {
            return Err(WatchRefused::TooMany(self.max_viewers));
        }
        offer.negotiate(Mode::Receive, codecs).map_err(WatchRefused::Offer)?;
        let (subject, replaces) = (subject.as_deref(), replaces.as_deref());
        let (id, address, max_sessions) = (viewer, *limited, *max_sessions);
        let new = NewOffer { id, address, subject, max_sessions, replaces };
        self.viewer_clients.take_offer(Instant::now(), &new).map_err(WatchRefused::Refused)
    }

    /// Refuses one that was counted.
    fn refuse_viewer(
        &mut self,
        viewer: &SessionId,
        refused: WatchRefused,
    ) -> ResponseActFuture<Self, Result<String, WatchRefused>> {
        telemetry::viewers::refused(refused.label());
        self.viewer_clients.ended(viewer);
        Box::pin(async { Err(refused) }.into_actor(self))
    }

    /// Whether this one may watch, as far as is known here and now.
    fn may_watch(
        &self,
        watch: &Watch,
    ) -> Result<(Addr<Session>, Arc<LiveSession>, Offer), WatchRefused> {
        let Watch { watched, offer, codecs, .. } = watch;
        // While a broadcast began, another may have taken the last place.
        if self.viewers.len() >= self.max_viewers as usize {
            return Err(WatchRefused::TooMany(self.max_viewers));
        }
        let (session, live, codec) = match self.sessions.get(&watched.id()) {
            Some(Entry::Running { session, live, codec, .. }) => (session, live, codec),
            Some(Entry::Opening(_) | Entry::Beginning(_)) | None => {
                return Err(WatchRefused::UnknownSession);
            }
        };
        if matches!(watched, Watched::Session(_, nonce) if *nonce != live.owner.nonce) {
            return Err(WatchRefused::UnknownSession);
        }
        if live.spec.mode == Mode::Send {
            return Err(WatchRefused::NothingShown);
        }
        // Viewers of a broadcast wait for it to begin.
        if codec.is_some() && live.status.state() == "connecting" {
            return Err(WatchRefused::NoPicture);
        }
        let (session, live) = (session.clone(), Arc::clone(live));
        let codecs = codecs.preferring(*codec);
        let offer = offer.negotiate(Mode::Receive, &codecs).map_err(WatchRefused::Offer)?;
        Ok((session, live, offer))
    }

    /// Makes the answer. Runs on the media runtime.
    fn answer_viewer(
        &self,
        watch: Watch,
        session: Addr<Session>,
        watched: Arc<LiveSession>,
        offer: Offer,
        span: Span,
    ) -> impl Future<Output = Result<(String, PendingViewer), WatchRefused>> + use<> {
        let Watch { viewer: id, client, .. } = watch;
        let Video { bitrates, video_limits } = self.video.clone();
        let bitrates = bitrates.with(watched.spec.bitrates);
        // Its path may carry less than a session's least: there is a smaller encoding.
        let bitrates = BitrateLimits { min: *BITRATES.start(), ..bitrates };
        let channels = ViewerChannels::new(&watched, bitrates, video_limits);
        let (port, open) = (Arc::clone(&self.port), self.peers.token());
        let answers = Arc::clone(&self.answers);
        async move {
            let Some(turn) = answers.turn(client).await else {
                return Err(WatchRefused::Refused(OfferRefused::Busy));
            };
            let answered = peer::answer(&offer, port.join(), channels.for_peer(), open).await;
            drop(turn);
            let (sdp, peer) = answered.map_err(|error| {
                info!(target: STRANGER, %error, "offer refused");
                WatchRefused::Refused(OfferRefused::Unanswerable(error.to_string()))
            })?;
            let pending =
                PendingViewer { id, offer, channels, peer, answers, session, watched, span };
            Ok((sdp, pending))
        }
    }

    /// The viewer of this id, if it began with an offer of the same origin: as for a session.
    pub(super) fn viewer_of_origin(
        &self,
        id: &SessionId,
        offered: Option<&str>,
        nonce: Option<&str>,
    ) -> Option<Addr<Viewer>> {
        let ViewerEntry { nonce: ours, origin, state } = self.viewers.get(id)?;
        let same = offered.is_some()
            && origin.as_deref() == offered
            && nonce.is_none_or(|nonce| nonce == ours);
        match state {
            ViewerState::Running(viewer) if same => Some(viewer.clone()),
            ViewerState::Running(_) | ViewerState::Opening(_) => None,
        }
    }

    pub(super) fn forget_viewer(&mut self, id: &SessionId) {
        self.viewers.remove(id);
        self.resources.forget(id);
        self.viewer_clients.ended(id);
        telemetry::viewers::active(self.viewers.len());
    }

    /// Those that are there.
    pub(super) fn running_viewers(&self) -> Vec<Addr<Viewer>> {
        let running = self.viewers.values().filter_map(|entry| match &entry.state {
            ViewerState::Running(viewer) => Some(viewer.clone()),
            ViewerState::Opening(_) => None,
        });
        running.collect()
    }
}

impl Handler<ViewerChecked> for Gateway {
    type Result = ();

    fn handle(&mut self, ViewerChecked(id): ViewerChecked, _: &mut Context<Self>) {
        self.viewer_clients.checked(&id);
    }
}

impl Handler<ViewerStopped> for Gateway {
    type Result = ();

    fn handle(&mut self, ViewerStopped(id): ViewerStopped, _: &mut Context<Self>) {
        self.forget_viewer(&id);
    }
}

impl Codecs {
    /// The same, with the codec first that there is an encoding of already.
    fn preferring(&self, first: Option<Codec>) -> Self {
        let allowed = match self {
            Self::Browsers => Codec::AVAILABLE,
            Self::Ours(codecs) => codecs,
        };
        let first = first.filter(|first| allowed.contains(first));
        let others = allowed.iter().copied().filter(|codec| Some(*codec) != first);
        // In our order, so that those who could take several share one.
        Self::Ours(first.into_iter().chain(others).collect())
    }
}

impl WatchRefused {
    /// The value of the label `reason`.
    fn label(&self) -> &'static str {
        match self {
            Self::UnknownSession => "unknown_session",
            Self::NothingShown => "nothing_shown",
            Self::NoPicture => "no_picture",
            Self::TooMany(_) => "too_many",
            Self::Offer(_) => "invalid",
            Self::Refused(refused) => refused.error(),
        }
    }
}
