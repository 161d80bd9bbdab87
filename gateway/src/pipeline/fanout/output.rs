//! One viewer's end of an encoding.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Unit;
use super::core::{Core, Decision, Quality, Skipped};
use crate::codec::Codec;
use crate::codec::payload::renumbered;
use crate::media::encoded::OutFrame;
use crate::telemetry;

/// Its connection holds it, and the encoding that it is shown.
#[derive(Debug)]
pub(crate) struct Output {
    /// To its connection.
    frames: mpsc::Sender<OutFrame>,
    /// What the path to it carries, kbit/s.
    available_kbps: watch::Receiver<u32>,
    core: Mutex<Core>,
    codec: Codec,
    ended: AtomicBool,
}

impl Output {
    /// Of a viewer that joins now.
    pub(crate) fn new(
        frames: mpsc::Sender<OutFrame>,
        available_kbps: watch::Receiver<u32>,
        codec: Codec,
    ) -> Self {
        let core = Mutex::new(Core::new(Instant::now()));
        Self { frames, available_kbps, core, codec, ended: AtomicBool::new(false) }
    }

    /// The viewer has lost its reference: it needs a keyframe.
    pub(crate) fn lost_reference(&self) {
        self.core.lock().lost_reference(Instant::now());
    }

    /// The viewer is gone.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Which quality suits it, where the full one may take `full_kbps`.
    pub(super) fn wanted(&self, now: Instant, full_kbps: u32) -> Quality {
        self.core.lock().wanted(now, *self.available_kbps.borrow(), full_kbps)
    }

    pub(super) fn moved(&self, now: Instant, quality: Quality) {
        self.core.lock().moved(now, quality);
    }

    /// Puts a unit into its queue or leaves it out, and counts it. True: its encoding is to make a
    /// keyframe.
    pub(super) fn forward(&self, now: Instant, unit: Unit<'_>) -> bool {
        let Unit { payloads, bytes, kind, timestamp, leave_at } = unit;
        let mut core = self.core.lock();
        let path_kbps = *self.available_kbps.borrow();
        let has_room = self.frames.capacity() > 0;
        let outcome = match core.decide(now, kind, timestamp, bytes, path_kbps, has_room) {
            Decision::Forward => {
                let renumber = |payload| renumbered(self.codec, payload, core.left_out());
                let payloads = payloads.iter().map(renumber).collect();
                let frame = OutFrame { payloads, timestamp, leave_at, stamp: None, ticket: None };
                match self.frames.try_send(frame) {
                    Ok(()) => "forwarded",
                    // There was room, and nobody else sends: its connection is gone.
                    Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                        self.end();
                        "ended"
                    }
                }
            }
            Decision::Skip(Skipped::AwaitsKeyframe) => "awaits_keyframe",
            Decision::Skip(Skipped::Congested) => "congested",
            Decision::Skip(Skipped::Overflow) => "overflow",
        };
        telemetry::viewers::frame(outcome);
        core.asks(now)
    }
}
