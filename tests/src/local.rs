//! A worker inside the test's own process, for handlers that a test writes itself and looks into.
//!
//! It speaks the same gRPC over the same sockets as a worker process; the gateway in front of it is
//! a real process.

use std::net::SocketAddr;

use reframe_worker::{Server, Stream};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A running worker. Dropping it shuts it down without waiting: a handler that never returns ends
/// with the process.
#[derive(Debug)]
pub struct LocalWorker {
    url: String,
    _stop: oneshot::Sender<()>,
}

impl LocalWorker {
    /// Serves `stream` to `capacity` sessions at once, on a free port and a thread of its own.
    ///
    /// # Panics
    /// When the loopback interface has no free port.
    #[must_use]
    pub fn serve(stream: Stream, capacity: u32) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("a bound socket has an address");
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            // Dropping the sender is the sign, so the error is the expected end.
            let shutdown = async { drop(stopped.await) };
            let served = runtime.block_on(Server::new(stream, capacity).serve(listener, shutdown));
            runtime.shutdown_background();
            served.expect("the worker serves until it is told to stop");
        });
        Self { url: format!("http://{address}"), _stop: stop }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}
