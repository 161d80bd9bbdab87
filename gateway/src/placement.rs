//! Which worker takes a session: the one with the fewest, as long as it has a slot.
//!
//! In memory: one gateway knows only its own sessions. A second, shared implementation makes this a trait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::pool::Serving;
use crate::telemetry;

/// Sessions by worker.
#[derive(Clone, Default)]
pub(crate) struct Placement {
    load: Arc<Mutex<HashMap<String, u32>>>,
}

/// Every slot is taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// How many there are; zero when no worker serves.
    pub(crate) slots: u32,
}

/// One session's place on a worker. Dropping it frees it: there is no other way to give it back, and none to forget.
pub(crate) struct Slot {
    load: Arc<Mutex<HashMap<String, u32>>>,
    worker: String,
}

impl Placement {
    /// Takes a slot on the least loaded of `workers`, the first of equals.
    ///
    /// # Errors
    /// None has a free slot.
    pub(crate) fn claim<'a>(&self, workers: &'a [Serving]) -> Result<(&'a Serving, Slot), Full> {
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = |worker: &Serving| load.get(&worker.name).copied().unwrap_or(0);
        let least = workers
            .iter()
            .filter(|worker| sessions(worker) < worker.spec.capacity)
            .min_by_key(|worker| sessions(worker))
            .ok_or_else(|| Full { slots: workers.iter().map(|worker| worker.spec.capacity).sum() })?;
        let taken = load.entry(least.name.clone()).or_default();
        *taken += 1;
        telemetry::worker_sessions(&least.name, *taken);
        telemetry::sessions_active(1.0);
        Ok((least, Slot { load: Arc::clone(&self.load), worker: least.name.clone() }))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = load.get_mut(&self.worker) {
            *taken = taken.saturating_sub(1);
            telemetry::worker_sessions(&self.worker, *taken);
        }
        telemetry::sessions_active(-1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::testing::serving;

    #[test]
    fn the_least_loaded_worker_with_a_free_slot_gets_the_session() {
        let placement = Placement::default();
        let workers = [serving("a", 2), serving("b", 1)];
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
    fn no_worker_is_no_slot() {
        assert_eq!(Placement::default().claim(&[]).err(), Some(Full { slots: 0 }));
    }
}
