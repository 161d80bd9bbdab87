//! REMB (draft-alvestrand-rmcat-remb-03), for clients without feedback on each packet: theirs caps
//! what we send, ours tells them what comes well.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use tokio::sync::watch;

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
    told: LossBased,
    arrivals: Arrivals,
    /// None until video comes.
    due: Option<Instant>,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
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
        let (inbound, outbound) = (VecDeque::new(), VecDeque::new());
        Self {
            available_kbps,
            told: LossBased::new(limits),
            arrivals: Arrivals::default(),
            due: None,
            inbound,
            outbound,
        }
    }

    fn report(&mut self, now: Instant) {
        let (kbps, lost) = self.arrivals.take();
        let bitrate = self.told.update(kbps, lost) * 1_000.0;
        #[expect(clippy::cast_possible_truncation, reason = "REMB has 18 bits of precision")]
        let packet = ReceiverEstimatedMaximumBitrate {
            sender_ssrc: 0,
            bitrate: bitrate as f32,
            ssrcs: vec![self.arrivals.ssrc],
        };
        self.outbound.push_back(TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(Packet::Rtcp(vec![Box::new(packet)])),
        });
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

impl Protocol<TaggedPacket, TaggedPacket, ()> for Remb {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Self::Error> {
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
                let remb = |packet: &dyn rtc::rtcp::Packet| {
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
        self.inbound.push_back(msg);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<Self::Rout> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Self::Error> {
        self.outbound.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<Self::Wout> {
        self.outbound.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Self::Error> {
        if self.due.is_some_and(|due| now >= due) {
            self.report(now);
            self.due = Some(now + INTERVAL);
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.due
    }
}

impl Interceptor for Remb {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

#[cfg(test)]
#[path = "remb_tests.rs"]
mod tests;
