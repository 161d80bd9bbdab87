//! The gateway's part of one session's latency.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry;

/// Written where frames end, read once a second.
#[derive(Debug)]
pub(crate) struct Latency {
    /// When the session was offered.
    since: Instant,
    /// Pictures sent since [`Self::take`], and their total latency in microseconds.
    emitted: AtomicU64,
    emitted_us: AtomicU64,
    /// The setup has ended: a picture was sent, or a frame of a stream without pictures consumed.
    set_up: AtomicBool,
}

impl Latency {
    pub(super) fn new(since: Instant) -> Self {
        let (emitted, emitted_us) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { since, emitted, emitted_us, set_up: AtomicBool::new(false) }
    }

    /// A picture left, this long after its last packet arrived.
    pub(crate) fn emitted(&self, took: Duration) {
        self.end_setup();
        self.emitted.fetch_add(1, Ordering::Relaxed);
        self.emitted_us
            .fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A handler that returns no pictures (mode `send`) is done with a frame.
    pub(crate) fn consumed(&self) {
        self.end_setup();
    }

    /// Recorded once.
    fn end_setup(&self) {
        if !self.set_up.swap(true, Ordering::Relaxed) {
            telemetry::setup(self.since.elapsed());
        }
    }

    /// The mean since the last call, in milliseconds.
    pub(crate) fn take(&self) -> Option<f64> {
        let (count, us) =
            (self.emitted.swap(0, Ordering::Relaxed), self.emitted_us.swap(0, Ordering::Relaxed));
        (count > 0).then(|| us as f64 / count as f64 / 1_000.0)
    }
}
