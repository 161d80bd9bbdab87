//! A gateway from start to stop: runtimes, servers, signals.
//!
//! Threads: the main one runs the actix system (gateway actor, signals), two serve HTTP, one the
//! admin port, one other gateways, one all sessions and links, one all pacers, `--codec-threads`
//! the codecs; beside them the media runtime, a tokio multi-thread runtime, serves WebRTC and gRPC.
//! No frame is coded where a socket or a timer is served. A watchdog asks every one of them whether
//! it still runs (`reframe_trace::watchdog`).
//!
//! | module | what it is |
//! |---|---|
//! | `ports` | the HTTP ports: what listens, and what each serves |
//! | `upkeep` | what is looked at again and again: threads, keys, certificates, metrics |
//! | `stop` | signals, and what follows one |

mod ports;
mod stop;
mod upkeep;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::Actor;
use actix_web::dev::Server;
use metrics_exporter_prometheus::PrometheusHandle;
use reframe_proto::location::Location;
use reframe_tls::ClusterTls;
use tokio::runtime::Handle;
use tracing::{info, warn};

use self::ports::{Edges, Listening, serve_admin, serve_page, serve_peers};
use self::stop::{Signals, Stopping};
use crate::browser::net::{Audience, MediaError, MediaPort};
use crate::config::Config;
use crate::config::access::{Access, Auth, Jwks};
use crate::config::cluster::{Cluster, SharedPlacement};
use crate::config::worker_address::WorkerAddress;
use crate::gateway::{Gateway, Settings};
use crate::http::announce::announce;
use crate::http::gate::http_client::HttpClient;
use crate::http::gate::{AuthService, jwks};
use crate::http::{Forward, Gate, HttpState, Probed, admin, edge};
use crate::session::Timeouts;
use crate::telemetry::trace;
use crate::threads::arbiters::Arbiters;
use crate::threads::slices;
use crate::workers::placement::{self, Placement};
use crate::workers::pool::Pool;
use crate::{codec, telemetry};

