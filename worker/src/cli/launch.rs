//! `launch`: a gateway and a worker for each stream in one process, joined by pipes in memory. The sessions take the same
//! path as between machines, but for the pixels (`reframe_proto::exchange`).

use std::thread;

use clap::Args;
use futures_util::future::try_join_all;
use reframe_gateway::{Cluster, WorkerAddress};
use tokio::runtime;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::{Common, Failure, Settings, keep, start_log};
use crate::server::Server;
use crate::stream::Stream;

/// Connections that the gateway has opened and the worker has not accepted yet. It opens one; a few when it reconnects.
const CONNECTIONS: usize = 4;

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Options<O: Args> {
    #[command(flatten)]
    common: Common<O>,

    #[command(flatten)]
    gateway: reframe_gateway::Options,
}

pub(super) fn run<O: Args>(
    options: Options<O>,
    streams: impl FnOnce(O) -> Result<Vec<Stream>, Vec<String>>,
) -> Result<(), Failure> {
    let Options { common, gateway } = options;
    let mut problems = Vec::new();
    let settings = keep(&mut problems, common.validate(streams));
    let config = keep(&mut problems, gateway.validate());
    let (Some(Settings { streams, capacity, log }), Some(config)) = (settings, config) else {
        return Err(Failure::Configuration(problems));
    };
    let _export = start_log(log, "reframe")?;

    let shutdown = CancellationToken::new();
    let (addresses, servers): (Vec<_>, Vec<_>) = streams
        .into_iter()
        .map(|stream| {
            let name = stream.name.clone();
            let (connect, connections) = mpsc::channel(CONNECTIONS);
            let connections = ReceiverStream::new(connections).map(Ok);
            let serving = Server::new(stream, capacity).serve(connections, shutdown.clone().cancelled_owned());
            (WorkerAddress::InProcess { name, connect }, serving)
        })
        .unzip();
    // A thread of its own, as in `serve`: the gateway keeps the main one, and its runtimes are its own affair.
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Run("the worker's runtime did not start", error.into()))?;
    let (serving, handle) = (try_join_all(servers), runtime.handle().clone());
    let worker = thread::Builder::new().name("worker".into()).spawn(move || runtime.block_on(serving));
    let worker = worker.map_err(|error| Failure::Run("the worker's thread did not start", error.into()))?;

    let ended = reframe_gateway::run(config, Cluster::alone(addresses).watching("worker", handle));
    // The gateway has handled the signals and closed its sessions; what is left are handlers on their way out.
    shutdown.cancel();
    let served = worker.join().expect("the author's code runs on other threads, and ours does not panic");
    ended.map_err(|error| Failure::Run("the gateway stopped", error.into()))?;
    served.map(drop).map_err(|error| Failure::Run("the worker stopped", error.into()))
}
