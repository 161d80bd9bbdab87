//! Over TCP: requests that never end, requests that a rebound name makes, and what no gateway says to a worker.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

/// For one write or read of a peer that is in no hurry.
const MOMENT: Duration = Duration::from_millis(100);
/// Of a body of a megabyte, what is sent: all that a gateway might keep of it.
const HALF_A_BODY: usize = 500_000;
/// What is sent at once, lest one peer's share waits for all of another's.
const PIECE: usize = 64 << 10;

/// Raises this process's limit of descriptors to what is allowed, and gives it: an attacker has as many as its victim.
#[must_use]
pub fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Refused: the limit stays what it was.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).ok();
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The address in `http://ADDRESS`.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").trim_end_matches('/').parse().expect("http://IP:PORT")
}

/// Connections that each send half of a body and then nothing.
#[derive(Debug, Default)]
pub struct Stalled {
    connections: Vec<TcpStream>,
    /// Bytes that were taken.
    pub sent: usize,
    /// Connections that were not taken, or closed again before half of the body was sent.
    pub refused: usize,
}

impl Stalled {
    /// Opens `count` of them.
    #[must_use]
    pub fn open(gateway: SocketAddr, count: usize) -> Self {
        let mut stalled = Self::default();
        for _ in 0..count {
            match half_a_body(gateway) {
                Some((connection, sent)) => {
                    stalled.sent += sent;
                    stalled.connections.push(connection);
                }
                None => stalled.refused += 1,
            }
        }
        stalled
    }

    /// How many of them the gateway has closed by now.
    #[must_use]
    pub fn closed(&self) -> usize {
        let ended = |connection: &&TcpStream| {
            let mut room = [0; 4_096];
            let mut connection = *connection;
            // A reply comes before the end.
            loop {
                match connection.read(&mut room) {
                    Ok(0) => return true,
                    Ok(_) => {}
                    Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
                }
            }
        };
        self.connections.iter().filter(ended).count()
    }

    /// Connections that were taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.connections.len()
    }
}

fn half_a_body(gateway: SocketAddr) -> Option<(TcpStream, usize)> {
    let mut connection = TcpStream::connect_timeout(&gateway, Duration::from_secs(2)).ok()?;
    connection.set_nonblocking(true).ok()?;
    let head = format!(
        "POST /webrtc/offer HTTP/1.1\r\nHost: {gateway}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        2 * HALF_A_BODY
    );
    connection.write_all(head.as_bytes()).ok()?;
    let (began, piece, mut sent) = (Instant::now(), vec![b' '; PIECE], 0);
    while sent < HALF_A_BODY && began.elapsed() < MOMENT {
        match connection.write(&piece) {
            Ok(written) => sent += written,
            // Full: it is given a moment to be read.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(_) => return None,
        }
    }
    Some((connection, sent))
}

/// A GET of `path` with these lines in its head instead of an honest `Host`; the status, and the whole reply.
///
/// # Errors
/// Nobody answered.
pub fn get_as(server: SocketAddr, path: &str, lines: &[&str]) -> std::io::Result<(u16, String)> {
    let mut connection = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    let lines = lines.join("\r\n");
    write!(connection, "GET {path} HTTP/1.1\r\n{lines}\r\nConnection: close\r\n\r\n")?;
    let mut reply = Vec::new();
    connection.read_to_end(&mut reply)?;
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok((status, reply))
}

/// Calls to a worker's port whose first message says to have `said` bytes and never ends, so many on each of so many
/// connections, held for `time`; what the worker took of them, in bytes.
///
/// # Panics
/// When there is no runtime to be had.
#[must_use]
pub fn unfinished_calls(worker: SocketAddr, [connections, calls]: [usize; 2], said: u32, time: Duration) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let taken = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        for _ in 0..connections {
            tokio::spawn(connection(worker, calls, said, Arc::clone(&taken)));
        }
        tokio::time::sleep(time).await;
    });
    taken.load(Ordering::Relaxed)
}

/// Ends with the connection.
async fn connection(worker: SocketAddr, calls: usize, said: u32, taken: Arc<AtomicUsize>) -> Option<()> {
    let socket = tokio::net::TcpStream::connect(worker).await.ok()?;
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut requests, connection) = builder.handshake(TokioIo::new(socket)).await.ok()?;
    let connection = tokio::spawn(connection);
    // A reply may never come, and the call is over when its future is dropped.
    let mut replies = Vec::new();
    for _ in 0..calls {
        let (pieces, body) = mpsc::channel(1);
        let body = StreamBody::new(ReceiverStream::new(body));
        let request = hyper::Request::post(format!("http://{worker}/reframe.v1.FrameWorker/Session"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)
            .expect("a sound request");
        requests.ready().await.ok()?;
        replies.push(tokio::spawn(requests.send_request(request)));
        tokio::spawn(message(pieces, said, Arc::clone(&taken)));
    }
    drop(connection.await);
    Some(())
}

/// All but the last byte of one message of gRPC (its prefix says: not compressed, so many bytes), in pieces; and then
/// nothing for as long as there is a call.
async fn message(pieces: mpsc::Sender<Result<Frame<Bytes>, Infallible>>, said: u32, taken: Arc<AtomicUsize>) {
    let prefix = [&[0][..], &said.to_be_bytes()].concat();
    if pieces.send(Ok(Frame::data(prefix.into()))).await.is_err() {
        return;
    }
    let mut left = said as usize - 1;
    while left > 0 {
        let piece = Bytes::from(vec![0; left.min(PIECE)]);
        left -= piece.len();
        let length = piece.len();
        if pieces.send(Ok(Frame::data(piece))).await.is_err() {
            return;
        }
        taken.fetch_add(length, Ordering::Relaxed);
    }
    pieces.closed().await;
}
