//! Signals, and how a gateway stops.

use std::io;
use std::time::Duration;

use actix::Addr;
use actix_web::dev::ServerHandle;
use reframe_trace::watchdog::Watchdog;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::gateway::{Drain, Gateway, Shutdown};

/// How long ended sessions may take to deliver their last message.
const GOODBYE: Duration = Duration::from_secs(2);

/// The signals that end a gateway. SIGTERM: an orchestrator's or `kill`'s, who has another gateway;
/// SIGHUP: a closed terminal's, likewise; SIGINT: Ctrl-C, who has not. The second of any means
/// "now".
pub(super) struct Signals {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
}

impl Signals {
    /// # Errors
    /// The system refuses.
    pub(super) fn new() -> io::Result<Self> {
        let [terminate, hang_up, interrupt] =
            [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()].map(signal);
        Ok(Self { terminate: terminate?, hang_up: hang_up?, interrupt: interrupt? })
    }

    /// Waits for the first one; gives the time that sessions have to go elsewhere.
    pub(super) async fn first(&mut self, grace: Duration) -> Duration {
        if self.next().await == SignalKind::interrupt() { Duration::ZERO } else { grace }
    }

    pub(super) async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.hang_up.recv() => SignalKind::hangup(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }
}

/// What stops.
pub(super) struct Stopping {
    pub(super) gateway: Addr<Gateway>,
    /// Connections that are not closed yet.
    pub(super) peers: TaskTracker,
    pub(super) watchdog: Watchdog,
    pub(super) page: ServerHandle,
    /// The ports that are not the public's.
    pub(super) inside: Vec<ServerHandle>,
}

impl Stopping {
    /// No new sessions; the running ones are asked to go elsewhere and have `grace` for it; those
    /// that are left are ended, and their last words delivered. Requests are answered until then.
    pub(super) async fn stop(self, grace: Duration) {
        if !grace.is_zero()
            && let Ok(mut left) = self.gateway.send(Drain).await
        {
            // Elapsed: those that are left stay to the end.
            drop(timeout(grace, left.wait_for(|left| *left == 0)).await);
        }
        // An error is an actor that has stopped already.
        self.gateway.send(Shutdown).await.ok();
        // From here on threads end.
        self.watchdog.rest();
        self.page.stop(false).await;
        self.peers.close();
        // Elapsed: a browser that does not take its last message misses it.
        drop(timeout(GOODBYE, self.peers.wait()).await);
        for port in self.inside {
            port.stop(false).await;
        }
    }
}
