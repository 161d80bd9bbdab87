//! Opens a session at a worker, and waits until its handler is ready for the first frame.

use std::sync::Arc;

use actix::Recipient;
use prost::Message;
use reframe_proto::MAX_OPEN_BYTES;
use reframe_proto::exchange::Exchange;
use reframe_proto::v1::{FromWorker, ToWorker};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tracing::{Span, debug};

use super::convert::{self, Incoming};
use super::{exchange, recv};
use crate::media::event::{EndReason, SessionEvent};
use crate::media::session_id::SessionId;
use crate::stream::inputs::{self, Values};
use crate::stream::session_inputs::SessionInputs;
use crate::workers::placement::Slot;
use crate::workers::pool::WorkerHandle;

/// Messages between the link and the gRPC stream. Credits already bound the frames. Inputs wait
/// until there is room, and a newer set replaces them.
const OUTBOUND: usize = 4;

/// A worker whose handler has started for this session and has not seen a frame yet. Dropping it
/// closes the stream.
pub(crate) struct Dialed {
    pub(crate) worker: WorkerHandle,
    pub(super) slot: Slot,
    pub(super) credits: usize,
    /// The exchange for pictures, if the worker is on this host.
    pub(super) exchange: Option<Arc<Exchange>>,
    pub(super) outbound: mpsc::Sender<ToWorker>,
    pub(super) stream: Streaming<FromWorker>,
    /// Inputs that the worker has not been sent yet.
    pub(super) values: watch::Receiver<Values>,
}

/// Why a worker did not take the session.
#[derive(Debug)]
pub(crate) enum DialError {
    /// It is gone, does not answer, or has no room; another worker may.
    Unavailable,
    /// Its handler refused or failed, and would at another worker too.
    Ended(EndReason),
}

/// Opens the stream on `worker`. Notices of the handler meanwhile go to `events`.
///
/// The pings of the connection (`pool`) notice a worker that hangs, so there is no timeout here: a
/// handler may start slowly.
///
/// # Cancel safety
/// When dropped before it is ready, it closes the stream and frees the slot.
pub(crate) async fn dial(
    (worker, slot): (WorkerHandle, Slot),
    session: &SessionId,
    set: &SessionInputs,
    events: &Recipient<SessionEvent>,
) -> Result<Dialed, DialError> {
    let (outbound, messages) = mpsc::channel(OUTBOUND);
    let mut values = set.subscribe();
    let offered = exchange::offer(&worker.reach).await;
    let traceparent = reframe_trace::traceparent(&Span::current());
    let open = |set: &Values| {
        convert::open(session, set, traceparent.clone(), offered.exchange.as_deref())
    };
    // It may declare other inputs than the worker that the session is still at.
    let kept = inputs::kept(&worker.spec.inputs, &values.borrow_and_update());
    let mut first = open(&kept);
    if first.encoded_len() > MAX_OPEN_BYTES {
        // Too large for an `Open`: they follow it.
        first = open(&Values::default());
        values.mark_changed();
    }
    // The channel cannot be full: this is the first message.
    drop(outbound.try_send(first));
    let opened = worker.client.clone().session(ReceiverStream::new(messages)).await;
    let mut stream = opened.map_err(|status| unavailable(&status))?.into_inner();
    loop {
        let message = stream
            .message()
            .await
            .map_err(|status| unavailable(&status))?
            .ok_or(DialError::Unavailable)?;
        match convert::incoming(message, None) {
            Ok(Incoming::Opened { credits, exchange: found }) => {
                let exchange = offered.exchange.filter(|_| found);
                exchange::count(&worker.reach, exchange.is_some());
                return Ok(Dialed { worker, slot, credits, exchange, outbound, stream, values });
            }
            // The session is gone: its end drops this future.
            Ok(Incoming::Notice(notice)) => {
                events.send(SessionEvent::Notice(notice)).await.ok();
            }
            Ok(Incoming::End { message, failed }) => {
                tokio::spawn(recv::close(recv::drain(stream), slot));
                let ended = if failed { EndReason::HandlerFailed } else { EndReason::HandlerEnded };
                return Err(DialError::Ended(ended(message)));
            }
            Ok(Incoming::Result { seq, .. }) => {
                debug!(seq, "the worker answered what it was not asked");
                return Err(DialError::Unavailable);
            }
            Err(error) => {
                debug!(%error, "the worker broke the protocol");
                return Err(DialError::Unavailable);
            }
        }
    }
}

fn unavailable(status: &Status) -> DialError {
    // Another gateway may have taken the last slot, or the worker's own count runs behind ours.
    let full = status.code() == Code::ResourceExhausted;
    debug!(full, code = ?status.code(), message = status.message(), "the worker did not take the \
        session");
    DialError::Unavailable
}
