//! The gateway actor: which sessions there are, which may start (`admit`), and which of those that
//! cannot all have a slot must wait (`admission`). It may import `session` and what is below that;
//! it knows no HTTP.

mod admission;
mod admit;
mod answer;
mod broadcast;
mod candidate;
mod client_limits;
mod early;
mod find;
mod renegotiation;
mod resource;
mod start;
mod stop;
mod viewers;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix::{Actor, Addr, AsyncContext, Context, Handler};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use self::admission::Admission;
pub(crate) use self::candidate::Candidate;
use self::candidate::Opening;
use self::client_limits::Clients;
use self::early::EarlyCandidates;
pub(crate) use self::find::{CloseSession, FindSession, ListSessions};
pub(crate) use self::renegotiation::Renegotiate;
use self::resource::Resources;
pub(crate) use self::resource::{
    Condition, DeleteResource, IceChange, PatchRefused, PatchResource, Patched, entity_tag,
};
pub(crate) use self::start::StartSession;
pub(crate) use self::stop::{Drain, Shutdown};
use self::viewers::ViewerEntry;
pub(crate) use self::viewers::{Watch, WatchRefused, Watched};
use crate::browser::net::MediaPort;
use crate::codec::Codec;
use crate::config::Video;
use crate::config::client_limits::ClientLimits;
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::session::{Answers, Session, SessionStopped, Timeouts, moves, new_sessions};
use crate::shares::{Bucket, Rates};
use crate::stream::live_session::LiveSession;
use crate::threads::arbiters::{Arbiters, CodecArbiter};
use crate::threads::load::LOOK_INTERVAL;
use crate::workers::placement::Placement;
use crate::workers::pool::Pool;

/// Offers, candidates and ends that may wait. Full: HTTP requests wait, which is where
/// back-pressure belongs.
const MAILBOX: usize = 64;

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
    /// How often sessions may move to a nearer worker.
    moves: Arc<Mutex<Bucket>>,
    sessions: HashMap<SessionId, Entry>,
    clients: Clients,
    viewers: HashMap<SessionId, ViewerEntry>,
    /// Of the connections that WHIP and WHEP have made.
    resources: Resources,
    /// Viewers have limits of their own.
    viewer_clients: Clients,
    /// Of all sessions together.
    max_viewers: u32,
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
    Opening(Opening),
    /// A broadcast whose place in the cluster is asked for, and who waits for it.
    Beginning(Vec<oneshot::Sender<Result<(), OfferRefused>>>),
    Running {
        session: Addr<Session>,
        live: Arc<LiveSession>,
        /// Of its client's video; `None`: a broadcast.
        codec: Option<Codec>,
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
            moves: Arc::new(Mutex::new(moves(Instant::now()))),
            sessions: HashMap::new(),
            clients: Clients::new(clients),
            viewers: HashMap::new(),
            resources: Resources::default(),
            viewer_clients: Clients::new(clients),
            max_viewers: clients.viewers,
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

    /// The session of this id, if it began with an offer of the same origin; `nonce`: and if its
    /// token has this nonce.
    fn of_origin(
        &self,
        id: &SessionId,
        offered: Option<&str>,
        nonce: Option<&str>,
    ) -> Option<Addr<Session>> {
        match self.sessions.get(id)? {
            Entry::Running { session, origin, live, .. }
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
        self.resources.forget(id);
        self.clients.ended(id);
        self.count.send_replace(self.sessions.len());
    }

    fn running(&self) -> Vec<Addr<Session>> {
        let running = self.sessions.values().filter_map(|entry| match entry {
            Entry::Running { session, .. } => Some(session.clone()),
            Entry::Opening(_) | Entry::Beginning(_) => None,
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

impl Handler<SessionStopped> for Gateway {
    type Result = ();

    fn handle(&mut self, SessionStopped(id): SessionStopped, _: &mut Self::Context) {
        self.forget(&id);
    }
}
