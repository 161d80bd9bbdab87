//! Sets up the exchange of a session's pictures with a worker on this host
//! (`reframe_proto::exchange`), before the session is opened.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reframe_proto::exchange::{Exchange, pass};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tracing::warn;

use crate::telemetry;
use crate::workers::pool::Locality;

/// How long a worker may take to accept the memory, which it only maps. If it does not answer,
/// pixels go in messages.
const TAKE_WITHIN: Duration = Duration::from_millis(500);

/// The exchange offered to the worker.
pub(super) struct Offered {
    /// `None` if the worker is on another host, or has not accepted the memory: pixels then go in
    /// messages, which is slower but works.
    pub(super) exchange: Option<Arc<Exchange>>,
    /// The worker keeps the memory for its session while this is open.
    _passed: Option<UnixStream>,
}

/// Creates an exchange for a worker at this distance.
pub(super) async fn offer(reach: &Locality) -> Offered {
    match reach {
        Locality::Process => Offered { exchange: Some(Exchange::open()), _passed: None },
        Locality::Host(path) => {
            let passed = timeout(TAKE_WITHIN, share(path))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let (exchange, passed) = passed
                .inspect_err(|error| {
                    warn!(path = %path.display(), %error, "the worker takes no memory: \
                        pixels in messages")
                })
                .ok()
                .unzip();
            Offered { exchange, _passed: passed }
        }
        Locality::Network => Offered { exchange: None, _passed: None },
    }
}

async fn share(path: &Path) -> io::Result<(Arc<Exchange>, UnixStream)> {
    let mut socket = UnixStream::connect(pass::socket(path)).await?;
    let (exchange, memory) = Exchange::share()?;
    socket.async_io(Interest::WRITABLE, || pass::send(&socket, exchange.token(), &memory)).await?;
    match socket.read_u8().await? {
        pass::TAKEN => Ok((exchange, socket)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Counts how a session's pictures are transported, once it has a worker.
pub(super) fn count(reach: &Locality, exchange: bool) {
    telemetry::link(match (reach, exchange) {
        (Locality::Process, true) => "process",
        (Locality::Host(_), true) => "memory",
        _ => "messages",
    });
}
