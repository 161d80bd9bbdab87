//! The ledger: every frame that comes in ends exactly once.
//!
//! A [`Ticket`] is made when the first packet of a frame arrives, or when a generator is asked for
//! its next item, and travels with it through the hops. It ends by [`Ticket::emitted`], by
//! [`Ticket::consumed`], by [`Ticket::dropped`], or by being dropped, which counts as
//! `reason="ended"`: the frame was under way when its session ended. So `received = emitted +
//! consumed + sum(dropped)` holds by construction once no session runs.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Span;

use crate::telemetry::trace::FrameSpan;
use crate::telemetry::{self, Stage};

/// Where a frame was lost: the values of the label `hop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    /// RTP to decoded picture.
    Ingress,
    /// Waiting for the worker.
    Session,
    /// At the worker.
    Link,
    /// Waiting for its release.
    Pacer,
    /// Waiting for, or in, the encoder.
    Egress,
    /// Waiting for the socket.
    Peer,
}

/// Why a frame was lost: the values of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Packets were missing for too long, or came after their frame was given up.
    Incomplete,
    /// Whole, but a reference it needs was lost: waiting for a keyframe.
    NoKeyframe,
    /// The decoder or encoder refused it.
    Codec,
    /// A newer frame took its place while the handler, or the encoder, was busy.
    Skipped,
    /// A bounded queue was full.
    Overflow,
    /// The handler returned an error for it.
    HandlerError,
    /// It waited at the worker for a model to begin, and a newer frame took its place.
    Superseded,
    /// It was at a worker that went away.
    WorkerLost,
    /// More than `--max-fps` in a second.
    Rate,
    /// The network carries fewer.
    Congested,
    /// There is no time to encode more.
    Busy,
    /// Its session ended first.
    Ended,
}

impl Hop {
    /// The label's value.
    #[must_use]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Session => "session",
            Self::Link => "link",
            Self::Pacer => "pacer",
            Self::Egress => "egress",
            Self::Peer => "peer",
        }
    }
}

impl Reason {
    /// The label's value.
    #[must_use]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::NoKeyframe => "no_keyframe",
            Self::Codec => "codec",
            Self::Skipped => "skipped",
            Self::Rate => "rate",
            Self::Overflow => "overflow",
            Self::HandlerError => "handler_error",
            Self::Superseded => "superseded",
            Self::WorkerLost => "worker_lost",
            Self::Congested => "congested",
            Self::Busy => "busy",
            Self::Ended => "ended",
        }
    }
}

/// One frame's entry in the ledger.
#[derive(Debug)]
pub(crate) struct Ticket {
    hop: Hop,
    arrived: Instant,
    open: bool,
    /// `Some` for the few frames that are traced.
    span: Option<Box<FrameSpan>>,
    /// Releases the task that waits until this frame is sent or lost.
    _watched: Option<TaskTrackerToken>,
}

impl Ticket {
    /// Opens the entry of a frame whose first packet has just arrived.
    #[must_use]
    pub(crate) fn open(now: Instant) -> Self {
        telemetry::frame_received();
        Self { hop: Hop::Ingress, arrived: now, open: true, span: None, _watched: None }
    }

    /// Traces the frame as a part of its session, if it is sampled. Called once it is whole and has
    /// its number.
    pub(crate) fn trace(&mut self, session: &Span, seq: u64) {
        self.span = FrameSpan::sample(session, seq, self.arrived);
    }

    /// The trace context for the worker; empty if the frame is not traced.
    pub(crate) fn traceparent(&self) -> String {
        self.span.as_ref().map(|span| span.traceparent()).unwrap_or_default()
    }

    /// Records a part of the frame's way that is over.
    pub(crate) fn stage(&self, stage: Stage, began: Instant, ended: Instant) {
        telemetry::stage(stage, ended.saturating_duration_since(began));
        if let Some(span) = &self.span {
            span.stage(stage.label(), began, ended);
        }
    }

    /// Holds `token` until the frame has ended, however it does.
    pub(crate) fn watch(&mut self, token: TaskTrackerToken) {
        self._watched = Some(token);
    }

    /// The frame goes on to `hop`, where it is counted if it is lost from now on.
    pub(crate) fn enter(&mut self, hop: Hop) {
        self.hop = hop;
    }

    /// Restarts the clock of [`Self::emitted`]: the frame's last packet has arrived.
    pub(crate) fn complete(&mut self, now: Instant) {
        self.arrived = now;
    }

    /// The frame's packets were handed to the socket: a good end.
    ///
    /// Returns the time from its last packet in to its last packet out.
    pub(crate) fn emitted(mut self, now: Instant) -> Duration {
        self.open = false;
        let took = now.saturating_duration_since(self.arrived);
        telemetry::frame_emitted();
        self.end_span("emitted", None);
        telemetry::stage(Stage::Total, took);
        took
    }

    /// The handler processed it and returned no picture on purpose: a good end.
    pub(crate) fn consumed(mut self) {
        self.open = false;
        telemetry::frame_consumed();
        self.end_span("consumed", None);
    }

    /// The frame is lost at its current hop.
    pub(crate) fn dropped(mut self, reason: Reason) {
        self.close(reason);
    }

    fn close(&mut self, reason: Reason) {
        self.open = false;
        telemetry::frame_dropped(self.hop, reason);
        self.end_span("dropped", Some((self.hop, reason)));
    }

    fn end_span(&mut self, end: &'static str, lost: Option<(Hop, Reason)>) {
        if let Some(span) = self.span.take() {
            span.end(end, lost.map(|(hop, reason)| (hop.label(), reason.label())));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.open {
            self.close(Reason::Ended);
        }
    }
}
