//! One call's item, and where its session waits for the result.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::time::Instant;

use crate::error::HandlerError;
use crate::message::BatchUse;
use crate::session::Session;

/// What waits in the core, and goes to the model.
pub(super) struct Item<I, O> {
    pub(super) item: I,
    pub(super) pending: Arc<PendingResult<I, O>>,
    pub(super) session: Session,
}

/// What became of an item.
pub(super) enum Outcome<I, O> {
    Done {
        result: Result<O, HandlerError>,
        used: Used,
    },
    /// A newer frame came first; the item is given back, to be dropped by its session.
    Superseded {
        item: I,
        waited: Duration,
    },
    /// The model is no more.
    Broken(String),
}

/// A finished call's part of its batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub(super) size: usize,
    /// From the call until the model began.
    pub(super) waited: Duration,
    /// How long the model worked, on the whole batch.
    pub(super) model: Duration,
    /// The item's share of that.
    pub(super) share: Duration,
    /// The batch failed as a whole.
    pub(super) failed: bool,
}

/// What will become of an item: filled once, and waited for by one thread.
pub(super) struct PendingResult<I, O> {
    asked: Instant,
    /// When the model began with it.
    began: Mutex<Option<Instant>>,
    outcome: Mutex<Option<Outcome<I, O>>>,
    filled: Condvar,
}

impl Used {
    pub(super) fn add_to(self, batch: &mut BatchUse) {
        let size = u32::try_from(self.size).unwrap_or(u32::MAX);
        batch.size = size;
        batch.wait += self.waited;
        batch.model += self.model;
        batch.share += self.share;
        batch.failed |= self.failed;
    }
}

impl<I, O> PendingResult<I, O> {
    pub(super) fn new() -> Self {
        let asked = Instant::now();
        let (began, outcome) = (Mutex::default(), Mutex::new(None));
        Self { asked, began, outcome, filled: Condvar::new() }
    }

    /// The model begins with it.
    pub(super) fn begin(&self) {
        *self.began.lock() = Some(Instant::now());
    }

    /// When the model began with it, if it did.
    pub(super) fn began(&self) -> Option<Instant> {
        *self.began.lock()
    }

    pub(super) fn fill(&self, outcome: Outcome<I, O>) {
        let before = self.outcome.lock().replace(outcome);
        self.filled.notify_one();
        drop(before);
    }

    pub(super) fn supersede(&self, item: I) {
        let waited = self.asked.elapsed();
        self.fill(Outcome::Superseded { item, waited });
    }

    /// Waits for the outcome. Every `look` it asks whether to give up: then `None`.
    pub(super) fn wait(
        &self,
        look: Duration,
        gives_up: impl Fn() -> bool,
    ) -> Option<Outcome<I, O>> {
        let mut outcome = self.outcome.lock();
        loop {
            if let Some(outcome) = outcome.take() {
                return Some(outcome);
            }
            let late = self.filled.wait_for(&mut outcome, look).timed_out();
            // Not under the lock: giving up takes another.
            if late && outcome.is_none() && MutexGuard::unlocked(&mut outcome, &gives_up) {
                return outcome.take();
            }
        }
    }
}
