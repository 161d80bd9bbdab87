//! The gateway actor: which sessions there are, which may start (`admit`), and which of those that
//! cannot all have a slot must wait (`admission`). It may import `session` and what is below that;
//! it knows no HTTP.

mod admission;
mod admit;
mod client_limits;
mod early;
mod renegotiation;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, MessageResult,
    ResponseActFuture, ResponseFuture, WrapFuture,
};
use reframe_trace::STRANGER;
use rtc::peer_connection::transport::RTCIceCandidateInit;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, error, info, info_span, warn};

use self::admission::Admission;
use self::client_limits::{Clients, NewOffer};
use self::early::{ANSWER_WITHIN, EarlyCandidates};
pub(crate) use self::renegotiation::Renegotiate;
use crate::browser::net::MediaPort;
use crate::browser::offer::Offer;
use crate::browser::peer;
use crate::config::Video;
use crate::config::client_limits::ClientLimits;
use crate::media::event::EndReason;
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::session::{
    AddCandidate, Answers, End, PendingSession, Reconnect, Session, SessionChannels,
    SessionStopped, Timeouts, WorkerSearch, new_sessions, open,
};
use crate::shares::Rates;
use crate::stream::inputs::Values;
use crate::stream::live_session::{LiveSession, Owner};
use crate::threads::arbiters::{Arbiters, CodecArbiter};
use crate::threads::load::LOOK_INTERVAL;
use crate::workers::placement::Placement;
use crate::workers::pool::Pool;

/// Offers, candidates and ends that may wait. Full: HTTP requests wait, which is where
/// back-pressure belongs.
const MAILBOX: usize = 64;

/// Candidates that may wait for their session's answer; browsers have about ten. Full: further ones
/// are ignored.
const MAX_WAITING: usize = 32;

/// Start a session of `stream`; the answer is SDP. It takes its slot when the browser has shown
/// that it is there.
#[derive(Message)]
#[rtype(result = "Result<String, OfferRefused>")]
pub(crate) struct StartSession {
    pub(crate) stream: String,
    pub(crate) id: SessionId,
    /// Whose it is, for the log and for the answer's turn.
    pub(crate) client: Option<IpAddr>,
    /// Whose it is, for what one client may have; `None`: a program on this machine.
    pub(crate) limited: Option<IpAddr>,
    pub(crate) offer: Offer,
    /// What the client has set already.
    pub(crate) inputs: Values,
    pub(crate) owner: Owner,
    /// Sessions that the owner's subject may have at once.
    pub(crate) max_sessions: Option<u32>,
    /// The id of the session whose place it takes, which does not count for its client's limits.
    pub(crate) replaces: Option<String>,
}

/// A trickled candidate; `None` is the end of candidates.
#[derive(Message)]
#[rtype(result = "Result<(), CandidateError>")]
pub(crate) struct Candidate {
    pub(crate) id: SessionId,
    pub(crate) candidate: Option<RTCIceCandidateInit>,
    /// The nonce in the session's token, where one was shown.
    pub(crate) nonce: Option<String>,
    /// When there is no session of this id: whether to keep the candidate, and wait, for one that
    /// may be on its way.
    pub(crate) wait: bool,
}

/// No offer came with the candidate's id.
#[derive(Debug)]
pub(crate) struct CandidateError;

/// What may be done with a session that runs.
#[derive(Message)]
#[rtype(result = "Option<Arc<LiveSession>>")]
pub(crate) struct FindSession(pub(crate) SessionId);

/// Every session that runs, by id.
#[derive(Message)]
#[rtype(result = "BTreeMap<SessionId, Arc<LiveSession>>")]
pub(crate) struct ListSessions;

/// End a session, as its operator; false if there is no session with this id.
#[derive(Message)]
#[rtype(result = "bool")]
pub(crate) struct CloseSession(pub(crate) SessionId);

/// Take no more sessions, and tell those that run to go to another gateway. The answer counts those
/// that are left.
#[derive(Message)]
#[rtype(result = "watch::Receiver<usize>")]
pub(crate) struct Drain;

/// End every session and take no more; answers when the last one has been told.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Shutdown;

