//! A gateway from start to stop: runtimes, servers, signals.
//!
//! Threads: the main one runs the actix system (gateway actor, signals), two serve HTTP, one the
//! admin port, one all sessions and links, one all pacers, `--codec-threads` the codecs; beside
//! them the media runtime, a tokio multi-thread runtime, serves WebRTC and gRPC. No frame is coded
//! where a socket or a timer is served. A watchdog asks every one of them whether it still runs
//! (`reframe_trace::watchdog`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::Actor;
use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, web};
use reframe_trace::watchdog::{Report, Watchdog};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::browser::net::{MediaError, MediaPort};
use crate::config::cluster::Cluster;
use crate::config::{Config, tls};
use crate::gateway::{Drain, Gateway, Shutdown};
use crate::http::announce::announce;
use crate::http::edge::{Caps, Exempt, Guard, Memory, Port};
use crate::http::{Forward, admin, edge};
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
    reframe_trace::bound_panics();
    let descriptors = edge::raise();
    let metrics = telemetry::install();
    trace::install(config.trace_frames);
    let mut media = tokio::runtime::Builder::new_multi_thread();
    let media = media.thread_name("media").on_thread_start(slices::short).enable_all().build()?;
    let handle = media.handle().clone();
    let served =
        actix_web::rt::System::new().block_on(serve(config, cluster, descriptors, metrics, handle));
    media.shutdown_timeout(Duration::from_millis(200));
    served
}

async fn serve(
    config: Config,
    cluster: Cluster,
    descriptors: usize,
    metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
    media: Handle,
) -> Result<(), RunError> {
    // Before anything is started: what cannot listen has nothing to stop. And the ports may be any
    // free ones, and the other gateways are told which.
    let bind_admin = |source| RunError::Bind { flag: "--admin", address: config.admin, source };
    let bind_page = |source| RunError::Bind { flag: "--http", address: config.http, source };
    let page_port = edge::listen(config.http).map_err(bind_page)?;
    let page_address = page_port.local_addr().map_err(bind_page)?;
    let admin_port = edge::listen(config.admin).map_err(bind_admin)?;
    let admin_address = admin_port.local_addr().map_err(bind_admin)?;
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
    let (pool, placement) = {
        let _on_media = media.enter();
        let pool = Pool::start(cluster.workers);
        let known = pool.clone();
        let placement =
            placement::start(cluster.shared, admin_address, Box::new(move || known.serving()));
        (pool, placement)
    };
    let arbiters = Arc::new(Arbiters::start(config.codec_threads, config.max_load));
    arbiters.watch(&watchdog);
    let forward = Forward::new(Arc::clone(&placement), pool.clone());
    let timeouts = Timeouts { reconnect: cluster.reconnect_limit, idle: config.idle_limit };
    let gateway =
        Gateway::new(pool.clone(), placement, arbiters, media, port, config.video, timeouts);
    let peers = gateway.peers.clone();
    let draining = gateway.draining();
    let gateway = gateway.start();

    let (ice_servers, codecs) = (Arc::new(config.ice_servers), config.codecs);
    let proxies = Arc::new(config.trusted_proxies);
    let trusted = Arc::clone(&proxies);
    let public = http::HttpState {
        gateway: gateway.clone(),
        pool,
        forward: forward.clone(),
        ice_servers,
        codecs,
        proxies,
    };
    // Many clients share a proxy's address.
    let exempt: Exempt = Arc::new(move |address| trusted.trusts(address));
    let caps = Caps::new(Port::Public, shares.public, config.edge.connections_each, exempt);
    let names = Arc::new(config.edge.names);
    let guard = |port| Guard {
        port,
        names: Arc::clone(&names),
        memory: Memory::default(),
        proxies: Arc::clone(&public.proxies),
    };
    let (guard, admin_guard) = (guard(Port::Public), guard(Port::Admin));
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
    let server = config.tls.as_ref().map(|tls| Arc::clone(&tls.server));
    let page = edge::serve(page_port, server, caps, HTTP_THREADS, page).map_err(bind_page)?;

    // Its clients are few and known; half of it is left whoever of them goes wrong.
    let caps = Caps::new(Port::Admin, shares.admin, shares.admin / 2, Arc::new(|_| false));
    let shared = admin::AdminState {
        gateway: gateway.clone(),
        forward,
        probed: admin::Probed { draining, watchdog: watchdog.clone() },
        metrics: metrics.clone(),
    };
    let watch = watch_each("admin", &watchdog);
    let admin = move || {
        watch();
        App::new()
            .app_data(web::Data::new(shared.clone()))
            .app_data(web::Data::new(public.clone()))
            .app_data(web::Data::new(admin_guard.clone()))
            .wrap(from_fn(edge::guard))
            .wrap(http::headers())
            .configure(admin::routes)
            .configure(http::forwarded_routes)
    };
    let admin = edge::serve(admin_port, None, caps, 1, admin).map_err(bind_admin)?;

    if !codec::h264_has_assembler() {
        warn!("built without nasm: H.264 takes 2.6 times the CPU that it should");
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    announce(&[page_address], &[admin_address], config.tls.as_ref());
    if let Some(tls) = config.tls {
        actix::spawn(tls::watch(tls.certificates));
    }
    let (stop_page, stop_admin) = (page.handle(), admin.handle());
    actix::spawn(page);
    actix::spawn(admin);

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
    };
    info!(?grace, "stopping; a second signal ends at once");
    tokio::select! {
        () = stop(gateway, grace, peers, &watchdog, stop_page, stop_admin) => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// No new sessions; the running ones are asked to go elsewhere and have `grace` for it; those that
/// are left are ended, and their last words delivered. Requests are answered until then.
async fn stop(
    gateway: actix::Addr<Gateway>,
    grace: Duration,
    peers: TaskTracker,
    watchdog: &Watchdog,
    page: ServerHandle,
    admin: ServerHandle,
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
    admin.stop(false).await;
}

/// Has the thread that calls it watched, as `name-0`, `name-1` and so on.
fn watch_each(name: &'static str, watchdog: &Watchdog) -> impl Fn() + Clone + Send + 'static {
    let (next, watchdog) = (Arc::new(AtomicUsize::new(0)), watchdog.clone());
    move || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        watchdog.watch_runtime(format!("{name}-{number}"), name, Handle::current());
    }
}
