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
    /// Each address that this name has.
    Dns {
        /// Of a compose service, or a headless service of Kubernetes.
        name: String,
        /// The same at each.
        port: u16,
    },
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
    /// As it goes on.
    pub(crate) health: watch::Receiver<Health>,
}

/// What a worker says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    /// It is not there, or does not answer.
    #[default]
    Away,
    /// It takes no sessions and wants to be rid of those it has.
    Draining,
    /// It takes sessions.
    Serving,
}

/// All workers.
#[derive(Clone)]
pub(crate) struct Pool {
    workers: Vec<Worker>,
    changes: watch::Receiver<()>,
}

#[derive(Clone)]
struct Worker {
    name: String,
    client: Client,
    /// What it last declared, also while it is away: its page stays, and says that a worker is waited for.
    spec: watch::Receiver<Option<Arc<Spec>>>,
    health: watch::Receiver<Health>,
}

/// Where a worker's task puts what it learns.
struct Report {
    spec: watch::Sender<Option<Arc<Spec>>>,
    health: watch::Sender<Health>,
    changes: watch::Sender<()>,
}

impl Pool {
    /// Starts watching `addresses`. Call within the media runtime.
    pub(crate) fn start(addresses: Vec<WorkerAddress>) -> Self {
        let (changed, changes) = watch::channel(());
        Self {
            workers: addresses.into_iter().map(|address| Worker::start(address, changed.clone())).collect(),
            changes,
        }
    }

    /// Marked as changed whenever a worker comes, goes or says something else of itself.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.clone()
    }

    /// The workers that serve now, in the order of the configuration.
    pub(crate) fn serving(&self) -> Vec<Serving> {
        let serving = |worker: &Worker| {
            let Worker { name, client, spec, health } = worker.clone();
            let spec = spec.borrow().clone()?;
            let serves = *health.borrow() == Health::Serving;
            serves.then_some(Serving { name, client, spec, health })
        };
        self.workers.iter().filter_map(serving).collect()
    }

    /// The streams that are or were served, by name, each as its first worker declares it that serves now.
    pub(crate) fn streams(&self) -> BTreeMap<String, Arc<Spec>> {
        let mut workers: Vec<&Worker> = self.workers.iter().collect();
        workers.sort_by_key(|worker| *worker.health.borrow() != Health::Serving);
        let mut streams = BTreeMap::new();
        for spec in workers.into_iter().filter_map(|worker| worker.spec.borrow().clone()) {
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
    fn start(address: WorkerAddress, changes: watch::Sender<()>) -> Self {
        let (name, channel) = connect(address);
        let (spec, health) = (watch::Sender::new(None), watch::Sender::new(Health::Away));
        let (spec_seen, health_seen) = (spec.subscribe(), health.subscribe());
        tokio::spawn(keep_watch(name.clone(), channel.clone(), Report { spec, health, changes }));
        let client = FrameWorkerClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Self { name, client, spec: spec_seen, health: health_seen }
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
        // Until names are looked up here: the first address.
        WorkerAddress::Dns { name, port } => {
            let endpoint = Endpoint::from_shared(format!("http://{name}:{port}")).expect("a name and a port are a URL");
            (format!("http://{name}:{port}"), tuned(endpoint).connect_lazy())
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
async fn keep_watch(name: String, channel: Channel, report: Report) {
    let mut told = None;
    while !report.spec.is_closed() {
        let ended = watch_once(&name, &channel, &report).await;
        report.health(&name, Health::Away);
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

impl Report {
    fn health(&self, name: &str, now: Health) {
        telemetry::worker_up(name, now == Health::Serving);
        let changed = self.health.send_replace(now) != now;
        if changed {
            self.changes.send_replace(());
        }
        if changed && now != Health::Away {
            info!(worker = %name, health = ?now, "worker");
        }
    }
}

async fn watch_once(name: &str, channel: &Channel, report: &Report) -> Unavailable {
    let watched = async {
        let spec =
            tokio::time::timeout(DESCRIBE_TIMEOUT, describe(channel)).await.map_err(|_| Unavailable::Timeout)??;
        let mut health = HealthClient::new(channel.clone());
        let mut reports = health.watch(HealthCheckRequest { service: String::new() }).await?.into_inner();
        info!(worker = %name, stream = %spec.name, capacity = spec.capacity, "worker declares");
        report.spec.send_replace(Some(Arc::clone(&spec)));
        while let Some(said) = reports.message().await? {
            let serves = said.status() == ServingStatus::Serving;
            report.health(name, if serves { Health::Serving } else { Health::Draining });
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

    /// A worker that is never called; its instance is its name. Call within a runtime.
    pub(crate) fn serving(name: &str, stream: &str, capacity: u32) -> Serving {
        let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let spec = Spec { instance: name.to_owned(), ..crate::spec::testing::spec(stream, capacity) };
        let client = FrameWorkerClient::new(channel);
        Serving { name: name.to_owned(), client, spec: Arc::new(spec), health: watch::channel(Health::Serving).1 }
    }
}
