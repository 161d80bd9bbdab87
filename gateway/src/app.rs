//! A gateway from start to stop: runtimes, servers, signals.
//!
//! Threads: the main one runs the actix system (gateway actor, signals), two serve HTTP, one the
//! admin port, one other gateways, one all sessions and links, one all pacers, `--codec-threads`
//! the codecs; beside them the media runtime, a tokio multi-thread runtime, serves WebRTC and gRPC.
//! No frame is coded where a socket or a timer is served. A watchdog asks every one of them whether
//! it still runs (`reframe_trace::watchdog`).

use std::future::pending;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::Actor;
use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::{App, web};
use reframe_tls::{Identity, Looked, Reloaded};
use reframe_trace::watchdog::{Report, Watchdog};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::browser::net::{MediaError, MediaPort};
use crate::config::access::{Access, Admin, Auth, Jwks};
use crate::config::cluster::Cluster;
use crate::config::{Config, tls};
use crate::gateway::{Drain, Gateway, Settings, Shutdown};
use crate::http::announce::announce;
use crate::http::edge::{Caps, Exempt, Guard, Memory, Port, Secure};
use crate::http::gate::http_client::HttpClient;
use crate::http::gate::{AuthService, jwks};
use crate::http::{Forward, Gate, admin, edge};
use crate::session::Timeouts;
use crate::telemetry::trace;
use crate::threads::arbiters::Arbiters;
use crate::threads::{clock, slices};
use crate::workers::placement;
use crate::workers::pool::Pool;
use crate::{codec, http, telemetry};

/// Threads that answer signalling: each request only waits for an actor.
const HTTP_THREADS: usize = 2;
/// How long ended sessions may take to deliver their last message.
const GOODBYE: Duration = Duration::from_secs(2);

/// How often recorded samples are folded into their histograms.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

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
    let served =
        actix_web::rt::System::new().block_on(serve(config, cluster, descriptors, metrics, handle, stop));
    media.shutdown_timeout(Duration::from_millis(200));
    served
}

