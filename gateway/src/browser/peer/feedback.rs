//! Which of our packets the browser's feedback (`transport-cc`) speaks of.
//!
//! Feedback is lost as everything else is. The crate's history then takes all packets that it would
//! have told of for lost (`docs/decisions/0009-bandwidth.md`). libwebrtc leaves such packets out of
//! its sums, and so do we.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use rtc::interceptor::{Packet, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;

/// Packets are reported up to the newest that has arrived: those lost at the end of one feedback
/// come with the next that is not lost itself. Full: the oldest is forgotten.
const FEEDBACKS: usize = 8;

/// Which sequence numbers the newest feedbacks told of.
#[derive(Clone, Default)]
pub(super) struct Covered(Arc<Mutex<Ranges>>);

#[derive(Default)]
struct Ranges {
    /// The first of each, and how many.
    ranges: VecDeque<(u16, u16)>,
    /// The newest feedback's own number, and the sequence number after its last.
    last: Option<(u8, u16)>,
}

impl Covered {
    /// Notes what feedback covers on its way to the estimator.
    pub(super) fn read(&self, msg: &TaggedPacket) {
        if let Packet::Rtcp(packets) = &msg.message.packet {
            for feedback in packets
                .iter()
                .filter_map(|packet| packet.as_any().downcast_ref::<TransportLayerCc>())
            {
                let TransportLayerCc {
                    fb_pkt_count,
                    base_sequence_number,
                    packet_status_count,
                    ..
                } = *feedback;
                self.note(fb_pkt_count, base_sequence_number, packet_status_count);
            }
        }
    }

    /// Feedback number `number` speaks of `count` packets from `first` on. Some clients begin with
    /// the first that has arrived: what is missing before it is lost too, if no feedback was.
    pub(super) fn note(&self, number: u8, first: u16, count: u16) {
        let mut covered = self.0.lock();
        let end = first.wrapping_add(count);
        let follows =
            covered.last.filter(|(last, _)| number == last.wrapping_add(1)).map(|(_, end)| end);
        let first =
            follows.filter(|before| first.wrapping_sub(*before) < u16::MAX / 2).unwrap_or(first);
        covered.last = Some((number, end));
        if covered.ranges.len() == FEEDBACKS {
            covered.ranges.pop_front();
        }
        covered.ranges.push_back((first, end.wrapping_sub(first)));
    }

    pub(super) fn contains(&self, sequence: u16) -> bool {
        self.0.lock().ranges.iter().any(|(first, count)| sequence.wrapping_sub(*first) < *count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covered_is_what_the_newest_feedbacks_told_of() {
        let covered = Covered::default();
        covered.note(255, 65_530, 10);
        assert!([65_530, 65_535, 0, 3].into_iter().all(|sequence| covered.contains(sequence)));
        assert!([65_529, 4].into_iter().all(|sequence| !covered.contains(sequence)));
        (1..9).for_each(|n| covered.note(n * 2, 1_000 + u16::from(n) * 10, 10));
        assert!(!covered.contains(0), "forgotten");
        assert!(covered.contains(1_010) && covered.contains(1_089) && !covered.contains(1_090));
    }

    #[test]
    fn a_gap_between_feedbacks_is_covered_when_none_is_missing() {
        let covered = Covered::default();
        covered.note(255, 65_500, 10);
        covered.note(0, 20, 10);
        assert!(
            [65_500, 65_510, 65_535, 19, 29].into_iter().all(|sequence| covered.contains(sequence))
        );
        covered.note(2, 60, 10);
        assert!(!covered.contains(59) && covered.contains(60), "number 1 was lost");
        // Of what came late, a part that was told of before.
        covered.note(3, 65, 10);
        assert!(covered.contains(74) && !covered.contains(75));
    }
}
