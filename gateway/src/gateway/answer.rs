//! How an offer is answered, and what its session needs to wait for its browser.

use std::sync::Arc;

use reframe_trace::STRANGER;
use tracing::{Span, info};

use super::{Gateway, StartSession};
use crate::browser::peer;
use crate::config::Video;
use crate::media::refused::OfferRefused;
use crate::session::{PendingSession, SessionChannels, WorkerSearch, workers_for};
use crate::stream::live_session::LiveSession;

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
        let workers = workers_for(&self.pool, &live);
        let (pool, placement) = (self.pool.clone(), Arc::clone(&self.placement));
        let (port, open) = (Arc::clone(&self.port), self.peers.token());
        let (timeouts, answers) = (self.timeouts, Arc::clone(&self.answers));
        let moves = Arc::clone(&self.moves);
        let Video { bitrates, video_limits } = self.video.clone();
        async move {
            if workers.is_empty() {
                return Err(OfferRefused::NoWorker);
            }
            placement.look(&id, &workers, yields).await?;
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
                        moves,
                    };
                    let pending = PendingSession {
                        id,
                        client,
                        connection: Some((offer, peer)),
                        span,
                        channels,
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
}
