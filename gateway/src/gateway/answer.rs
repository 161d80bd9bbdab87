//! How an offer is answered, and what its session needs to wait for its browser.

use std::net::IpAddr;
use std::sync::Arc;

use reframe_trace::STRANGER;
use tracing::{Span, info};

use super::{Gateway, StartSession};
use crate::browser::peer;
use crate::config::Video;
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::session::{PendingSession, SessionChannels, WorkerSearch, workers_for};
use crate::stream::live_session::LiveSession;
use crate::workers::pool::WorkerHandle;

impl Gateway {
    /// Makes the answer, and what the session needs to wait for its browser. Runs on the media
    /// runtime.
    pub(super) fn answer(
        &self,
        StartSession { spec, outdated, id, client, offer, inputs, owner, .. }: StartSession,
        span: Span,
    ) -> impl Future<Output = Result<(String, PendingSession), OfferRefused>> + use<> {
        // One that would make room does so when this browser has shown that it is there.
        let yields = self.most_idle(&spec.name).is_some();
        let live = LiveSession::new(Arc::clone(&spec), outdated, owner, inputs);
        let (port, open) = (Arc::clone(&self.port), self.peers.token());
        let (answers, placement) = (Arc::clone(&self.answers), Arc::clone(&self.placement));
        let prepared = self.prepare(live, id, client, span);
        async move {
            let mut pending = prepared.look(yields).await?;
            let answered = match answers.turn(client).await {
                Some(_turn) => {
                    let for_peer = pending.channels.for_peer(Arc::clone(&pending.live));
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
                    pending.connection = Some((offer, peer));
                    Ok((sdp, pending))
                }
                Err(refused) => {
                    placement.disown(&pending.id, &spec.name).await;
                    Err(refused)
                }
            }
        }
    }
}

/// A session that is pending as soon as its stream is known to have room.
pub(super) struct Prepared {
    pending: PendingSession,
    workers: Vec<WorkerHandle>,
}

impl Gateway {
    /// What a session needs to wait for its browser, but for its connection.
    pub(super) fn prepare(
        &self,
        live: Arc<LiveSession>,
        id: SessionId,
        client: Option<IpAddr>,
        span: Span,
    ) -> Prepared {
        let workers = workers_for(&self.pool, &live);
        let Video { bitrates, video_limits } = self.video.clone();
        let channels = SessionChannels::new(bitrates.with(live.spec.bitrates), video_limits);
        let search = WorkerSearch {
            id: id.clone(),
            pool: self.pool.clone(),
            placement: Arc::clone(&self.placement),
            live: Arc::clone(&live),
            events: channels.events(),
            moves: Arc::clone(&self.moves),
        };
        let (timeouts, answers) = (self.timeouts, Arc::clone(&self.answers));
        let connection = None;
        let pending = PendingSession {
            id,
            client,
            connection,
            span,
            channels,
            search,
            timeouts,
            live,
            answers,
        };
        Prepared { pending, workers }
    }
}

impl Prepared {
    /// Asks the placement for room; with `yields` there is some in any case.
    ///
    /// # Errors
    /// The stream has no worker, or no room; or another gateway has the session.
    pub(super) async fn look(self, yields: bool) -> Result<PendingSession, OfferRefused> {
        let Self { pending, workers } = self;
        if workers.is_empty() {
            return Err(OfferRefused::NoWorker);
        }
        pending.search.placement.look(&pending.id, &workers, yields).await?;
        Ok(pending)
    }
}
