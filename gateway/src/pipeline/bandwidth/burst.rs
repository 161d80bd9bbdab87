//! The most that a path carries, by how far apart the packets of one burst arrive.
//!
//! All packets of a picture leave at once, and the narrowest link passes them on one after the
//! other: their distance at the receiver is that link's bitrate (packet-train dispersion; the
//! probes of libwebrtc's `ProbeBitrateEstimator` measure the same). So most of this needs no extra
//! packets. If a picture is too small to measure by, [`super::padding`] fills it up.
//!
//! The second slowest of the newest five bursts counts; of fewer, the slowest. A burst that waited
//! in a stalled client arrives all at once, one that was torn apart arrives late, and jitter does a
//! little of both. Too low a result costs one more burst, too high a queue.

use std::collections::VecDeque;
use std::time::Duration;

/// Packets further apart when they are sent belong to different bursts: a third of a frame interval
/// at 60 fps.
const GAP: Duration = Duration::from_millis(5);
/// Fewer packets measure nothing. libwebrtc's probes have as many.
pub(super) const MIN_PACKETS: usize = 5;
/// The resolution of TWCC feedback (250 us).
const TICK: Duration = Duration::from_micros(250);
/// The newest bursts, which count.
const BURSTS: usize = 5;
/// Fewer bursts say nothing.
const ENOUGH_BURSTS: usize = 3;
/// An older burst says nothing about the path as it is now.
const NEWEST: Duration = Duration::from_millis(1_500);
/// What IP, UDP and SRTP add to a packet.
const HEADER_BYTES: f64 = 44.0;

/// One packet that the receiver reported on, in the order of sending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketResult {
    /// By our clock, since some moment.
    pub(crate) departure: Duration,
    /// By the receiver's clock, since some moment; `None`: it was lost.
    pub(crate) arrival: Option<Duration>,
    pub(crate) bytes: usize,
}

/// The newest bursts of one path.
#[derive(Debug)]
pub(crate) struct Bursts {
    /// Bits a second above which a higher rate makes no difference.
    enough: f64,
    /// The burst of which more may be reported.
    open: Option<Burst>,
    /// When each was sent, and its bits a second.
    rates: VecDeque<(Duration, f64)>,
}

#[derive(Debug)]
struct Burst {
    first_departure: Duration,
    last_departure: Duration,
    first_arrival: Duration,
    last_arrival: Duration,
    packets: usize,
    /// Without those of the first packet, which only starts the measurement.
    bits: f64,
    lost: bool,
}

impl Burst {
    fn new(packet: PacketResult) -> Self {
        Self {
            first_departure: packet.departure,
            last_departure: packet.departure,
            first_arrival: packet.arrival.unwrap_or_default(),
            last_arrival: packet.arrival.unwrap_or_default(),
            packets: 1,
            bits: 0.0,
            lost: packet.arrival.is_none(),
        }
    }

    fn continues(&self, packet: PacketResult) -> bool {
        packet.departure.saturating_sub(self.last_departure) <= GAP
    }

    fn add(&mut self, packet: PacketResult) {
        self.last_departure = packet.departure;
        self.packets += 1;
        match packet.arrival {
            Some(arrival) => {
                self.bits += (packet.bytes as f64 + HEADER_BYTES) * 8.0;
                self.last_arrival = self.last_arrival.max(arrival);
            }
            None => self.lost = true,
        }
    }

    /// `None` if it measures nothing: a missing packet may have met a full queue, and a burst that
    /// took us long to send was spread by us, unless it is fast all the same.
    fn rate(&self, enough: f64) -> Option<f64> {
        let took = self.last_arrival.saturating_sub(self.first_arrival).max(TICK);
        let rate = self.bits / took.as_secs_f64();
        let spread_by_us = self.last_departure.saturating_sub(self.first_departure) * 2 >= took;
        let measures = !self.lost && (!spread_by_us || rate >= enough);
        (self.packets >= MIN_PACKETS && measures).then_some(rate)
    }
}

impl Bursts {
    pub(crate) fn new(enough: f64) -> Self {
        Self { enough, open: None, rates: VecDeque::new() }
    }

    /// Notes what was reported. A burst counts when a packet of the next one is reported.
    pub(crate) fn note(&mut self, packets: impl IntoIterator<Item = PacketResult>) {
        for packet in packets {
            let is_old = |(departure, _): &(Duration, f64)| *departure + NEWEST < packet.departure;
            while self.rates.front().is_some_and(is_old) {
                self.rates.pop_front();
            }
            match &mut self.open {
                Some(burst) if burst.continues(packet) => burst.add(packet),
                open => {
                    let ended = open.replace(Burst::new(packet));
                    if let Some(rate) = ended.and_then(|burst| burst.rate(self.enough)) {
                        if self.rates.len() == BURSTS {
                            self.rates.pop_front();
                        }
                        self.rates.push_back((packet.departure, rate));
                    }
                }
            }
        }
    }

    /// The capacity of the path in bits a second, by the newest bursts.
    pub(crate) fn capacity(&self) -> Option<f64> {
        let mut rates: Vec<f64> = self.rates.iter().map(|(_, rate)| *rate).collect();
        rates.sort_by(f64::total_cmp);
        (rates.len() >= ENOUGH_BURSTS).then(|| rates[(rates.len() - 1) / 4])
    }

    /// Forgets all: what was measured says nothing about the path as it is now.
    pub(crate) fn clear(&mut self) {
        self.rates.clear();
        self.open = None;
    }
}

#[cfg(test)]
#[path = "burst_tests.rs"]
mod tests;
