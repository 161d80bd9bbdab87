//! Hop 7 of 10: the worker's results in, to the pacer.
//! In:    the gRPC stream.
//! Out:   a `FrameQueue` of results, and a nudge; outputs to their readers.
//! Runs:  the media runtime, one task a session.
//! Full:  a newer result takes the waiting one's place,
//!        `frames_dropped_total{hop="pacer",reason="skipped"}`; a generator's cannot be: credits
//!        bound them.
//! Clock: monotonic, for metrics only.

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::SendError;
use reframe_proto::exchange::Exchange;
use reframe_proto::v1::FromWorker;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::LinkContext;
use super::convert::{self, Incoming, Outcome, Times};
use crate::media::event::{Detached, EndReason, Notice, ResultWaiting, SessionEvent, Severity};
use crate::media::frame::Frame;
use crate::stream::spec::Mode;
use crate::telemetry::ledger::{Hop, Reason};
use crate::telemetry::{self, Stage};
use crate::workers::placement::Slot;
use crate::workers::pool::Health;

/// How long a worker may take to close the stream of an ended session before its handler is
/// reported as stuck.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// How long the last pictures may take to be shown after the handler has closed the stream: more
/// than a generator is ahead, at the lowest rate (1 fps).
const LAST_SHOWN: Duration = Duration::from_secs(10);
/// From a picture's last packet until a browser's jitter buffer has surely shown it. The browser
/// does not report that.
const BROWSER_SHOWS: Duration = Duration::from_millis(250);

/// Why a link has ended.
#[derive(Debug)]
enum Ended {
    /// The session left it, or has ended itself.
    Left,
    /// The worker is lost, or violated the protocol.
    Lost,
    /// The handler ended the session.
    Handler(EndReason),
}

/// The receiving half.
pub(super) struct Receive {
    pub(super) context: LinkContext,
    /// Its name, for metrics.
    pub(super) stream: String,
    pub(super) exchange: Option<Arc<Exchange>>,
    pub(super) health: watch::Receiver<Health>,
    /// The sending task beside the link actor, until `sending` is cancelled.
    pub(super) senders: TaskTracker,
    pub(super) sending: CancellationToken,
    pub(super) stop: CancellationToken,
}

impl Receive {
    /// Serves the stream until it, the link or the session ends, and tells the session why.
    pub(super) async fn run(mut self, mut stream: Streaming<FromWorker>, slot: Slot) {
        let shown = TaskTracker::new();
        let ended = loop {
            let message = tokio::select! {
                biased;
                () = self.stop.cancelled() => break Ended::Left,
                () = draining(&mut self.health) => {
                    self.context.events.send(SessionEvent::Draining).await.ok();
                    continue;
                }
                message = stream.message() => message,
            };
            if let Err(ended) = self.take(message, &shown).await {
                break ended;
            }
        };
        debug!(reason = ?ended, "the worker's stream ended");
        // From here on this link does not touch the credit window, which the next one takes over.
        self.sending.cancel();
        self.senders.wait().await;
        let event = match ended {
            Ended::Lost => {
                warn!(worker = slot.worker(), "lost the worker");
                self.context.window.lose();
                // The slot is free before the client hears of the end and returns.
                drop(slot);
                SessionEvent::Detached(Detached::Lost)
            }
            Ended::Left => {
                tokio::spawn(close(drain(stream), slot));
                SessionEvent::Detached(Detached::Left)
            }
            Ended::Handler(reason) => {
                let slot = Arc::new(slot);
                tokio::spawn(close(drain(stream), Arc::clone(&slot)));
                if let EndReason::HandlerEnded(_) = reason {
                    // If the handler ended the session, its last picture is shown first.
                    shown.close();
                    let last = async {
                        drop(timeout(LAST_SHOWN, shown.wait()).await);
                        sleep(BROWSER_SHOWS).await;
                    };
                    self.stop.run_until_cancelled(last).await;
                }
                // As above, unless the worker is still cleaning up.
                drop(slot);
                SessionEvent::Ended(reason)
            }
        };
        // A session that has ended needs no event.
        self.context.events.send(event).await.ok();
    }

