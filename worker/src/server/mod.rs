//! The worker as a server on any transport: TCP for `serve`, pipes in memory for `launch` and for
//! tests.

pub(crate) mod guard;
mod listener;
pub(crate) mod memory;
mod readiness;
pub(crate) mod service;

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use reframe_proto::location::Location;
use reframe_proto::v1::frame_worker_server::FrameWorkerServer;
use reframe_proto::{
    CONNECTION_WINDOW_BYTES, HTTP2_FRAME_BYTES, MAX_MESSAGE_BYTES, READINESS_SERVICE,
    STREAM_WINDOW_BYTES,
};
use reframe_tls::{Accepting, ClusterTls};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{interval, timeout};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};

use self::listener::Kind;
pub use self::listener::Listener;
use crate::calls::{Overdue, Report};
use crate::health::Condition;
use crate::runner::Pool;
use crate::server::guard::Guard;
use crate::server::readiness::Readiness;
use crate::server::service::{Service, ShutdownTokens};
use crate::stream::Stream;

/// How often a connection is probed, and how long the answer may take: a gateway that vanished
/// without a word holds its sessions' slots no longer than the sum.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// See [`KEEPALIVE_INTERVAL`].
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// HTTP/2 streams of one connection beside as many sessions as there are slots: a gateway's watch
/// over the worker's health, its question what the worker serves, and sessions that find no slot
/// any more. Beyond that a gateway waits.
const SPARE_STREAMS: u32 = 32;

/// Sessions at once, where nothing says otherwise; the default of `--capacity`.
pub(crate) const DEFAULT_CAPACITY: u32 = 16;

/// How often calls that do not return are looked for.
const LOOK_AT_CALLS: Duration = Duration::from_secs(1);

/// The grace of a worker that cannot serve any more: gateways move its sessions in less, and the
/// others have nothing to wait for.
const FAILED_GRACE: Duration = Duration::from_secs(3);

/// How long handlers and connections may take to end after their sessions were ended.
const RETURN_WAIT: Duration = Duration::from_secs(5);

/// A worker: one stream's handler for up to `capacity` sessions at once, and `grpc.health.v1`. Its
/// health, as gateways watch it, is that of the whole server. The service `readiness` is
/// `NOT_SERVING` also while gateways refuse this worker, and none has accepted it lately.
#[derive(Debug)]
pub struct Server {
    stream: Stream,
    /// `None`: what the handler can do.
    capacity: Option<u32>,
    grace: Duration,
    /// It waits for a call that hangs.
    outlasts_calls: bool,
    /// For connections by TCP; `None`: plain.
    tls: Option<Arc<ClusterTls>>,
    /// For those that only ask for its health.
    probes: Option<TcpListener>,
    /// The zone that it is in; empty: not named.
    zone: String,
}

/// Why a [`Server`] stopped without being told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The transport failed as a whole.
    #[error("the gRPC server failed")]
    Transport(#[source] tonic::transport::Error),
    /// The author's code cannot serve any more: a call hangs that others wait for, or a model fails
    /// for everybody.
    #[error("{0}")]
    Handler(String),
}

impl Server {
    /// A worker that takes `capacity` sessions at once and refuses more. Each costs a thread and a
    /// few frames of memory.
    #[must_use]
    pub const fn new(stream: Stream, capacity: u32) -> Self {
        Self::following(stream, Some(capacity))
    }

    /// As [`new`](Self::new); `None`: up to 16 sessions, or fewer where calls run one at a time and
    /// take long.
    pub(crate) const fn following(stream: Stream, capacity: Option<u32>) -> Self {
        Self {
            stream,
            capacity,
            grace: Duration::ZERO,
            outlasts_calls: false,
            tls: None,
            probes: None,
            zone: String::new(),
        }
    }

    /// Answers `grpc.health.v1`, and nothing else, on this listener too, without TLS: an
    /// orchestrator's probes have no certificate.
    pub(crate) fn probes(mut self, listener: Option<TcpListener>) -> Self {
        self.probes = listener;
        self
    }

    /// Goes on when a call hangs that others wait for, and serves again when it returns: in a
    /// program on its own, where nobody else could take the sessions. A call may stand at a
    /// debugger's breakpoint.
    pub(crate) const fn outlasts_calls(mut self) -> Self {
        self.outlasts_calls = true;
        self
    }

    /// Takes gateways of this cluster only, by TCP.
    pub(crate) fn tls(mut self, tls: Option<Arc<ClusterTls>>) -> Self {
        self.tls = tls;
        self
    }

    /// Tells gateways that it is in this zone; empty: in one that has no name.
    pub(crate) fn zone(mut self, zone: String) -> Self {
        self.zone = zone;
        self
    }

