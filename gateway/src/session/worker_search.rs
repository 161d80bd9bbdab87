//! Finding a worker for a session that has none, or that has to leave its own.

use std::collections::BTreeSet;
use std::future::pending;
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
use crate::workers::link::{DialError, Dialed, dial};
use crate::workers::placement::{ClaimError, Placement, Slot, limit};
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
    /// The worker that was to be left serves again, or no nearer one took it; `refused`: although
    /// one had room.
    Stay {
        refused: bool,
    },
}

/// The workers that a session may be on, the newest generation first.
pub(crate) fn workers_for(pool: &Pool, live: &LiveSession) -> Vec<WorkerHandle> {
    let mut workers = pool.serving();
    workers.retain(|worker| live.fits(&worker.spec));
    workers
}

/// Takes a slot on one of `workers`, of the first generation that has room.
pub(crate) async fn claim(
    placement: &dyn Placement,
    session: &SessionId,
    workers: &[WorkerHandle],
) -> Result<(WorkerHandle, Slot), ClaimError> {
    let generations = workers.chunk_by(|one, next| one.spec.differences(&next.spec).is_empty());
    for generation in generations {
        match placement.claim(session, generation).await {
            Err(ClaimError::Full { .. }) => {}
            claimed => return claimed,
        }
    }
    Err(ClaimError::Full { slots: limit(workers) })
}

/// Resolves when the worker that a session has does not serve any more; without one, never.
async fn leaves(worker: Option<&WorkerHandle>) {
    let Some(worker) = worker else { return pending().await };
    // An error: nobody watches it any more.
    drop(worker.health.clone().wait_for(|health| *health != Health::Serving).await);
}

impl WorkerSearch {
    /// Tries until there is a worker, `claimed` first; [`SessionEvent::Waiting`] tells that it
    /// takes longer. A session that has a worker which is far tries the nearer ones, once each.
    ///
    /// # Errors
    /// The handler itself does not want the session; or its stream is served only under
    /// declarations that it cannot go on under.
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
                // Nobody is asked for a slot that could not be used now.
                if self.moves.lock().is_empty(Instant::now()) {
                    return Ok(SearchOutcome::Stay { refused: false });
                }
                far = Some(worker);
            }
        }
        let mut pause = FIRST_PAUSE;
        loop {
            changes.mark_unchanged();
            if leave.as_ref().is_some_and(|worker| *worker.health.borrow() == Health::Serving) {
                return Ok(SearchOutcome::Stay { refused: false });
            }
            if let Some(leave) = &leave {
                refused.insert(leave.spec.instance.clone());
            }
            let place = match claimed.take() {
                Some(place) => Some(place),
                None => self.claim(&refused, far.as_ref()).await,
            };
            // Only now, so that those that find no room take nobody's turn.
            if far.is_some() && place.is_some() && !self.moves.lock().take(Instant::now()) {
                return Ok(SearchOutcome::Stay { refused: false });
            }
            if let Some((worker, slot)) = place {
                let (name, instance) = (worker.name.clone(), worker.spec.instance.clone());
                let dialing = dial((worker, slot), &self.id, &self.live.inputs, &self.events);
                let dialed = tokio::select! {
                    dialed = timeout(START_WITHIN, dialing) => dialed,
                    // Any worker will do then, and soon.
                    () = leaves(far.as_ref()) => {
                        return Ok(SearchOutcome::Stay { refused: false });
                    }
                };
                match dialed {
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
                return Ok(SearchOutcome::Stay { refused: !refused.is_empty() });
            }
            refused.clear();
            // One that drains serves it until its own end.
            let alone = |worker: &WorkerHandle| *worker.health.borrow() == Health::Away;
            if leave.as_ref().is_none_or(alone) && self.has_changed() {
                return Err(EndReason::Changed);
            }
            // The session is gone: its end drops this future.
            self.events.send(SessionEvent::Waiting).await.ok();
            // Closed: never, the pool is ours. Elapsed: another try.
            drop(timeout(pause.mul_f64(rand::random_range(0.75..1.25)), changes.changed()).await);
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// The workers of its generation on this machine or in this zone, if `worker` is in another one
    /// and its session may be moved.
    fn nearer_than(&self, worker: &WorkerHandle) -> Vec<WorkerHandle> {
        let mut nearer = Vec::new();
        if worker.proximity == Proximity::OtherZone && worker.spec.movable {
            nearer = workers_for(&self.pool, &self.live);
            nearer.retain(|other| other.proximity <= Proximity::Zone);
            nearer.retain(|other| other.spec.differences(&worker.spec).is_empty());
        }
        nearer
    }

    /// A slot at a worker that is none of these, and nearer than `far`.
    async fn claim(
        &self,
        without: &BTreeSet<String>,
        far: Option<&WorkerHandle>,
    ) -> Option<(WorkerHandle, Slot)> {
        let all = || workers_for(&self.pool, &self.live);
        let mut workers = far.map_or_else(all, |far| self.nearer_than(far));
        workers.retain(|worker| !without.contains(&worker.spec.instance));
        let claimed = claim(&*self.placement, &self.id, &workers).await;
        claimed.map_err(|error| debug!(?error, "no other worker now")).ok()
    }

    /// Whether its stream is served, but under declarations alone that this session cannot go on
    /// under.
    fn has_changed(&self) -> bool {
        let mut workers = self.pool.serving();
        workers.retain(|worker| worker.spec.name == self.live.spec.name);
        !workers.is_empty() && workers.iter().all(|worker| !self.live.fits(&worker.spec))
    }
}
