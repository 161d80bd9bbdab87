//! Placement shared by several gateways, in Redis: `docs/decisions/0006-placement.md`.
//!
//! > Redis is never needed. What this gateway holds is in its own memory, and whatever Redis knows
//! > of it is written again and again; so Redis may lose everything, and while it is away this
//! > gateway places by what it holds itself.

mod health;
mod keeper;
mod keys;
mod owner;
#[cfg(test)]
mod random;
#[cfg(test)]
#[path = "../../../../tests/src/redis.rs"]
#[expect(unreachable_pub, reason = "the harness has it too, and there it is reached")]
mod server;
mod store;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rand::seq::SliceRandom;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use self::health::Operation;
use self::store::{Claimed, Link, Purpose, Store};
use crate::config::redis::RedisStore;
use crate::media::session_id::SessionId;
use crate::telemetry;
use crate::workers::placement::gauges::Gauges;
use crate::workers::placement::memory::{Memory, Slot};
use crate::workers::placement::{ClaimError, OWNED, Placement, concurrency_limit, limit};
use crate::workers::pool::WorkerHandle;

/// Workers that a claim compares. With more, a random sample of this size is compared, of the
/// nearest first: its least loaded one is hardly worse than that of all, and a claim costs the same
/// however many there are.
const COMPARED: usize = 32;

/// This gateway's slots, and through Redis those of all others. Dropped, it is a gateway that died:
/// its leases end.
pub(crate) struct Redis {
    memory: Memory,
    store: Arc<Store>,
    _keeper: AbortOnDropHandle<()>,
}

impl Redis {
    /// Starts reaching for Redis. `gateway` is our address for the other gateways.
    /// Call within the media runtime.
    pub(in crate::workers) fn start(
        redis: RedisStore,
        gateway: SocketAddr,
        lease: Duration,
        gauges: Gauges,
    ) -> Self {
        let memory = Memory::of_shared();
        let store = Arc::new(Store::new(redis, gateway, lease));
        let keeper = tokio::spawn(keeper::keep(Arc::clone(&store), memory.clone(), gauges));
        Self { memory, store, _keeper: AbortOnDropHandle::new(keeper) }
    }

    /// The worker that takes the session. `None`: Redis did not answer, or not well.
    async fn ask(
        &self,
        link: &Link,
        purpose: Purpose,
        session: &SessionId,
        workers: &[WorkerHandle],
    ) -> Option<Result<WorkerHandle, ClaimError>> {
        let stream = &workers.first()?.spec.name;
        let all = || nearest_first(workers.iter().collect());
        let mut candidates =
            if workers.len() <= COMPARED { all() } else { drawn(workers, COMPARED) };
        let at_most = concurrency_limit(workers);
        loop {
            let claimed = self.store.claim(link, purpose, session, &candidates, at_most).await;
            match claimed {
                Ok(Claimed::None) if candidates.len() < workers.len() => {
                    candidates = all();
                    continue;
                }
                Err(error) => {
                    self.store.health.failed(Operation::Claim, stream, &error);
                    return None;
                }
                Ok(claimed) => {
                    self.store.health.did(Operation::Claim, stream);
                    return Some(match claimed {
                        Claimed::On(candidate) => {
                            Ok(WorkerHandle::clone(candidates.get(candidate)?))
                        }
                        Claimed::None | Claimed::Limit => {
                            Err(ClaimError::Full { slots: limit(workers) })
                        }
                        Claimed::Exists => Err(ClaimError::Exists),
                    });
                }
            }
        }
    }
}

/// The order in which a claim looks at them.
fn nearest_first(mut workers: Vec<&WorkerHandle>) -> Vec<&WorkerHandle> {
    // Stable: what is as near stays in its order.
    workers.sort_by_key(|worker| worker.proximity);
    workers
}

/// A random sample of the nearest, then of the next nearest, until there are `most`.
fn drawn(workers: &[WorkerHandle], most: usize) -> Vec<&WorkerHandle> {
    let mut shuffled: Vec<&WorkerHandle> = workers.iter().collect();
    shuffled.shuffle(&mut rand::rng());
    let mut drawn = nearest_first(shuffled);
    drawn.truncate(most);
    drawn
}

#[async_trait]
impl Placement for Redis {
    async fn look(
        &self,
        session: &SessionId,
        workers: &[WorkerHandle],
        yields: bool,
    ) -> Result<(), ClaimError> {
        let shared = match self.store.ready() {
            Some(link) => {
                self.ask(&link, Purpose::Look { yields, owned: OWNED }, session, workers).await
            }
            None => None,
        };
        shared.map_or_else(
            || self.memory.would_take(session, workers, yields),
            |found| found.map(drop),
        )
    }

    async fn disown(&self, session: &SessionId, stream: &str) {
        let Some(link) = self.store.ready() else { return };
        // What is not told ends by itself.
        match self.store.disown(&link, session, stream).await {
            Ok(()) => self.store.health.did(Operation::Release, stream),
            Err(error) => self.store.health.failed(Operation::Release, stream, &error),
        }
    }

    async fn claim(
        &self,
        session: &SessionId,
        workers: &[WorkerHandle],
    ) -> Result<(WorkerHandle, Slot), ClaimError> {
        let began = Instant::now();
        // The same if Redis does not answer: should it have heard us all the same, this slot's
        // renewal covers that one.
        let number = self.memory.number();
        let shared = match self.store.ready() {
            Some(link) => self.ask(&link, Purpose::Claim { number }, session, workers).await,
            None => None,
        };
        let claimed = match shared {
            Some(claimed) => claimed.map(|worker| {
                let slot = self.memory.taken(number, session, &worker);
                (worker, slot)
            }),
            None => self.memory.take(number, session, workers),
        };
        telemetry::claim(began.elapsed());
        claimed
    }

    async fn locate(&self, session: &SessionId, streams: &[String]) -> Option<SocketAddr> {
        if streams.is_empty() {
            return None;
        }
        let link = self.store.ready()?;
        match self.store.owner(&link, session, streams).await {
            Ok(owner) => {
                self.store.health.did(Operation::Locate, "");
                owner.filter(|owner| *owner != self.store.us)
            }
            Err(error) => {
                self.store.health.failed(Operation::Locate, "", &error);
                None
            }
        }
    }
}
