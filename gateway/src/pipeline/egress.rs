//! Hop 9 of 10: released frames in, encoded and packetised frames out. `core` decides what becomes
//! of each.
//! In:    [`PacedQueue`], one waiting (of a generator, three: they are early).
//! Out:   `peer`'s queue of `OutFrame`s, and those of viewers (`fanout`).
//! Runs:  the session's codec arbiter; nothing but codecs runs there, and decoders come first
//!        (`schedule`).
//! Full:  a newer release takes the waiting one's place,
//!        `frames_dropped_total{hop="egress",reason="skipped"}`; if the network carries too little,
//!        some are left out (`reason="congested"`) and all made smaller, and likewise if there is
//!        too little time (`reason="busy"`, `relief`): the encoder only ever sees what can be sent.
//! Clock: 90 kHz ticks from the pacer; a random offset is added here (RFC 3550, section 5.1).

mod core;
mod encoding;
mod releases;

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::core::Core;
use self::encoding::{Conditions, Encoding};
pub(crate) use self::releases::{PacedPicture, PacedQueue};
use crate::codec::Encoder;
use crate::codec::payload::Packetiser;
use crate::media::encoded::OutFrame;
use crate::pipeline::bandwidth::Throttle;
use crate::pipeline::fanout::Fanout;
use crate::threads::schedule::CodecSchedule;

/// One encoding of a session's pictures: that of its own browser, or one for viewers alone.
pub(crate) struct Egress {
    pub(crate) releases: Arc<PacedQueue>,
    pub(crate) encoder: Box<dyn Encoder>,
    /// Of the thread that this runs on.
    pub(crate) schedule: Arc<CodecSchedule>,
    pub(crate) throttle: Throttle,
    /// What the path to the browser carries, kbit/s.
    pub(crate) available_kbps: watch::Receiver<u32>,
    pub(crate) packetiser: Packetiser,
    /// To the session's own browser; `None` where viewers alone watch.
    pub(crate) out: Option<mpsc::Sender<OutFrame>>,
    /// To its viewers.
    pub(crate) fanout: Arc<Fanout>,
    /// Added to time stamps. The same for all encodings of a session, so that a viewer can change
    /// from one to another.
    pub(crate) offset: u32,
    /// Notified when the browser lost its reference.
    pub(crate) keyframe_due: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

impl Egress {
    /// Runs until stopped.
    pub(crate) async fn run(self) {
        let Self { releases, schedule, available_kbps, keyframe_due, stop, .. } = self;
        let Self { encoder, throttle, packetiser, out, fanout, offset, .. } = self;
        let core = Core::new(throttle);
        let mut encoding = Encoding { core, encoder, packetiser, out, fanout, offset };
        loop {
            tokio::select! {
                () = releases.changed.notified() => {}
                () = keyframe_due.notified() => { encoding.core.keyframe_requested(); continue }
                () = stop.cancelled() => return,
            }
            let turn = schedule.encode().await;
            let left_out = releases.take_left_out();
            // Encodings for viewers ask no session for less.
            if encoding.out.is_some() {
                schedule.left_out(left_out);
            }
            // Only now: while this waited for its turn, a newer one may have taken the place.
            let Some(release) = releases.pop() else { continue };
            let started = Instant::now();
            let (path_kbps, relief) = (*available_kbps.borrow(), schedule.relief().rungs);
            let conditions = Conditions { started, path_kbps, relief };
            if encoding.carry_out(release, conditions, &turn).is_break() {
                return;
            }
        }
    }
}

#[cfg(test)]
#[path = "egress_tests.rs"]
mod tests;
