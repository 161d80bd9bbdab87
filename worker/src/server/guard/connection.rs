//! A connection: closed when nothing is asked on it, and read in turns.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tonic::transport::server::Connected;

use super::places::Place;
use super::refused::{RefusalReason, Refused};
use super::{TURN_BYTES, WITHIN};

/// What a call knows of its connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer(Arc<AtomicBool>);

impl Peer {
    /// A whole request has come.
    pub(super) fn has_asked(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection<IO> {
    io: IO,
    peer: Peer,
    /// Until something is asked.
    awaiting_request: Option<AwaitingRequest>,
    /// What may still be read in this turn.
    turn: usize,
    refused: Arc<Refused>,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct AwaitingRequest {
    place: Place,
    /// Polled where the connection is read, as its task does whenever it wakes up.
    deadline: Pin<Box<Sleep>>,
}

impl<IO> Connection<IO> {
    pub(super) fn new(
        io: IO,
        room: OwnedSemaphorePermit,
        place: Place,
        refused: Arc<Refused>,
    ) -> Self {
        let awaiting_request = AwaitingRequest { place, deadline: Box::pin(sleep(WITHIN)) };
        Self {
            io,
            peer: Peer::default(),
            awaiting_request: Some(awaiting_request),
            turn: TURN_BYTES,
            refused,
            _room: room,
        }
    }

    /// Ready with an error when it waited too long.
    fn poll_unasked(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(awaiting_request) = &mut self.awaiting_request else { return Poll::Pending };
        if self.peer.0.load(Ordering::Relaxed) {
            self.awaiting_request = None;
            return Poll::Pending;
        }
        let (why, kind) = if awaiting_request.deadline.as_mut().poll(cx).is_ready() {
            (RefusalReason::Silent, io::ErrorKind::TimedOut)
        } else if awaiting_request.place.poll_lost(cx).is_ready() {
            (RefusalReason::Displaced, io::ErrorKind::ConnectionAborted)
        } else {
            return Poll::Pending;
        };
        self.refused.count(why);
        self.awaiting_request = None;
        Poll::Ready(kind.into())
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Connection<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_unasked(cx) {
            return Poll::Ready(Err(error));
        }
        if self.turn == 0 {
            self.turn = TURN_BYTES;
            // Behind all that are ready: those who were sent what was read among them.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        self.turn = match read {
            Poll::Ready(_) => self.turn.saturating_sub(buffer.filled().len() - before),
            Poll::Pending => TURN_BYTES,
        };
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Connection<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<IO> Connected for Connection<IO> {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::server::guard::{CONNECTIONS, Guard, UNASKED};

    fn admitted(guard: &Guard) -> (Connection<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(4 * TURN_BYTES);
        (guard.admit(ours).expect("there is room"), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_asks_nothing_is_closed_in_time() {
        let guard = Guard::new();
        let (mut connection, mut peer) = admitted(&guard);
        let begun = Instant::now();
        // Byte by byte, as long as it likes.
        let slow = tokio::spawn(async move {
            while peer.write_u8(b'P').await.is_ok() {
                drop(timeout(WITHIN / 4, std::future::pending::<()>()).await);
            }
        });
        let error = loop {
            match connection.read_u8().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(
            (error.kind(), begun.elapsed().as_secs()),
            (io::ErrorKind::TimedOut, WITHIN.as_secs())
        );
        drop(connection);
        slow.await.unwrap();

        let (mut connection, _peer) = admitted(&guard);
        connection.peer.has_asked();
        assert!(timeout(10 * WITHIN, connection.read_u8()).await.is_err(), "it may be silent now");
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_that_ask_nothing_displace_each_other_and_nobody_else() {
        let guard = Guard::new();
        let (mut known, _known) = admitted(&guard);
        known.peer.has_asked();
        assert!(timeout(WITHIN, known.read_u8()).await.is_err());
        let (mut oldest, _oldest) = admitted(&guard);
        let others: Vec<_> = (1..UNASKED).map(|_| admitted(&guard)).collect();
        assert!(timeout(WITHIN / 2, oldest.read_u8()).await.is_err(), "there is a place for each");
        let (mut newest, _newest) = admitted(&guard);
        assert_eq!(oldest.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert!(timeout(WITHIN / 2, newest.read_u8()).await.is_err());
        drop(others);
        assert!(timeout(WITHIN, known.read_u8()).await.is_err());
    }

    #[tokio::test]
    async fn beyond_its_room_none_is_admitted_until_one_goes() {
        let guard = Guard::new();
        let mut all: Vec<_> = (0..CONNECTIONS).map(|_| admitted(&guard)).collect();
        assert!(guard.admit(duplex(1).0).is_none());
        drop(all.pop());
        assert!(guard.admit(duplex(1).0).is_some());
    }

    /// Others run between two turns, and nothing waits for ever.
    #[tokio::test]
    async fn much_is_read_in_turns() {
        let guard = Guard::new();
        let (mut connection, mut peer) = admitted(&guard);
        peer.write_all(&vec![7; 3 * TURN_BYTES]).await.unwrap();
        let mut read = 0;
        let mut buffer = vec![0; TURN_BYTES / 4];
        let mut cx = Context::from_waker(Waker::noop());
        let mut turn = || {
            let mut read = 0;
            loop {
                let mut buffer = ReadBuf::new(&mut buffer);
                match Pin::new(&mut connection).poll_read(&mut cx, &mut buffer) {
                    Poll::Ready(Ok(())) => read += buffer.filled().len(),
                    Poll::Ready(Err(error)) => panic!("{error}"),
                    Poll::Pending => return read,
                }
            }
        };
        // tokio's own pipes end a turn too, when a task has had its time.
        poll_fn(|_| {
            let part = turn();
            assert!(part <= TURN_BYTES, "{part} bytes in one turn");
            read += part;
            Poll::Ready(())
        })
        .await;
        assert!(read > 0);
        drop(peer);
        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).await.unwrap();
        assert_eq!(read + rest.len(), 3 * TURN_BYTES);
    }
}
