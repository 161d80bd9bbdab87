//! The real UDP sockets, and those in memory that the sessions' stacks have instead.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::io::Interest;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::error;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use super::filter::Filter;
use super::routes::Path;
use super::session::{Inbox, SessionPort};
use crate::telemetry;

/// Datagrams of one session that may wait for its stack, on each of our addresses: a second of
/// 720p, or a keyframe's burst. Full: the new one is lost, and counted with `reason="mux_full"`.
pub(super) const DATAGRAMS: usize = 256;
/// Messages that one call receives (`recvmmsg`), and the room for each: the system joins up to 64
/// KiB of one sender's.
const MESSAGES: usize = 8;
const MESSAGE_BYTES: usize = 64 * 1024;
/// Asked of the system, which may grant less (`net.core.rmem_max`): half a second of 100 sessions
/// at 2 Mbit/s is 12 MB, and no reader is that late; the default of 208 KiB is 8 ms of that.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Between two tries to receive while the socket does nothing but fail, from the second failure on;
/// twice as long each time.
const RETRY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));
/// This many failures in a row are logged: the last pause was the longest, and together they took
/// two seconds.
const LASTING: u32 = 12;

/// One datagram and whom the stack takes for its sender.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) remote: SocketAddr,
    pub(super) payload: Bytes,
    /// It is a check with its session's signature.
    pub(super) signed: bool,
}

/// One of this gateway's addresses.
pub(super) struct SharedSocket {
    pub(super) io: tokio::net::UdpSocket,
    state: UdpSocketState,
    pub(super) local: SocketAddr,
}

impl SharedSocket {
    /// Must run on the media runtime.
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let io = tokio::net::UdpSocket::from_std(socket)?;
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        // Less is no fault: it is told in docs/operations.md.
        state.set_recv_buffer_size(UdpSockRef::from(&io), BUFFER_BYTES).ok();
        state.set_send_buffer_size(UdpSockRef::from(&io), BUFFER_BYTES).ok();
        Ok(Self { io, state, local })
    }

    /// Gives every datagram to `deliver`, for ever. `index` is ours among the sockets.
    pub(super) async fn receive(&self, index: usize, deliver: impl Fn(Path, &[u8])) {
        let mut room = vec![0; MESSAGES * MESSAGE_BYTES];
        let mut meta = [RecvMeta::default(); MESSAGES];
        let mut failures = Failures::default();
        loop {
            let received = self.io.async_io(Interest::READABLE, || {
                let mut buffers = room.chunks_exact_mut(MESSAGE_BYTES).map(IoSliceMut::new);
                let mut buffers: [IoSliceMut<'_>; MESSAGES] = std::array::from_fn(|_| {
                    buffers.next().unwrap_or_else(|| IoSliceMut::new(&mut []))
                });
                let count = self.state.recv(UdpSockRef::from(&self.io), &mut buffers, &mut meta)?;
                if count == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
            });
            let count = match received.await {
                Ok(count) => count,
                Err(error) => {
                    failures.wait(self.local, &error).await;
                    continue;
                }
            };
            failures = Failures::default();
            for (buffer, meta) in room.chunks_exact(MESSAGE_BYTES).zip(&meta[..count]) {
                let path = Path { socket: index, remote: meta.addr };
                // One message may hold several datagrams of one sender (GRO).
                for datagram in buffer[..meta.len.min(MESSAGE_BYTES)].chunks(meta.stride.max(1)) {
                    deliver(path, datagram);
                }
            }
        }
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.io.try_io(Interest::WRITABLE, || {
            self.state.try_send(UdpSockRef::from(&self.io), transmit)
        })
    }
}

/// How often in a row receiving has failed.
///
/// The system reports what befell one datagram (an ICMP message: `ECONNREFUSED`) once and forgets
/// it; want of memory (`ENOBUFS`) and a network that is down pass. No list says which errors stay:
/// one that comes again and again is asked for ever more seldom, and told once.
#[derive(Debug, Default)]
struct Failures(u32);

impl Failures {
    /// Before the next try. The first failure was of one datagram, and the next one may be there
    /// already.
    fn pause(&self) -> Duration {
        let (least, most) = RETRY;
        self.0
            .checked_sub(2)
            .map_or(Duration::ZERO, |doublings| most.min(least * 2_u32.saturating_pow(doublings)))
    }

    async fn wait(&mut self, local: SocketAddr, error: &io::Error) {
        telemetry::packets_dropped("unreadable", 1);
        self.0 = self.0.saturating_add(1);
        if self.0 == LASTING {
            error!(%local, %error, "the media port cannot be read; trying on");
        }
        match self.pause() {
            // The runtime's other tasks first.
            Duration::ZERO => tokio::task::yield_now().await,
            pause => sleep(pause).await,
        }
    }
}

