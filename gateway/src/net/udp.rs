//! The real UDP sockets, and those in memory that the sessions' stacks have instead.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::Interest;
use tokio::sync::mpsc;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use super::routes::Path;
use crate::telemetry;

/// Datagrams of one session that may wait for its stack, on each of our addresses: a second of 720p, or a keyframe's
/// burst. Full: the new one is lost, and counted with `reason="mux_full"`.
pub(super) const DATAGRAMS: usize = 256;
/// Messages that one call receives (`recvmmsg`), and the room for each: the system joins up to 64 KiB of one sender's.
const MESSAGES: usize = 8;
const MESSAGE_BYTES: usize = 64 * 1024;
/// Asked of the system, which may grant less (`net.core.rmem_max`): half a second of 100 sessions at 2 Mbit/s is
/// 12 MB, and no reader is that late; the default of 208 KiB is 8 ms of that.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// One datagram and where it came from.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) remote: SocketAddr,
    pub(super) payload: Bytes,
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
        loop {
            let received = self.io.async_io(Interest::READABLE, || {
                let mut buffers = room.chunks_exact_mut(MESSAGE_BYTES).map(IoSliceMut::new);
                let mut buffers: [IoSliceMut<'_>; MESSAGES] =
                    std::array::from_fn(|_| buffers.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
                let count = self.state.recv(UdpSockRef::from(&self.io), &mut buffers, &mut meta)?;
                if count == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
            });
            // An error is of one datagram, an ICMP message for example, and reported once.
            let Ok(count) = received.await else {
                tokio::task::yield_now().await;
                continue;
            };
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
        self.io.try_io(Interest::WRITABLE, || self.state.try_send(UdpSockRef::from(&self.io), transmit))
    }
}

impl fmt::Debug for SharedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.local)
    }
}

/// A session's socket in memory. Its address is one that the stack drew for it and nobody else ever sees.
pub(super) struct SessionSocket {
    local: SocketAddr,
    shared: Arc<SharedSocket>,
    inbox: Mutex<mpsc::Receiver<Datagram>>,
    /// While the real socket is full. Each session waits by itself: tokio's `poll_send_ready` would wake only one.
    writable: Mutex<Option<Writable>>,
}

type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl SessionSocket {
    pub(super) fn new(local: SocketAddr, shared: Arc<SharedSocket>) -> (Self, mpsc::Sender<Datagram>) {
        let (sender, inbox) = mpsc::channel(DATAGRAMS);
        (Self { local, shared, inbox: Mutex::new(inbox), writable: Mutex::default() }, sender)
    }
}

impl AsyncUdpSocket for SessionSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let mut writable = super::lock(&self.writable);
        loop {
            if let Some(waiting) = writable.as_mut() {
                // An error shows when it is sent.
                ready!(waiting.as_mut().poll(cx)).ok();
                *writable = None;
            }
            match self.shared.try_send(transmit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let shared = Arc::clone(&self.shared);
                    *writable = Some(Box::pin(async move { shared.io.writable().await }));
                }
                Err(_) => {
                    // To an address that a client made up, for example: lost, as any datagram may be. The stack would
                    // take the socket for broken.
                    telemetry::packets_dropped("unsendable", 1);
                    return Poll::Ready(Ok(transmit.contents.len()));
                }
                Ok(()) => return Poll::Ready(Ok(transmit.contents.len())),
            }
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = super::lock(&self.inbox);
        // The stack looks for more with a waker that wakes nobody; that must not take the real one's place.
        let received = if cx.waker().will_wake(Waker::noop()) {
            inbox.try_recv().map_or(Poll::Pending, |datagram| Poll::Ready(Some(datagram)))
        } else {
            inbox.poll_recv(cx)
        };
        // The senders are gone: another socket has taken this one's place, or the session is over.
        let Some(datagram) = ready!(received) else { return Poll::Pending };
        let (Some(buffer), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else { return Poll::Ready(Ok(0)) };
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
