//! Which worker takes a session: the one with the fewest, as long as it has a slot.
//!
//! In memory: one gateway knows only its own sessions. A second, shared implementation makes this a trait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::pool::Serving;
use crate::telemetry;

/// Who has how many sessions.
#[derive(Clone, Default)]
pub(crate) struct Placement {
    load: Arc<Mutex<Load>>,
}

#[derive(Default)]
struct Load {
    by_worker: HashMap<String, u32>,
    by_stream: HashMap<String, u32>,
}

/// Every slot is taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// How many there are; zero when no worker serves.
    pub(crate) slots: u32,
}

/// One session's place on a worker. Dropping it frees it: there is no other way to give it back, and none to forget.
pub(crate) struct Slot {
    load: Arc<Mutex<Load>>,
    worker: String,
    stream: String,
}

/// Sessions that these workers of one stream take together: their capacity, or the stream's own limit.
pub(crate) fn limit(workers: &[Serving]) -> u32 {
    let capacity = workers.iter().fold(0, |sum: u32, worker| sum.saturating_add(worker.spec.capacity));
    let limits = workers.iter().filter_map(|worker| worker.spec.concurrency_limit);
    limits.fold(capacity, u32::min)
}

impl Placement {
    /// Takes a slot on the least loaded of `workers`, all of one stream; the first of equals.
    ///
    /// # Errors
    /// None has a free slot, or the stream has as many sessions as it may.
    pub(crate) fn claim<'a>(&self, workers: &'a [Serving]) -> Result<(&'a Serving, Slot), Full> {
        let mut load = self.lock();
        let slots = limit(workers);
        let sessions = |worker: &Serving| load.by_worker.get(&worker.name).copied().unwrap_or(0);
        let least = workers
            .iter()
            .filter(|worker| sessions(worker) < worker.spec.capacity)
            .min_by_key(|worker| sessions(worker))
            .filter(|worker| load.by_stream.get(&worker.spec.name).copied().unwrap_or(0) < slots)
            .ok_or(Full { slots })?;
        *load.by_stream.entry(least.spec.name.clone()).or_default() += 1;
        let taken = load.by_worker.entry(least.name.clone()).or_default();
        *taken += 1;
        telemetry::worker_sessions(&least.name, *taken);
        telemetry::sessions_active(1.0);
        let (worker, stream) = (least.name.clone(), least.spec.name.clone());
        drop(load);
        Ok((least, Slot { load: Arc::clone(&self.load), worker, stream }))
    }

    fn lock(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// The worker that it is on.
    pub(crate) fn worker(&self) -> &str {
        &self.worker
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = load.by_worker.get_mut(&self.worker) {
            *taken = taken.saturating_sub(1);
            telemetry::worker_sessions(&self.worker, *taken);
        }
        if let Some(taken) = load.by_stream.get_mut(&self.stream) {
            *taken = taken.saturating_sub(1);
        }
        telemetry::sessions_active(-1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::testing::serving;
    use crate::spec::Spec;

    #[test]
    fn the_least_loaded_worker_with_a_free_slot_gets_the_session() {
        let placement = Placement::default();
        let workers = [serving("a", "s", 2), serving("b", "s", 1)];
        let mut slots = Vec::new();
        let mut order = Vec::new();
        for _ in 0..3 {
            let (worker, slot) = placement.claim(&workers).unwrap();
            order.push(worker.name.clone());
            slots.push(slot);
        }
        assert_eq!(order, ["a", "b", "a"]);
        assert_eq!(placement.claim(&workers).err(), Some(Full { slots: 3 }));
        slots.remove(1);
        assert_eq!(placement.claim(&workers).unwrap().0.name, "b");
    }

    #[test]
    fn a_streams_own_limit_comes_before_its_workers() {
        let placement = Placement::default();
        let mut worker = serving("a", "limited", 5);
        let spec = Spec { concurrency_limit: Some(1), ..(*worker.spec).clone() };
        worker.spec = Arc::new(spec);
        let (workers, others) = ([worker], [serving("b", "other", 1)]);
        let slot = placement.claim(&workers).unwrap().1;
        assert_eq!(placement.claim(&workers).err(), Some(Full { slots: 1 }));
        assert!(placement.claim(&others).is_ok(), "another stream's sessions are its own");
        drop(slot);
        assert!(placement.claim(&workers).is_ok());
    }

    #[test]
    fn no_worker_is_no_slot() {
        assert_eq!(Placement::default().claim(&[]).err(), Some(Full { slots: 0 }));
    }
}
