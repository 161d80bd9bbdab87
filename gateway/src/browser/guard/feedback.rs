//! Feedback on our packets (`transport-cc`), of which forty bytes may tell of 65 535: the stack
//! makes a list of all of them and looks each one up, for each of the packets of one datagram.

use rtc::interceptor::{Packet, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, TransportLayerCc};

use super::Refusal;
use crate::telemetry;

/// Packets that one datagram may tell of. Browsers tell of what came since the last time, 50 to 250
/// ms; this is seven seconds of the fastest stream.
const MAX_REPORTED: usize = 2_048;

/// To be asked before anybody reads it. False: nothing is left of it.
pub(crate) fn bound_feedback(msg: &mut TaggedPacket) -> bool {
    let Packet::Rtcp(packets) = &mut msg.message.packet else { return true };
    let (mut left, before) = (MAX_REPORTED, packets.len());
    packets.retain(|packet| {
        let Some(feedback) = packet.as_any().downcast_ref::<TransportLayerCc>() else {
            return true;
        };
        let reported = reported_packets(feedback);
        let passes = reported <= left;
        left = left.saturating_sub(reported);
        passes
    });
    let refused = before - packets.len();
    if refused > 0 {
        telemetry::packets_dropped(Refusal::Feedback.label(), refused as u64);
    }
    !packets.is_empty()
}

/// By what the stack counts, which is not the number that the packet says.
fn reported_packets(feedback: &TransportLayerCc) -> usize {
    let chunk = |chunk: &PacketStatusChunk| match chunk {
        PacketStatusChunk::RunLengthChunk(run) => usize::from(run.run_length),
        PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.len(),
    };
    feedback.packet_chunks.iter().map(chunk).sum()
}

#[cfg(test)]
mod tests {
    use rtc::interceptor::AttributedPacket;
    use rtc::shared::TransportContext;

    use super::*;

    /// Feedback as it comes: `runs` times 8 191 packets that are lost.
    fn feedback(runs: u16) -> Vec<u8> {
        // The stack wants some bytes behind the last run.
        let words = 5 + runs.div_ceil(2);
        let mut packet =
            [&[0x8f, 205][..], &words.to_be_bytes(), &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0]].concat();
        packet.extend((runs * 8_191).to_be_bytes());
        packet.extend([0; 4]);
        packet.extend([0x1f, 0xff].repeat(usize::from(runs)));
        packet.resize(4 + 4 * usize::from(words), 0);
        packet
    }

    fn passes(mut datagram: &[u8]) -> (bool, usize) {
        let packets = rtc::rtcp::packet::unmarshal(&mut datagram).unwrap();
        let now = tokio::time::Instant::now().into_std();
        let message = AttributedPacket::new(Packet::Rtcp(packets));
        let mut msg = TaggedPacket { now, transport: TransportContext::default(), message };
        let passes = bound_feedback(&mut msg);
        let Packet::Rtcp(packets) = msg.message.packet else { panic!("another kind") };
        (passes, packets.len())
    }

    #[test]
    fn a_datagram_tells_of_few_packets() {
        let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
        assert_eq!(passes(&feedback(8)), (false, 0), "65 528 in 40 bytes");
        assert_eq!(passes(&[&report[..], &feedback(1)].concat()), (true, 1), "the rest is read");
        // Two small ones: a run of 20 each.
        let small = [0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 20, 0, 0, 0, 0, 0, 20, 0, 0];
        assert_eq!(passes(&[&small[..], &small].concat()), (true, 2));
        assert_eq!(
            passes(&[&small[..], &feedback(2), &small].concat()),
            (true, 1),
            "none after what was too much"
        );
    }
}