/// The actor.
pub(crate) struct Gateway {
    pub(crate) pool: Pool,
    pub(crate) placement: Arc<dyn Placement>,
    pub(crate) arbiters: Arc<Arbiters>,
    pub(crate) media: tokio::runtime::Handle,
    pub(crate) port: Arc<MediaPort>,
    pub(crate) video: Video,
    /// Connections that are not closed yet, so that a stopping gateway can wait for them.
    pub(crate) peers: TaskTracker,
    pub(crate) timeouts: Timeouts,
    answers: Arc<Answers>,
    /// Of each client's network.
    new_sessions: Rates,
    sessions: HashMap<SessionId, Entry>,
    clients: Clients,
    admission: Admission,
    /// How many there are, for a gateway that drains.
    count: watch::Sender<usize>,
    early: EarlyCandidates,
    /// The last new offer was refused because of the load.
    overloaded: bool,
    draining: Arc<AtomicBool>,
}

/// What the options say.
pub(crate) struct Settings {
    pub(crate) video: Video,
    pub(crate) timeouts: Timeouts,
    pub(crate) clients: ClientLimits,
}

enum Entry {
    /// The answer is being made; candidates wait for it.
    Opening(Vec<RTCIceCandidateInit>),
    Running {
        session: Addr<Session>,
        live: Arc<LiveSession>,
        /// Of its first offer. A later offer with the same origin is from the session's own
        /// browser.
        origin: Option<String>,
    },
}

