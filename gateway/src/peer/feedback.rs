//! Which of our packets the browser's feedback (`transport-cc`) speaks of.
//!
//! Feedback is lost as everything else is. The crate's history then takes all packets that it would have told of for
//! lost: of 5 % in each direction it makes 20 % (measured), for which the estimate falls to half. libwebrtc leaves such
//! packets out of its sums, and so do we.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::lock;

/// Packets are reported up to the newest that has arrived: those lost at the end of one feedback come with the next that
/// is not lost itself. Full: the oldest is forgotten.
const FEEDBACKS: usize = 8;

/// Sequence numbers that the newest feedbacks told of: the first of each, and how many.
#[derive(Clone, Default)]
pub(super) struct Covered(Arc<Mutex<VecDeque<(u16, u16)>>>);

impl Covered {
    pub(super) fn note(&self, first: u16, count: u16) {
        let mut feedbacks = lock(&self.0);
        if feedbacks.len() == FEEDBACKS {
            feedbacks.pop_front();
        }
        feedbacks.push_back((first, count));
    }

    pub(super) fn contains(&self, sequence: u16) -> bool {
        lock(&self.0).iter().any(|(first, count)| sequence.wrapping_sub(*first) < *count)
    }
}

/// Notes what feedback covers on its way to the estimator, and takes nothing away.
#[derive(Default)]
pub(super) struct ReadFeedback {
    covered: Covered,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl ReadFeedback {
    pub(super) fn into(covered: Covered) -> Self {
        Self { covered, ..Self::default() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for ReadFeedback {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = std::time::Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Self::Error> {
        if let Packet::Rtcp(packets) = &msg.message.packet {
            for feedback in packets.iter().filter_map(|packet| packet.as_any().downcast_ref::<TransportLayerCc>()) {
                self.covered.note(feedback.base_sequence_number, feedback.packet_status_count);
            }
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
}

impl Interceptor for ReadFeedback {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covered_is_what_the_newest_feedbacks_told_of() {
        let covered = Covered::default();
        covered.note(65_530, 10);
        assert!([65_530, 65_535, 0, 3].into_iter().all(|sequence| covered.contains(sequence)));
        assert!([65_529, 4].into_iter().all(|sequence| !covered.contains(sequence)));
        (0..8).for_each(|n| covered.note(1_000 + n * 10, 10));
        assert!(!covered.contains(0), "forgotten");
        assert!(covered.contains(1_000) && covered.contains(1_079) && !covered.contains(1_080));
    }
}
