//! Placement by what this gateway itself knows: all there is to know while it is the only one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{ClaimError, Placement, limit};
use crate::pool::Serving;
use crate::telemetry;

/// This gateway's own slots.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    /// Slots by a worker's instance.
    by_worker: HashMap<String, u32>,
    /// Slots of each session, by stream.
    sessions: HashMap<String, HashMap<String, u32>>,
}

/// One session's place on a worker. Dropping it frees it: there is no other way to give it back, and none to forget.
pub(crate) struct Slot {
    held: Arc<Mutex<Held>>,
    session: String,
    worker: Serving,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Placement for Memory {
    async fn claim(&self, session: &str, workers: &[Serving]) -> Result<(Serving, Slot), ClaimError> {
        let mut held = self.lock();
        let slots = limit(workers);
        let load = |worker: &Serving| held.by_worker.get(&worker.spec.instance).copied().unwrap_or(0);
        let least =
            workers.iter().filter(|worker| load(worker) < worker.spec.capacity).min_by_key(|worker| load(worker));
        let least = least.ok_or(ClaimError::Full { slots })?;
        let stream = held.sessions.entry(least.spec.name.clone()).or_default();
        if !stream.contains_key(session) && stream.len() >= slots as usize {
            return Err(ClaimError::Full { slots });
        }
        let slots_of_session = stream.entry(session.to_owned()).or_default();
        *slots_of_session += 1;
        if *slots_of_session == 1 {
            telemetry::sessions_active(1.0);
        }
        let taken = held.by_worker.entry(least.spec.instance.clone()).or_default();
        *taken += 1;
        telemetry::worker_sessions(&least.name, *taken);
        drop(held);
        let slot = Slot { held: Arc::clone(&self.held), session: session.to_owned(), worker: least.clone() };
        Ok((least.clone(), slot))
    }

    async fn locate(&self, _: &str, _: &[String]) -> Option<String> {
        None
    }
}

impl Slot {
    /// The address of the worker that it is on, for logs and metrics.
    pub(crate) fn worker(&self) -> &str {
        &self.worker.name
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let instance = &self.worker.spec.instance;
        if let Some(taken) = held.by_worker.get_mut(instance) {
            *taken = taken.saturating_sub(1);
            telemetry::worker_sessions(&self.worker.name, *taken);
            if *taken == 0 {
                held.by_worker.remove(instance);
            }
        }
        if let Some(stream) = held.sessions.get_mut(&self.worker.spec.name)
            && let Some(slots) = stream.get_mut(&self.session)
        {
            *slots -= 1;
            if *slots == 0 {
                stream.remove(&self.session);
                telemetry::sessions_active(-1.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::testing::serving;
    use crate::spec::Spec;

    #[tokio::test]
    async fn the_least_loaded_worker_with_a_free_slot_gets_the_session() {
        let placement = Memory::default();
        let workers = [serving("a", "s", 2), serving("b", "s", 1)];
        let mut slots = Vec::new();
        let mut order = Vec::new();
        for n in 0..3 {
            let (worker, slot) = placement.claim(&n.to_string(), &workers).await.unwrap();
            order.push(worker.name.clone());
            slots.push(slot);
        }
        assert_eq!(order, ["a", "b", "a"]);
        assert_eq!(placement.claim("4", &workers).await.err(), Some(ClaimError::Full { slots: 3 }));
        slots.remove(1);
        assert_eq!(placement.claim("4", &workers).await.unwrap().0.name, "b");
    }

    #[tokio::test]
    async fn a_streams_own_limit_comes_before_its_workers() {
        let placement = Memory::default();
        let mut worker = serving("a", "limited", 5);
        let spec = Spec { concurrency_limit: Some(1), ..(*worker.spec).clone() };
        worker.spec = Arc::new(spec);
        let (workers, others) = ([worker], [serving("b", "other", 1)]);
        let slot = placement.claim("1", &workers).await.unwrap().1;
        assert_eq!(placement.claim("2", &workers).await.err(), Some(ClaimError::Full { slots: 1 }));
        assert!(placement.claim("1", &workers).await.is_ok(), "it moves");
        assert!(placement.claim("2", &others).await.is_ok(), "another stream's sessions are its own");
        drop(slot);
        assert!(placement.claim("2", &workers).await.is_ok());
    }

    #[tokio::test]
    async fn no_worker_is_no_slot() {
        assert_eq!(Memory::default().claim("1", &[]).await.err(), Some(ClaimError::Full { slots: 0 }));
    }
}
