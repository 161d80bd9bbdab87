//! Hop 2 of 10: RTP packets in, decoded frames out. `core` decides what becomes of each packet.
//! In:    [`PacketQueue`] from `peer`, at most `BACKLOG_PACKETS`.
//! Out:   the session's `FrameQueue`, and a nudge.
//! Runs:  the session's codec arbiter; nothing but codecs runs there, and decoders come first
//!        (`schedule`). A turn decodes all that waits, for at most `TURN`.
//! Full:  the whole backlog is dropped; of one older than `BACKLOG_AGE`, all but the newest
//!        keyframe, because late video is worth nothing. Counted in
//!        `packets_dropped_total{reason="backlog"}`; decoding resumes at a keyframe.
//! Clock: RTP 90 kHz in, capture time since the session's first frame out.

mod clock;
mod core;
mod decoding;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use actix::Recipient;
use actix::prelude::SendError;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use self::clock::CaptureClock;
use self::core::{Core, Decision};
use self::decoding::NeedsKeyframe;
use crate::codec::{Codec, Decoder};
use crate::media::event::{FrameWaiting, SessionEvent};
use crate::media::frame::{Frame, FrameQueue};
use crate::media::packet::Packet;
use crate::media::receive_stats::ReceiveStats;
use crate::pipeline::assembler::AccessUnit;
use crate::pipeline::backlog::PacketQueue;
use crate::pipeline::intake::Intake;
use crate::telemetry;
use crate::threads::schedule::CodecSchedule;

/// One session's decoding half.
pub(crate) struct Ingress {
    pub(crate) packets: Arc<PacketQueue>,
    pub(crate) codec: Codec,
    pub(crate) decoder: Box<dyn Decoder>,
    /// Of the thread that this runs on.
    pub(crate) schedule: Arc<CodecSchedule>,
    pub(crate) frames: Arc<FrameQueue>,
    /// The one handle by which this hop nudges the session; a fresh clone per frame would defeat
    /// the mailbox bound.
    pub(crate) nudge: Recipient<FrameWaiting>,
    pub(crate) events: Recipient<SessionEvent>,
    /// Asks the browser for a keyframe.
    pub(crate) keyframe_wanted: Arc<Notify>,
    pub(crate) stop: CancellationToken,
    pub(crate) intake: Intake,
    /// Where decoded frames are counted.
    pub(crate) received: Arc<ReceiveStats>,
}

impl Ingress {
    /// Runs until stopped.
    pub(crate) async fn run(mut self) {
        let mut core = Core::new(Instant::now(), self.codec);
        let mut clock = CaptureClock::default();
        let mut batch = VecDeque::new();
        while !self.stop.is_cancelled() {
            wait(&self.packets, &self.stop, core.deadline()).await;
            self.take_batch(&mut core, &mut batch);
            if self.decode_batch(&mut core, &mut clock).await.is_break() {
                return;
            }
            // Other sessions wait on this thread too.
            yield_now().await;
            if core.request_keyframe(Instant::now()) {
                self.keyframe_wanted.notify_one();
            }
        }
    }

    /// Moves what waits into the core; `batch` is empty before and after, and keeps its memory.
    fn take_batch(&self, core: &mut Core, batch: &mut VecDeque<Packet>) {
        let (lost, oldest) = self.packets.drain(batch);
        core.begin_batch(lost, oldest);
        let mut refused = 0;
        for packet in batch.drain(..) {
            refused += u64::from(!core.push(Instant::now(), packet));
        }
        if refused > 0 {
            telemetry::packets_dropped("late_or_hostile", refused);
        }
    }

    /// Decodes what the core hands out; breaks when stopped.
    async fn decode_batch(&mut self, core: &mut Core, clock: &mut CaptureClock) -> ControlFlow<()> {
        let schedule = Arc::clone(&self.schedule);
        core.begin_turn(Instant::now());
        loop {
            let decoder_turn = schedule.decode().await;
            // After the wait for the turn, in which the backlog may have become too old.
            let started = Instant::now();
            let Some(unit) = next_unit(core, started, &schedule) else {
                return ControlFlow::Continue(());
            };
            let decoded = self.decode(unit, clock);
            decoder_turn.decoded(started.elapsed());
            // Before anything else is awaited: it keeps all other decoders waiting.
            drop(decoder_turn);
            match decoded {
                Ok(Some(frame)) => self.hand_over(core, frame),
                Ok(None) => continue,
                Err(NeedsKeyframe) => {
                    core.decode_failed();
                    continue;
                }
            }
            if core.turn_is_over(Instant::now()) {
                yield_now().await;
                if self.stop.is_cancelled() {
                    return ControlFlow::Break(());
                }
                core.begin_turn(Instant::now());
            }
        }
    }

    fn hand_over(&self, core: &mut Core, frame: Frame) {
        if self.frames.push(Instant::now(), frame).is_err() && core.frame_refused() {
            // When full, the client misses a warning; the counter still counts the frames.
            drop(self.events.try_send(SessionEvent::FallingBehind));
        }
        // When full, a nudge waits already. It covers whatever the queue holds by then.
        if let Err(SendError::Full(FrameWaiting)) = self.nudge.try_send(FrameWaiting) {
            telemetry::mailbox_full("session");
        }
    }
}

/// The unit to decode now, if any; counts what is dropped before it.
fn next_unit(core: &mut Core, now: Instant, schedule: &CodecSchedule) -> Option<AccessUnit> {
    loop {
        match core.decide(now) {
            Decision::Drop { packets, reason } => {
                let count = packets as u64;
                telemetry::packets_dropped(reason, count);
                schedule.late();
            }
            Decision::Decode(unit) => return Some(unit),
            Decision::Wait => return None,
        }
    }
}

async fn wait(packets: &PacketQueue, stop: &CancellationToken, deadline: Option<Instant>) {
    let changed = async {
        match deadline {
            // Elapsed or changed: either way the assembler is asked again.
            Some(at) => drop(timeout_at(at, packets.changed.notified()).await),
            None => packets.changed.notified().await,
        }
    };
    // The caller checks whether it was stopped.
    stop.run_until_cancelled(changed).await;
}

#[cfg(test)]
#[path = "ingress_tests.rs"]
mod tests;
