//! Hop 4 of 10: the frame that waits, to the worker.
//! In:    the session's `FrameQueue`; for a generator nothing, its items are asked for.
//! Out:   the gRPC stream, one `Frame` or `Pull` per credit; and `Inputs` whenever the client sets
//!        some.
//! Runs:  the link actor decides; serialising runs on the media runtime.
//! Full:  no credit, no send: the frame stays in the queue, where a newer one may replace it until
//!        the last moment. Inputs wait as one set, the newest.
//! Clock: monotonic, for metrics only.

use std::sync::Arc;
use std::time::Duration;

use reframe_proto::exchange::Exchange;
use reframe_proto::v1::ToWorker;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::Span;

use super::{CreditWindow, convert};
use crate::codec::{Picture, Rotation};
use crate::media::frame::{Frame, FrameQueue};
use crate::stream::inputs::Values;
use crate::stream::status::Status;
use crate::telemetry::Stage;
use crate::telemetry::ledger::{Hop, Ticket};

/// Sends until no frame waits. Cancel safe: a frame is either still in the queue or recorded as
/// outstanding.
pub(super) async fn drain(
    waiting: &FrameQueue,
    outbound: &mpsc::Sender<ToWorker>,
    exchange: Option<&Exchange>,
    window: &CreditWindow,
) {
    loop {
        // Never closed: the semaphore lives as long as the link.
        let Ok(credit) = window.credit().await else { return };
        // The newest frame at this instant, after the credit came: this keeps latency low with a
        // slow handler.
        let Some(mut frame) = waiting.pop() else { return };
        credit.forget();
        let now = Instant::now();
        frame.ticket.stage(Stage::Queue, frame.since, now);
        frame.ticket.enter(Hop::Link);
        frame.since = now;
        let message = convert::frame(&mut frame, exchange);
        window.depart(frame);
        if outbound.send(message).await.is_err() {
            // The stream is gone; `recv` reports it to the session and counts the outstanding
            // frames.
            return;
        }
    }
}

/// Asks a generator for an item whenever there is credit, once the browser is connected.
pub(super) async fn pull(
    outbound: mpsc::Sender<ToWorker>,
    window: Arc<CreditWindow>,
    status: Arc<Status>,
) {
    status.connected().await;
    for seq in 0.. {
        // As above.
        let Ok(credit) = window.credit().await else { return };
        credit.forget();
        // The stream is checked first: without it no item can be requested.
        let Ok(room) = outbound.reserve().await else { return };
        let now = Instant::now();
        let mut ticket = Ticket::open(now);
        ticket.enter(Hop::Link);
        ticket.trace(&Span::current(), seq);
        let message = convert::pull(seq, ticket.traceparent());
        let picture = Picture { width: 0, height: 0, data: bytes::Bytes::new() };
        window.depart(Frame {
            seq,
            captured: Duration::ZERO,
            stamp: None,
            rotation: Rotation::Upright,
            picture,
            ticket,
            since: now,
        });
        room.send(message);
    }
}

/// Forwards the client's inputs. A newer set replaces one that waits for room.
pub(super) async fn inputs(mut values: watch::Receiver<Values>, outbound: mpsc::Sender<ToWorker>) {
    while values.changed().await.is_ok() {
        let Ok(room) = outbound.reserve().await else { return };
        room.send(convert::inputs(&values.borrow_and_update()));
    }
}
