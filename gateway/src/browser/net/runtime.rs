//! The stack's runtime, tokio, but for its waits, which can be cut short, its clock, which stands
//! still while this process does, and its sockets: those it binds are closed again, and it gets the
//! session's share of the real ones.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
};

use super::session::SessionPort;
use super::tcp::SessionListener;
use super::udp::SessionSocket;
use crate::media::event::DriverEnd;
use crate::threads::clock;

/// One for each session.
#[derive(Debug)]
pub(crate) struct SessionRuntime {
    tokio: Arc<dyn Runtime>,
    port: Arc<SessionPort>,
    nudge: Arc<Nudge>,
    /// For the connection's driver, which is the first that the stack spawns.
    driver: Mutex<Option<oneshot::Sender<DriverEnd>>>,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a driver, and tells when it is over. The stack itself tells nobody: to its callbacks a
/// connection whose driver is gone looks as it did last.
async fn watched(driver: Task, ended: oneshot::Sender<DriverEnd>) {
    // Nothing of it is looked at after a panic.
    let end = match AssertUnwindSafe(driver).catch_unwind().await {
        Ok(()) => DriverEnd::Returned,
        Err(_) => DriverEnd::Panicked,
    };
    // An error is a session that is gone already.
    ended.send(end).ok();
}

/// Makes a connection's driver look at its protocols at once instead of at its next timer.
///
/// The stack starts DTLS when ICE has a path, and SCTP when DTLS is up, but what it then has to
/// send lies there until something else wakes it, or its next timer, which is ICE's: up to 200 ms.
/// Its own sleep is the only way in.
#[derive(Debug, Default)]
pub(crate) struct Nudge(Notify);

impl Nudge {
    /// Ends the driver's current wait, or its next.
    pub(crate) fn now(&self) {
        self.0.notify_one();
    }
}

impl SessionRuntime {
    /// `ended` is told of the driver's end.
    pub(crate) fn new(
        tokio: Arc<dyn Runtime>,
        port: Arc<SessionPort>,
        nudge: Arc<Nudge>,
        ended: oneshot::Sender<DriverEnd>,
    ) -> Self {
        Self { tokio, port, nudge, driver: Mutex::new(Some(ended)) }
    }

    /// Which of the port's sockets is at the address that the stack has bound.
    fn index(&self, local: SocketAddr) -> io::Result<usize> {
        let index =
            self.port.port.sockets.iter().position(|socket| socket.local.ip() == local.ip());
        index.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }
}

impl Runtime for SessionRuntime {
    fn spawn(&self, future: Task) -> Box<dyn JoinHandle> {
        match self.driver.lock().take() {
            Some(ended) => self.tokio.spawn(Box::pin(watched(future, ended))),
            None => self.tokio.spawn(future),
        }
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

    /// Never: the stack would connect to whatever address a client makes up. Browsers connect to
    /// us.
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

    /// Without the times in which this process was stopped: the browser could not be heard then.
    fn now(&self) -> Instant {
        clock::now().into_std()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::browser::net::port::tests::open;

    async fn runtime() -> (SessionRuntime, oneshot::Receiver<DriverEnd>) {
        let tokio = webrtc::runtime::default_runtime().unwrap();
        let (ended, driver) = oneshot::channel();
        (SessionRuntime::new(tokio, open().await.join(), Arc::default(), ended), driver)
    }

    #[tokio::test]
    async fn a_driver_that_panics_or_returns_is_told_and_other_tasks_are_not() {
        let panics: fn() -> Task = || Box::pin(async { panic!("an injected panic") });
        let returns: fn() -> Task = || Box::pin(async {});
        for (task, end) in [(panics, DriverEnd::Panicked), (returns, DriverEnd::Returned)] {
            let (runtime, driver) = runtime().await;
            runtime.spawn(task()).detach();
            runtime.spawn(panics()).detach();
            assert_eq!(driver.await, Ok(end));
        }
    }

    #[tokio::test]
    async fn a_driver_that_is_aborted_is_noticed() {
        let (runtime, driver) = runtime().await;
        runtime.spawn(Box::pin(std::future::pending())).abort();
        assert!(driver.await.is_err());
    }
}
