//! The way of a session's pictures to a worker that is near (`reframe_proto::exchange`), before it
//! is dialled.

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

/// How long a worker may take to take memory. It only maps it; one that does not answer gets the
/// pixels in messages.
const TAKE_WITHIN: Duration = Duration::from_millis(500);

/// What the worker may find.
pub(super) struct Offered {
    /// None where it is too far, or has not taken the memory: pixels go in the messages, which is
    /// slower and no fault.
    pub(super) exchange: Option<Arc<Exchange>>,
    /// The worker keeps memory for its session as long as this is open.
    _passed: Option<UnixStream>,
}

/// Makes an exchange with a worker that far away.
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

/// A session has found its worker: counts how its pictures go.
pub(super) fn count(reach: &Locality, exchange: bool) {
    telemetry::link(match (reach, exchange) {
        (Locality::Process, true) => "process",
        (Locality::Host(_), true) => "memory",
        _ => "messages",
    });
}
