//! One picture's way through the encoder: carries out what the core decides.

use std::ops::ControlFlow;

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
    pub(super) out: mpsc::Sender<OutFrame>,
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
        let PacedPicture { picture, pts, ticket, .. } = &release;
        self.encoder.set_fastest(relief > 0);
        let due = Due {
            at: release.leave_at.unwrap_or(release.released),
            new: ticket.is_some(),
            size: (picture.width, picture.height),
        };
        let queue_has_room = self.out.capacity() > 0;
        let request = Request { picture, due, path_kbps, relief, queue_has_room };
        let (attempt, repeat) = match self.core.decide(started, request) {
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
        let packetise = |unit: Encoded| self.packetiser.packetise(&unit.data, unit.keyframe);
        let payloads = encoded.map_or_else(Vec::new, packetise);
        let unit = self.core.encoded(attempt, made, payloads.iter().map(Bytes::len).sum());
        self.send(release, unit, payloads)
    }

    /// Puts a unit into the queue to the browser. One without payloads has nothing to send.
    fn send(&mut self, release: PacedPicture, unit: Unit, payloads: Vec<Bytes>) -> Flow {
        let PacedPicture { picture, pts, leave_at, stamp, ticket, .. } = release;
        if payloads.is_empty() {
            self.core.lost(unit);
            if let Some(ticket) = ticket {
                ticket.dropped(Reason::Codec);
            }
            return ControlFlow::Continue(());
        }
        let shown_before = ticket.is_none();
        #[expect(clippy::cast_possible_truncation, reason = "RTP time is modulo 2^32")]
        let timestamp = self.offset.wrapping_add(pts as u32);
        match self.out.try_send(OutFrame { payloads, timestamp, leave_at, stamp, ticket }) {
            Ok(()) => {
                self.core.sent(unit, picture);
                if shown_before {
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
