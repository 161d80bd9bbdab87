//! What decides when a frame goes on: the queue between two threads, and the pacer's core.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Frame;
use crate::media::frame::{FrameQueue, Policy};
use crate::pipeline::pacer::{self, Action};
use crate::telemetry::ledger::Hop;

/// A `FrameQueue` in front of the worker.
pub struct Queue(Arc<FrameQueue>);

impl Queue {
    /// With `skip_frames`.
    #[must_use]
    pub fn newest() -> Self {
        Self(FrameQueue::new(Hop::Session, Policy::NewestWins))
    }

    /// Puts a frame in; one that waited is dropped.
    ///
    /// # Panics
    /// Never: there is always room for the newest.
    pub fn push(&self, now: Instant, frame: Frame) {
        self.0.push(now, frame.0).expect("room for the newest");
    }

    /// Takes the frame that waits.
    #[must_use]
    pub fn pop(&self) -> Option<Frame> {
        self.0.pop().map(Frame)
    }
}

/// The core of hop 8 for results that come by themselves.
pub struct Pacer(pacer::Pacer);

impl Pacer {
    /// For `fps` frames a second.
    #[must_use]
    pub fn new(fps: f64) -> Self {
        Self(pacer::Pacer::new(fps))
    }

    /// A result, captured at `captured`, waits at `now`: its time stamp if it is released, as one
    /// that is on time is.
    pub fn result(&mut self, now: Instant, captured: Duration) -> Option<u64> {
        let release = self.0.poll(now, true) == Action::Release;
        release.then(|| self.0.released(now, captured))
    }

    /// No result waits at `now`: the time stamp of a re-emission, if one is due.
    pub fn no_result(&mut self, now: Instant) -> Option<u64> {
        match self.0.poll(now, false) {
            Action::Repeat { pts, .. } => Some(pts),
            Action::Release | Action::Wait(_) => None,
        }
    }
}
