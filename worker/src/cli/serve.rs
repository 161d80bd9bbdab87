//! `serve`: a worker alone, on TCP or a Unix socket.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use reframe_proto::location::parse_zone;
use reframe_tls::{ClusterTlsOptions, Role};
use reframe_trace::watchdog::{self, Report, Watchdog};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::listen::{Address, Sockets};
use super::{Common, Failure, Settings, keep, start_log};
use crate::server::{ServeError, Server, memory};
use crate::stream::Stream;

/// The longest `--grace`, in seconds: an hour, as for a gateway.
const MAX_GRACE: u64 = 3600;

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Options<O: Args> {
    #[command(flatten)]
    common: Common<O>,

    /// Address for gateways [ip:port; port 0 picks a free one; unix:/path for those of this host].
    #[arg(long, env = "REFRAME_LISTEN", default_value = "127.0.0.1:50051")]
    listen: String,

    /// The failure domain that this machine is in, as gateways name theirs; they prefer the workers
    /// of their own [like eu-central-1a; up to 63 letters, digits, -, _ and .].
    #[arg(long, env = "REFRAME_ZONE", value_name = "NAME", default_value = "")]
    zone: String,

    /// Address for probes, which have no certificate: `grpc.health.v1` without TLS, and nothing
    /// else [ip:port; port 0 picks a free one].
    #[arg(long, env = "REFRAME_HEALTH", value_name = "IP:PORT")]
    health: Option<String>,

    /// From SIGTERM or Ctrl-C until the sessions that gateways have not moved to other workers are
    /// ended [seconds, 0 to 3600].
    #[arg(long, env = "REFRAME_GRACE", value_name = "SECONDS", default_value = "30")]
    grace: String,

    /// For how long the thread that moves frames may give no sign of life before this process ends
    /// itself, to be started again [seconds, 10 to 3600; 0 is for ever].
    #[arg(long, env = "REFRAME_EXIT_WHEN_STUCK", value_name = "SECONDS", default_value = "30")]
    exit_when_stuck: String,

    /// The stream to serve, of a program with several [default: the only one].
    #[arg(long, env = "REFRAME_STREAM", value_name = "NAME")]
    stream: Option<String>,

    #[command(flatten)]
    tls: ClusterTlsOptions,
}

pub(super) fn run<O: Args>(
    options: Options<O>,
    stop: impl Future<Output = ()>,
    streams: impl FnOnce(O) -> Result<Vec<Stream>, Vec<String>>,
) -> Result<(), Failure> {
    let Options { common, listen, zone, health, grace, exit_when_stuck, stream, tls } = options;
    let mut problems = Vec::new();
    let settings = common.validate(streams).and_then(|Settings { streams, capacity, log }| {
        let stream = choose(streams, stream.as_deref()).map_err(|problem| vec![problem])?;
        Ok((stream, capacity, log))
    });
    let settings = keep(&mut problems, settings);
    let wanted = "an address like 127.0.0.1:50051 or unix:/run/worker.sock";
    let address = listen
        .trim()
        .parse::<Address>()
        .map_err(|()| [format!("--listen: `{listen}` is not {wanted}")]);
    let address = keep(&mut problems, address);
    let zone = keep(&mut problems, parse_zone(&zone).map_err(|problem| [problem]));
    // An empty environment variable counts as one that is not set.
    let health = health.filter(|text| !text.trim().is_empty());
    let health = health.map(|text| {
        let wanted = "an address like 0.0.0.0:50052";
        let problem = || [format!("--health: `{text}` is not {wanted}")];
        text.trim().parse::<SocketAddr>().map_err(|_| problem())
    });
    let health = keep(&mut problems, health.transpose());
    let seconds = grace.trim().parse().ok().filter(|seconds| (0..=MAX_GRACE).contains(seconds));
    let seconds = seconds
        .ok_or_else(|| [format!("--grace: `{grace}` is not a number from 0 to {MAX_GRACE}")]);
    let grace = keep(&mut problems, seconds).map(Duration::from_secs);
    let give_up = watchdog::give_up(&exit_when_stuck)
        .map_err(|problem| [format!("--exit-when-stuck: {problem}")]);
    let give_up = keep(&mut problems, give_up);
    let exposed: Vec<_> = address.iter().filter_map(Address::exposed).collect();
    let tls = keep(&mut problems, tls.validate(Role::Worker, &exposed));
    let (Some((stream, capacity, log)), Some(address), Some(health)) = (settings, address, health)
    else {
        return Err(Failure::Configuration(problems));
    };
    let (Some(grace), Some(give_up), Some(tls), Some(zone)) = (grace, give_up, tls, zone) else {
        return Err(Failure::Configuration(problems));
    };
    let _export = start_log(log, "reframe-worker")?;
    // One thread moves the frames of all sessions. A 720p frame needs it for about 1 ms, and a
    // second thread cost more than it saved (measured). Handlers have their own threads.
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::Run("the runtime did not start", error.into()))?;
    // A stuck runtime answers neither probes nor pings, so gateways leave it. A supervisor that
    // only checks whether the process exists notices when the process ends.
    let watchdog =
        Watchdog::start(Report { delay: |_, _| {}, stuck: |_, _| {}, tick: || {} }, give_up);
    let watchdog =
        watchdog.map_err(|error| Failure::Run("the watchdog did not start", error.into()))?;
    watchdog.watch_runtime("worker", "worker", runtime.handle().clone());
    let server = Server::following(stream, capacity).grace(grace).tls(tls).zone(zone);
    runtime.block_on(serve(server, address, health, stop))
}

