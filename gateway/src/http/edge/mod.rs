//! The edge of both HTTP ports, which limits strangers before a request reaches its route: how many
//! connections there are (`caps`), how long each may take (`stream`, `progress`, `body`), which
//! host names are served and which sites' pages may ask (`names`, `guard`). The reasons:
//! `docs/decisions/0021-http-edge.md`.
//!
//! A connection is refused by closing it. A request is refused with an answer that names the
//! option. Both are counted, and neither is logged: `reframe_http_refused_total`.

mod body;
mod caps;
mod descriptors;
mod guard;
mod progress;
mod stream;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol, Request, Response};
use actix_server::Server;
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_service, map_config,
};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Extensions};
use reframe_tls::{ClusterTls, Io};
use rustls::ServerConfig;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub(crate) use self::body::Memory;
pub(crate) use self::caps::{Caps, Exempt};
pub(crate) use self::descriptors::{Shares, raise, shares};
pub(crate) use self::guard::{Guard, guard};
use self::progress::Progress;
use self::stream::Watched;
use crate::telemetry::{self, PlainConnection};

/// The listen backlog.
const BACKLOG: u32 = 1024;
/// How long an idle connection is kept for another request.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// From a connection's start to the end of its first request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// For the TLS handshake, within that.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// For a client to close its side.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Which port: the label `port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Public,
    Admin,
    /// For other gateways.
    Peer,
}

/// Who the other side of a connection must be.
#[derive(Clone)]
pub(crate) enum Secure {
    /// Anybody, plain.
    Plain,
    /// Anybody, by TLS.
    Tls(Arc<ServerConfig>),
    /// A gateway of the cluster.
    Cluster(Arc<ClusterTls>),
}

impl Port {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Admin => "admin",
            Self::Peer => "peer",
        }
    }
}

/// Listens. Call within a runtime.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As usual for servers: connections of a previous process may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// A server of `app` on `threads` threads; it runs when it is awaited.
pub(crate) fn serve<F, I, S, B>(
    listener: TcpListener,
    secure: Secure,
    caps: Arc<Caps>,
    threads: usize,
    app: F,
) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let name = caps.port().label();
    let connections = move || {
        let app = app().into_factory().map_err(|error| error.into().error_response());
        let http = HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEAD_WITHIN)
            .client_disconnect_timeout(CLOSE_WITHIN)
            // A reader that closes its connection has left: its event stream ends at once, both
            // here and at the gateway that it was forwarded to.
            .h1_allow_half_closed(false)
            .on_connect_ext(|connection: &Watched, data: &mut Extensions| {
                data.insert(connection.progress());
            })
            // Nothing of ours asks for the names and addresses in it.
            .finish(map_config(app, |()| AppConfig::default()));
        let (caps, secure) = (Arc::clone(&caps), secure.clone());
        fn_service(move |connection| accept(connection, Arc::clone(&caps), secure.clone()))
            .and_then(http)
    };
    Ok(Server::build()
        .workers(threads)
        .disable_signals()
        .listen(name, listener, connections)?
        .run())
}

/// Accepts a connection, or closes it by returning an error, which is not reported anywhere else.
async fn accept(
    connection: TcpStream,
    caps: Arc<Caps>,
    secure: Secure,
) -> Result<(Watched, Protocol, Option<SocketAddr>), DispatchError> {
    let peer = connection.peer_addr()?;
    let port = caps.port();
    let permit = caps.admit(peer.ip()).map_err(|reason| {
        telemetry::http_refused(port.label(), reason);
        io::Error::from(io::ErrorKind::ConnectionRefused)
    })?;
    // Events and answers are written whole, so Nagle's algorithm would only delay them.
    connection.set_nodelay(true)?;
    let io = match timeout(HANDSHAKE_WITHIN, shake(&secure, connection)).await {
        Ok(io) => io?,
        Err(_) => {
            telemetry::http_refused(port.label(), "handshake_timeout");
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
    };
    let progress: Rc<Progress> = Progress::new(port, !io.is_plain());
    Ok((Watched::new(io, progress, permit), Protocol::Http1, Some(peer)))
}

async fn shake(secure: &Secure, connection: TcpStream) -> io::Result<Io> {
    match secure {
        Secure::Plain => Ok(Io::plain(connection)),
        Secure::Tls(tls) => {
            TlsAcceptor::from(Arc::clone(tls)).accept(connection).await.map(Io::tls)
        }
        Secure::Cluster(tls) => {
            let io = tls.accept(connection).await?;
            Ok(if io.is_plain() { io.holding(PlainConnection::with("gateway")) } else { io })
        }
    }
}