impl Gateway {
    pub(crate) fn new(
        pool: Pool,
        placement: Arc<dyn Placement>,
        arbiters: Arc<Arbiters>,
        media: tokio::runtime::Handle,
        port: Arc<MediaPort>,
        Settings { video, timeouts, clients }: Settings,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            pool,
            placement,
            arbiters,
            media,
            port,
            video,
            peers: TaskTracker::new(),
            timeouts,
            answers: Arc::new(Answers::new(cores)),
            new_sessions: new_sessions(cores),
            sessions: HashMap::new(),
            clients: Clients::new(clients),
            admission: Admission::default(),
            count: watch::Sender::new(0),
            early: EarlyCandidates::default(),
            overloaded: false,
            draining: Arc::default(),
        }
    }

    /// True once the gateway takes no more sessions.
    pub(crate) fn draining(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.draining)
    }

    /// Whether there is room for a session that now offers. Here and now: other gateways and
    /// workers are not asked yet.
    fn check_offer(&mut self, start: &StartSession) -> Result<(), OfferRefused> {
        let StartSession { id, client, limited, owner, max_sessions, replaces, .. } = start;
        if self.draining.load(Ordering::Relaxed) {
            return Err(OfferRefused::Draining);
        }
        if self.sessions.contains_key(id) {
            return Err(OfferRefused::AlreadyExists);
        }
        // Free again at once: it is taken when the browser has shown that it is there.
        self.codec_place(true).map(drop)?;
        // Before the placement is asked: that costs as much as the answer does.
        let (now, subject) = (Instant::now(), owner.subject.as_deref());
        let (max_sessions, replaces) = (*max_sessions, replaces.as_deref());
        let offer = NewOffer { id, address: *limited, subject, max_sessions, replaces };
        self.clients.take_offer(now, &offer)?;
        // Last: whoever is over a limit of its own takes nothing from others on its network.
        if client.is_some_and(|client| !self.new_sessions.take(now, client)) {
            self.clients.ended(id);
            return Err(OfferRefused::RateLimited);
        }
        Ok(())
    }

    /// Takes a place on a codec thread; there are fewer for sessions without DTLS.
    fn codec_place(&mut self, encrypted: bool) -> Result<CodecArbiter, OfferRefused> {
        let place = self.arbiters.codec(encrypted);
        if encrypted {
            // Told when it changes, not for each offer: the counter has them all.
            match (&place, std::mem::replace(&mut self.overloaded, place.is_err())) {
                (Err(load), false) => {
                    warn!(load, "too busy for one session more (--max-load): offers are refused")
                }
                (Ok(_), true) => info!("sessions are taken again"),
                _ => {}
            }
        }
        place.map_err(|_| OfferRefused::Overloaded)
    }

    /// The connection is there: make the session around it.
    fn open(&mut self, pending: PendingSession, ctx: &mut Context<Self>) {
        let (id, live, origin) =
            (pending.id.clone(), Arc::clone(&pending.live), pending.offer.origin.clone());
        // Of whom nothing is known: of one client.
        let client = pending.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let crowded_out = self.admission.answered(&id, client);
        self.crowd_out(crowded_out);
        let session = open(pending, &self.arbiters, &self.media, &ctx.address());
        let running = Entry::Running { session: session.clone(), live, origin };
        if let Some(Entry::Opening(candidates)) = self.sessions.insert(id, running) {
            for candidate in candidates {
                // The mailbox is new; candidates beyond it are paths that the answer makes
                // redundant.
                drop(session.try_send(AddCandidate(candidate)));
            }
        }
    }

    /// Makes the answer, and what the session needs to wait for its browser. Runs on the media
    /// runtime.
    fn answer(
        &self,
        StartSession { stream, id, client, offer, inputs, owner, .. }: StartSession,
        span: Span,
    ) -> impl Future<Output = Result<(String, PendingSession), OfferRefused>> + use<> {
        let mut workers = self.pool.serving();
        workers.retain(|worker| worker.spec.name == stream);
        // One that would make room does so when this browser has shown that it is there.
        let yields = self.most_idle(&stream).is_some();
        let (pool, placement) = (self.pool.clone(), Arc::clone(&self.placement));
        let (port, open) = (Arc::clone(&self.port), self.peers.token());
        let (timeouts, answers) = (self.timeouts, Arc::clone(&self.answers));
        let Video { bitrates, video_limits } = self.video.clone();
        async move {
            placement.look(&id, &workers, yields).await?;
            // All workers of a stream declare the same.
            let spec = Arc::clone(&workers.first().ok_or(OfferRefused::NoWorker)?.spec);
            let live = LiveSession::new(Arc::clone(&spec), owner, inputs);
            let channels = SessionChannels::new(bitrates.with(spec.bitrates), video_limits);
            let answered = match answers.turn(client).await {
                Some(_turn) => {
                    let for_peer = channels.for_peer(Arc::clone(&live));
                    let answered = peer::answer(&offer, port.join(), for_peer, open).await;
                    answered.map_err(|error| {
                        info!(target: STRANGER, %error, "offer refused");
                        OfferRefused::Unanswerable(error.to_string())
                    })
                }
                None => Err(OfferRefused::Busy),
            };
            match answered {
                Ok((sdp, peer)) => {
                    let search = WorkerSearch {
                        id: id.clone(),
                        pool,
                        placement,
                        live: Arc::clone(&live),
                        events: channels.events(),
                    };
                    let pending = PendingSession {
                        id,
                        client,
                        offer,
                        span,
                        channels,
                        peer,
                        search,
                        timeouts,
                        live,
                        answers,
                    };
                    Ok((sdp, pending))
                }
                Err(refused) => {
                    placement.disown(&id, &spec.name).await;
                    Err(refused)
                }
            }
        }
    }

    /// The session of this id, if it began with an offer of the same origin; `nonce`: and if its
    /// token has this nonce.
    fn of_origin(
        &self,
        id: &SessionId,
        offered: Option<&str>,
        nonce: Option<&str>,
    ) -> Option<Addr<Session>> {
        match self.sessions.get(id)? {
            Entry::Running { session, origin, live }
                if offered.is_some()
                    && origin.as_deref() == offered
                    && nonce.is_none_or(|nonce| nonce == live.owner.nonce) =>
            {
                Some(session.clone())
            }
            _ => None,
        }
    }

    fn forget(&mut self, id: &SessionId) {
        self.admission.ended(id);
        self.sessions.remove(id);
        self.clients.ended(id);
        self.count.send_replace(self.sessions.len());
    }

    fn running(&self) -> Vec<Addr<Session>> {
        let running = self.sessions.values().filter_map(|entry| match entry {
            Entry::Running { session, .. } => Some(session.clone()),
            Entry::Opening(_) => None,
        });
        running.collect()
    }
}

impl Actor for Gateway {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(LOOK_INTERVAL, |gateway, _| gateway.arbiters.look());
    }
}

impl Handler<StartSession> for Gateway {
    type Result = ResponseActFuture<Self, Result<String, OfferRefused>>;

