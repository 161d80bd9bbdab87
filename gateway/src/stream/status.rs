//! The progress of one session, for operators and for tasks that wait for it.

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
    /// The address of its worker; `None` while it has none.
    worker: Mutex<Option<String>>,
    /// It had one.
    began: AtomicBool,
}

impl Status {
    pub(super) fn new(since: Instant) -> Self {
        let (connected, worker) = (watch::Sender::new(false), Mutex::default());
        Self { since, connected, worker, began: AtomicBool::new(false) }
    }

    /// The browser is connected. It stays set: an interruption is not another beginning.
    pub(crate) fn set_connected(&self) {
        self.connected.send_replace(true);
    }

    pub(crate) fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// Sets or clears its worker.
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
            // The browser may be connected before the session has its first worker.
            (false, _) | (true, None) => "connecting",
            (true, Some(_)) => "live",
        }
    }

    /// Resolves when the browser is connected.
    pub(crate) async fn connected(&self) {
        // There is no error: `self` holds the sender.
        self.connected.subscribe().wait_for(|connected| *connected).await.ok();
    }
}
