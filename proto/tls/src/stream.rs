//! A connection, with or without TLS.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::explain::explained;

/// A connection, with or without TLS. Its errors say what to do.
pub struct Io {
    stream: Stream,
    _held: Option<Box<dyn Any + Send + Sync>>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Io {
    /// As it is.
    #[must_use]
    pub const fn plain(connection: TcpStream) -> Self {
        Self { stream: Stream::Plain(connection), _held: None }
    }

    /// Encrypted.
    #[must_use]
    pub fn tls(connection: impl Into<TlsStream<TcpStream>>) -> Self {
        Self { stream: Stream::Tls(Box::new(connection.into())), _held: None }
    }

    /// Keeps a value until the connection is dropped.
    #[must_use]
    pub fn holding(mut self, held: impl Any + Send + Sync) -> Self {
        self._held = Some(Box::new(held));
        self
    }

    /// No TLS.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        matches!(self.stream, Stream::Plain(_))
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").field("plain", &self.is_plain()).finish_non_exhaustive()
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            // A server refuses a client's certificate after the client is done with the handshake.
            Stream::Tls(io) => Pin::new(io).poll_read(cx, buffer).map_err(explained),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_write(cx, data),
            Stream::Tls(io) => Pin::new(io).poll_write(cx, data),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_write_vectored(cx, data),
            Stream::Tls(io) => Pin::new(io).poll_write_vectored(cx, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(io) => io.is_write_vectored(),
            Stream::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_flush(cx),
            Stream::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Stream::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
