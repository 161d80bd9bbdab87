//! ICE over TCP (RFC 6544, passive), for browsers that UDP does not get through to: connections to
//! the media port, and the listeners in memory by which the sessions' stacks accept them.
//!
//! Frames are those of RFC 4571: two bytes of length, then what would be a datagram. The first must
//! be a signed check; it says whose the connection is. What the stack reads of it and all others
//! says `filter`, as for datagrams.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use webrtc::runtime::{AsyncTcpListener, AsyncTcpStream};

use super::filter::Taken;
use super::packet::{Kind, classify};
use super::routes::Path;
use super::session::Inbox;
use crate::shares::WaitingList;
use crate::telemetry;

/// Connections, at each address, that have not said whose they are. Full: one is closed
/// (`displaced`).
pub(super) const STRANGERS: usize = 64;
/// How long a connection has to say whose it is: a handshake and a check are two round trips.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// A check has some 100 bytes.
const LONGEST_CHECK: usize = 1_500;
/// Browsers' frames are no longer than a datagram. A longer one ends its connection.
const LONGEST_FRAME: usize = 4_096;
/// Connections of one session at a time; a browser opens one to each of our addresses. Full: a
/// further one is closed.
pub(super) const CONNECTIONS: usize = 8;
/// Frames for one connection that its reader has not taken: half a second of 720p. Full: the new
/// one is lost, as a datagram would be (`reason="tcp_full"`): the stack would wait for this
/// connection, and all else of its session too.
const FRAMES: usize = 128;
/// The system's share of the same. By itself it grants megabytes, which are seconds of delay.
const SEND_BUFFER_BYTES: u32 = 64 * 1024;
/// A connection that takes nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(5);
/// Connections that the system accepts for us in advance.
const BACKLOG: u32 = 128;
/// No descriptor is free, and nothing tells when one is.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// A connection that has said whose it is.
#[derive(Debug)]
pub(super) struct AcceptedConnection {
    stream: TcpStream,
    remote: SocketAddr,
    /// The first frame, as it came; for the stack.
    first: Bytes,
    _places: Places,
}

/// One of the session's places, and one of the port's.
type Places = [OwnedSemaphorePermit; 2];

/// Where the connections of a session go.
#[derive(Clone, Debug)]
pub(super) struct AcceptQueue {
    pub(super) queue: mpsc::Sender<AcceptedConnection>,
    /// The session's, for [`CONNECTIONS`].
    pub(super) places: Arc<Semaphore>,
}

/// Must run on the media runtime.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As every server: connections of the one before may linger.
    socket.set_reuseaddr(true)?;
    // Taken over by what is accepted.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts for ever. `whose` looks at a first frame. All sessions together hold as many connections
/// as `places` has; a further one is closed.
pub(super) async fn accept<W>(listener: TcpListener, places: Arc<Semaphore>, whose: W)
where
    W: Fn(&[u8]) -> Option<AcceptQueue> + Clone + Send + 'static,
{
    let (mut strangers, mut introductions) = (WaitingList::new(STRANGERS), JoinSet::new());
    loop {
        tokio::select! {
            // Those that are done leave their places before another one takes one.
            biased;
            Some(done) = introductions.join_next_with_id() => {
                let (id, outcome) = done.unwrap_or_else(|displaced| (displaced.id(), "displaced"));
                strangers.remove(|stranger: &AbortHandle| stranger.id() == id);
                telemetry::ice_tcp(outcome);
            }
            accepted = listener.accept() => {
                let Ok((stream, remote)) = accepted else {
                    sleep(EXHAUSTED).await;
                    continue;
                };
                let (whose, places) = (whose.clone(), Arc::clone(&places));
                let introduction = introductions.spawn(async move {
                    timeout(INTRODUCTION, introduce(stream, remote, places, whose)).await.unwrap_or("silent")
                });
                if let Some(displaced) = strangers.add(remote.ip(), introduction) {
                    displaced.abort();
                }
            }
        }
    }
}

/// Reads the first frame and hands the connection over; the value of the label `outcome`.
async fn introduce(
    mut stream: TcpStream,
    remote: SocketAddr,
    all: Arc<Semaphore>,
    whose: impl Fn(&[u8]) -> Option<AcceptQueue>,
) -> &'static str {
    let Ok(length) = stream.read_u16().await else { return "silent" };
    if usize::from(length) > LONGEST_CHECK {
        return "unknown";
    }
    let mut first = BytesMut::zeroed(2 + usize::from(length));
    first[..2].copy_from_slice(&length.to_be_bytes());
    if stream.read_exact(&mut first[2..]).await.is_err() {
        return "silent";
    }
    let Some(AcceptQueue { queue, places }) = whose(&first[2..]) else { return "unknown" };
    let (Ok(of_session), Ok(of_port)) = (places.try_acquire_owned(), all.try_acquire_owned())
    else {
        return "refused";
    };
    // Frames are whole already; waiting to fill a segment would only delay them.
    stream.set_nodelay(true).ok();
    let introduced = AcceptedConnection {
        stream,
        remote,
        first: first.freeze(),
        _places: [of_session, of_port],
    };
    // Full or closed: as many wait already, or the session is over.
    if queue.try_send(introduced).is_ok() { "accepted" } else { "refused" }
}

/// A session's listener in memory. Its address is one that the stack drew for it.
#[derive(Debug)]
pub(super) struct SessionListener {
    local: SocketAddr,
    /// Which of the port's listeners it is.
    index: usize,
    session: Arc<Inbox>,
    inbox: tokio::sync::Mutex<mpsc::Receiver<AcceptedConnection>>,
}

