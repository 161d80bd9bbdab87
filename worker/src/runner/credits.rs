//! The credits of one session: how many jobs its gateway may still send.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

/// The actor gives credits, the service takes them. A credit that was given is either here, or
/// belongs to a job that is not answered yet: in the mailbox or in the handler.
#[derive(Debug)]
pub(crate) struct Credits {
    /// Its permits are the credits that the gateway has.
    left: Semaphore,
    /// Jobs that came without a credit.
    refused: AtomicU64,
}

impl Credits {
    /// No credits until the handler is ready.
    pub(super) const fn none() -> Self {
        Self { left: Semaphore::const_new(0), refused: AtomicU64::new(0) }
    }

    pub(super) fn give(&self, credits: u32) {
        self.left.add_permits(credits as usize);
    }

    /// Takes a credit for a job, if there is one.
    pub(super) fn take(&self) -> bool {
        self.left.try_acquire().map(|credit| credit.forget()).is_ok()
    }

    /// Counts a job that was refused.
    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}