/// The gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address is in use, or not ours.
    #[error("cannot listen on {address} ({flag})")]
    Bind {
        /// The option that named it.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The port of all media cannot be had.
    #[error("no media port")]
    Media(#[from] MediaError),
    /// The system refused threads or signals.
    #[error("cannot start")]
    Start(#[from] io::Error),
}

/// Runs a gateway until SIGTERM or SIGINT; a second signal ends it at once.
///
/// Blocks. Call it on the main thread, outside any runtime.
///
/// # Errors
/// It could not start. Once it serves, it ends well.
pub fn run(config: Config, cluster: Cluster) -> Result<(), RunError> {
    run_until(config, cluster, pending())
}

/// As [`run`]; `stop` ends it too, as SIGINT would.
///
/// # Errors
/// As [`run`].
pub fn run_until(
    config: Config,
    cluster: Cluster,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    reframe_trace::bound_panics();
    let descriptors = edge::raise();
    let metrics = telemetry::install();
    trace::install(config.trace_frames);
    let mut media = tokio::runtime::Builder::new_multi_thread();
    let media = media.thread_name("media").on_thread_start(slices::short).enable_all().build()?;
    let handle = media.handle().clone();
    let served = actix_web::rt::System::new().block_on(serve(
        config,
        cluster,
        descriptors,
        metrics,
        handle,
        stop,
    ));
    media.shutdown_timeout(Duration::from_millis(200));
    served
}

async fn serve(
    config: Config,
    cluster: Cluster,
    descriptors: usize,
    metrics: Option<PrometheusHandle>,
    media: Handle,
    stopped: impl Future<Output = ()>,
) -> Result<(), RunError> {
    // Before anything is started: what cannot listen has nothing to stop. And the ports may be any
    // free ones, and the other gateways are told which.
    let ports = Listening::start(&config, &cluster)?;
    let shares = edge::shares(descriptors, config.edge.connections);
    let audience = match config.access.auth {
        // On a loopback address: nobody else is let in.
        Auth::Local => Audience::ThisMachine,
        _ if config.ice_servers.have_turn() => Audience::Relayed,
        _ => Audience::Everybody,
    };
    let opening = media.spawn(MediaPort::open(config.media, audience, shares.media)).await;
    let media_port = opening.map_err(io::Error::other)??;
    let watchdog = upkeep::watchdog(config.exit_when_stuck, &media, cluster.watched)?;
    warn_of_files(descriptors, &shares, config.edge.connections);
    warn_of_access(&config.access, cluster.shared.is_some());

    let peer_address = ports.peer.as_ref().map(|port| port.address);
    let shared = cluster.shared.zip(peer_address);
    let here = Location::here(cluster.zone);
    let (pool, placement) =
        find_workers(&media, cluster.workers, cluster.tls.clone(), here, shared);
    let arbiters = Arc::new(Arbiters::start(config.codec_threads, config.max_load));
    arbiters.watch(&watchdog);
    let forward = Forward::new(Arc::clone(&placement), pool.clone(), cluster.tls.clone());
    let timeouts = Timeouts { reconnect: cluster.reconnect_limit, idle: config.idle_limit };
    let settings = Settings { video: config.video, timeouts, clients: config.clients };
    let gateway = Gateway::new(pool.clone(), placement, arbiters, media, media_port, settings);
    let (peers, draining) = (gateway.peers.clone(), gateway.draining());
    let gateway = gateway.start();

    let edges = Edges::new(&config.access, config.edge, shares, config.trusted_proxies, &watchdog);
    let service = auth_service(&config.access)?;
    let proxies = Arc::clone(&edges.proxies);
    let gate = Gate::new(config.access.clone(), service, proxies, config.clients.wrong_ids);
    let (gate_for_peers, gate) = (Arc::new(gate.for_peers()), Arc::new(gate));
    let public = HttpState {
        gateway: gateway.clone(),
        pool,
        forward: forward.clone(),
        ice_servers: Arc::new(config.ice_servers),
        codecs: config.codecs,
        gate: Arc::clone(&gate),
    };
    let operators = admin::AdminState {
        gateway: gateway.clone(),
        forward,
        admin: config.access.admin.clone(),
        inside: false,
        gate,
        metrics: metrics.clone(),
    };
    let addresses = (ports.page.address, ports.admin.address);
    let tls = config.tls.as_ref().map(|tls| Arc::clone(&tls.server));
    let probed = Probed { draining, watchdog: watchdog.clone(), names_threads: false };
    let page = serve_page(ports.page, &edges, public.clone(), probed.clone(), tls)?;
    let probed = Probed { names_threads: true, ..probed };
    let admin = serve_admin(ports.admin, &edges, operators.clone(), probed)?;
    let for_peers = HttpState { gate: gate_for_peers, ..public };
    let peer =
        ports.peer.map(|port| serve_peers(port, &edges, for_peers, operators, cluster.tls.clone()));
    let peer = peer.transpose()?;

    if codec::h264_lacks_assembler() {
        warn!("built without nasm: H.264 takes 2.6 times the CPU that it should");
    }
    let mut signals = Signals::new()?;
    announce(&[addresses.0], &[addresses.1], config.tls.as_ref(), config.access.link());
    upkeep::watch_files(&config.access, config.tls, cluster.tls.as_deref());
    let stopping = Stopping {
        gateway,
        peers,
        watchdog,
        page: page.handle(),
        inside: [Some(&admin), peer.as_ref()].into_iter().flatten().map(Server::handle).collect(),
    };
    for server in [Some(page), Some(admin), peer].into_iter().flatten() {
        actix::spawn(server);
    }
    actix::spawn(upkeep::keep_metrics(metrics));

    let grace = tokio::select! {
        grace = signals.first(cluster.grace) => grace,
        () = stopped => Duration::ZERO,
    };
    info!(?grace, "stopping; a second signal ends at once");
    tokio::select! {
        () = stopping.stop(grace) => {}
        _ = signals.next() => {}
    }
    Ok(())
}

fn warn_of_files(descriptors: usize, shares: &edge::Shares, wanted: usize) {
    let connections = shares.public;
    if connections < wanted {
        warn!(
            descriptors,
            connections,
            "too few file descriptors for --max-connections: raise their limit (ulimit -Hn)"
        );
    }
}

/// What is allowed, and probably not meant. `shared`: there may be other gateways.
fn warn_of_access(access: &Access, shared: bool) {
    for option in &access.readable {
        warn!(
            option,
            "everybody on this machine may read the file: take that right away (chmod o-r)"
        );
    }
    if shared && access.ephemeral_cluster_key {
        warn!(
            "--redis without --cluster-key-file: requests for sessions of other gateways are \
             refused where they show a session's token"
        );
    }
    if access.legacy_ids {
        warn!("--legacy-ids: anybody who learns a session's id can take that session");
    }
}

/// The workers, and who says which of them takes a session. `shared`: what the gateways share, and
/// this one's address for the others.
fn find_workers(
    media: &Handle,
    workers: Vec<WorkerAddress>,
    tls: Option<Arc<ClusterTls>>,
    here: Location,
    shared: Option<(SharedPlacement, SocketAddr)>,
) -> (Pool, Arc<dyn Placement>) {
    let _on_media = media.enter();
    let pool = Pool::start(workers, tls, here);
    let known = pool.clone();
    let placement = placement::start(shared, Box::new(move || known.serving()));
    (pool, placement)
}

/// The service that decides, if one does; keys that a URL has are fetched from now on.
fn auth_service(access: &Access) -> io::Result<Option<Arc<AuthService>>> {
    match &access.auth {
        Auth::Http(url) => Ok(Some(Arc::new(AuthService::new(HttpClient::new(url)?, url.clone())))),
        Auth::Token { jwks: Some(jwks), .. } => {
            let Jwks { url, keys, wanted } = jwks.clone();
            actix::spawn(jwks::keep(HttpClient::new(&url)?, url, keys, wanted));
            Ok(None)
        }
        _ => Ok(None),
    }
}
