//! How far one session is, for operators and for those that wait for it.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// Written by the session's actor.
#[derive(Debug)]
pub(crate) struct Status {
    /// When the session was offered.
    pub(crate) since: Instant,
    connected: watch::Sender<bool>,
    /// The address of the worker that has it; none while it looks for one.
    worker: Mutex<Option<String>>,
    /// It had one.
    began: AtomicBool,
}

impl Status {
    pub(super) fn new(since: Instant) -> Self {
        let (connected, worker) = (watch::Sender::new(false), Mutex::default());
        Self { since, connected, worker, began: AtomicBool::new(false) }
    }

    /// The browser is there. It stays so: an interruption is not another beginning.
    pub(crate) fn set_connected(&self) {
        self.connected.send_replace(true);
    }

    pub(crate) fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// A worker has it now, or none.
    pub(crate) fn set_worker(&self, worker: Option<&str>) {
        self.began.fetch_or(worker.is_some(), Ordering::Relaxed);
        *self.worker.lock() = worker.map(str::to_owned);
    }

    pub(crate) fn worker(&self) -> Option<String> {
        self.worker.lock().clone()
    }

    /// As `GET /api/sessions` writes it.
    pub(crate) fn state(&self) -> &'static str {
        match (self.is_connected(), self.worker()) {
            (true, None) if self.began.load(Ordering::Relaxed) => "reconnecting",
            // The browser may be sooner than its first worker.
            (false, _) | (true, None) => "connecting",
            (true, Some(_)) => "live",
        }
    }

    /// Resolves when the browser is connected.
    pub(crate) async fn connected(&self) {
        // An error is impossible while `self` holds the sender.
        self.connected.subscribe().wait_for(|connected| *connected).await.ok();
    }
}