    /// How long sessions may go on after the shutdown began, so that gateways can move them to
    /// other workers; zero where nothing says otherwise.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Serves the connections of `listener` until `shutdown` is ready. The end of pipes in this
    /// process is not an end: it means only that no more connections come.
    ///
    /// Whoever reaches the port may be anybody: connections and calls are bounded in number, and
    /// each in size and time until it is answered. What was turned away is told in the log, in
    /// sums.
    ///
    /// When `shutdown` is ready, the worker drains: health turns to `NOT_SERVING`, which gateways
    /// that watch it take as the sign to move their sessions away, and new sessions are refused
    /// with `UNAVAILABLE`. Those that run go on until all are gone, handlers included, or the
    /// [`grace`](Self::grace) is over.
    ///
    /// Then no connection is accepted any more, and each session that is left is ended with
    /// `UNAVAILABLE`. This returns as soon as the handlers have stopped and the connections are
    /// closed, or after 5 s. A handler that is still running then goes on, on its own thread, until
    /// the process exits.
    ///
    /// # Errors
    ///
    /// When the transport fails as a whole; a single connection's failure ends its own sessions
    /// only. And when the author's code cannot serve any more: then it has drained before, for a
    /// few seconds.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping the future ends all sessions and waits for nothing.
    pub async fn serve(
        self,
        listener: impl Into<Listener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        match listener.into().0 {
            Kind::Tcp(listener) => {
                // A message is sent whole: to wait for more to send with it would only be late.
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                let Some(tls) = self.tls.clone() else {
                    return self.serve_connections(incoming, shutdown).await;
                };
                let watching = tokio::spawn(reframe_tls::watch(tls.identity(), |_| {}));
                let _watching = AbortOnDropHandle::new(watching);
                let incoming = incoming.map(move |connection| {
                    connection.map(|connection| Accepting::new(Arc::clone(&tls), connection))
                });
                self.serve_connections(incoming, shutdown).await
            }
            Kind::Unix(listener) => {
                self.serve_connections(UnixListenerStream::new(listener), shutdown).await
            }
            Kind::InProcess(pipes) => {
                self.serve_connections(ReceiverStream::new(pipes).map(Ok), shutdown).await
            }
        }
    }

    async fn serve_connections<IO>(
        self,
        incoming: impl tokio_stream::Stream<Item = io::Result<IO>>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = Arc::new(self.stream);
        let (most, follows) =
            self.capacity.map_or((DEFAULT_CAPACITY, true), |capacity| (capacity, false));
        let pool = Arc::new(Pool::new(Arc::clone(&stream), most, follows));
        let (draining, closing) = (CancellationToken::new(), CancellationToken::new());
        // Connections are tasks of their own and would outlive this future.
        let _close_on_drop = closing.clone().drop_guard();
        let ends = ShutdownTokens { draining: draining.clone(), closing: closing.clone() };
        let readiness = Readiness::default();
        let (location, asked) = (Location::here(self.zone), readiness.clone());
        let service = Service::new(Arc::clone(&stream), Arc::clone(&pool), location, asked, ends);
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<FrameWorkerServer<Service>>().await;
        health.set_service_status(READINESS_SERVICE, ServingStatus::Serving).await;

        let services = ["", FrameWorkerServer::<Service>::NAME];
        let serves = watch::Sender::new(ServingStatus::Serving);
        let tell = |status| {
            let (health, serves) = (&health, &serves);
            async move {
                for service in services {
                    health.set_service_status(service, status).await;
                }
                serves.send_replace(status);
            }
        };
        let mut failed = None;
        let drained = async {
            let condition = watch_calls(&pool, &stream, self.outlasts_calls, &tell);
            let grace = tokio::select! {
                () = shutdown => self.grace,
                problem = condition => {
                    tracing::error!(problem, "this worker cannot serve any more and ends");
                    failed = Some(problem);
                    self.grace.min(FAILED_GRACE)
                }
            };
            draining.cancel();
            tell(ServingStatus::NotServing).await;
            let mut health = health.clone();
            // Here too, as draining may be over before `readiness` has looked.
            health.set_service_status(READINESS_SERVICE, ServingStatus::NotServing).await;
            drain(&pool, grace).await;
            for service in services.into_iter().chain([READINESS_SERVICE]) {
                // Ends the watches, which would hold their connections open; each sees the status
                // first.
                health.clear_service_status(service).await;
            }
            closing.cancel();
        };
        let drained = async {
            tokio::select! {
                () = drained => {}
                never = readiness.keep(serves.subscribe(), health.clone()) => match never {},
            }
        };
        let probed = serve_probes(self.probes, health_service.clone());
        let guard = Guard::new();
        let admitting = guard.clone();
        let admitted = incoming.filter_map(move |connection| match connection {
            Ok(connection) => admitting.admit(connection).map(Ok),
            Err(error) => Some(Err(error)),
        });
        // tonic takes the end of the stream for a shutdown.
        let admitted = admitted.chain(tokio_stream::pending());
        let serving = tonic::transport::Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(HTTP2_FRAME_BYTES)
            .max_concurrent_streams(most.saturating_add(SPARE_STREAMS))
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .add_service(guard.over(health_service))
            .add_service(
                guard.over(
                    FrameWorkerServer::new(service)
                        .max_decoding_message_size(MAX_MESSAGE_BYTES)
                        .max_encoding_message_size(MAX_MESSAGE_BYTES),
                ),
            )
            .serve_with_incoming_shutdown(admitted, drained);
        let ended = async {
            serving.await.map_err(ServeError::Transport)?;
            pool.emptied().await;
            Ok(())
        };
        let ended = async {
            tokio::pin!(ended);
            tokio::select! {
                ended = &mut ended => return ended,
                error = probed => return Err(ServeError::Transport(error)),
                () = guard.report() => {}
                () = closing.cancelled() => {}
            }
            timeout(RETURN_WAIT, ended).await.unwrap_or_else(|_| {
                tracing::warn!(after = ?RETURN_WAIT, "handlers or connections did not end in time \
                    and are abandoned");
                Ok(())
            })
        };
        ended.await?;
        failed.map_or(Ok(()), |problem| Err(ServeError::Handler(problem)))
    }
}

