//! REMB (draft-alvestrand-rmcat-remb-03), for clients without feedback on each packet: theirs caps
//! what we send, ours tells them what comes well.

use std::time::{Duration, Instant};

use rtc::interceptor::{Packet, TaggedPacket};
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use tokio::sync::watch;

use super::pass_through::PacketFilter;
use crate::media::limits::BitrateLimits;
use crate::pipeline::bandwidth::loss::LossBased;

/// Between two of ours, and the time over which loss is counted.
const INTERVAL: Duration = Duration::from_secs(1);
/// Sequence numbers that may be missing between two packets of one stream; a larger step is a new
/// beginning.
const MAX_STEP: u16 = 3_000;

/// Stands above the recorders of arrivals; takes no packet away.
pub(crate) struct Remb {
    available_kbps: watch::Sender<u32>,
    estimator: LossBased,
    arrivals: Arrivals,
    /// None until video comes.
    due: Option<Instant>,
}

/// What came in one interval.
#[derive(Debug, Default)]
struct Arrivals {
    ssrc: u32,
    newest: Option<u16>,
    bytes: usize,
    came: u32,
    expected: u32,
}

impl Remb {
    pub(crate) fn new(limits: BitrateLimits, available_kbps: watch::Sender<u32>) -> Self {
        let estimator = LossBased::new(limits);
        Self { available_kbps, estimator, arrivals: Arrivals::default(), due: None }
    }

    fn report(&mut self) -> ReceiverEstimatedMaximumBitrate {
        let (kbps, lost) = self.arrivals.take();
        let bitrate = self.estimator.update(kbps, lost) * 1_000.0;
        #[expect(clippy::cast_possible_truncation, reason = "REMB has 18 bits of precision")]
        let bitrate = bitrate as f32;
        let ssrcs = vec![self.arrivals.ssrc];
        ReceiverEstimatedMaximumBitrate { sender_ssrc: 0, bitrate, ssrcs }
    }
}

impl Arrivals {
    fn note(&mut self, ssrc: u32, sequence: u16, bytes: usize) {
        if self.ssrc != ssrc {
            (self.ssrc, self.newest) = (ssrc, None);
        }
        let step = self.newest.map_or(1, |newest| sequence.wrapping_sub(newest));
        self.bytes += bytes;
        self.came += 1;
        // Late, or sent again: it was expected before.
        if step < u16::MAX / 2 {
            self.newest = Some(sequence);
            self.expected += u32::from(if step > MAX_STEP { 1 } else { step });
        }
    }

    /// The interval's kbit/s and its loss, 0 to 1; starts the next.
    fn take(&mut self) -> (f64, f64) {
        let lost = 1.0 - f64::from(self.came.min(self.expected)) / f64::from(self.expected.max(1));
        let kbps = self.bytes as f64 * 8.0 / 1_000.0 / INTERVAL.as_secs_f64();
        let lost = if self.expected == 0 { 0.0 } else { lost };
        (self.bytes, self.came, self.expected) = (0, 0, 0);
        (kbps, lost)
    }
}

impl PacketFilter for Remb {
    fn on_read(&mut self, msg: &mut TaggedPacket) -> bool {
        match &msg.message.packet {
            Packet::Rtp(packet) => {
                self.due.get_or_insert(msg.now + INTERVAL);
                self.arrivals.note(
                    packet.header.ssrc,
                    packet.header.sequence_number,
                    packet.payload.len(),
                );
            }
            Packet::Rtcp(packets) => {
                let remb = |packet: &dyn rtcp::Packet| {
                    packet
                        .as_any()
                        .downcast_ref::<ReceiverEstimatedMaximumBitrate>()
                        .map(|remb| remb.bitrate)
                };
                if let Some(bitrate) = packets.iter().rev().find_map(|packet| remb(&**packet)) {
                    // Whatever it says: who obeys keeps to the limits.
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "saturates"
                    )]
                    self.available_kbps.send_replace((f64::from(bitrate) / 1_000.0) as u32);
                }
            }
            _ => {}
        }
        true
    }

    fn timeout(&self) -> Option<Instant> {
        self.due
    }

    fn on_timeout(&mut self, now: Instant) -> Vec<Box<dyn rtcp::Packet>> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        self.due = Some(now + INTERVAL);
        vec![Box::new(self.report())]
    }
}

#[cfg(test)]
#[path = "remb_tests.rs"]
mod tests;
