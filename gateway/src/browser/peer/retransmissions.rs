//! Bounds what a client's NACKs (RFC 4585, section 6.2.1) make us send again.
//!
//! The stack's responder sends whatever it is asked for as often as it is asked, a full packet for
//! each bit. This stands between it and the wire: it sees what we send, and strikes from a NACK
//! what is not to be answered.
//!
//! > Sent again is never more than [`SHARE`] of what was sent, and [`BURST_BYTES`].

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rtc::interceptor::{Attribute, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};

use super::interceptors::{SENT_PACKETS, wants_nacks};
use super::pass_through::PacketFilter;
use crate::telemetry;

/// Between two answers for one packet. A repetition within a round trip asks for what is on its
/// way. Browsers keep to the round trip, and on the nearest path to a timer of 20 ms (libwebrtc's
/// `NackRequester`); half of that, because requests bunch up on their way.
const PACE: Duration = Duration::from_millis(10);
/// Answers for one packet: as often as browsers ask.
const MAX_ANSWERS: u8 = 10;
/// One in this many of the bytes that were sent may be sent again. Half repairs a loss of 30 %, at
/// which there is hardly any video left to repair.
const SHARE: usize = 2;
/// Bytes that may be saved up for a burst of losses: half a second of 2 Mbit/s video, beyond which
/// a keyframe is the better repair.
const BURST_BYTES: usize = 128 * 1024;
/// IP, UDP, RTP and SRTP, so that many small packets are not cheaper than they are.
const HEADER_BYTES: usize = 60;

/// Of one stream, what was sent and how much of it may be sent again.
#[derive(Debug)]
struct Budget {
    /// By sequence number modulo its length, as the responder keeps the packets.
    sent: Vec<Option<Sent>>,
    /// Bytes that may be sent again now; [`BURST_BYTES`] at most.
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Sent {
    sequence: u16,
    bytes: usize,
    answers: u8,
    answered: Option<Instant>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { sent: vec![None; usize::from(SENT_PACKETS)], bytes: 0 }
    }
}

impl Budget {
    fn sent(&mut self, sequence: u16, payload: usize) {
        let bytes = payload + HEADER_BYTES;
        self.sent[usize::from(sequence % SENT_PACKETS)] =
            Some(Sent { sequence, bytes, answers: 0, answered: None });
        self.bytes = (self.bytes + bytes / SHARE).min(BURST_BYTES);
    }

    /// Takes an answer out of the budget, or says why there is none.
    fn take(&mut self, now: Instant, sequence: u16) -> Result<(), &'static str> {
        let sent = self.sent[usize::from(sequence % SENT_PACKETS)].as_mut();
        let sent = sent.filter(|sent| sent.sequence == sequence).ok_or("gone")?;
        let early = sent.answered.is_some_and(|at| now < at + PACE);
        if early || sent.answers >= MAX_ANSWERS {
            return Err("repeated");
        }
        self.bytes = self.bytes.checked_sub(sent.bytes).ok_or("budget")?;
        (sent.answers, sent.answered) = (sent.answers + 1, Some(now));
        Ok(())
    }
}

/// See the module. By SSRC.
#[derive(Default)]
pub(super) struct RetransmissionLimiter {
    streams: HashMap<u32, Budget>,
}

impl RetransmissionLimiter {
    /// What is left of a request; `None` when nothing is.
    fn reduce(&mut self, now: Instant, nack: &TransportLayerNack) -> Option<TransportLayerNack> {
        // The responder does not know it either.
        let budget = self.streams.get_mut(&nack.media_ssrc)?;
        let (mut granted, mut refused) = (Vec::new(), BTreeMap::<_, u64>::new());
        for sequence in nack.nacks.iter().copied().flatten() {
            match budget.take(now, sequence) {
                Ok(()) => granted.push(sequence),
                Err(reason) => *refused.entry(reason).or_default() += 1,
            }
        }
        // One packet may ask for thousands.
        refused
            .into_iter()
            .for_each(|(reason, count)| telemetry::retransmissions_refused(reason, count));
        let nacks = nack_pairs_from_sequence_numbers(&granted);
        (!nacks.is_empty()).then_some(TransportLayerNack { nacks, ..*nack })
    }
}

impl PacketFilter for RetransmissionLimiter {
    fn on_read(&mut self, msg: &mut TaggedPacket) -> bool {
        let Packet::Rtcp(packets) = &mut msg.message.packet else { return true };
        packets.retain_mut(|packet| {
            let Some(nack) = packet.as_any().downcast_ref::<TransportLayerNack>() else {
                return true;
            };
            let reduced = self.reduce(msg.now, nack);
            reduced.map(|reduced| *packet = Box::new(reduced)).is_some()
        });
        // An empty compound means something else to the stack.
        !packets.is_empty() || !msg.message.attributes.is_empty()
    }

    fn on_write(&mut self, msg: &TaggedPacket) {
        if let Packet::Rtp(packet) = &msg.message.packet
            && !msg.message.has(&Attribute::Retransmission)
            && let Some(budget) = self.streams.get_mut(&packet.header.ssrc)
        {
            budget.sent(packet.header.sequence_number, packet.payload.len());
        }
    }

    fn bind_local(&mut self, stream: &StreamInfo) {
        if wants_nacks(stream) {
            self.streams.insert(stream.ssrc, Budget::default());
        }
    }

    fn unbind_local(&mut self, stream: &StreamInfo) {
        self.streams.remove(&stream.ssrc);
    }
}

#[cfg(test)]
#[path = "retransmissions_tests.rs"]
mod tests;
