//! Where a worker's connections come from.

use std::io;

use tokio::io::DuplexStream;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;

/// Where a worker's connections come from: a TCP or a Unix listener, or pipes in this process.
#[derive(Debug)]
pub struct Listener(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
    InProcess(mpsc::Receiver<DuplexStream>),
}

impl Listener {
    /// Listens on TCP at this address, without TLS: one that only gateways reach, as the command
    /// `serve` makes sure of.
    ///
    /// # Errors
    ///
    /// The address is not this machine's, or taken.
    pub async fn bind(address: impl tokio::net::ToSocketAddrs) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self::from)
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self(Kind::Tcp(listener))
    }
}

/// Pictures go in the messages: only `serve --listen unix:` passes memory beside the calls.
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self(Kind::Unix(listener))
    }
}

/// Each pipe that is sent is a connection.
impl From<mpsc::Receiver<DuplexStream>> for Listener {
    fn from(pipes: mpsc::Receiver<DuplexStream>) -> Self {
        Self(Kind::InProcess(pipes))
    }
}
