//! Memory for pictures, taken from gateways of this host before their sessions open
//! (`reframe_proto::exchange::pass`).

use std::io;
use std::time::Duration;

use reframe_proto::exchange::{Exchange, pass};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use crate::server::guard::Places;

/// Connections at once. A gateway has one for each session that it is dialling. Beyond that the
/// oldest is closed: one that says nothing, or a session's that has found its memory long ago; any
/// other's pictures go in messages.
const CONNECTIONS: usize = 256;

/// How long a peer may take to pass memory after it connects. A gateway does so at once.
const PASS_WITHIN: Duration = Duration::from_secs(1);

/// How long a session may take to find its memory: as long as a handler may take to start, and more
/// than any gateway waits. It is only a bound on what one that hangs can hold.
const JOIN_WITHIN: Duration = Duration::from_secs(60);

/// After `accept` has failed: out of descriptors, which others may free.
const RETRY: Duration = Duration::from_millis(100);

/// Serves for ever; within the worker's runtime.
pub(crate) async fn serve(listener: UnixListener) {
    let places = Places::new(CONNECTIONS);
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                let mut place = places.take();
                tokio::spawn(async move {
                    tokio::select! {
                        taken = take(socket) => {
                            if let Err(error) = taken {
                                tracing::debug!(%error, "memory not taken");
                            }
                        }
                        () = place.lost() => tracing::debug!("memory not kept: there are too many"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept memory for pictures; they come in messages \
                                        meanwhile");
                sleep(RETRY).await;
            }
        }
    }
}

/// Holds the memory until the peer that passed it hangs up: its session has joined by then, or
/// never will.
async fn take(mut socket: UnixStream) -> io::Result<()> {
    let passed =
        timeout(PASS_WITHIN, socket.async_io(Interest::READABLE, || pass::receive(&socket)));
    let (token, memory) = passed.await.map_err(|_| io::ErrorKind::TimedOut)??;
    let _held = Exchange::admit(token, memory).map_err(io::Error::other)?;
    socket.write_u8(pass::TAKEN).await?;
    // A byte more, the end or an error: it is over.
    drop(timeout(JOIN_WITHIN, socket.read_u8()).await);
    Ok(())
}
