//! A connection that is closed when its client stalls, independently of the HTTP server.
//!
//! The HTTP server limits the time for the head of a connection's first request, and for an idle
//! connection. This limits the rest: the heads of later requests, bytes that are sent in advance, a
//! body that is discarded, and a client that does not read its answer.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use reframe_tls::Io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::caps::Permit;
use super::progress::Progress;
use crate::telemetry;

/// Bytes of heads that have not become a request yet. Browsers send half a kilobyte, and some more
/// with cookies.
const UNASKED_BYTES: usize = 32 * 1024;
/// Bytes that are read before the HTTP server parses them. Otherwise it would read up to 128 KiB,
/// and keep a buffer of that size as long as the connection lasts. Its initial buffer has 8 KiB.
const AT_ONCE_BYTES: usize = 8 * 1024;
/// How long a client may read nothing of its answer.
const TAKE_WITHIN: Duration = Duration::from_secs(20);

/// One connection, with its permit.
pub(super) struct Watched {
    io: Io,
    progress: Rc<Progress>,
    /// Bytes that were read and not parsed.
    at_once: usize,
    waits: Alarm,
    takes: Alarm,
    _permit: Permit,
}

/// A timer that is armed only while it is needed.
#[derive(Default)]
struct Alarm(Option<(Instant, Pin<Box<Sleep>>)>);

impl Alarm {
    /// True once `deadline` is over; the task is woken then.
    fn rings(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        if self.0.as_ref().is_some_and(|(set, _)| *set != deadline) {
            self.0 = None;
        }
        let (_, sleep) = self.0.get_or_insert_with(|| (deadline, Box::pin(sleep_until(deadline))));
        sleep.as_mut().poll(cx).is_ready()
    }

    /// Unlike [`Alarm::rings`], the first deadline holds until [`Alarm::clear`].
    fn rings_after(&mut self, wait: Duration, cx: &mut Context<'_>) -> bool {
        let deadline = self.0.as_ref().map_or_else(|| Instant::now() + wait, |(set, _)| *set);
        self.rings(deadline, cx)
    }

    fn clear(&mut self) {
        self.0 = None;
    }
}

impl Watched {
    pub(super) fn new(io: Io, progress: Rc<Progress>, permit: Permit) -> Self {
        Self {
            io,
            progress,
            at_once: 0,
            waits: Alarm::default(),
            takes: Alarm::default(),
            _permit: permit,
        }
    }

    pub(super) fn progress(&self) -> Rc<Progress> {
        Rc::clone(&self.progress)
    }

    fn end<T>(&self, reason: &'static str) -> Poll<io::Result<T>> {
        telemetry::http_refused(self.progress.port.label(), reason);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether the client has stalled for too long.
    fn late(&mut self, cx: &mut Context<'_>) -> bool {
        match self.progress.deadline() {
            Some(deadline) => self.waits.rings(deadline, cx),
            None => {
                self.waits.clear();
                false
            }
        }
    }

    /// Handles the result of a write: a pending one arms the timer.
    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.takes.clear();
        } else if self.takes.rings_after(TAKE_WITHIN, cx) {
            return self.end("reader_stalled");
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.late(cx) {
            return this.end("head_timeout");
        }
        // At the beginning of a look: what is here by now is no request.
        if this.at_once == 0 && this.progress.unasked() >= UNASKED_BYTES {
            return this.end("head_size");
        }
        if this.at_once >= AT_ONCE_BYTES {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // No more than that, however much room there is: the server doubles a buffer that it finds
        // full.
        let room = buffer.remaining().min(AT_ONCE_BYTES - this.at_once);
        let mut room = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.io).poll_read(cx, &mut room))?;
        let came = room.filled().len();
        buffer.advance(came);
        this.progress.came(came);
        this.at_once += came;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.at_once = 0;
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.written(cx, written)
    }

    /// The server ends each of its looks with this, or with a write that waits.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.at_once = 0;
        // An answer may have ended in this look: from now on the next request is waited for.
        if this.late(cx) {
            return this.end("head_timeout");
        }
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.written(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.io).poll_shutdown(cx);
        this.written(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::Port;
    use super::super::caps::Caps;
    use super::super::progress::Turn;
    use super::*;

    /// Our side of a connection, and a client's.
    async fn pair() -> (Watched, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, peer) = listener.accept().await.unwrap();
        let permit =
            Caps::new(Port::Public, 1, 1, Arc::new(|_| false)).admit(peer.ip()).ok().unwrap();
        (Watched::new(Io::plain(ours), Progress::new(Port::Public, false), permit), client)
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (mut ours, _client) = pair().await;
        // From here on only the clock can end the wait, and it moves when nothing else does.
        tokio::time::pause();
        let start = Instant::now();
        let error = ours.write_all(&vec![0; 64 << 20]).await.unwrap_err();
        assert_eq!(
            (error.kind(), start.elapsed().as_secs()),
            (io::ErrorKind::TimedOut, TAKE_WITHIN.as_secs())
        );
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_is_given_up() {
        let (mut ours, mut client) = pair().await;
        client.write_all(b"GET / HT").await.unwrap();
        assert_eq!(ours.read(&mut [0; 100]).await.unwrap(), 8);
        tokio::time::pause();
        assert_eq!(ours.read(&mut [0; 100]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    /// As the server does it: a look reads all that is there.
    async fn look(ours: &mut Watched) -> io::Result<usize> {
        let mut buffer = vec![0; 4 * AT_ONCE_BYTES];
        let mut buffer = ReadBuf::new(&mut buffer);
        let read = std::future::poll_fn(|cx| {
            while buffer.remaining() > 0 {
                match Pin::new(&mut *ours).poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending if buffer.filled().is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(Ok(buffer.filled().len()))
        });
        let read = read.await?;
        ours.flush().await?;
        Ok(read)
    }

    #[tokio::test]
    async fn bytes_that_no_request_accounts_for_are_bounded() {
        let (mut ours, mut client) = pair().await;
        let flood = tokio::spawn(async move { client.write_all(&vec![b'x'; 64 << 20]).await });
        let mut read = 0;
        let error = loop {
            match look(&mut ours).await {
                Ok(bytes) => read += bytes,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(read <= 4 * AT_ONCE_BYTES + UNASKED_BYTES, "{read}");
        drop(ours);
        assert!(flood.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_body_is_read_on() {
        let (mut ours, mut client) = pair().await;
        let body = 4 * UNASKED_BYTES;
        let sent =
            tokio::spawn(async move { client.write_all(&vec![b'x'; body]).await.map(|()| client) });
        let turn = Turn::begin(ours.progress());
        let mut read = 0;
        while read < body {
            read += look(&mut ours).await.unwrap();
        }
        turn.has_body();
        assert_eq!(read, body);
        sent.await.unwrap().unwrap();
    }
}
