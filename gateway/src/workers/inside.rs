//! Connections inside the cluster, to workers and other gateways, for whatever speaks HTTP over
//! them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use reframe_tls::{ClusterTls, Io, Role};
use reframe_trace::STRANGER;
use tower::{Service, ServiceExt};
use tracing::warn;

use crate::telemetry::PlainConnection;

/// Makes connections to processes of one role; without TLS, where there is none.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector,
    tls: Option<Arc<ClusterTls>>,
    role: Role,
}

/// A connection, as hyper wants it.
pub(crate) struct ClusterIo(TokioIo<Io>);

impl Connector {
    pub(crate) fn new(role: Role, tls: Option<Arc<ClusterTls>>, mut tcp: HttpConnector) -> Self {
        // Messages are written whole, so Nagle's algorithm would only delay them.
        tcp.set_nodelay(true);
        Self { tcp, tls, role }
    }

    async fn connect(self, uri: Uri) -> io::Result<Io> {
        let tcp = || {
            let connecting = self.tcp.clone().oneshot(uri.clone());
            async { connecting.await.map(TokioIo::into_inner).map_err(io::Error::other) }
        };
        let Some(tls) = &self.tls else { return Ok(Io::plain(tcp().await?)) };
        let io = tls.connect(self.role, tcp).await?;
        let label = match self.role {
            Role::Gateway => "gateway",
            Role::Worker => "worker",
        };
        Ok(if io.is_plain() { io.holding(PlainConnection::with(label)) } else { io })
    }
}

impl Service<Uri> for Connector {
    type Response = ClusterIo;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<ClusterIo>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let (role, to) = (connector.role, uri.clone());
            let connected = connector.connect(uri).await;
            // Who watches a worker says it itself. A client can ask for another gateway at will.
            if let (Role::Gateway, Err(error)) = (role, &connected) {
                warn!(target: STRANGER, %to, %error, "another gateway cannot be reached");
            }
            connected.map(|io| ClusterIo(TokioIo::new(io)))
        })
    }
}

impl Connection for ClusterIo {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for ClusterIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for ClusterIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
