//! The gateway's part of one session's latency.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry;

/// Written where pictures leave, read once a second.
#[derive(Debug)]
pub(crate) struct Latency {
    /// When the session was offered.
    since: Instant,
    /// Pictures sent since [`Self::take`], and their total latency in microseconds.
    emitted: AtomicU64,
    emitted_us: AtomicU64,
    /// A picture was sent.
    shown: AtomicBool,
}

impl Latency {
    pub(super) fn new(since: Instant) -> Self {
        let (emitted, emitted_us) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { since, emitted, emitted_us, shown: AtomicBool::new(false) }
    }

    /// A picture left, this long after its last packet arrived.
    pub(crate) fn emitted(&self, took: Duration) {
        if !self.shown.swap(true, Ordering::Relaxed) {
            telemetry::setup(self.since.elapsed());
        }
        self.emitted.fetch_add(1, Ordering::Relaxed);
        self.emitted_us
            .fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The mean since the last call, in milliseconds.
    pub(crate) fn take(&self) -> Option<f64> {
        let (count, us) =
            (self.emitted.swap(0, Ordering::Relaxed), self.emitted_us.swap(0, Ordering::Relaxed));
        (count > 0).then(|| us as f64 / count as f64 / 1_000.0)
    }
}