    /// Handles one message; an error ends the link.
    async fn take(
        &self,
        message: Result<Option<FromWorker>, Status>,
        shown: &TaskTracker,
    ) -> Result<(), Ended> {
        let LinkContext { window, outputs: published, .. } = &self.context;
        let message = message.map_err(|status| lost(&status))?.ok_or(Ended::Lost)?;
        match convert::incoming(message, self.exchange.as_deref()) {
            Ok(Incoming::Opened { .. }) => {
                debug!("the worker opened twice");
                return Err(Ended::Lost);
            }
            Ok(Incoming::Result {
                seq, outcome: Outcome::Superseded, times, more_credits, ..
            }) => {
                // A generator is given no frames.
                let has_frames = self.context.mode != Mode::Receive;
                let frame = window.superseded(seq).filter(|_| has_frames);
                let mut frame = frame.ok_or_else(|| unexpected(seq))?;
                telemetry::superseded(&self.stream);
                self.context.times.supersede();
                self.count(&times);
                frame.ticket.enter(Hop::Link);
                frame.ticket.dropped(Reason::Superseded);
                self.credit(more_credits);
            }
            Ok(Incoming::Result { seq, times, outcome, outputs, more_credits }) => {
                telemetry::handler(times.handler);
                self.count(&times);
                let batch = times.batch.filter(|batch| batch.size > 0);
                let batch = batch.map(|batch| (batch.size, batch.wait));
                self.context.times.add(times.handler, times.turn, batch);
                let mut frame = window.arrive().ok_or_else(|| unexpected(seq))?;
                if frame.seq != seq {
                    frame.ticket.dropped(Reason::WorkerLost);
                    return Err(unexpected(seq));
                }
                if !outputs.is_empty() && !published.publish(&outputs) {
                    debug!("outputs that the stream does not declare");
                    return Err(Ended::Lost);
                }
                frame.ticket.watch(shown.token());
                self.finish(frame, outcome).await;
                self.credit(more_credits);
            }
            Ok(Incoming::Notice(notice)) => self.notice(notice).await,
            Ok(Incoming::End { message, failed: true }) => {
                return Err(Ended::Handler(EndReason::HandlerFailed(message)));
            }
            Ok(Incoming::End { message, failed: false }) => {
                return Err(Ended::Handler(EndReason::HandlerEnded(message)));
            }
            Err(error) => {
                debug!(%error, "the worker broke the protocol");
                return Err(Ended::Lost);
            }
        }
        Ok(())
    }

    async fn notice(&self, notice: Notice) {
        // The session has ended: the next message or the stop token ends this task.
        self.context.events.send(SessionEvent::Notice(notice)).await.ok();
    }

    /// One frame is answered: its result goes to the pacer, or the frame ends here.
    async fn finish(&self, mut frame: Frame, outcome: Outcome) {
        let LinkContext { window, results, nudge, mode, latency, .. } = &self.context;
        let now = Instant::now();
        frame.ticket.stage(Stage::Worker, frame.since, now);
        let with_picture = matches!(outcome, Outcome::Picture(_));
        // A generator's next item is requested at the metronome's next tick, so that one that only
        // fails does not spin.
        if *mode == Mode::Receive {
            window.answered(with_picture);
        }
        match outcome {
            Outcome::Picture(picture) => {
                frame.picture = picture;
                // Newest wins, and a generator's pictures have room because of the credits, so a
                // push cannot fail.
                results.push(now, frame).ok();
            }
            Outcome::Consumed => {
                // In other modes it says nothing of whether the browser gets a picture.
                if *mode == Mode::Send {
                    latency.consumed();
                }
                frame.ticket.consumed();
            }
            // Counted where it came in.
            Outcome::Superseded => {}
            Outcome::Error(message) => {
                frame.ticket.enter(Hop::Link);
                frame.ticket.dropped(Reason::HandlerError);
                self.notice(Notice { level: Severity::Error, message }).await;
            }
        }
        if with_picture || *mode == Mode::Receive {
            // Full: a wake-up already waits, and the pacer will find this result or a newer one.
            if let Err(SendError::Full(ResultWaiting)) = nudge.try_send(ResultWaiting) {
                telemetry::mailbox_full("pacer");
            }
        }
    }

    /// A frame's credit comes back, and others with it. A generator's comes with the tick that
    /// shows its picture.
    fn credit(&self, more: usize) {
        let LinkContext { window, mode, .. } = &self.context;
        if *mode != Mode::Receive {
            window.give_back();
            window.give_more(more);
        }
    }

    /// What the frame used at the worker beside its handler's time.
    fn count(&self, times: &Times) {
        if times.turn > Duration::ZERO {
            telemetry::turn_wait(&self.stream, times.turn);
        }
        if let Some(batch) = &times.batch {
            telemetry::batch(&self.stream, batch.size, batch.wait, batch.model, batch.share);
            if batch.failed {
                telemetry::batch_failed(&self.stream);
            }
        }
    }
}

/// Resolves when the worker begins to drain; once each time.
async fn draining(health: &mut watch::Receiver<Health>) {
    loop {
        // Closed: the worker is no longer known, and has no health.
        if health.changed().await.is_err() {
            return std::future::pending().await;
        }
        if *health.borrow_and_update() == Health::Draining {
            return;
        }
    }
}

/// Reads on until the worker has closed the stream.
pub(super) async fn drain(mut stream: Streaming<FromWorker>) {
    while let Ok(Some(_)) = stream.message().await {}
}

/// The session has left, or its handler ended it. The worker's slot is free when it has closed its
/// half of the stream, so ours is held until then: a handler that does not return keeps its thread,
/// and no new session must be sent to wait for it.
pub(super) async fn close(closed: impl Future<Output = ()>, slot: impl Borrow<Slot>) {
    let worker = slot.borrow().worker().to_owned();
    tokio::pin!(closed);
    if timeout(CLOSE_GRACE, &mut closed).await.is_ok() {
        return;
    }
    warn!(worker, "the handler has not returned after its session ended; its slot stays taken");
    telemetry::worker_stuck(&worker, true);
    closed.await;
    info!(worker, "the stuck handler has returned");
    telemetry::worker_stuck(&worker, false);
}

fn lost(status: &Status) -> Ended {
    debug!(code = ?status.code(), message = status.message(), "the worker broke off");
    Ended::Lost
}

fn unexpected(seq: u64) -> Ended {
    debug!(seq, "the worker answered a frame that was not the oldest under way");
    Ended::Lost
}
