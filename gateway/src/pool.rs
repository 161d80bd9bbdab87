//! The workers: who they are, what they serve, and whether they do so now.
//!
//! One task per worker on the media runtime asks `Describe`, then watches its health until that ends, and starts over.
//! Workers that declare the same stream are its pool.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use reframe_proto::v1::DescribeRequest;
use reframe_proto::v1::frame_worker_client::FrameWorkerClient;
use reframe_proto::{CONNECTION_WINDOW_BYTES, HTTP2_FRAME_BYTES, MAX_MESSAGE_BYTES, STREAM_WINDOW_BYTES};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tracing::{info, warn};

use crate::spec::{Spec, SpecError};
use crate::telemetry;

/// The generated client, over whichever transport.
pub(crate) type Client = FrameWorkerClient<Channel>;

/// Between two attempts to reach a worker that does not answer.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// For `Describe`: it does no work, so a worker that takes longer is in trouble.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(3);
/// HTTP/2 pings, so that a host that went away without a word is noticed: after the sum of the two.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Buffer of an in-process connection, each way: most of a 720p frame, so that few wake-ups move one.
const DUPLEX_BYTES: usize = 1024 * 1024;

/// Where a worker is.
#[derive(Clone, Debug)]
pub enum WorkerAddress {
    /// `http://host:port`.
    Uri(Uri),
    /// In this process.
    InProcess {
        /// For metrics and logs.
        name: String,
        /// The server's end of each new connection is sent here.
        connect: mpsc::Sender<DuplexStream>,
    },
}

/// A worker that serves now.
#[derive(Clone)]
pub(crate) struct Serving {
    /// Its address, for metrics and logs.
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) spec: Arc<Spec>,
}

/// All workers.
#[derive(Clone)]
pub(crate) struct Pool {
    workers: Vec<Worker>,
}

#[derive(Clone)]
struct Worker {
    name: String,
    client: Client,
    state: watch::Receiver<State>,
}

#[derive(Clone, Default)]
struct State {
    /// What it last declared, also while it is away: its page stays, and says that a worker is waited for.
    spec: Option<Arc<Spec>>,
    serving: bool,
}

impl Pool {
    /// Starts watching `addresses`. Call within the media runtime.
    pub(crate) fn start(addresses: Vec<WorkerAddress>) -> Self {
        Self { workers: addresses.into_iter().map(Worker::start).collect() }
    }

    /// The workers that serve now, in the order of the configuration.
    pub(crate) fn serving(&self) -> Vec<Serving> {
        let serving = |worker: &Worker| {
            let State { spec, serving } = worker.state.borrow().clone();
            Some(Serving { name: worker.name.clone(), client: worker.client.clone(), spec: spec.filter(|_| serving)? })
        };
        self.workers.iter().filter_map(serving).collect()
    }

    /// The streams that are or were served, by name, each as its first worker declares it that serves now.
    pub(crate) fn streams(&self) -> BTreeMap<String, Arc<Spec>> {
        let mut states: Vec<State> = self.workers.iter().map(|worker| worker.state.borrow().clone()).collect();
        states.sort_by_key(|state| !state.serving);
        let mut streams = BTreeMap::new();
        for spec in states.into_iter().filter_map(|state| state.spec) {
            streams.entry(spec.name.clone()).or_insert(spec);
        }
        streams
    }

    /// The stream at `/NAME/`; without a name that at the root: the one named `default`, or the only one.
    pub(crate) fn stream(&self, name: Option<&str>) -> Option<Arc<Spec>> {
        let mut streams = self.streams();
        let only = || (streams.len() == 1).then(|| streams.first_key_value()).flatten().map(|(name, _)| name.clone());
        let name = match name {
            Some(name) => name.to_owned(),
            None if streams.contains_key("default") => "default".to_owned(),
            None => only()?,
        };
        streams.remove(&name)
    }
}

