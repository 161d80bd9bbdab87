//! Hop 4 of 10: the frame that waits, to the worker.
//! In:    the session's `FrameQueue`.   Out: the gRPC stream, one `Frame` per credit.
//! Runs:  the link actor decides; serialising runs on the media runtime.   Full: no credit, no send: the frame stays in
//!        the queue, where a newer one may replace it until the last moment.
//! Clock: monotonic, for metrics only.

use reframe_proto::v1::ToWorker;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Flight, convert};
use crate::books::Hop;
use crate::frame::FrameQueue;
use crate::telemetry::{self, Stage};

/// Sends until nothing waits. Cancel safe: a frame is either still in the queue or noted as in flight.
pub(super) async fn drain(waiting: &FrameQueue, outbound: &mpsc::Sender<ToWorker>, flight: &Flight) {
    loop {
        // Closed: never, the semaphore lives as long as the link.
        let Ok(credit) = flight.credits.acquire().await else { return };
        // The newest at this instant, after the credit came: that is what keeps latency flat under a slow handler.
        let Some(mut frame) = waiting.pop() else { return };
        credit.forget();
        let now = Instant::now();
        telemetry::stage(Stage::Queue, now.saturating_duration_since(frame.since));
        frame.ticket.enter(Hop::Link);
        frame.since = now;
        let message = convert::frame(&frame);
        flight.frames().push_back(frame);
        if outbound.send(message).await.is_err() {
            // The stream is gone; `recv` has told the session, and what is in flight is counted when it ends.
            return;
        }
    }
}
