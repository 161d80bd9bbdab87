//! Calls to a worker that no gateway makes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rand::rngs::SmallRng;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::attacker::arena::Arena;
use crate::wait::try_eventually;

/// What is sent at once, lest one call's share waits for all of another's.
const PIECE: usize = 64 << 10;
/// Memory that they may take of the worker while they run.
const MORE_BYTES: u64 = 64 << 20;

/// Messages that are long and never whole.
pub(super) fn worker_port(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    let worker = &arena.cluster.workers[0].process;
    let before = worker.rss_bytes();
    let (peak, taken) = std::thread::scope(|scope| {
        let calls = scope
            .spawn(|| unfinished_calls(arena.worker, [16, 64], 1 << 20, Duration::from_secs(6)));
        let mut peak = before;
        try_eventually(Duration::from_secs(30), || {
            peak = peak.max(worker.rss_bytes());
            calls.is_finished().then_some(())
        });
        (peak, calls.join().unwrap_or_default())
    });
    match peak.saturating_sub(before) {
        more if more > MORE_BYTES => Err(format!("{} MB for unfinished messages", more >> 20)),
        more => Ok(format!("{} MB sent, {} MB kept", taken >> 20, more >> 20)),
    }
}

/// Calls to a worker's port whose first message says to have `said` bytes and never ends, so many
/// on each of so many connections, held for `time`; what the worker took of them, in bytes.
fn unfinished_calls(
    worker: SocketAddr,
    [connections, calls]: [usize; 2],
    said: u32,
    time: Duration,
) -> usize {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
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
async fn connection(
    worker: SocketAddr,
    calls: usize,
    said: u32,
    taken: Arc<AtomicUsize>,
) -> Option<()> {
    let socket = tokio::net::TcpStream::connect(worker).await.ok()?;
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut requests, connection) = builder.handshake(TokioIo::new(socket)).await.ok()?;
    let connection = tokio::spawn(connection);
    // A reply may never come, and the call is over when its future is dropped.
    let mut replies = Vec::new();
    for _ in 0..calls {
        let (pieces, body) = mpsc::channel(1);
        let body = StreamBody::new(ReceiverStream::new(body));
        let request =
            hyper::Request::post(format!("http://{worker}/reframe.v1.FrameWorker/Session"))
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

/// All but the last byte of one message of gRPC (its prefix says: not compressed, so many bytes),
/// in pieces; and then nothing for as long as there is a call.
async fn message(
    pieces: mpsc::Sender<Result<Frame<Bytes>, Infallible>>,
    said: u32,
    taken: Arc<AtomicUsize>,
) {
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
