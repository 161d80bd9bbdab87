//! One unit's way through the decoder.

use tokio::time::Instant;
use tracing::{Span, debug};

use super::Ingress;
use super::clock::CaptureClock;
use crate::codec::CodecError;
use crate::media::frame::Frame;
use crate::pipeline::assembler::AccessUnit;
use crate::telemetry::Stage;
use crate::telemetry::ledger::Reason;

/// `None` is a frame that is not shown.
pub(super) type Decoded = Result<Option<Frame>, NeedsKeyframe>;

/// The decoder lost its references.
pub(super) struct NeedsKeyframe;

impl Ingress {
    /// `None` when the unit shows nothing; its ticket is closed then, as with an error.
    pub(super) fn decode(&mut self, unit: AccessUnit, clock: &mut CaptureClock) -> Decoded {
        let AccessUnit { data, timestamp, marks, mut ticket } = unit;
        let started = Instant::now();
        match self.decoder.decode(&data) {
            Ok(Some(picture)) => {
                self.received.frame();
                let (seq, captured) = clock.next(started, timestamp);
                let stamp = marks.captured;
                if !self.intake.admits(captured, marks) {
                    ticket.dropped(Reason::Rate);
                    return Ok(None);
                }
                let (picture, rotation) = self.intake.make(picture);
                ticket.trace(&Span::current(), seq);
                ticket.stage(Stage::Decode, started, Instant::now());
                let since = started;
                Ok(Some(Frame { seq, captured, stamp, rotation, picture, ticket, since }))
            }
            Ok(None) => {
                ticket.dropped(Reason::Codec);
                Ok(None)
            }
            Err(error) => {
                debug!(%error, bytes = data.len(), "undecodable frame");
                self.received.undecodable(matches!(error, CodecError::Size { .. }));
                ticket.dropped(Reason::Codec);
                Err(NeedsKeyframe)
            }
        }
    }
}
