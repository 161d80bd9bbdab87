//! Finding a worker for a session that has none, or that has to leave its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;
use parking_lot::Mutex;
use reframe_trace::STRANGER;
use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use super::core::Previous;
use crate::media::event::{EndReason, SessionEvent};
use crate::media::session_id::SessionId;
use crate::shares::Bucket;
use crate::stream::live_session::LiveSession;
use crate::stream::spec::Spec;
use crate::workers::link::{DialError, Dialed, dial};
use crate::workers::placement::{Placement, Slot};
use crate::workers::pool::{Health, Pool, Proximity, WorkerHandle};

/// Between two tries, unless a worker comes or changes meanwhile: nothing announces a freed slot.
/// Doubled each time up to the second constant, and jittered, so that many waiting sessions do not
/// load Redis at once.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// See [`FIRST_PAUSE`].
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// How long a handler may take to start for a session. Longer, and another worker is tried.
const START_WITHIN: Duration = Duration::from_secs(60);

/// What is needed to find a worker.
#[derive(Clone)]
pub(crate) struct WorkerSearch {
    pub(crate) id: SessionId,
    pub(crate) pool: Pool,
    pub(crate) placement: Arc<dyn Placement>,
    pub(crate) live: Arc<LiveSession>,
    pub(crate) events: Recipient<SessionEvent>,
    /// How often sessions of this gateway may move nearer.
    pub(crate) moves: Arc<Mutex<Bucket>>,
}

/// What came of it.
pub(super) enum SearchOutcome {
    Worker(Box<Dialed>),
    /// The worker that was to be left serves again, or no nearer one has room.
    Stay,
}

/// The workers that a session which was built for `spec` may be on.
pub(crate) fn workers_for(pool: &Pool, spec: &Spec) -> Vec<WorkerHandle> {
    let mut workers = pool.serving();
    workers.retain(|worker| worker.spec.takes_over(spec));
    workers
}

impl WorkerSearch {
    /// Tries until there is a worker, `claimed` first; [`SessionEvent::Waiting`] tells that it
    /// takes longer. A session that has a worker which is far tries the nearer ones, once each.
    ///
    /// # Errors
    /// The handler itself does not want the session.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it holds nothing.
    pub(super) async fn run(
        self,
        previous: Previous<WorkerHandle>,
        mut claimed: Option<(WorkerHandle, Slot)>,
    ) -> Result<SearchOutcome, EndReason> {
        let mut changes = self.pool.changes();
        // Those that did not take it, in this round.
        let mut refused = BTreeSet::new();
        let (mut leave, mut far) = (None, None);
        match previous {
            Previous::Nothing => {}
            // Its own pings notice a moment later than its streams' end.
            Previous::Lost(worker) => drop(refused.insert(worker.spec.instance.clone())),
            Previous::Draining(worker) => leave = Some(worker),
            Previous::Far(worker) => {
                if !self.may_move_from(&worker) {
                    return Ok(SearchOutcome::Stay);
                }
                far = Some(worker.proximity);
            }
        }
        let mut pause = FIRST_PAUSE;
        loop {
            changes.mark_unchanged();
            if leave.as_ref().is_some_and(|worker| *worker.health.borrow() == Health::Serving) {
                return Ok(SearchOutcome::Stay);
            }
            if let Some(leave) = &leave {
                refused.insert(leave.spec.instance.clone());
            }
            let place = match claimed.take() {
                Some(place) => Some(place),
                None => self.claim(&refused, far).await,
            };
            if let Some((worker, slot)) = place {
                let (name, instance) = (worker.name.clone(), worker.spec.instance.clone());
                let dialing = dial((worker, slot), &self.id, &self.live.inputs, &self.events);
                match timeout(START_WITHIN, dialing).await {
                    Ok(Ok(dialed)) => return Ok(SearchOutcome::Worker(Box::new(dialed))),
                    // Not while the old worker serves it well.
                    Ok(Err(DialError::Ended(reason))) if leave.is_none() && far.is_none() => {
                        return Err(reason);
                    }
                    Ok(Err(_)) | Err(_) => {
                        if self.live.status.is_connected() {
                            info!(
                                worker = name,
                                "the worker did not take the session, looking for another"
                            );
                        } else {
                            info!(target: STRANGER, worker = name, "the worker did not take the \
                                session");
                        }
                        refused.insert(instance);
                        // There may be another with room.
                        continue;
                    }
                }
            }
            if far.is_some() {
                return Ok(SearchOutcome::Stay);
            }
            refused.clear();
            // The session is gone: its end drops this future.
            self.events.send(SessionEvent::Waiting).await.ok();
            // Closed: never, the pool is ours. Elapsed: another try.
            drop(timeout(pause.mul_f64(rand::random_range(0.75..1.25)), changes.changed()).await);
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Whether there are workers nearer than `worker`, which is in another zone, and it is this
    /// session's turn to move.
    fn may_move_from(&self, worker: &WorkerHandle) -> bool {
        let nearer = |other: &WorkerHandle| other.proximity < worker.proximity;
        worker.proximity == Proximity::OtherZone
            && workers_for(&self.pool, &self.live.spec).iter().any(nearer)
            && self.moves.lock().take(Instant::now())
    }

    /// A slot at a worker that is none of these, and nearer than `than`.
    async fn claim(
        &self,
        without: &BTreeSet<String>,
        than: Option<Proximity>,
    ) -> Option<(WorkerHandle, Slot)> {
        let mut workers = workers_for(&self.pool, &self.live.spec);
        workers.retain(|worker| !without.contains(&worker.spec.instance));
        workers.retain(|worker| than.is_none_or(|than| worker.proximity < than));
        let claimed = self.placement.claim(&self.id, &workers).await;
        claimed.map_err(|error| debug!(?error, "no other worker now")).ok()
    }
}