/// The stream of this name, or the only one.
fn choose(mut streams: Vec<Stream>, name: Option<&str>) -> Result<Stream, String> {
    let names: Vec<&str> = streams.iter().map(Stream::name).collect();
    let (all, index) =
        (names.join(", "), name.map(|name| names.iter().position(|other| *other == name)));
    match (index, streams.len()) {
        (Some(Some(index)), _) => Ok(streams.swap_remove(index)),
        (None, 1) => Ok(streams.swap_remove(0)),
        (Some(None), _) => {
            Err(format!("--stream: `{}` is not one of {all}", name.unwrap_or_default()))
        }
        (None, _) => Err(format!("--stream: a worker serves one stream, name it: {all}")),
    }
}

async fn serve(
    server: Server,
    address: Address,
    health: Option<SocketAddr>,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let signals =
        Signals::new().map_err(|error| Failure::Run("no signal handler", error.into()))?;
    let cannot = |error: io::Error| Failure::Run("cannot listen", error.into());
    let shutdown = CancellationToken::new();
    let probes = match health {
        Some(health) => {
            let listener = TcpListener::bind(health).await.map_err(cannot)?;
            tracing::info!(address = %listener.local_addr().map_err(cannot)?, "health for probes");
            Some(listener)
        }
        None => None,
    };
    let server = server.probes(probes);
    match address {
        Address::Tcp(address) => {
            let listener = TcpListener::bind(address).await.map_err(cannot)?;
            announce(&Address::Tcp(listener.local_addr().map_err(cannot)?));
            until_told(
                (signals, stop),
                &shutdown,
                server.serve(listener, shutdown.clone().cancelled_owned()),
            )
            .await
        }
        Address::Unix(path) => {
            let (_sockets, calls, pictures) = Sockets::bind(&path).map_err(cannot)?;
            announce(&Address::Unix(path));
            let serving = server.serve(calls, shutdown.clone().cancelled_owned());
            tokio::select! {
                ended = until_told((signals, stop), &shutdown, serving) => ended,
                () = memory::serve(pictures) => Ok(()),
            }
        }
    }
}

/// Serves until a signal or the program's own stop, and then until all sessions have ended or a
/// further signal comes.
async fn until_told(
    (mut signals, stop): (Signals, impl Future<Output = ()>),
    shutdown: &CancellationToken,
    serving: impl Future<Output = Result<(), ServeError>>,
) -> Result<(), Failure> {
    tokio::select! {
        ended = serving => ended.map_err(|error| Failure::Run("the worker stopped", error.into())),
        () = async {
            tokio::select! {
                () = signals.next() => {}
                () = stop => {}
            }
            tracing::info!("shutting down; Ctrl-C or SIGTERM again ends it at once");
            shutdown.cancel();
            signals.next().await;
        } => Err(Failure::Forced),
    }
}

/// Says that the worker listens, and where, which matters with port 0. The worker also serves if
/// this cannot be printed.
fn announce(bound: &Address) {
    writeln!(io::stdout(), "reframe-worker listening on {bound}").ok();
}

/// What asks this process to end.
struct Signals {
    /// Ctrl-C at a terminal.
    interrupt: Signal,
    /// Docker, Kubernetes and systemd.
    terminate: Signal,
    /// A terminal that was closed.
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;
    use crate::handler::VideoStreamHandler;

    #[test]
    fn one_stream_is_served_and_named_if_there_are_more() {
        let stream = |name: &&str| {
            Stream::builder(VideoStreamHandler::new(|frame: Frame| Ok(frame))).name(*name).build()
        };
        let chosen = |streams: &[&str], name| {
            choose(streams.iter().map(stream).collect(), name).map(|stream| stream.name)
        };
        assert_eq!(chosen(&["flip"], None), Ok("flip".into()));
        assert_eq!(chosen(&["flip", "sink"], Some("sink")), Ok("sink".into()));
        assert_eq!(
            chosen(&["flip"], Some("flop")),
            Err("--stream: `flop` is not one of flip".into())
        );
        let several = "--stream: a worker serves one stream, name it: flip, sink";
        assert_eq!(chosen(&["flip", "sink"], None), Err(several.into()));
    }
}
