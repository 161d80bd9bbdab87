//! Connections to workers.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use reframe_proto::v1::frame_worker_client::FrameWorkerClient;
use reframe_proto::{
    CONNECTION_WINDOW_BYTES, HTTP2_FRAME_BYTES, MAX_MESSAGE_BYTES, STREAM_WINDOW_BYTES,
};
use reframe_tls::{ClusterTls, Role};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint, Uri};

use super::Client;
use crate::workers::inside::Connector;

/// HTTP/2 pings, so that a worker that stopped or went away without a word is noticed: after the
/// sum of the two, which leaves half a second of the three that a session may wait.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// See [`KEEPALIVE_INTERVAL`]. A worker's runtime does nothing that keeps it from answering for
/// long.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_millis(1500);
/// An address that nobody has may never answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Buffer of an in-process connection, each way: most of a 720p frame, so that few wake-ups move
/// one.
const DUPLEX_BYTES: usize = 1024 * 1024;

/// To a URL. As all channels here, it connects on first use and again after each loss; with TLS by
/// the certificates of that time.
pub(super) fn at(url: &str, tls: Option<&Arc<ClusterTls>>) -> Channel {
    let endpoint = tuned(Endpoint::from_shared(url.to_owned()).expect("an address makes a URL"));
    match tls {
        None => endpoint.connect_lazy(),
        Some(tls) => {
            let tls = Some(Arc::clone(tls));
            let connector = Connector::new(Role::Worker, tls, HttpConnector::new());
            endpoint.connect_with_connector_lazy(connector)
        }
    }
}

/// To a worker in this process, which is sent its end of each connection.
pub(super) fn in_process(connect: mpsc::Sender<DuplexStream>) -> Channel {
    by(move || {
        let connect = connect.clone();
        async move {
            let (ours, theirs) = tokio::io::duplex(DUPLEX_BYTES);
            connect.send(theirs).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(ours)
        }
    })
}

/// To a worker that listens on a Unix socket.
pub(super) fn on_socket(path: Arc<Path>) -> Channel {
    by(move || {
        let path = Arc::clone(&path);
        async move { UnixStream::connect(path).await }
    })
}

/// By connections that no URL says how to make.
fn by<IO, F>(mut connect: impl FnMut() -> F + Send + 'static) -> Channel
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = io::Result<IO>> + Send + 'static,
{
    let connector = tower::service_fn(move |_: Uri| {
        let connection = connect();
        async move { connection.await.map(TokioIo::new) }
    });
    // HTTP/2 wants an authority, and nobody looks at it.
    tuned(Endpoint::from_static("http://localhost")).connect_with_connector_lazy(connector)
}

/// For sessions.
pub(super) fn client(channel: Channel) -> Client {
    FrameWorkerClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(HTTP2_FRAME_BYTES)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_timeout(CONNECT_TIMEOUT)
}
