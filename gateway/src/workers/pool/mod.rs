//! The workers: who they are, what they serve, and whether they do so now.
//!
//! One task per worker on the media runtime asks `Describe`, then watches its health until that
//! ends, and starts over; one per name looks up its addresses. What they learn goes into one
//! [`Roster`], which says who is used. Workers that declare the same stream are its pool. They may
//! be of several generations, which declare it differently.

mod channel;
mod discovery;
mod proximity;
mod roster;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use reframe_proto::MAX_REFUSED_BYTES;
use reframe_proto::location::Location;
use reframe_proto::v1::DescribeRequest;
use reframe_proto::v1::frame_worker_client::FrameWorkerClient;
use reframe_tls::ClusterTls;
use tokio::sync::watch as watched;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tracing::{info, warn};

pub(crate) use self::proximity::Proximity;
use self::roster::{Changes, GENERATIONS, Roster, Standing};
use crate::config::worker_address::WorkerAddress;
use crate::stream::spec::Spec;
use crate::telemetry;

/// The generated client, over whichever transport.
pub(crate) type Client = FrameWorkerClient<Channel>;

/// How near a worker is, and so how pictures come to it (`reframe_proto::exchange`).
#[derive(Clone, Debug)]
pub(crate) enum Locality {
    /// In this process: they are handed over.
    Process,
    /// On this host, at this socket: through memory that is shared.
    Host(Arc<Path>),
    /// Anywhere: in the messages.
    Network,
}

/// A worker that serves now.
#[derive(Clone)]
pub(crate) struct WorkerHandle {
    /// Its address, for metrics and logs.
    pub(crate) name: String,
    pub(crate) reach: Locality,
    pub(crate) proximity: Proximity,
    pub(crate) client: Client,
    pub(crate) spec: Arc<Spec>,
    /// The limit of its stream's sessions, on all workers together: what the newest generation
    /// declares.
    pub(crate) limit: Option<u32>,
    /// As it goes on.
    pub(crate) health: watched::Receiver<Health>,
}

/// What a worker says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    /// It is not there, or does not answer.
    #[default]
    Away,
    /// It takes no sessions, and those that it has are to move to other workers.
    Draining,
    /// It takes sessions.
    Serving,
}

/// All workers.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: PoolState,
    _stop: Arc<DropGuard>,
}

/// What the tasks share with the pool.
#[derive(Clone)]
struct PoolState {
    state: Arc<Mutex<State>>,
    changes: watched::Sender<()>,
    stop: CancellationToken,
    /// For workers on a network; `None`: plain.
    tls: Option<Arc<ClusterTls>>,
    /// Where this gateway is.
    here: Arc<Location>,
}

#[derive(Default)]
struct State {
    roster: Roster,
    /// By worker.
    lines: HashMap<String, Connection>,
}

/// To a worker, and what is heard from it.
struct Connection {
    reach: Locality,
    client: Client,
    health: watched::Receiver<Health>,
}

impl Pool {
    /// Starts watching `addresses`, for a gateway that is `here`. Call within the media runtime.
    pub(crate) fn start(
        addresses: Vec<WorkerAddress>,
        tls: Option<Arc<ClusterTls>>,
        here: Location,
    ) -> Self {
        let stop = CancellationToken::new();
        let shared = PoolState {
            state: Arc::default(),
            changes: watched::Sender::new(()),
            stop: stop.clone(),
            tls,
            here: here.into(),
        };
        for (source, address) in addresses.into_iter().enumerate() {
            let (name, reach, channel) = match address {
                WorkerAddress::Uri(uri) => {
                    let url = uri.to_string();
                    let channel = channel::at(&url, shared.tls.as_ref());
                    (url.trim_end_matches('/').to_owned(), Locality::Network, channel)
                }
                WorkerAddress::Unix(path) => {
                    let path: Arc<Path> = path.into();
                    let name = format!("unix:{}", path.display());
                    (name, Locality::Host(Arc::clone(&path)), channel::on_socket(path))
                }
                WorkerAddress::InProcess { name, connect } => {
                    (name, Locality::Process, channel::in_process(connect))
                }
                WorkerAddress::Dns { name, port } => {
                    shared.spawn(discovery::keep_found(shared.clone(), source, name, port));
                    continue;
                }
            };
            let listed = shared.update(|roster| roster.list(source, &BTreeSet::from([name])));
            // None, when it is given twice.
            listed
                .unknown
                .into_iter()
                .for_each(|name| shared.watch(name, reach.clone(), channel.clone()));
        }
        Self { shared, _stop: Arc::new(stop.drop_guard()) }
    }

    /// Marked as changed whenever a worker comes, goes or says something else of itself.
    pub(crate) fn changes(&self) -> watched::Receiver<()> {
        self.shared.changes.subscribe()
    }

    /// The workers that serve now: of each stream those of its newest generation first, and of one
    /// generation in the order of the configuration. The limit of a stream's sessions is what the
    /// newest generation declares, for all of them.
    pub(crate) fn serving(&self) -> Vec<WorkerHandle> {
        let state = self.shared.state();
        let mut limits = HashMap::new();
        let serving = |(name, spec): (&String, &Arc<Spec>)| {
            let Connection { reach, client, health } = state.lines.get(name)?;
            let (reach, client, health) = (reach.clone(), client.clone(), health.clone());
            let proximity = Proximity::of(&reach, &self.shared.here, &spec.location);
            let limit = *limits.entry(spec.name.clone()).or_insert(spec.concurrency_limit);
            let (name, spec) = (name.clone(), Arc::clone(spec));
            Some(WorkerHandle { name, reach, proximity, client, spec, limit, health })
        };
        state.roster.used().into_iter().filter_map(serving).collect()
    }

