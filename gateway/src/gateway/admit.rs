//! What a session takes when its browser has shown that it is there: a place on a codec thread and
//! a slot on a worker.
//!
//! [`super::admission`] says when; here it is done, by the gateway actor, which knows all sessions.

use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, Addr, Context, Handler, ResponseActFuture, WrapFuture};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::admission::Checked;
use super::{Entry, Gateway};
use crate::media::event::EndReason;
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::session::{self, Admit, Admitted, End, Session, workers_for};
use crate::stream::live_session::LiveSession;
use crate::threads::arbiters::CodecArbiter;
use crate::workers::placement::{ClaimError, Placement, Slot, limit};
use crate::workers::pool::{Pool, WorkerHandle};

/// How long a slot that an idle session gives up may take to be free: its worker closes the stream
/// first. After that, the session that wanted it is refused.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks for it: no store tells of a free slot.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// A session that gives way to another.
type Idle = (Addr<Session>, Arc<LiveSession>);

impl Handler<Admit> for Gateway {
    type Result = ResponseActFuture<Self, Option<Result<Admitted, OfferRefused>>>;

    fn handle(&mut self, Admit { id, encrypted }: Admit, _: &mut Context<Self>) -> Self::Result {
        match self.may_take(&id, encrypted) {
            None => Box::pin(std::future::ready(None).into_actor(self)),
            Some(Err(refused)) => {
                let answer = self.refuse(&id, refused);
                Box::pin(std::future::ready(answer.map(Err)).into_actor(self))
            }
            Some(Ok((codecs, live))) => {
                // Only for a browser that DTLS has shown to be there: a check alone costs its
                // sender a datagram.
                let idle = if encrypted { self.most_idle(&live.spec.name) } else { None };
                let (pool, placement, session) =
                    (self.pool.clone(), Arc::clone(&self.placement), id.clone());
                let claiming =
                    async move { claim(&pool, &*placement, &live, &session, idle).await };
                let claiming = self.media.spawn(claiming).into_actor(self);
                Box::pin(claiming.map(move |claimed, gateway, _| match claimed {
                    Ok(Ok((worker, slot))) => Some(Ok(Admitted { codecs, worker, slot })),
                    Ok(Err(error)) => gateway.refuse(&id, error.into()).map(Err),
                    // The media runtime is going down.
                    Err(_) => gateway.refuse(&id, OfferRefused::NoWorker).map(Err),
                }))
            }
        }
    }
}

impl Gateway {
    /// Whether the session takes its slot now, and on which codec thread it is then.
    fn may_take(
        &mut self,
        id: &SessionId,
        encrypted: bool,
    ) -> Option<Result<(CodecArbiter, Arc<LiveSession>), OfferRefused>> {
        let Some(Entry::Running { live, .. }) = self.sessions.get(id) else { return None };
        let live = Arc::clone(live);
        self.clients.checked(id);
        let now = if encrypted {
            self.admission.encrypted(id)
        } else {
            let slots = limit(&workers_for(&self.pool, &live));
            match self.admission.checked(id, &live.spec.name, slots) {
                Checked::Now => true,
                Checked::Gone => false,
                Checked::Later(crowded_out) => {
                    self.crowd_out(crowded_out);
                    false
                }
            }
        };
        now.then(|| self.codec_place(encrypted).map(|codecs| (codecs, live)))
    }

    /// One whose browser may still fail to complete DTLS is not told, and tries again when it has:
    /// only then is there a data channel to tell it on.
    fn refuse(&mut self, id: &SessionId, refused: OfferRefused) -> Option<OfferRefused> {
        if self.admission.is_without_dtls(id) {
            let crowded_out = self.admission.put_off(id);
            self.crowd_out(crowded_out);
            return None;
        }
        Some(refused)
    }

    /// Ends the session that has to go because there are too many without a slot.
    pub(super) fn crowd_out(&self, id: Option<SessionId>) {
        if let Some(Entry::Running { session, .. }) = id.and_then(|id| self.sessions.get(&id)) {
            let session = session.clone();
            actix::spawn(async move {
                // Closed: it ended by itself.
                session.send(End(EndReason::CrowdedOut)).await.ok();
            });
        }
    }

    /// The session of this stream that has been without a frame for longest, if that is long
    /// enough.
    pub(super) fn most_idle(&self, stream: &str) -> Option<Idle> {
        let idle = self.sessions.values().filter_map(|entry| match entry {
            Entry::Running { session, live, .. } if live.spec.name == stream => {
                Some((live.received.gives_way()?, session, live))
            }
            Entry::Running { .. } | Entry::Opening(_) | Entry::Beginning(_) => None,
        });
        let (_, session, live) = idle.max_by_key(|(idle, ..)| *idle)?;
        Some((session.clone(), Arc::clone(live)))
    }
}

/// Claims a slot; where all are taken, that of the idle session.
async fn claim(
    pool: &Pool,
    placement: &dyn Placement,
    live: &LiveSession,
    id: &SessionId,
    idle: Option<Idle>,
) -> Result<(WorkerHandle, Slot), ClaimError> {
    let claim = || async { session::claim(placement, id, &workers_for(pool, live)).await };
    let mut claimed = claim().await;
    let idle = idle.filter(|_| matches!(claimed, Err(ClaimError::Full { slots: 1.. })));
    let Some((idle, gives_way)) = idle else { return claimed };
    // Nobody counts on it any more.
    gives_way.received.set_idle(Duration::ZERO);
    debug!("an idle session makes room");
    // Closed: it ended by itself, or made room for another.
    idle.send(End(EndReason::Displaced)).await.ok();
    let deadline = Instant::now() + GIVEN_UP_WITHIN;
    loop {
        claimed = claim().await;
        if !matches!(claimed, Err(ClaimError::Full { .. })) || Instant::now() >= deadline {
            return claimed;
        }
        sleep(LOOK_AGAIN).await;
    }
}
