//! The worker as a server on any transport: TCP for `serve`, pipes in memory for `launch` and for tests.

use std::{io, sync::Arc, time::Duration};

use reframe_proto::{
    CONNECTION_WINDOW_BYTES, HTTP2_FRAME_BYTES, MAX_MESSAGE_BYTES, STREAM_WINDOW_BYTES,
    v1::frame_worker_server::FrameWorkerServer,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    time::timeout,
};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{server::NamedService, transport::server::Connected};
use tonic_health::ServingStatus;

use crate::{service::Service, stream::Stream};

/// How often a connection is probed, and how long the answer may take: a gateway that vanished without a word holds its
/// sessions' slots no longer than the sum.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// See [`KEEPALIVE_INTERVAL`].
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long handlers and connections may take to end after the shutdown began.
const GRACE: Duration = Duration::from_secs(5);

/// A worker: one stream's handler for up to `capacity` sessions at once, and `grpc.health.v1`.
#[derive(Debug)]
pub struct Server {
    stream: Stream,
    capacity: u32,
}

/// Why a [`Server`] stopped without being told to.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC server failed")]
pub struct ServeError(#[from] tonic::transport::Error);

impl Server {
    /// A worker that takes `capacity` sessions at once and refuses more. Each costs a thread and a few frames of
    /// memory.
    #[must_use]
    pub const fn new(stream: Stream, capacity: u32) -> Self {
        Self { stream, capacity }
    }

    /// Serves the connections that `incoming` yields until `shutdown` is ready. The end of `incoming` is not an end: it
    /// means only that no more connections come.
    ///
    /// When `shutdown` is ready, health turns to `NOT_SERVING`, no connection is accepted any more, and each session is
    /// ended with `UNAVAILABLE`. Then this returns as soon as the handlers have stopped and the connections are closed,
    /// or after 5 s. A handler that is still running then goes on, on its own thread, until the process exits.
    ///
    /// # Errors
    ///
    /// When the transport fails as a whole; a single connection's failure ends its own sessions only.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping the future ends all sessions, as `shutdown` does, but waits for nothing.
    pub async fn serve<IO>(
        self,
        incoming: impl tokio_stream::Stream<Item = io::Result<IO>>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError>
    where
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let slots = Arc::new(Semaphore::new(self.capacity as usize));
        let closing = CancellationToken::new();
        // Connections are tasks of their own and would outlive this future.
        let _close_on_drop = closing.clone().drop_guard();
        let service = Service::new(Arc::new(self.stream), self.capacity, Arc::clone(&slots), closing.clone());
        let (mut health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<FrameWorkerServer<Service>>().await;

        let begin_shutdown = async {
            shutdown.await;
            for service in ["", FrameWorkerServer::<Service>::NAME] {
                health.set_service_status(service, ServingStatus::NotServing).await;
                // Ends the watches, which would hold their connections open; each sees the status first.
                health.clear_service_status(service).await;
            }
            closing.cancel();
        };
        // tonic takes the end of the stream for a shutdown.
        let incoming = incoming.chain(tokio_stream::pending());
        let serving = tonic::transport::Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(HTTP2_FRAME_BYTES)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .add_service(health_service)
            .add_service(
                FrameWorkerServer::new(service)
                    .max_decoding_message_size(MAX_MESSAGE_BYTES)
                    .max_encoding_message_size(MAX_MESSAGE_BYTES),
            )
            .serve_with_incoming_shutdown(incoming, begin_shutdown);
        let ended = async {
            serving.await?;
            // All slots at once: every handler has stopped.
            drop(slots.acquire_many(self.capacity).await);
            Ok(())
        };
        tokio::pin!(ended);
        tokio::select! {
            ended = &mut ended => return ended,
            () = closing.cancelled() => {}
        }
        timeout(GRACE, ended).await.unwrap_or_else(|_| {
            tracing::warn!(grace = ?GRACE, "handlers or connections did not end in time and are abandoned");
            Ok(())
        })
    }
}