impl SessionListener {
    pub(super) fn new(local: SocketAddr, index: usize, session: Arc<Inbox>) -> (Self, AcceptQueue) {
        let (queue, inbox) = mpsc::channel(CONNECTIONS);
        let places = Arc::clone(&session.tcp_places);
        (
            Self { local, index, session, inbox: tokio::sync::Mutex::new(inbox) },
            AcceptQueue { queue, places },
        )
    }
}

type Accepted = (Arc<dyn AsyncTcpStream>, SocketAddr);

impl AsyncTcpListener for SessionListener {
    fn accept<'a>(&'a self) -> Pin<Box<dyn Future<Output = io::Result<Accepted>> + Send + 'a>> {
        Box::pin(async move {
            match self.inbox.lock().await.recv().await {
                Some(introduced) => {
                    let remote = introduced.remote;
                    Ok((
                        Arc::new(SessionStream::new(self, introduced)) as Arc<dyn AsyncTcpStream>,
                        remote,
                    ))
                }
                // The session is over; the stack would ask again at once.
                None => std::future::pending().await,
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

/// A connection as the stack sees it.
#[derive(Debug)]
struct SessionStream {
    local: SocketAddr,
    path: Path,
    session: Arc<Inbox>,
    received: Mutex<Received>,
    read: OwnedReadHalf,
    frames: mpsc::Sender<Bytes>,
    _places: Places,
}

/// What came and the stack has not read yet.
#[derive(Debug)]
struct Received {
    /// As it came; no whole frame is left in it.
    rest: BytesMut,
    /// Frames for the stack.
    taken: BytesMut,
}

impl SessionStream {
    fn new(listener: &SessionListener, introduced: AcceptedConnection) -> Self {
        let AcceptedConnection { stream, remote, first, _places } = introduced;
        let (read, write) = stream.into_split();
        let (frames, queue) = mpsc::channel(FRAMES);
        tokio::spawn(send(write, queue));
        Self {
            local: listener.local,
            path: Path { socket: listener.index, remote },
            session: Arc::clone(&listener.session),
            received: Mutex::new(Received { rest: first.into(), taken: BytesMut::new() }),
            read,
            frames,
            _places,
        }
    }

    /// What the stack may read, if anything. After an invalid frame that is 0 bytes, as at a
    /// connection's end.
    fn take(&self, buf: &mut [u8]) -> Option<usize> {
        let Received { rest, taken } = &mut *self.received.lock();
        while let Some(length) =
            rest.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)))
        {
            if length > LONGEST_FRAME {
                telemetry::packets_dropped("junk", 1);
                return Some(0);
            }
            if rest.len() < 2 + length {
                break;
            }
            let frame = rest.split_to(2 + length);
            let handed = self.filter(&frame[2..]).and_then(|found| {
                self.session.hand_over(found, |payload| {
                    // What is handed over came in frames, so its length fits in two bytes.
                    taken.put_u16(u16::try_from(payload.len()).unwrap_or_default());
                    taken.put(payload);
                    Ok(())
                })
            });
            if let Err(reason) = handed {
                telemetry::packets_dropped(reason, 1);
            }
        }
        let length = taken.len().min(buf.len());
        buf[..length].copy_from_slice(&taken.split_to(length));
        (length > 0).then_some(length)
    }

    fn filter(&self, frame: &[u8]) -> Result<Taken, &'static str> {
        self.session.guard.admit(frame)?;
        let kind = classify(frame);
        let mut filter = self.session.tcp.lock();
        if let Kind::Check(check) = &kind {
            if !filter.is_ours(check) {
                return Err("forged");
            }
            self.session.checked();
        }
        let taken = filter.takes(Instant::now(), self.path, &kind, frame)?;
        if matches!(kind, Kind::Check(_)) {
            // The stack is what reads here.
            self.session.took_check();
        }
        Ok(taken)
    }
}

/// Ends with the stream's other half, or when its reader takes no more; ICE notices that by itself.
async fn send(mut write: OwnedWriteHalf, mut frames: mpsc::Receiver<Bytes>) {
    while let Some(frame) = frames.recv().await {
        if !matches!(timeout(STALLED, write.write_all(&frame)).await, Ok(Ok(()))) {
            return;
        }
    }
}

impl AsyncTcpStream for SessionStream {
    fn read<'a, 'b>(
        &'a self,
        buf: &'b mut [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<usize>> + Send + 'b>>
    where
        'a: 'b,
    {
        Box::pin(async move {
            loop {
                if let Some(length) = self.take(buf) {
                    return Ok(length);
                }
                match self.read.try_read(buf) {
                    Ok(0) => return Ok(0),
                    Ok(length) => self.received.lock().rest.extend_from_slice(&buf[..length]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.read.readable().await?;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                if let Some(length) = self.take(buf) {
                    return Ok(length);
                }
                // Let other tasks run: junk may come as fast as it is read.
                tokio::task::yield_now().await;
            }
        })
    }

    /// One frame, whole or not at all.
    fn write_all<'a, 'b>(
        &'a self,
        buf: &'b [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'b>>
    where
        'a: 'b,
    {
        let (now, Path { socket, remote }) = (Instant::now(), self.path);
        let datagram = buf.get(2..).unwrap_or_default();
        let mut filter = self.session.tcp.lock();
        match filter.sends(now, socket, remote, datagram) {
            Ok(_) if self.frames.try_send(Bytes::copy_from_slice(buf)).is_ok() => {
                filter.sent(now, socket, remote, datagram);
            }
            Ok(_) => telemetry::packets_dropped("tcp_full", 1),
            Err(reason) => telemetry::packets_dropped(reason, 1),
        }
        drop(filter);
        Box::pin(std::future::ready(Ok(())))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.path.remote)
    }
}
