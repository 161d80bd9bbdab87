//! What was sent and what arrived, in bits a second, over the last half second. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use super::burst::PacketResult;

/// Several pictures, at any frame rate that is sent.
const WINDOW: Duration = Duration::from_millis(500);
/// Packets that are kept: half a second of 20 Mbit/s. When full, the oldest is dropped.
const PACKETS: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    /// When each packet arrived, by the receiver's clock, and its bits.
    received: VecDeque<(Duration, f64)>,
    /// When each was sent, by our clock, and its bits.
    sent: VecDeque<(Duration, f64)>,
}

impl Rates {
    /// Takes a report; gives what arrived and what was sent, once half a second is known.
    pub(crate) fn update(&mut self, packets: &[PacketResult]) -> Option<(f64, f64)> {
        for PacketResult { departure, arrival, bytes } in packets {
            let bits = *bytes as f64 * 8.0;
            note(&mut self.sent, *departure, bits);
            if let Some(arrival) = arrival {
                note(&mut self.received, *arrival, bits);
            }
        }
        Some((rate(&mut self.received)?, rate(&mut self.sent)?))
    }
}

fn note(packets: &mut VecDeque<(Duration, f64)>, at: Duration, bits: f64) {
    // A clock that was set back.
    if packets.back().is_some_and(|(newest, _)| at + WINDOW < *newest) {
        packets.clear();
    }
    if packets.len() == PACKETS {
        packets.pop_front();
    }
    packets.push_back((at, bits));
}

/// Drops what is older than the window.
fn rate(packets: &mut VecDeque<(Duration, f64)>) -> Option<f64> {
    let (newest, _) = *packets.back()?;
    let begin = newest.checked_sub(WINDOW)?;
    let mut known = false;
    while packets.front().is_some_and(|(at, _)| *at <= begin) {
        packets.pop_front();
        known = true;
    }
    let bits: f64 = packets.iter().map(|(_, bits)| bits).sum();
    // Without an older packet, the window is not known to its beginning.
    let long_enough = known || packets.front().is_some_and(|(at, _)| *at <= begin + WINDOW / 5);
    long_enough.then(|| bits / WINDOW.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_arrives_is_what_the_path_carries_and_what_is_sent_is_more() {
        let mut rates = Rates::default();
        // 1 250 bytes each 5 ms are 2 Mbit/s; each 10 ms they are one.
        let packet = |n: u32| PacketResult {
            departure: MS * 5 * n,
            arrival: Some(MS * 9_000 + MS * 10 * n),
            bytes: 1_250,
        };
        let packets: Vec<_> = (0..400).map(packet).collect();
        assert_eq!(rates.update(&packets[..20]), None, "a tenth of a second");
        let (received, sent) = rates.update(&packets[20..]).unwrap();
        assert!((0.98..1.02).contains(&(received / 1e6)), "{received}");
        assert!((1.97..2.03).contains(&(sent / 1e6)), "{sent}");
    }
}
