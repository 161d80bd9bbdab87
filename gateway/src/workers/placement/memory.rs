//! Placement by this gateway's own knowledge. That is complete while there is only one gateway, and
//! the fallback while the shared store is unavailable.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{ClaimError, Placement, concurrency_limit, limit};
use crate::media::session_id::SessionId;
use crate::stream::spec::Spec;
use crate::telemetry;
use crate::workers::pool::WorkerHandle;

/// Released slots that the shared store does not know of yet. Full, while it is unavailable:
/// further ones are not recorded, and their leases expire.
const MAX_RELEASED: usize = 4096;

/// This gateway's own slots.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    held: Mutex<Held>,
    /// Signals that `released` is not empty; `None` without a shared store.
    to_tell: Option<Notify>,
}

#[derive(Default)]
struct Held {
    last: u64,
    /// By number, which is the order in which they were taken.
    leases: BTreeMap<u64, Lease>,
    /// Slots by a worker's instance.
    by_worker: HashMap<String, u32>,
    /// The leases of each session, the newest last, by stream.
    sessions: HashMap<String, HashMap<SessionId, Vec<u64>>>,
    released: Vec<(u64, Lease)>,
}

/// A slot's session and worker.
#[derive(Clone)]
pub(in crate::workers) struct Lease {
    pub(in crate::workers) session: SessionId,
    /// The worker's instance and its stream's name.
    pub(in crate::workers) spec: Arc<Spec>,
}

/// A released slot.
pub(in crate::workers) struct Released {
    pub(in crate::workers) number: u64,
    pub(in crate::workers) lease: Lease,
    /// The newest slot that its session still has, and the worker's instance.
    pub(in crate::workers) left: Option<(u64, String)>,
}

/// One session's slot on a worker. Dropping it releases it, which is the only way, so it cannot be
/// forgotten.
pub(crate) struct Slot {
    inner: Arc<Inner>,
    number: u64,
    session: SessionId,
    worker: WorkerHandle,
}

impl Held {
    /// The worker that takes a session.
    fn least<'a>(
        &self,
        session: &SessionId,
        workers: &'a [WorkerHandle],
    ) -> Result<&'a WorkerHandle, ClaimError> {
        let slots = limit(workers);
        let load =
            |worker: &WorkerHandle| self.by_worker.get(&worker.spec.instance).copied().unwrap_or(0);
        let least = workers
            .iter()
            .filter(|worker| load(worker) < worker.spec.capacity)
            .min_by_key(|worker| (worker.proximity, load(worker)));
        let least = least.ok_or(ClaimError::Full { slots })?;
        let (sessions, at_most) =
            (self.sessions.get(&least.spec.name), concurrency_limit(workers) as usize);
        if sessions.is_some_and(|of| !of.contains_key(session) && of.len() >= at_most) {
            return Err(ClaimError::Full { slots });
        }
        Ok(least)
    }
}

impl Memory {
    /// One that records released slots, for a store that several gateways share.
    pub(in crate::workers) fn of_shared() -> Self {
        Self { inner: Arc::new(Inner { to_tell: Some(Notify::new()), ..Inner::default() }) }
    }

    /// A number that this gateway uses for no other slot, now or later.
    pub(in crate::workers) fn number(&self) -> u64 {
        let mut held = self.inner.held.lock();
        held.last += 1;
        held.last
    }

    /// Takes a slot on the nearest of `workers`, among them the least loaded, as far as this
    /// gateway knows.
    pub(in crate::workers) fn take(
        &self,
        number: u64,
        session: &SessionId,
        workers: &[WorkerHandle],
    ) -> Result<(WorkerHandle, Slot), ClaimError> {
        let mut held = self.inner.held.lock();
        let least = held.least(session, workers)?;
        Ok((least.clone(), self.hold(&mut held, number, session, least)))
    }

    /// Whether [`Memory::take`] would find a slot.
    pub(in crate::workers) fn would_take(
        &self,
        session: &SessionId,
        workers: &[WorkerHandle],
        yields: bool,
    ) -> Result<(), ClaimError> {
        if yields {
            return Ok(());
        }
        self.inner.held.lock().least(session, workers).map(drop)
    }

    /// Records a slot that the shared store has granted.
    pub(in crate::workers) fn taken(
        &self,
        number: u64,
        session: &SessionId,
        worker: &WorkerHandle,
    ) -> Slot {
        self.hold(&mut self.inner.held.lock(), number, session, worker)
    }

