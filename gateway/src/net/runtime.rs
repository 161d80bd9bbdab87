//! The stack's runtime, tokio, but for its waits, which can be cut short, and its sockets: those it binds are closed again,
//! and it gets the session's share of the real ones.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use webrtc::runtime::{AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime};

use super::session::SessionPort;
use super::tcp::SessionListener;
use super::udp::SessionSocket;

/// One for each session.
#[derive(Debug)]
pub(crate) struct SessionRuntime {
    pub(crate) tokio: Arc<dyn Runtime>,
    pub(crate) port: Arc<SessionPort>,
    pub(crate) nudge: Arc<Nudge>,
}

/// Makes a connection's driver look at its protocols at once instead of at its next timer.
///
/// The stack starts DTLS when ICE has a path, but what it then has to send lies there until its next timer, which is
/// ICE's: up to 200 ms. Its own sleep is the only way in.
#[derive(Debug, Default)]
pub(crate) struct Nudge(Notify);

impl Nudge {
    /// Ends the driver's current wait, or its next.
    pub(crate) fn now(&self) {
        self.0.notify_one();
    }
}

impl SessionRuntime {
    /// Which of the port's sockets is at the address that the stack has bound.
    fn index(&self, local: SocketAddr) -> io::Result<usize> {
        let index = self.port.port.sockets.iter().position(|socket| socket.local.ip() == local.ip());
        index.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }
}

impl Runtime for SessionRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        self.tokio.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let local = socket.local_addr()?;
        let index = self.index(local)?;
        Ok(Arc::new(SessionSocket::new(local, &self.port, index)))
    }

    fn wrap_tcp_listener(&self, listener: TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        let local = listener.local_addr()?;
        let index = self.index(local)?;
        let (listener, welcome) = SessionListener::new(local, index, Arc::clone(&self.port.inbox));
        self.port.inbox.welcome(index, welcome);
        Ok(Arc::new(listener))
    }

    /// Never: the stack would connect to whatever address a client makes up. Browsers connect to us.
    fn connect_tcp<'a>(
        &'a self,
        _: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        Box::pin(async { Err(io::ErrorKind::PermissionDenied.into()) })
    }

    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        self.tokio.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        let (timer, nudge) = (self.tokio.sleep(duration), Arc::clone(&self.nudge));
        Box::pin(async move {
            tokio::select! {
                () = timer => {}
                () = nudge.0.notified() => {}
            }
        })
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.tokio.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.tokio.block_on(future);
    }
}
