//! One picture's way through the encoder: carries out what the core decides.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;
use tracing::warn;

use super::PacedPicture;
use super::core::{Attempt, Core, Decision, Made, Request, Unit};
use crate::codec::payload::Packetiser;
use crate::codec::{Encoded, Encoder, Picture, scale};
use crate::media::encoded::OutFrame;
use crate::pipeline::bandwidth::Due;
use crate::pipeline::fanout::{self, Fanout, Kind};
use crate::telemetry::ledger::{Hop, Reason};
use crate::telemetry::{self, Stage};
use crate::threads::schedule::EncoderTurn;

/// Breaks when the peer is gone.
pub(super) type Flow = ControlFlow<()>;

/// The conditions under which one picture is encoded.
pub(super) struct Conditions {
    pub(super) started: Instant,
    /// What the path to the browser carries, kbit/s.
    pub(super) path_kbps: u32,
    /// Rungs by which this thread wants cheaper pictures.
    pub(super) relief: usize,
}

/// Carries out what the core decides.
pub(super) struct Encoding {
    pub(super) core: Core,
    pub(super) encoder: Box<dyn Encoder>,
    pub(super) packetiser: Packetiser,
    pub(super) out: Option<mpsc::Sender<OutFrame>>,
    pub(super) fanout: Arc<Fanout>,
    /// Added to time stamps.
    pub(super) offset: u32,
}

impl Encoding {
    /// Sends a picture or leaves it out. Its ticket goes with it, or is closed.
    pub(super) fn carry_out(
        &mut self,
        release: PacedPicture,
        Conditions { started, path_kbps, relief }: Conditions,
        turn: &EncoderTurn<'_>,
    ) -> Flow {
        let PacedPicture { picture, pts, ticket, new, .. } = &release;
        self.encoder.set_fastest(relief > 0);
        self.encoder.set_temporal_layers(self.fanout.is_watched());
        if self.fanout.takes_keyframe(started) {
            self.core.keyframe_requested();
        }
        let due = Due {
            at: release.leave_at.unwrap_or(release.released),
            new: *new,
            size: (picture.width, picture.height),
        };
        let queue_has_room = self.out.as_ref().is_none_or(|out| out.capacity() > 0);
        let request = Request { picture, due, path_kbps, relief, queue_has_room };
        let decision = self.core.decide(started, request);
        self.note_path(&decision, due.size, relief);
        let (attempt, repeat) = match decision {
            Decision::Encode(attempt) => (attempt, None),
            Decision::Repeat(attempt) => (attempt, self.encoder.repeat(*pts)),
            Decision::Skip(reason) => {
                if let Some(ticket) = release.ticket {
                    ticket.dropped(reason);
                }
                return ControlFlow::Continue(());
            }
        };
        let (made, encoded) = match repeat {
            Some(encoded) => (Made::Repeat, Some(encoded)),
            None => self.encode(picture, *pts, &attempt),
        };
        // A repeat costs nothing: it is not measured.
        if made != Made::Repeat {
            let ended = Instant::now();
            let took = ended.saturating_duration_since(started);
            turn.encoded(took);
            match ticket {
                Some(ticket) => ticket.stage(Stage::Encode, started, ended),
                None => telemetry::stage(Stage::Encode, took),
            }
        }
        let (payloads, kind) = match encoded {
            Some(Encoded { data, keyframe, droppable }) => {
                (self.packetiser.packetise(&data, keyframe), Kind { keyframe, droppable })
            }
            None => (Vec::new(), Kind::default()),
        };
        let bytes = payloads.iter().map(Bytes::len).sum();
        let unit = self.core.encoded(attempt, made, bytes);
        self.send(release, unit, payloads, bytes, kind)
    }

    /// Tells viewers whether the path to the session's own browser makes this encoding worse.
    fn note_path(&self, decision: &Decision, size: (u32, u32), relief: usize) {
        let limited = match decision {
            Decision::Skip(reason) => *reason == Reason::Congested,
            Decision::Encode(attempt) | Decision::Repeat(attempt) => {
                relief == 0 && (attempt.target.width, attempt.target.height) != size
            }
        };
        if limited && self.out.is_some() {
            self.fanout.limited();
        }
    }

    /// Puts a unit into the queues to viewers and to the browser. One without payloads has nothing
    /// to send.
    fn send(
        &mut self,
        release: PacedPicture,
        unit: Unit,
        payloads: Vec<Bytes>,
        bytes: usize,
        kind: Kind,
    ) -> Flow {
        let PacedPicture { picture, pts, leave_at, stamp, new, ticket, .. } = release;
        if payloads.is_empty() {
            self.core.lost(unit);
            if let Some(ticket) = ticket {
                ticket.dropped(Reason::Codec);
            }
            return ControlFlow::Continue(());
        }
        #[expect(clippy::cast_possible_truncation, reason = "RTP time is modulo 2^32")]
        let timestamp = self.offset.wrapping_add(pts as u32);
        let forwarded = fanout::Unit { payloads: &payloads, bytes, kind, timestamp, leave_at };
        self.fanout.forward(Instant::now(), forwarded);
        let Some(out) = &self.out else {
            self.core.sent(unit, picture);
            return ControlFlow::Continue(());
        };
        match out.try_send(OutFrame { payloads, timestamp, leave_at, stamp, ticket }) {
            Ok(()) => {
                self.core.sent(unit, picture);
                if !new {
                    telemetry::frame_repeated();
                }
            }
            Err(TrySendError::Full(frame)) => {
                self.core.lost(unit);
                if let Some(mut ticket) = frame.ticket {
                    ticket.enter(Hop::Peer);
                    ticket.dropped(Reason::Overflow);
                }
            }
            Err(TrySendError::Closed(_)) => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// A failed encoder gives no unit, like one that left the picture out; but it took the picture.
    fn encode(&mut self, picture: &Picture, pts: u64, to: &Attempt) -> (Made, Option<Encoded>) {
        let target = to.target;
        self.encoder.set_bitrate(target.kbps);
        let scaled = scale(picture, target.width, target.height);
        match self.encoder.encode(&scaled, pts, to.keyframe) {
            Ok(Some(unit)) => (Made::Frame, Some(unit)),
            Ok(None) => (Made::Nothing, None),
            Err(error) => {
                warn!(%error, picture.width, picture.height, "frame not encoded");
                (Made::Frame, None)
            }
        }
    }
}
