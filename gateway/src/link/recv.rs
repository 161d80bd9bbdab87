//! Hop 7 of 10: the worker's results in, to the pacer.
//! In:    the gRPC stream.   Out: a `FrameQueue` of results, and a nudge.
//! Runs:  the media runtime, one task a session.   Full: a newer result takes the waiting one's place,
//!        `frames_dropped_total{hop="pacer",reason="skipped"}`.
//! Clock: monotonic, for metrics only.

use std::sync::Arc;
use std::time::Duration;

use reframe_proto::v1::ToWorker;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::{debug, info};

use super::convert::{self, Incoming, Outcome};
use super::{Flight, Sinks};
use crate::books::{Hop, Reason};
use crate::frame::Frame;
use crate::pacer::ResultWaiting;
use crate::placement::Slot;
use crate::pool::Client;
use crate::session::{EndReason, SessionEvent};
use crate::telemetry::{self, Stage};

/// How long a worker may take to close a stream whose session has ended: a frame's work, but not a stuck handler's.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// Serves the stream until it or the session ends, and tells the session why.
pub(super) async fn run(
    client: Client,
    messages: mpsc::Receiver<ToWorker>,
    flight: Arc<Flight>,
    sinks: Sinks,
    slot: Slot,
    stop: CancellationToken,
) {
    let receiving = receive(client, messages, &flight, &sinks);
    tokio::pin!(receiving);
    let ended = tokio::select! {
        ended = &mut receiving => ended,
        () = stop.cancelled() => {
            // The link has closed its half. The worker's slot is free when it closes the other, so ours is held until then.
            tokio::time::timeout(CLOSE_GRACE, receiving).await.ok();
            return;
        }
    };
    drop(slot);
    info!(reason = ?ended, "the worker's stream ended");
    // A session that is gone already needs no telling.
    drop(sinks.events.send(SessionEvent::Ended(ended)).await);
}

async fn receive(mut client: Client, messages: mpsc::Receiver<ToWorker>, flight: &Flight, sinks: &Sinks) -> EndReason {
    let mut stream = match client.session(ReceiverStream::new(messages)).await {
        Ok(response) => response.into_inner(),
        Err(status) => return lost(&status),
    };
    let mut opened = false;
    loop {
        let message = match stream.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return EndReason::WorkerLost,
            Err(status) => return lost(&status),
        };
        match convert::incoming(message) {
            Ok(Incoming::Opened { .. }) if opened => return EndReason::WorkerLost,
            Ok(Incoming::Opened { credits }) => {
                opened = true;
                flight.credits.add_permits(credits);
            }
            Ok(Incoming::Result { seq, handler, outcome }) => {
                telemetry::handler(handler);
                let Some(frame) = flight.frames().pop_front() else { return unexpected(seq) };
                if frame.seq != seq {
                    return unexpected(seq);
                }
                finish(frame, outcome, sinks).await;
                flight.credits.add_permits(1);
            }
            Ok(Incoming::Notice(notice)) => {
                // The session is gone: the next message or the stop token ends this task.
                drop(sinks.events.send(SessionEvent::Notice(notice)).await);
            }
            Ok(Incoming::End { message, failed }) => {
                return if failed { EndReason::HandlerFailed(message) } else { EndReason::HandlerEnded(message) };
            }
            Err(error) => {
                debug!(%error, "the worker broke the protocol");
                return EndReason::WorkerLost;
            }
        }
    }
}

/// One frame is back: on to the pacer, or into the books.
async fn finish(mut frame: Frame, outcome: Outcome, sinks: &Sinks) {
    let now = Instant::now();
    telemetry::stage(Stage::Worker, now.saturating_duration_since(frame.since));
    match outcome {
        Outcome::Picture(picture) => {
            frame.picture = picture;
            // Newest wins: a push cannot fail.
            sinks.results.push(now, frame).ok();
            // Full: a nudge waits already.
            drop(sinks.nudge.try_send(ResultWaiting));
        }
        Outcome::Error(message) => {
            frame.ticket.enter(Hop::Link);
            frame.ticket.dropped(Reason::HandlerError);
            drop(sinks.events.send(SessionEvent::HandlerError(message)).await);
        }
    }
}

fn lost(status: &Status) -> EndReason {
    debug!(code = ?status.code(), message = status.message(), "the worker refused or broke off");
    if status.code() == Code::ResourceExhausted { EndReason::WorkerFull } else { EndReason::WorkerLost }
}

fn unexpected(seq: u64) -> EndReason {
    debug!(seq, "the worker answered a frame that was not the oldest under way");
    EndReason::WorkerLost
}