async fn serve(
    config: Config,
    cluster: Cluster,
    descriptors: usize,
    metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
    media: Handle,
    stopped: impl Future<Output = ()>,
) -> Result<(), RunError> {
    // Before anything is started: what cannot listen has nothing to stop. And the ports may be any
    // free ones, and the other gateways are told which.
    let bind_admin = |source| RunError::Bind { flag: "--admin", address: config.admin, source };
    let bind_page = |source| RunError::Bind { flag: "--http", address: config.http, source };
    let page_port = edge::listen(config.http).map_err(bind_page)?;
    let page_address = page_port.local_addr().map_err(bind_page)?;
    let admin_port = edge::listen(config.admin).map_err(bind_admin)?;
    let admin_address = admin_port.local_addr().map_err(bind_admin)?;
    let listening = cluster.shared.as_ref().map(|shared| listen_to_gateways(shared.peer));
    let (peer_port, peer_address) = listening.transpose()?.unzip();
    let shares = edge::shares(descriptors, config.edge.connections);
    let opening = media.spawn(MediaPort::open(config.media, shares.media)).await;
    let port = opening.map_err(io::Error::other)??;
    let report = Report {
        delay: telemetry::thread_delay,
        stuck: telemetry::thread_stuck,
        tick: clock::tick,
    };
    let watchdog = Watchdog::start(report, config.exit_when_stuck)?;
    watchdog.watch_runtime("main", "main", Handle::current());
    watchdog.watch_runtime("media", "media", media.clone());
    watchdog.watch_workers("media", &media);
    for (thread, runtime) in cluster.watched {
        watchdog.watch_runtime(thread, thread, runtime);
    }
    if shares.public < config.edge.connections {
        let connections = shares.public;
        warn!(
            descriptors,
            connections,
            "too few file descriptors for --max-connections: raise their limit (ulimit -Hn)"
        );
    }
    let shares_sessions = cluster.shared.is_some();
    let (pool, placement) = {
        let _on_media = media.enter();
        let pool = Pool::start(cluster.workers, cluster.tls.clone());
        let known = pool.clone();
        let shared = cluster.shared.zip(peer_address);
        let placement = placement::start(shared, Box::new(move || known.serving()));
        (pool, placement)
    };
    let arbiters = Arc::new(Arbiters::start(config.codec_threads, config.max_load));
    arbiters.watch(&watchdog);
    let forward = Forward::new(Arc::clone(&placement), pool.clone(), cluster.tls.clone());
    let timeouts = Timeouts { reconnect: cluster.reconnect_limit, idle: config.idle_limit };
    let settings = Settings { video: config.video, timeouts, clients: config.clients };
    let gateway = Gateway::new(pool.clone(), placement, arbiters, media, port, settings);
    let peers = gateway.peers.clone();
    let draining = gateway.draining();
    let gateway = gateway.start();

    for option in &config.access.readable {
        warn!(
            option,
            "everybody on this machine may read the file: take that right away (chmod o-r)"
        );
    }
    if shares_sessions && config.access.ephemeral_cluster_key {
        warn!(
            "--redis without --cluster-key-file: requests for sessions of other gateways are refused \
             where they show a session's token"
        );
    }
    if config.access.legacy_ids {
        warn!("--legacy-ids: whoever learns a session's id can take that session");
    }
    let (ice_servers, codecs) = (Arc::new(config.ice_servers), config.codecs);
    let proxies = Arc::new(config.trusted_proxies);
    let trusted = Arc::clone(&proxies);
    let (auth_service, wrong_ids) = (remotes(&config.access)?, config.clients.wrong_ids);
    let gate = Gate::new(config.access.clone(), auth_service, Arc::clone(&proxies), wrong_ids);
    let gate = Arc::new(gate);
    let inside = Arc::new(gate.for_peers());
    let public = http::HttpState {
        gateway: gateway.clone(),
        pool,
        forward: forward.clone(),
        ice_servers,
        codecs,
        gate,
    };
    // Many clients share a proxy's address.
    let exempt: Exempt = Arc::new(move |address| trusted.trusts(address));
    let caps = Caps::new(Port::Public, shares.public, config.edge.connections_each, exempt);
    let names = Arc::new(config.edge.names);
    let guard = |port| Guard {
        port,
        names: Arc::clone(&names),
        memory: Memory::default(),
        proxies: Arc::clone(&proxies),
        direct_only: match port {
            Port::Public => matches!(config.access.auth, Auth::Local),
            Port::Admin => matches!(config.access.admin, Admin::Local),
            Port::Peer => false,
        },
    };
    let (guard, admin_guard, peer_guard) =
        (guard(Port::Public), guard(Port::Admin), guard(Port::Peer));
    let (shared, watch) = (public.clone(), watch_each("http", &watchdog));
    // Called on each of its threads.
    let page = move || {
        watch();
        App::new()
            .app_data(web::Data::new(shared.clone()))
            .app_data(web::Data::new(guard.clone()))
            .wrap(from_fn(edge::guard))
            .wrap(http::headers())
            .configure(http::routes)
    };
    let secure = config.tls.as_ref().map(|tls| Secure::Tls(Arc::clone(&tls.server)));
    let secure = secure.unwrap_or(Secure::Plain);
    let page = edge::serve(page_port, secure, caps, HTTP_THREADS, page).map_err(bind_page)?;

    // Its clients are few and known; half of it is left whoever of them goes wrong.
    let caps = Caps::new(Port::Admin, shares.admin, shares.admin / 2, Arc::new(|_| false));
    let forwarded = http::HttpState { gate: inside, ..public };
    let shared = admin::AdminState {
        gateway: gateway.clone(),
        forward,
        admin: config.access.admin.clone(),
        probed: admin::Probed { draining, watchdog: watchdog.clone() },
        metrics: metrics.clone(),
    };
    let (state, watch) = (shared.clone(), watch_each("admin", &watchdog));
    let admin = move || {
        watch();
        App::new()
            .app_data(web::Data::new(state.clone()))
            .app_data(web::Data::new(admin_guard.clone()))
            .wrap(from_fn(edge::guard))
            .wrap(http::headers())
            .configure(admin::routes)
    };
    let admin = edge::serve(admin_port, Secure::Plain, caps, 1, admin).map_err(bind_admin)?;

    // Half of it is left whichever gateway goes wrong.
    let caps = Caps::new(Port::Peer, shares.peer, shares.peer / 2, Arc::new(|_| false));
    let watch = watch_each("peer", &watchdog);
    // A certificate says that it is a gateway, which has asked for the operator's token itself.
    let certified = cluster.tls.as_ref().is_some_and(|tls| tls.is_required());
    let local = peer_address.is_none_or(|address| address.ip().is_loopback());
    let admin_of_peers = match &config.access.admin {
        _ if certified => Admin::Local,
        Admin::Local if !local => Admin::Closed,
        admin => admin.clone(),
    };
    let shared = admin::AdminState { admin: admin_of_peers, ..shared };
    let peer = move || {
        watch();
        App::new()
            .app_data(web::Data::new(shared.clone()))
            .app_data(web::Data::new(forwarded.clone()))
            .app_data(web::Data::new(peer_guard.clone()))
            .wrap(from_fn(edge::guard))
            .wrap(http::headers())
            .configure(http::forwarded_routes)
    };
    let secure = cluster.tls.clone().map_or(Secure::Plain, Secure::Cluster);
    let peer = peer_port.map(|port| edge::serve(port, secure, caps, 1, peer)).transpose()?;
    if let Some(address) = peer_address {
        let tls = cluster.tls.is_some();
        info!(%address, tls, "listening to other gateways");
    }

    if !codec::h264_has_assembler() {
        warn!("built without nasm: H.264 takes 2.6 times the CPU that it should");
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    announce(&[page_address], &[admin_address], config.tls.as_ref(), config.access.link());
    watch_keys(&config.access);
    if let Some(tls) = config.tls {
        actix::spawn(tls::watch(tls.certificates));
    }
    if let Some(tls) = &cluster.tls {
        actix::spawn(watch_cluster(tls.identity()));
    }
    let stop_page = page.handle();
    let stop_inside: Vec<_> =
        [Some(admin.handle()), peer.as_ref().map(Server::handle)].into_iter().flatten().collect();
    actix::spawn(page);
    actix::spawn(admin);
    peer.map(actix::spawn);

    let upkeep = metrics.clone();
    actix::spawn(async move {
        // Histogram samples pile up until somebody scrapes or this runs.
        let mut tick = tokio::time::interval(UPKEEP_INTERVAL);
        while let Some(metrics) = &upkeep {
            tick.tick().await;
            metrics.run_upkeep();
            telemetry::log_lines_left_out(reframe_trace::lines_left_out());
        }
    });

    // SIGTERM: an orchestrator's or `kill`'s, who has another gateway; SIGHUP: a closed terminal's,
    // likewise; SIGINT: Ctrl-C, who has not. The second of any means "now".
    let grace = tokio::select! {
        _ = terminate.recv() => cluster.grace,
        _ = hang_up.recv() => cluster.grace,
        _ = interrupt.recv() => Duration::ZERO,
        () = stopped => Duration::ZERO,
    };
    info!(?grace, "stopping; a second signal ends at once");
    tokio::select! {
        () = stop(gateway, grace, peers, &watchdog, stop_page, stop_inside) => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The service that decides, if one does; keys that a URL has are fetched from now on.
fn remotes(access: &Access) -> io::Result<Option<Arc<AuthService>>> {
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

/// Reads files of keys again as long as the gateway runs.
fn watch_keys(access: &Access) {
    for keys in access.keys() {
        actix::spawn(reframe_tls::watch(keys, |_| {}));
    }
    if let Admin::Token(token) = &access.admin {
        actix::spawn(reframe_tls::watch(Arc::clone(token), |_| {}));
    }
}

/// No new sessions; the running ones are asked to go elsewhere and have `grace` for it; those that
/// are left are ended, and their last words delivered. Requests are answered until then.
async fn stop(
    gateway: actix::Addr<Gateway>,
    grace: Duration,
    peers: TaskTracker,
    watchdog: &Watchdog,
    page: ServerHandle,
    inside: Vec<ServerHandle>,
) {
    if !grace.is_zero()
        && let Ok(mut left) = gateway.send(Drain).await
    {
        // Elapsed: those that are left stay to the end.
        drop(tokio::time::timeout(grace, left.wait_for(|left| *left == 0)).await);
    }
    // An error is an actor that has stopped already.
    gateway.send(Shutdown).await.ok();
    // From here on threads end.
    watchdog.rest();
    page.stop(false).await;
    peers.close();
    // Elapsed: a browser that does not take its last message misses it.
    drop(tokio::time::timeout(GOODBYE, peers.wait()).await);
    for port in inside {
        port.stop(false).await;
    }
}

/// The port for other gateways, and its address.
fn listen_to_gateways(address: SocketAddr) -> Result<(TcpListener, SocketAddr), RunError> {
    let bound = edge::listen(address).and_then(|port| {
        let address = port.local_addr()?;
        Ok((port, address))
    });
    bound.map_err(|source| RunError::Bind { flag: "--peer", address, source })
}

/// Reads the cluster's certificates as long as the gateway runs, and exports their expiry.
async fn watch_cluster(identity: Arc<Reloaded<Identity>>) {
    let current = Arc::clone(&identity);
    let told = move |looked: &Looked| {
        if matches!(looked, Looked::Unusable(_)) {
            telemetry::tls_reload_error("cluster");
        }
        if let Some(expiry) = current.current().expiry() {
            telemetry::tls_expiry("cluster", expiry);
        }
    };
    reframe_tls::watch(identity, told).await;
}

/// Has the thread that calls it watched, as `name-0`, `name-1` and so on.
fn watch_each(name: &'static str, watchdog: &Watchdog) -> impl Fn() + Clone + Send + 'static {
    let (next, watchdog) = (Arc::new(AtomicUsize::new(0)), watchdog.clone());
    move || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        watchdog.watch_runtime(format!("{name}-{number}"), name, Handle::current());
    }
}
