//! Hop 7 of 10: the worker's results in, to the pacer.
//! In:    the gRPC stream.   Out: a `FrameQueue` of results, and a nudge; outputs to their readers.
//! Runs:  the media runtime, one task a session.   Full: a newer result takes the waiting one's place,
//!        `frames_dropped_total{hop="pacer",reason="skipped"}`; a generator's cannot be: credits bound them.
//! Clock: monotonic, for metrics only.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reframe_proto::v1::{FromWorker, ToWorker};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Code, Status, Streaming};
use tracing::{debug, info, warn};

use super::convert::{self, Incoming, Outcome};
use super::{Flight, Sinks};
use crate::books::{Hop, Reason};
use crate::controls::Controls;
use crate::frame::Frame;
use crate::pacer::ResultWaiting;
use crate::placement::Slot;
use crate::pool::Client;
use crate::session::{EndReason, Level, Notice, SessionEvent};
use crate::spec::Mode;
use crate::telemetry::{self, Stage};

/// How long a worker may take to close a stream whose session has ended, before its handler is reported as stuck.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// How long the last pictures may take to be shown after the handler has closed the stream: what a generator is ahead,
/// at the lowest rate (1 fps), and more.
const LAST_SHOWN: Duration = Duration::from_secs(10);
/// From a picture's last packet until a browser's jitter buffer has surely shown it. There is no sign of it from there.
const BROWSER_SHOWS: Duration = Duration::from_millis(250);

/// The receiving half.
pub(super) struct Receive {
    pub(super) controls: Arc<Controls>,
    pub(super) flight: Arc<Flight>,
    pub(super) sinks: Sinks,
}

impl Receive {
    /// Serves the stream until it or the session ends, and tells the session why.
    pub(super) async fn run(
        self,
        client: Client,
        messages: mpsc::Receiver<ToWorker>,
        slot: Slot,
        stop: CancellationToken,
    ) {
        let shown = TaskTracker::new();
        let receiving = self.receive(client, messages, &shown);
        tokio::pin!(receiving);
        let (ended, rest) = tokio::select! {
            ended = &mut receiving => ended,
            () = stop.cancelled() => {
                let closed = async {
                    if let (_, Some(rest)) = receiving.await {
                        drain(rest).await;
                    }
                };
                return close(closed, Arc::new(slot)).await;
            }
        };
        info!(reason = ?ended, "the worker's stream ended");
        let slot = Arc::new(slot);
        if let Some(rest) = rest {
            tokio::spawn(close(drain(rest), Arc::clone(&slot)));
        }
        if let EndReason::HandlerEnded(_) = ended {
            // A handler that means to end is watched to its last picture.
            shown.close();
            let last = async {
                drop(timeout(LAST_SHOWN, shown.wait()).await);
                sleep(BROWSER_SHOWS).await;
            };
            stop.run_until_cancelled(last).await;
        }
        // Free, unless the worker still cleans up, before anybody hears of the end and comes again.
        drop(slot);
        // A session that is gone already needs no telling.
        drop(self.sinks.events.send(SessionEvent::Ended(ended)).await);
    }

    /// Why it ended; and what is left of the stream when the worker said so, and then cleans up.
    async fn receive(
        &self,
        mut client: Client,
        messages: mpsc::Receiver<ToWorker>,
        shown: &TaskTracker,
    ) -> (EndReason, Option<Streaming<FromWorker>>) {
        let mut stream = match client.session(ReceiverStream::new(messages)).await {
            Ok(response) => response.into_inner(),
            Err(status) => return (lost(&status), None),
        };
        let mut opened = false;
        let ended = loop {
            if let Err(ended) = self.next(&mut stream, &mut opened, shown).await {
                break ended;
            }
        };
        let rest = matches!(ended, EndReason::HandlerEnded(_) | EndReason::HandlerFailed(_)).then_some(stream);
        (ended, rest)
    }

