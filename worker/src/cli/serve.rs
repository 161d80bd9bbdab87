//! `serve`: a worker alone, on TCP.

use std::{io, net::SocketAddr};

use clap::Args;
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use super::{Common, Failure, keep, start_log};
use crate::{server::Server, stream::Stream};

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Options<O: Args> {
    #[command(flatten)]
    common: Common<O>,

    /// Address for gateways [ip:port; port 0 picks a free one].
    #[arg(long, env = "REFRAME_LISTEN", default_value = "127.0.0.1:50051")]
    listen: String,
}

pub(super) fn run<O: Args>(
    options: Options<O>,
    stream: impl FnOnce(O) -> Result<Stream, Vec<String>>,
) -> Result<(), Failure> {
    let Options { common, listen } = options;
    let mut problems = Vec::new();
    let common = keep(&mut problems, common.validate(stream));
    let address = listen.trim().parse::<SocketAddr>();
    let address = address.map_err(|_| [format!("--listen: `{listen}` is not an address like 127.0.0.1:50051")]);
    let address = keep(&mut problems, address);
    let (Some((stream, capacity, filter)), Some(address)) = (common, address) else {
        return Err(Failure::Configuration(problems));
    };
    start_log(filter);
    // One thread moves the frames of all sessions: each needs it for about 1 ms a 720p frame, and a second thread was
    // measured to cost more than it gave. The handlers have theirs.
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Run("the runtime did not start", error.into()))?;
    runtime.block_on(serve(Server::new(stream, capacity), address))
}

async fn serve(server: Server, address: SocketAddr) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::Run("no signal handler", error.into()))?;
    let listening = TcpIncoming::bind(address).and_then(|incoming| Ok((incoming.local_addr()?, incoming)));
    let (bound, incoming) = listening.map_err(|error| Failure::Run("cannot listen", error.into()))?;
    announce(bound);

    let shutdown = CancellationToken::new();
    let serving = server.serve(incoming.with_nodelay(Some(true)), shutdown.clone().cancelled_owned());
    tokio::select! {
        ended = serving => ended.map_err(|error| Failure::Run("the worker stopped", error.into())),
        () = async {
            signals.next().await;
            tracing::info!("shutting down; a second signal forces it");
            shutdown.cancel();
            signals.next().await;
        } => Err(Failure::Forced),
    }
}

/// For whoever started the worker, above all on port 0: that it listens, and where.
#[expect(clippy::print_stdout, reason = "the one line of output that is for programs")]
fn announce(bound: SocketAddr) {
    println!("reframe-worker listening on http://{bound}");
}

/// What asks this process to end.
struct Signals {
    /// Ctrl-C at a terminal.
    interrupt: Signal,
    /// Docker, Kubernetes and systemd.
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
