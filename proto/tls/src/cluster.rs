//! Both ends of a connection inside the cluster: TLS 1.3, each side with a certificate.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use reframe_trace::STRANGER;
use rustls::client::Resumption;
use rustls::pki_types::UnixTime;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::warn;

use crate::explain::{explained, is_plain, tls};
use crate::identity::{Identity, Role};
use crate::pem::LoadError;
use crate::reload::{Content, File, Reloaded};
use crate::stream::Io;
use crate::verify::{PROVIDER, Verifier};

/// The first byte of a TLS connection: a record of the handshake (RFC 8446, 5.1). HTTP begins with
/// a letter.
const HANDSHAKE: u8 = 22;

/// TLS inside the cluster. One value serves as long as the process: certificates are looked up at
/// each handshake.
pub struct ClusterTls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    identity: Arc<Reloaded<Identity>>,
    /// The other side may speak plain (`--cluster-tls prefer`).
    prefer: bool,
}

impl fmt::Debug for ClusterTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterTls").field("prefer", &self.prefer).finish_non_exhaustive()
    }
}

impl ClusterTls {
    /// From the three files of `--cluster-tls-ca`, `--cluster-tls-cert` and `--cluster-tls-key`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn from_files(
        role: Role,
        files: Vec<File>,
        prefer: bool,
    ) -> Result<Self, Vec<LoadError>> {
        let load = move |contents: &[Content<'_>]| Identity::load(role, contents, UnixTime::now());
        Ok(Self::new(Arc::new(Reloaded::from_files(files, load)?), prefer))
    }

    /// As of a process that was started at `now`, and whoever it is.
    #[cfg(test)]
    pub(crate) fn from_files_at(
        role: Role,
        files: Vec<File>,
        prefer: bool,
        now: UnixTime,
    ) -> Result<Self, Vec<LoadError>> {
        let load = move |contents: &[Content<'_>]| Identity::load(role, contents, now);
        Ok(Self::new(Arc::new(Reloaded::from_files(files, load)?), prefer))
    }

    fn new(identity: Arc<Reloaded<Identity>>, prefer: bool) -> Self {
        let verifier = Arc::new(Verifier(Arc::clone(&identity)));
        let shown: Arc<Reloaded<Identity>> = Arc::clone(&identity);
        let server = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_protocol_versions(&[&TLS13])
            .expect("ring has TLS 1.3")
            .with_client_cert_verifier(Arc::clone(&verifier) as _);
        let mut server =
            server.with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let client = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_protocol_versions(&[&TLS13])
            .expect("ring has TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut client = client.with_client_cert_resolver(shown);
        client.resumption = Resumption::disabled();
        Self { server: Arc::new(server), client: Arc::new(client), identity, prefer }
    }

    /// Whether the other side always shows a certificate: nobody speaks plain.
    #[must_use]
    pub fn is_required(&self) -> bool {
        !self.prefer
    }

    /// What [`watch`](crate::watch) reads again.
    #[must_use]
    pub fn identity(&self) -> Arc<Reloaded<Identity>> {
        Arc::clone(&self.identity)
    }

    /// Takes a gateway's connection, and says in the log whom it refuses, and why.
    ///
    /// # Errors
    /// The other side is no gateway of ours, or the connection broke. A new one may do better once
    /// that is mended.
    ///
    /// # Cancel safety
    /// When dropped, it closes the connection.
    pub async fn accept(&self, connection: TcpStream) -> io::Result<Io> {
        let mut first = [0];
        // Probes of a port close it again without a byte.
        if connection.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let peer = connection.peer_addr()?;
        if first[0] != HANDSHAKE {
            if self.prefer {
                warn!(target: STRANGER, %peer, "connected without TLS: give it --cluster-tls-ca, \
                    --cluster-tls-cert and --cluster-tls-key before --cluster-tls is `required` \
                    here");
                return Ok(Io::plain(connection));
            }
            warn!(target: STRANGER, %peer, "refused: it does not speak TLS; give it \
                --cluster-tls-ca, --cluster-tls-cert and --cluster-tls-key, or here --cluster-tls \
                prefer until it has them");
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let accepting = TlsAcceptor::from(Arc::clone(&self.server)).accept(connection);
        accepting.await.map(Io::tls).map_err(|error| {
            let error = explained(error);
            warn!(target: STRANGER, %peer, %error, "refused: no gateway of this cluster");
            error
        })
    }

    /// Connects to a process of this role: by TLS, or plain if that is what the other side speaks
    /// and may. `tcp` makes a connection, and is asked again for a plain one.
    ///
    /// # Errors
    /// The other side cannot be reached, or is not who it must be; the text says what to do.
    ///
    /// # Cancel safety
    /// When dropped, it closes the connection.
    pub async fn connect<F>(&self, role: Role, tcp: impl Fn() -> F) -> io::Result<Io>
    where
        F: Future<Output = io::Result<TcpStream>>,
    {
        let connector = TlsConnector::from(Arc::clone(&self.client));
        match connector.connect(role.server_name(), tcp().await?).await {
            Ok(connection) => Ok(Io::tls(connection)),
            Err(error) if self.prefer && knows_no_tls(&error) => Ok(Io::plain(tcp().await?)),
            Err(error) => Err(explained(error)),
        }
    }
}

/// The other side sent what is no TLS, or hung up at what was none to it.
fn knows_no_tls(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    tls(error).is_some_and(is_plain)
        || matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// A connection whose other side is checked when it is first read or written. So it can be handed
/// to a server at once, which then bounds how many of them there are, and how long each takes.
pub enum Accepting {
    /// In the handshake.
    Handshake(Pin<Box<dyn Future<Output = io::Result<Io>> + Send>>),
    /// After it.
    Open(Io),
}

impl Accepting {
    /// See [`ClusterTls::accept`].
    #[must_use]
    pub fn new(tls: Arc<ClusterTls>, connection: TcpStream) -> Self {
        Self::Handshake(Box::pin(async move { tls.accept(connection).await }))
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut Io>>> {
        if let Self::Handshake(handshake) = self {
            match ready!(handshake.as_mut().poll(cx)) {
                Ok(io) => *self = Self::Open(io),
                Err(error) => {
                    // It may be asked again, and must not poll what has ended.
                    let kind = error.kind();
                    *self = Self::Handshake(Box::pin(async move { Err(kind.into()) }));
                    return Poll::Ready(Err(error));
                }
            }
        }
        match self {
            Self::Open(io) => Poll::Ready(Ok(Pin::new(io))),
            Self::Handshake(_) => Poll::Pending,
        }
    }
}

impl fmt::Debug for Accepting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake(_) => "Handshake",
            Self::Open(_) => "Open",
        })
    }
}

impl AsyncRead for Accepting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Accepting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write_vectored(cx, data)
    }

    /// Both kinds of connection can.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_shutdown(cx)
    }
}
