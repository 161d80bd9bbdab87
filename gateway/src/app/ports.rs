//! The HTTP ports: each listens before anything is started, and serves when all it needs is there.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, web};
use reframe_tls::ClusterTls;
use reframe_trace::watchdog::Watchdog;
use rustls::ServerConfig;
use tracing::info;

use super::RunError;
use super::upkeep::watch_each;
use crate::config::Config;
use crate::config::access::{Access, Admin, Auth};
use crate::config::cluster::Cluster;
use crate::config::edge::Edge;
use crate::config::names::Names;
use crate::config::proxies::TrustedProxies;
use crate::http::admin::{self, AdminState};
use crate::http::edge::{self, Caps, Exempt, Guard, Memory, Port, Secure, Shares};
use crate::http::{self, HttpState, Probed};

/// Threads that answer signalling: each request only waits for an actor.
const HTTP_THREADS: usize = 2;

/// All ports that listen.
pub(super) struct Listening {
    pub(super) page: Bound,
    pub(super) admin: Bound,
    /// For other gateways, where there may be any.
    pub(super) peer: Option<Bound>,
}

/// A port that listens.
pub(super) struct Bound {
    pub(super) address: SocketAddr,
    listener: TcpListener,
    /// The option that named it, and the address there.
    flag: &'static str,
    wanted: SocketAddr,
}

impl Listening {
    /// # Errors
    /// An address is in use, or not ours.
    pub(super) fn start(config: &Config, cluster: &Cluster) -> Result<Self, RunError> {
        let page = Bound::listen("--http", config.http)?;
        let admin = Bound::listen("--admin", config.admin)?;
        let peer = cluster.shared.as_ref().map(|shared| Bound::listen("--peer", shared.peer));
        Ok(Self { page, admin, peer: peer.transpose()? })
    }
}

impl Bound {
    fn listen(flag: &'static str, wanted: SocketAddr) -> Result<Self, RunError> {
        let bound = edge::listen(wanted).and_then(|port| Ok((port.local_addr()?, port)));
        let (address, listener) =
            bound.map_err(|source| RunError::Bind { flag, address: wanted, source })?;
        Ok(Self { address, listener, flag, wanted })
    }

    /// What to serve on, and the error if that fails.
    fn into_parts(self) -> (TcpListener, impl FnOnce(io::Error) -> RunError) {
        let Self { listener, flag, wanted: address, .. } = self;
        (listener, move |source| RunError::Bind { flag, address, source })
    }
}

/// Which ports take no request that is passed on: see [`Guard`].
struct DirectOnly {
    public: bool,
    admin: bool,
}

/// The edges of all ports.
pub(super) struct Edges {
    pub(super) proxies: Arc<TrustedProxies>,
    names: Arc<Names>,
    shares: Shares,
    connections_each: usize,
    direct_only: DirectOnly,
    watchdog: Watchdog,
}

impl Edges {
    pub(super) fn new(
        access: &Access,
        edge: Edge,
        shares: Shares,
        proxies: TrustedProxies,
        watchdog: &Watchdog,
    ) -> Self {
        let direct_only = DirectOnly {
            public: matches!(access.auth, Auth::Local),
            admin: matches!(access.admin, Admin::Local),
        };
        Self {
            proxies: Arc::new(proxies),
            names: Arc::new(edge.names),
            shares,
            connections_each: edge.connections_each,
            direct_only,
            watchdog: watchdog.clone(),
        }
    }

    fn guard(&self, port: Port) -> Guard {
        Guard {
            port,
            names: Arc::clone(&self.names),
            memory: Memory::default(),
            proxies: Arc::clone(&self.proxies),
            direct_only: match port {
                Port::Public => self.direct_only.public,
                Port::Admin => self.direct_only.admin,
                Port::Peer => false,
            },
        }
    }

    /// For a port with few and known clients: half of it is left whichever of them goes wrong.
    fn caps_inside(&self, port: Port, connections: usize) -> Arc<Caps> {
        Caps::new(port, connections, connections / 2, Arc::new(|_| false))
    }
}

pub(super) fn serve_page(
    port: Bound,
    edges: &Edges,
    state: HttpState,
    probed: Probed,
    tls: Option<Arc<ServerConfig>>,
) -> Result<Server, RunError> {
    // Many clients share a proxy's address.
    let trusted = Arc::clone(&edges.proxies);
    let exempt: Exempt = Arc::new(move |address| trusted.trusts(address));
    let caps = Caps::new(Port::Public, edges.shares.public, edges.connections_each, exempt);
    let secure = tls.map_or(Secure::Plain, Secure::Tls);
    serve(port, edges, (Port::Public, "http", HTTP_THREADS), secure, caps, move |service| {
        service
            .app_data(web::Data::new(state.clone()))
            .app_data(web::Data::new(probed.clone()))
            .configure(http::routes);
    })
}

pub(super) fn serve_admin(
    port: Bound,
    edges: &Edges,
    state: AdminState,
    probed: Probed,
) -> Result<Server, RunError> {
    let caps = edges.caps_inside(Port::Admin, edges.shares.admin);
    serve(port, edges, (Port::Admin, "admin", 1), Secure::Plain, caps, move |service| {
        service
            .app_data(web::Data::new(state.clone()))
            .app_data(web::Data::new(probed.clone()))
            .configure(admin::routes);
    })
}

/// `operators`: as on the admin port.
pub(super) fn serve_peers(
    port: Bound,
    edges: &Edges,
    state: HttpState,
    operators: AdminState,
    tls: Option<Arc<ClusterTls>>,
) -> Result<Server, RunError> {
    let address = port.address;
    // A certificate says that it is a gateway, which has asked for the operator's token itself.
    let certified = tls.as_ref().is_some_and(|tls| tls.is_required());
    let admin = match operators.admin {
        _ if certified => Admin::Local,
        Admin::Local if !address.ip().is_loopback() => Admin::Closed,
        admin => admin,
    };
    let operators = AdminState { admin, inside: true, ..operators };
    info!(%address, tls = tls.is_some(), "listening to other gateways");

    let caps = edges.caps_inside(Port::Peer, edges.shares.peer);
    let secure = tls.map_or(Secure::Plain, Secure::Cluster);
    serve(port, edges, (Port::Peer, "peer", 1), secure, caps, move |service| {
        service
            .app_data(web::Data::new(operators.clone()))
            .app_data(web::Data::new(state.clone()))
            .configure(http::forwarded_routes);
    })
}

/// `routes` are configured once on each of the port's threads, whose number and name in the
/// watchdog are given beside it.
fn serve(
    bound: Bound,
    edges: &Edges,
    (port, thread, threads): (Port, &'static str, usize),
    secure: Secure,
    caps: Arc<Caps>,
    routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> Result<Server, RunError> {
    let (guard, watch) = (edges.guard(port), watch_each(thread, &edges.watchdog));
    let app = move || {
        watch();
        App::new()
            .app_data(web::Data::new(guard.clone()))
            .wrap(from_fn(edge::guard))
            .wrap(http::headers())
            .configure(&routes)
    };
    let (listener, failed) = bound.into_parts();
    edge::serve(listener, secure, caps, threads, app).map_err(failed)
}