    fn hold(
        &self,
        held: &mut Held,
        number: u64,
        session: &SessionId,
        worker: &WorkerHandle,
    ) -> Slot {
        let leases = held
            .sessions
            .entry(worker.spec.name.clone())
            .or_default()
            .entry(session.clone())
            .or_default();
        leases.push(number);
        if leases.len() == 1 {
            telemetry::sessions_active(1.0);
        }
        let taken = held.by_worker.entry(worker.spec.instance.clone()).or_default();
        *taken += 1;
        telemetry::worker_sessions(&worker.name, *taken);
        telemetry::sessions_by_locality(&worker.spec.name, worker.proximity.label(), 1.0);
        held.leases
            .insert(number, Lease { session: session.clone(), spec: Arc::clone(&worker.spec) });
        let (session, worker) = (session.clone(), worker.clone());
        Slot { inner: Arc::clone(&self.inner), number, session, worker }
    }

    /// Every slot, by its number.
    pub(in crate::workers) fn leases(&self) -> Vec<(u64, Lease)> {
        self.inner
            .held
            .lock()
            .leases
            .iter()
            .map(|(number, lease)| (*number, lease.clone()))
            .collect()
    }

    /// Slots taken on these workers.
    pub(in crate::workers) fn used(&self, workers: &[WorkerHandle]) -> u32 {
        let held = self.inner.held.lock();
        workers.iter().filter_map(|worker| held.by_worker.get(&worker.spec.instance)).sum()
    }

    /// Resolves when [`Memory::released`] is not empty.
    pub(in crate::workers) async fn gave_back(&self) {
        match &self.inner.to_tell {
            Some(to_tell) => to_tell.notified().await,
            None => std::future::pending().await,
        }
    }

    /// The slots that were released since the last call.
    pub(in crate::workers) fn released(&self) -> Vec<Released> {
        let mut held = self.inner.held.lock();
        let released = std::mem::take(&mut held.released);
        let with_left = |(number, lease): (u64, Lease)| {
            let left =
                held.sessions.get(&lease.spec.name).and_then(|of| of.get(&lease.session)?.last());
            let left = left.map(|number| (*number, held.leases[number].spec.instance.clone()));
            Released { number, lease, left }
        };
        released.into_iter().map(with_left).collect()
    }
}

#[async_trait]
impl Placement for Memory {
    async fn look(
        &self,
        session: &SessionId,
        workers: &[WorkerHandle],
        yields: bool,
    ) -> Result<(), ClaimError> {
        self.would_take(session, workers, yields)
    }

    async fn disown(&self, _: &SessionId, _: &str) {}

    async fn claim(
        &self,
        session: &SessionId,
        workers: &[WorkerHandle],
    ) -> Result<(WorkerHandle, Slot), ClaimError> {
        self.take(self.number(), session, workers)
    }

    async fn locate(&self, _: &SessionId, _: &[String]) -> Option<SocketAddr> {
        None
    }
}

impl Slot {
    /// The address of its worker, for logs and metrics.
    pub(crate) fn worker(&self) -> &str {
        &self.worker.name
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.inner.held.lock();
        let Spec { instance, name: stream, .. } = &*self.worker.spec;
        telemetry::sessions_by_locality(stream, self.worker.proximity.label(), -1.0);
        if let Some(taken) = held.by_worker.get_mut(instance) {
            *taken -= 1;
            telemetry::worker_sessions(&self.worker.name, *taken);
            if *taken == 0 {
                held.by_worker.remove(instance);
            }
        }
        if let Some(of) = held.sessions.get_mut(stream)
            && let Some(leases) = of.get_mut(&self.session)
        {
            leases.retain(|number| *number != self.number);
            if leases.is_empty() {
                of.remove(&self.session);
                telemetry::sessions_active(-1.0);
            }
        }
        if let (Some(lease), Some(to_tell)) =
            (held.leases.remove(&self.number), &self.inner.to_tell)
            && held.released.len() < MAX_RELEASED
        {
            held.released.push((self.number, lease));
            to_tell.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::session_id::testing::id;
    use crate::workers::pool::testing::serving;

    #[tokio::test]
    async fn what_a_store_that_is_away_is_to_be_told_is_bounded() {
        let memory = Memory::of_shared();
        let workers = [serving("a", "s", 1)];
        for n in 0..MAX_RELEASED + 10 {
            drop(memory.take(memory.number(), &id(n), &workers).unwrap());
        }
        memory.gave_back().await;
        let released = memory.released();
        assert_eq!(released.len(), MAX_RELEASED);
        assert!(released.iter().all(|released| released.left.is_none()));
        assert!(memory.leases().is_empty() && memory.released().is_empty());
    }

    #[tokio::test]
    async fn alone_there_is_nobody_to_tell() {
        let memory = Memory::default();
        drop(memory.claim(&id("1"), &[serving("a", "s", 1)]).await.unwrap());
        assert!(memory.released().is_empty());
    }
}