impl fmt::Debug for SharedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.local)
    }
}

/// A session's socket in memory. Its address is one that the stack drew for it and nobody else ever
/// sees.
pub(super) struct SessionSocket {
    local: SocketAddr,
    shared: Arc<SharedSocket>,
    inbox: Mutex<mpsc::Receiver<Datagram>>,
    /// Which of our sockets it is.
    index: usize,
    session: Arc<Inbox>,
    /// While the real socket is full. Each session waits by itself: tokio's `poll_send_ready` would
    /// wake only one.
    writable: Mutex<Option<Writable>>,
}

type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl SessionSocket {
    /// One of `port`'s, in place of the one that the session had there.
    pub(super) fn new(local: SocketAddr, port: &SessionPort, index: usize) -> Self {
        let (sender, inbox) = mpsc::channel(DATAGRAMS);
        port.inbox.open(index, sender);
        let (shared, session) = (Arc::clone(&port.port.sockets[index]), Arc::clone(&port.inbox));
        Self { local, index, session, shared, inbox: Mutex::new(inbox), writable: Mutex::default() }
    }

    fn filter(&self) -> MutexGuard<'_, Filter> {
        self.session.udp.lock()
    }
}

impl AsyncUdpSocket for SessionSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let decided = self.filter().sends(
            Instant::now(),
            self.index,
            transmit.destination,
            transmit.contents,
        );
        let destination = match decided {
            Ok(destination) => destination,
            Err(reason) => {
                telemetry::packets_dropped(reason, 1);
                return Poll::Ready(Ok(transmit.contents.len()));
            }
        };
        let transmit = &Transmit { destination, ..transmit.clone() };
        let mut writable = self.writable.lock();
        loop {
            // The wait fails when the runtime is stopping, and would again.
            let waited = match writable.as_mut() {
                Some(waiting) => ready!(waiting.as_mut().poll(cx)),
                None => Ok(()),
            };
            *writable = None;
            match waited.and_then(|()| self.shared.try_send(transmit)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let shared = Arc::clone(&self.shared);
                    *writable = Some(Box::pin(async move { shared.io.writable().await }));
                }
                Err(_) => {
                    // To an address that a client made up (`EINVAL`, `ENETUNREACH`), too large for
                    // its path (`EMSGSIZE`), or no memory (`ENOBUFS`): lost, as any datagram may
                    // be. The stack would take the socket for broken.
                    telemetry::packets_dropped("unsendable", 1);
                    return Poll::Ready(Ok(transmit.contents.len()));
                }
                Ok(()) => {
                    self.filter().sent(Instant::now(), self.index, destination, transmit.contents);
                    return Poll::Ready(Ok(transmit.contents.len()));
                }
            }
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = self.inbox.lock();
        // The stack looks for more with a waker that wakes nobody; that must not take the real
        // one's place.
        let received = if cx.waker().will_wake(Waker::noop()) {
            inbox.try_recv().map_or(Poll::Pending, |datagram| Poll::Ready(Some(datagram)))
        } else {
            inbox.poll_recv(cx)
        };
        // The senders are gone: another socket has taken this one's place, or the session is over.
        let Some(datagram) = ready!(received) else { return Poll::Pending };
        let (Some(buffer), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        if datagram.signed {
            self.session.took_check();
        }
        // Its buffers are larger than any path's MTU; of more there is nothing to read.
        let length = datagram.payload.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram.payload[..length]);
        *meta = RecvMeta::default();
        (meta.addr, meta.len, meta.stride) = (datagram.remote, length, length.max(1));
        Poll::Ready(Ok(1))
    }
}

impl fmt::Debug for SessionSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?}", self.local, self.shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_error_that_stays_is_met_ever_more_seldom() {
        let (mut failures, start, mut times) = (Failures::default(), Instant::now(), Vec::new());
        while start.elapsed() < Duration::from_secs(60) {
            failures.wait(([127, 0, 0, 1], 7000).into(), &io::ErrorKind::NotConnected.into()).await;
            times.push(start.elapsed().as_millis());
        }
        // One of a single datagram costs nothing.
        assert_eq!(times[..12], [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1_023, 2_023]);
        assert_eq!(times.len(), 12 + 58, "then each second");
        assert_eq!(failures.0 as usize, times.len());
        failures.0 = u32::MAX;
        assert_eq!(failures.pause(), RETRY.1);
    }
}
