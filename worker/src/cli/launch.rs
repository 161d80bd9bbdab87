//! `launch`: a gateway and the worker in one process, joined by pipes in memory. The frames take the same path as
//! between machines.

use std::thread;

use clap::Args;
use reframe_gateway::WorkerAddress;
use tokio::{runtime, sync::mpsc};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;

use super::{Common, Failure, keep, start_log};
use crate::{server::Server, stream::Stream};

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
    stream: impl FnOnce(O) -> Result<Stream, Vec<String>>,
) -> Result<(), Failure> {
    let Options { common, gateway } = options;
    let mut problems = Vec::new();
    let common = keep(&mut problems, common.validate(stream));
    let config = keep(&mut problems, gateway.validate());
    let (Some((stream, capacity, filter)), Some(config)) = (common, config) else {
        return Err(Failure::Configuration(problems));
    };
    start_log(reframe_gateway::hush(filter));

    let (connect, connections) = mpsc::channel(CONNECTIONS);
    let shutdown = CancellationToken::new();
    let serving = Server::new(stream, capacity)
        .serve(ReceiverStream::new(connections).map(Ok), shutdown.clone().cancelled_owned());
    // A thread of its own, as in `serve`: the gateway keeps the main one, and its runtimes are its own affair.
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Run("the worker's runtime did not start", error.into()))?;
    let worker = thread::Builder::new().name("worker".into()).spawn(move || runtime.block_on(serving));
    let worker = worker.map_err(|error| Failure::Run("the worker's thread did not start", error.into()))?;

    let ended = reframe_gateway::run(config, vec![WorkerAddress::InProcess(connect)]);
    // The gateway has handled the signals and closed its sessions; what is left are handlers on their way out.
    shutdown.cancel();
    let served = worker.join().expect("the author's code runs on other threads, and ours does not panic");
    ended.map_err(|error| Failure::Run("the gateway stopped", error.into()))?;
    served.map_err(|error| Failure::Run("the worker stopped", error.into()))
}