impl Worker {
    fn start(address: WorkerAddress) -> Self {
        let (name, channel) = connect(address);
        let (state_tx, state) = watch::channel(State::default());
        tokio::spawn(keep_watch(name.clone(), channel.clone(), state_tx));
        let client = FrameWorkerClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Self { name, client, state }
    }
}

/// A channel that connects on first use and again after each loss.
fn connect(address: WorkerAddress) -> (String, Channel) {
    let tuned = |endpoint: Endpoint| {
        endpoint
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(HTTP2_FRAME_BYTES)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_timeout(DESCRIBE_TIMEOUT)
    };
    match address {
        WorkerAddress::Uri(uri) => {
            (uri.to_string().trim_end_matches('/').to_owned(), tuned(Endpoint::from(uri)).connect_lazy())
        }
        WorkerAddress::InProcess { name, connect } => {
            let connector = tower::service_fn(move |_: Uri| {
                let connect = connect.clone();
                async move {
                    let (ours, theirs) = tokio::io::duplex(DUPLEX_BYTES);
                    let gone = |_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
                    connect.send(theirs).await.map_err(gone)?;
                    Ok::<_, std::io::Error>(TokioIo::new(ours))
                }
            });
            let endpoint = tuned(Endpoint::from_static("http://in-process"));
            (name, endpoint.connect_with_connector_lazy(connector))
        }
    }
}

/// Runs as long as the pool exists.
async fn keep_watch(name: String, channel: Channel, state: watch::Sender<State>) {
    let mut told = None;
    while !state.is_closed() {
        let ended = watch_once(&name, &channel, &state).await;
        state.send_modify(|state| state.serving = false);
        telemetry::worker_up(&name, false);
        // One line per change, not one per attempt.
        let why = ended.to_string();
        if told.as_ref() != Some(&why) {
            warn!(worker = %name, error = %why, "worker not available; retrying every second");
            told = Some(why);
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

/// Why a worker cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unavailable {
    #[error("{} ({:?})", .0.message(), .0.code())]
    Rpc(Box<Status>),
    #[error("no answer within {DESCRIBE_TIMEOUT:?}")]
    Timeout,
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("it stopped reporting its health")]
    Silent,
}

impl From<Status> for Unavailable {
    fn from(status: Status) -> Self {
        Self::Rpc(Box::new(status))
    }
}

async fn watch_once(name: &str, channel: &Channel, state: &watch::Sender<State>) -> Unavailable {
    let watched = async {
        let spec =
            tokio::time::timeout(DESCRIBE_TIMEOUT, describe(channel)).await.map_err(|_| Unavailable::Timeout)??;
        let mut health = HealthClient::new(channel.clone());
        let mut reports = health.watch(HealthCheckRequest { service: String::new() }).await?.into_inner();
        while let Some(report) = reports.message().await? {
            let up = report.status() == ServingStatus::Serving;
            let now = State { spec: Some(Arc::clone(&spec)), serving: up };
            if state.send_replace(now).serving != up {
                info!(worker = %name, stream = %spec.name, capacity = spec.capacity, up, "worker");
            }
            telemetry::worker_up(name, up);
        }
        Err::<(), _>(Unavailable::Silent)
    };
    watched.await.err().unwrap_or(Unavailable::Silent)
}

async fn describe(channel: &Channel) -> Result<Arc<Spec>, Unavailable> {
    let spec = FrameWorkerClient::new(channel.clone()).describe(DescribeRequest {}).await?.into_inner();
    Ok(Arc::new(Spec::from_wire(spec)?))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A worker that is never called.
    pub(crate) fn serving(name: &str, stream: &str, capacity: u32) -> Serving {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let channel = runtime.block_on(async { Endpoint::from_static("http://127.0.0.1:1").connect_lazy() });
        let spec = Arc::new(crate::spec::testing::spec(stream, capacity));
        Serving { name: name.to_owned(), client: FrameWorkerClient::new(channel), spec }
    }
}