/// Answers probes for as long as this is polled; ready when that has failed.
async fn serve_probes(
    listener: Option<TcpListener>,
    health: HealthServer<impl Health>,
) -> tonic::transport::Error {
    let Some(listener) = listener else { return std::future::pending().await };
    // With bounds of its own: what comes here takes no place from gateways.
    let guard = Guard::new();
    let admitting = guard.clone();
    let incoming = TcpIncoming::from(listener).filter_map(move |connection| match connection {
        Ok(connection) => admitting.admit(connection).map(Ok),
        Err(error) => Some(Err(error)),
    });
    let serving = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(guard.over(health))
        .serve_with_incoming(incoming);
    tokio::select! {
        Err(error) = serving => error,
        () = guard.report() => std::future::pending().await,
    }
}

/// Looks once a second for calls that do not return, and has `tell` say whether the worker serves.
/// Returns when it never will again, with the reason.
async fn watch_calls<Told: Future<Output = ()>>(
    pool: &Pool,
    stream: &Stream,
    outlasts_calls: bool,
    tell: impl Fn(ServingStatus) -> Told,
) -> String {
    let mut conditions = pool.health().subscribe();
    let mut looks = interval(LOOK_AT_CALLS);
    loop {
        tokio::select! {
            _ = looks.tick() => look_at_calls(pool, stream),
            _ = conditions.changed() => {
                let condition = conditions.borrow_and_update().clone();
                match condition {
                    Condition::Serving => {
                        tracing::info!("the call has returned, this worker serves again");
                        tell(ServingStatus::Serving).await;
                    }
                    Condition::Hung(problem) if outlasts_calls => {
                        tracing::error!(problem, "this worker takes no sessions until it does");
                        tell(ServingStatus::NotServing).await;
                    }
                    Condition::Hung(problem) | Condition::Broken(problem) => return problem,
                }
            }
        }
    }
}

fn look_at_calls(pool: &Pool, stream: &Stream) {
    let Report { overdue, blocked } = pool.overdue();
    for Overdue { session, running } in overdue {
        tracing::error!(session = session.id(), ?running, "a call of the handler does not return");
        // The author's code, on our thread: its panic ends nothing.
        let hook = AssertUnwindSafe(|| (stream.overdue_hook)(&session));
        panic::catch_unwind(hook).ok();
    }
    let hung = blocked.is_some().then(|| {
        "a call of the handler does not return within its limit (call_limit), and calls of this \
         stream run one at a time"
            .to_owned()
    });
    pool.health().hung(hung);
}

/// Serves a stream on `listener` for as long as this future is polled: a worker without a command
/// line. It takes 16 sessions at once; [`Server`] has more settings.
///
/// ```no_run
/// use reframe_worker::{Frame, Listener, Stream, VideoStreamHandler, serve};
///
/// # async fn worker() -> Result<(), Box<dyn std::error::Error>> {
/// let flip = VideoStreamHandler::new(|frame: Frame| Ok(frame.flip_vertical()));
/// let listener = Listener::bind("127.0.0.1:50051").await?;
/// serve(listener, Stream::builder(flip).try_build()?).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The transport fails as a whole, or the author's code cannot serve any more.
///
/// # Cancel safety
///
/// Not cancel safe: dropping the future ends all sessions and waits for nothing.
pub async fn serve(listener: impl Into<Listener>, stream: Stream) -> Result<(), ServeError> {
    Server::new(stream, DEFAULT_CAPACITY).serve(listener, std::future::pending()).await
}

/// Waits until the gateways have moved all sessions away, up to the grace.
async fn drain(pool: &Pool, grace: Duration) {
    let sessions = pool.sessions();
    if sessions == 0 || grace.is_zero() {
        return;
    }
    tracing::info!(sessions, ?grace, "waiting for sessions to move to other workers");
    match timeout(grace, pool.emptied()).await {
        Ok(()) => tracing::info!("all sessions have moved"),
        Err(_) => {
            let sessions = pool.sessions();
            tracing::warn!(sessions, "sessions did not move in time and are ended");
        }
    }
}