    /// The streams that are or were served, by name, each as the newest generation of its workers
    /// declares it.
    pub(crate) fn streams(&self) -> BTreeMap<String, Arc<Spec>> {
        self.shared.state().roster.streams()
    }

    /// The stream at `/NAME/`; without a name that at the root: the one named `default`, or the
    /// only one.
    pub(crate) fn stream(&self, name: Option<&str>) -> Option<Arc<Spec>> {
        let mut streams = self.streams();
        let only = || {
            (streams.len() == 1)
                .then(|| streams.first_key_value())
                .flatten()
                .map(|(name, _)| name.clone())
        };
        let name = match name {
            Some(name) => name.to_owned(),
            None if streams.contains_key("default") => "default".to_owned(),
            None => only()?,
        };
        streams.remove(&name)
    }
}

impl PoolState {
    fn state(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Until the pool is dropped.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(task));
    }

    /// Begins with a worker that nothing was known of.
    fn watch(&self, name: String, reach: Locality, channel: Channel) {
        let (reports, health) = watched::channel(Health::Away);
        let client = channel::client(channel.clone());
        self.state().lines.insert(name.clone(), Connection { reach, client, health });
        telemetry::worker_up(&name, false);
        self.spawn(watch::keep_watch(self.clone(), name, channel, reports));
    }

    fn declare(&self, name: &str, spec: Arc<Spec>) {
        self.update(|roster| ((), roster.declare(name, spec)));
    }

    /// What a worker is to be told of itself; nothing while it does not serve.
    fn verdict(&self, name: &str) -> DescribeRequest {
        match self.state().roster.standing(name) {
            None | Some(Standing::Out) => DescribeRequest::default(),
            Some(Standing::Used | Standing::Twin(_)) => {
                DescribeRequest { accepted: true, ..DescribeRequest::default() }
            }
            Some(Standing::Contradicts(fields)) => refusal(&format!(
                "there are {GENERATIONS} older declarations of its stream in use, and it differs \
                 from the newest of them in {}",
                fields.join(", ")
            )),
        }
    }

    fn report(&self, name: &str, health: Health) {
        self.update(|roster| ((), roster.report(name, health)));
    }

    fn forget(&self, name: &str) -> bool {
        let mut state = self.state();
        let forgotten = state.roster.forget(name);
        if forgotten {
            state.lines.remove(name);
            telemetry::worker_gone(name);
        }
        forgotten
    }

    /// Changes the roster, and says what came of it.
    fn update<T>(&self, change: impl FnOnce(&mut Roster) -> (T, Changes)) -> T {
        let mut state = self.state();
        let before = state.roster.newest();
        let (result, changes) = change(&mut state.roster);
        // Under the lock, so that the last change is what the gauges keep.
        for (worker, standing) in changes {
            telemetry::worker_up(&worker, standing == Standing::Used);
            match standing {
                // The end of its health, or of its name's address, has its own line.
                Standing::Out => {}
                Standing::Used => info!(%worker, "worker takes sessions"),
                Standing::Twin(of) => {
                    info!(%worker, %of, "the same worker as another, which is used; this one is \
                        not")
                }
                Standing::Contradicts(fields) => {
                    telemetry::worker_refused("contradiction");
                    let differs = fields.join(", ");
                    warn!(%worker, %differs, "worker refused: its stream has {GENERATIONS} older \
                        declarations in use");
                }
            }
        }
        for (stream, spec) in state.roster.newest() {
            let differs = before.get(&stream).map(|before| before.differences(&spec));
            if let Some(differs) = differs.filter(|differs| !differs.is_empty()) {
                let differs = differs.join(", ");
                info!(stream, %differs, "new sessions begin under another declaration");
            }
        }
        telemetry::workers_serving(state.roster.used().len());
        drop(state);
        self.changes.send_replace(());
        result
    }
}

/// Tells a worker why it is not used.
fn refusal(why: &str) -> DescribeRequest {
    let refused = why[..why.floor_char_boundary(MAX_REFUSED_BYTES)].to_owned();
    DescribeRequest { refused, accepted: false }
}

#[cfg(test)]
pub(crate) mod testing {
    use tonic::transport::Endpoint;

    use super::*;

    /// A worker that is never called; its instance is its name. Call within a runtime.
    pub(crate) fn serving(name: &str, stream: &str, capacity: u32) -> WorkerHandle {
        let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let spec = Spec {
            instance: name.to_owned(),
            ..crate::stream::spec::testing::spec(stream, capacity)
        };
        let client = FrameWorkerClient::new(channel);
        let (name, reach, health) =
            (name.to_owned(), Locality::Network, watched::channel(Health::Serving).1);
        let (spec, proximity, limit) = (Arc::new(spec), Proximity::Unknown, None);
        WorkerHandle { name, reach, proximity, client, spec, limit, health }
    }
}

#[cfg(test)]
mod tests;