    /// One message; the error is the end.
    async fn next(
        &self,
        stream: &mut Streaming<FromWorker>,
        opened: &mut bool,
        shown: &TaskTracker,
    ) -> Result<(), EndReason> {
        let message = stream.message().await.map_err(|status| lost(&status))?.ok_or(EndReason::WorkerLost)?;
        match convert::incoming(message) {
            Ok(Incoming::Opened { .. }) if *opened => return Err(EndReason::WorkerLost),
            Ok(Incoming::Opened { credits }) => {
                *opened = true;
                self.flight.credits.add_permits(credits);
            }
            Ok(Incoming::Result { seq, handler, outcome, outputs }) => {
                telemetry::handler(handler);
                let oldest = self.flight.frames().pop_front();
                let mut frame = oldest.filter(|frame| frame.seq == seq).ok_or_else(|| unexpected(seq))?;
                if !outputs.is_empty() && !self.controls.outputs.publish(&outputs) {
                    debug!("outputs that the stream does not declare");
                    return Err(EndReason::WorkerLost);
                }
                frame.ticket.watch(shown.token());
                self.finish(frame, outcome).await;
            }
            Ok(Incoming::Notice(notice)) => self.notice(notice).await,
            Ok(Incoming::End { message, failed: true }) => return Err(EndReason::HandlerFailed(message)),
            Ok(Incoming::End { message, failed: false }) => return Err(EndReason::HandlerEnded(message)),
            Err(error) => {
                debug!(%error, "the worker broke the protocol");
                return Err(EndReason::WorkerLost);
            }
        }
        Ok(())
    }

    async fn notice(&self, notice: Notice) {
        // The session is gone: the next message or the stop token ends this task.
        drop(self.sinks.events.send(SessionEvent::Notice(notice)).await);
    }

    /// One frame is back: on to the pacer, or into the books.
    async fn finish(&self, mut frame: Frame, outcome: Outcome) {
        let now = Instant::now();
        telemetry::stage(Stage::Worker, now.saturating_duration_since(frame.since));
        match outcome {
            Outcome::Picture(picture) => {
                frame.picture = picture;
                // Newest wins, and a generator's pictures have room by credit: a push cannot fail.
                self.sinks.results.push(now, frame).ok();
                // Full: a nudge waits already.
                drop(self.sinks.nudge.try_send(ResultWaiting));
                if self.controls.spec.mode != Mode::Receive {
                    self.flight.credits.add_permits(1);
                }
                return;
            }
            Outcome::Consumed => frame.ticket.consumed(),
            Outcome::Error(message) => {
                frame.ticket.enter(Hop::Link);
                frame.ticket.dropped(Reason::HandlerError);
                self.notice(Notice { level: Level::Error, message }).await;
            }
        }
        // A generator's next item is asked for with the metronome's next tick, so that one that only fails does not spin.
        if self.controls.spec.mode == Mode::Receive {
            self.flight.unshown.fetch_add(1, Ordering::Relaxed);
            drop(self.sinks.nudge.try_send(ResultWaiting));
        } else {
            self.flight.credits.add_permits(1);
        }
    }
}

/// Reads on until the worker has closed the stream.
async fn drain(mut stream: Streaming<FromWorker>) {
    while let Ok(Some(_)) = stream.message().await {}
}

/// The session has ended, or its handler ended it. The worker's slot is free when it has closed its half of the stream,
/// so ours is held until then: a handler that does not return keeps its thread, and no new session may be sent to wait
/// for it.
async fn close(closed: impl Future<Output = ()>, slot: Arc<Slot>) {
    tokio::pin!(closed);
    if timeout(CLOSE_GRACE, &mut closed).await.is_ok() {
        return;
    }
    warn!(worker = slot.worker(), "the handler has not returned after its session ended; its slot stays taken");
    telemetry::worker_stuck(slot.worker(), 1.0);
    closed.await;
    info!(worker = slot.worker(), "the stuck handler has returned");
    telemetry::worker_stuck(slot.worker(), -1.0);
}

fn lost(status: &Status) -> EndReason {
    debug!(code = ?status.code(), message = status.message(), "the worker refused or broke off");
    if status.code() == Code::ResourceExhausted { EndReason::WorkerFull } else { EndReason::WorkerLost }
}

fn unexpected(seq: u64) -> EndReason {
    debug!(seq, "the worker answered a frame that was not the oldest under way");
    EndReason::WorkerLost
}
