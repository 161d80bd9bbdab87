//! `launch`: one process with a gateway and a worker for each stream, joined by in-memory pipes.
//! Sessions take the same path as between machines, except for the pixels
//! (`reframe_proto::exchange`).

use std::error::Error;
use std::future::pending;
use std::path::PathBuf;
use std::thread;

use clap::Args;
use futures_util::future::try_join_all;
use reframe_gateway::{Cluster, WorkerAddress};
use tokio::runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Common, Failure, Settings, keep, start_log};
use crate::server::Server;
use crate::stream::Stream;

/// Connections that the gateway has opened and the worker has not accepted yet. The gateway opens
/// one, and a few more when it reconnects.
const CONNECTIONS: usize = 4;

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Options<O: Args> {
    #[command(flatten)]
    common: Common<O>,

    #[command(flatten)]
    gateway: reframe_gateway::Options,
}

/// Why [`launch`] ended although no signal asked it to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The gateway's options are wrong: one text for each problem, which names its option.
    #[error("the configuration is wrong: {}", .0.join("; "))]
    Configuration(Vec<String>),
    /// A part of it stopped.
    #[error("{0}")]
    Stopped(&'static str, #[source] Box<dyn Error + Send + Sync>),
}

pub(super) fn run<O: Args>(
    options: Options<O>,
    stop: impl Future<Output = ()> + Send + 'static,
    streams: impl FnOnce(O) -> Result<Vec<Stream>, Vec<String>>,
) -> Result<(), Failure> {
    let Options { common, gateway } = options;
    let mut problems = Vec::new();
    let settings = keep(&mut problems, common.validate(streams));
    let config = keep(&mut problems, gateway.or_link().validate());
    let (Some(Settings { streams, capacity, log }), Some(config)) = (settings, config) else {
        return Err(Failure::Configuration(problems));
    };
    let _export = start_log(log, "reframe")?;
    start(config, streams, capacity, stop).map_err(Failure::Launch)
}

/// The gateway alone, in front of workers at the sockets of other processes.
pub(super) fn front<O: Args>(
    options: Options<O>,
    stop: impl Future<Output = ()>,
    sockets: impl IntoIterator<Item = PathBuf>,
) -> Result<(), Failure> {
    let Options { common, gateway } = options;
    let mut problems = Vec::new();
    let log = keep(&mut problems, common.log.validate());
    let config = keep(&mut problems, gateway.or_link().validate());
    let (Some(log), Some(config)) = (log, config) else {
        return Err(Failure::Configuration(problems));
    };
    let _export = start_log(log, "reframe")?;
    let workers = sockets.into_iter().map(WorkerAddress::Unix).collect();
    reframe_gateway::run_until(config, Cluster::alone(workers), stop)
        .map_err(|error| Failure::Run("the gateway stopped", error.into()))
}

/// Runs a gateway, and a worker for each stream, in this process until SIGINT or SIGTERM: what the
/// command `launch` does, for a program with a command line of its own. Each stream takes 16
/// sessions at once.
///
/// It installs no logger. Call it from a plain thread: it brings its own runtimes.
///
/// ```no_run
/// use reframe_worker::{Frame, GatewayOptions, Stream, VideoStreamHandler, launch};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let flip = VideoStreamHandler::new(|frame: Frame| Ok(frame.flip_vertical()));
/// let options = GatewayOptions { http: "127.0.0.1:8000".to_owned(), ..GatewayOptions::default() };
/// launch(&options, [Stream::builder(flip).try_build()?])?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The options are wrong, a port is taken, or the gateway or the worker stopped by itself.
///
/// # Panics
///
/// Inside an asynchronous runtime.
pub fn launch(
    options: &reframe_gateway::Options,
    streams: impl IntoIterator<Item = Stream>,
) -> Result<(), LaunchError> {
    let streams =
        super::distinct(streams.into_iter().collect()).map_err(LaunchError::Configuration)?;
    let config = options.clone().or_link().validate().map_err(LaunchError::Configuration)?;
    start(config, streams, None, pending())
}

fn start(
    config: reframe_gateway::Config,
    streams: Vec<Stream>,
    capacity: Option<u32>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), LaunchError> {
    let stopped =
        |what| move |error: Box<dyn Error + Send + Sync>| LaunchError::Stopped(what, error);
    let (shutdown, failed) = (CancellationToken::new(), CancellationToken::new());
    let (addresses, servers): (Vec<_>, Vec<_>) = streams
        .into_iter()
        .map(|stream| {
            let name = stream.name.clone();
            let (connect, connections) = mpsc::channel(CONNECTIONS);
            let serving = Server::following(stream, capacity)
                .outlasts_calls()
                .serve(connections, shutdown.clone().cancelled_owned());
            // Without its workers the gateway has nothing to show.
            let fails = failed.clone();
            let serving = async move { serving.await.inspect_err(|_| fails.cancel()) };
            (WorkerAddress::InProcess { name, connect }, serving)
        })
        .unzip();
    // On its own thread, as in `serve`: the gateway keeps the main thread, and starts its own
    // runtimes.
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| stopped("the worker's runtime did not start")(error.into()))?;
    let (serving, handle) = (try_join_all(servers), runtime.handle().clone());
    let worker =
        thread::Builder::new().name("worker".into()).spawn(move || runtime.block_on(serving));
    let worker =
        worker.map_err(|error| stopped("the worker's thread did not start")(error.into()))?;

    let cluster = Cluster::alone(addresses).watching("worker", handle);
    let stop = async move {
        tokio::select! {
            () = stop => {}
            () = failed.cancelled() => {}
        }
    };
    let ended = reframe_gateway::run_until(config, cluster, stop);
    // The gateway has handled the signals and closed its sessions; only handlers that are still
    // returning are left.
    shutdown.cancel();
    let served =
        worker.join().expect("the author's code runs on other threads, and ours does not panic");
    ended.map_err(|error| stopped("the gateway stopped")(error.into()))?;
    served.map(drop).map_err(|error| stopped("the worker stopped")(error.into()))
}