    fn handle(&mut self, start: StartSession, _: &mut Self::Context) -> Self::Result {
        if let Err(refused) = self.check_offer(&start) {
            return Box::pin(async move { Err(refused) }.into_actor(self));
        }
        let id = start.id.clone();
        self.sessions.insert(id.clone(), Entry::Opening(self.early.take(&id)));
        self.count.send_replace(self.sessions.len());
        let span = info_span!(
            "session",
            session = id.digest(),
            client = start.client.map(tracing::field::display),
            codec = start.offer.codec.codec.name()
        );
        let answering = self.answer(start, span.clone()).instrument(span);
        // The connection's driver lives on the runtime that builds it.
        let answering = self.media.spawn(answering).into_actor(self);
        Box::pin(answering.map(move |answered, gateway, ctx| {
            let answered = answered.unwrap_or_else(|panic| {
                let session = id.digest();
                error!(target: STRANGER, session, %panic, "an offer was not answered");
                Err(OfferRefused::Unanswerable("our own fault; see the log".to_owned()))
            });
            // Began before `Shutdown` and would miss it.
            let draining = gateway.draining.load(Ordering::Relaxed);
            let answered = answered.and_then(|answered| {
                if draining { Err(OfferRefused::Draining) } else { Ok(answered) }
            });
            match answered {
                Ok((sdp, pending)) => {
                    gateway.open(pending, ctx);
                    Ok(sdp)
                }
                Err(refused) => {
                    gateway.forget(&id);
                    Err(refused)
                }
            }
        }))
    }
}

impl Handler<Candidate> for Gateway {
    type Result = ResponseFuture<Result<(), CandidateError>>;

    fn handle(
        &mut self,
        Candidate { id, candidate, nonce, wait }: Candidate,
        _: &mut Self::Context,
    ) -> Self::Result {
        match self.sessions.get_mut(&id) {
            Some(Entry::Running { live, .. })
                if nonce.is_some_and(|nonce| nonce != live.owner.nonce) =>
            {
                Box::pin(async { Err(CandidateError) })
            }
            Some(Entry::Running { session, .. }) => {
                let Some(candidate) = candidate else { return Box::pin(async { Ok(()) }) };
                let session = session.clone();
                // Closed: the session ended a moment ago.
                Box::pin(async move {
                    session.send(AddCandidate(candidate)).await.map_err(|_| CandidateError)
                })
            }
            Some(Entry::Opening(candidates)) => {
                candidates.extend(candidate.filter(|_| candidates.len() < MAX_WAITING));
                Box::pin(async { Ok(()) })
            }
            None if !wait => Box::pin(async { Err(CandidateError) }),
            None => {
                let offered = self.early.put(Instant::now(), &id, candidate);
                Box::pin(async move {
                    let offered = timeout(ANSWER_WITHIN, offered.ok_or(CandidateError)?).await;
                    offered.ok().and_then(Result::ok).ok_or(CandidateError)
                })
            }
        }
    }
}

impl Handler<FindSession> for Gateway {
    type Result = Option<Arc<LiveSession>>;

    fn handle(&mut self, FindSession(id): FindSession, _: &mut Self::Context) -> Self::Result {
        match self.sessions.get(&id)? {
            Entry::Running { live, .. } => Some(Arc::clone(live)),
            Entry::Opening(_) => None,
        }
    }
}

impl Handler<ListSessions> for Gateway {
    type Result = MessageResult<ListSessions>;

    fn handle(&mut self, _: ListSessions, _: &mut Self::Context) -> Self::Result {
        let listed = |(id, entry): (&SessionId, &Entry)| match entry {
            Entry::Running { live, .. } => Some((id.clone(), Arc::clone(live))),
            Entry::Opening(_) => None,
        };
        MessageResult(self.sessions.iter().filter_map(listed).collect())
    }
}

impl Handler<CloseSession> for Gateway {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, CloseSession(id): CloseSession, _: &mut Self::Context) -> Self::Result {
        let session = match self.sessions.get(&id) {
            Some(Entry::Running { session, .. }) => session.clone(),
            Some(Entry::Opening(_)) | None => return Box::pin(async { false }),
        };
        // Closed: it ended a moment ago, by itself.
        Box::pin(async move { session.send(End(EndReason::Operator)).await.is_ok() })
    }
}

impl Handler<SessionStopped> for Gateway {
    type Result = ();

    fn handle(&mut self, SessionStopped(id): SessionStopped, _: &mut Self::Context) {
        self.forget(&id);
    }
}

impl Handler<Drain> for Gateway {
    type Result = MessageResult<Drain>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        self.draining.store(true, Ordering::Relaxed);
        for session in self.running() {
            actix::spawn(async move {
                // Closed: it ended by itself.
                session.send(Reconnect).await.ok();
            });
        }
        MessageResult(self.count.subscribe())
    }
}

impl Handler<Shutdown> for Gateway {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) -> Self::Result {
        self.draining.store(true, Ordering::Relaxed);
        let running = self.running();
        Box::pin(async move {
            for session in running {
                // Closed: it ended by itself.
                session.send(End(EndReason::Shutdown)).await.ok();
            }
        })
    }
}
