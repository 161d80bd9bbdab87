//! A bad network between a peer and the server, from a seed: the same datagrams at the same times
//! meet the same fate.
//!
//! Pure: datagrams and `now` in, datagrams out; the peer's thread asks when the next one is due.
//! One [`Link`] for each direction. A datagram meets, in this order: the blackout, the loss, the
//! bottleneck, the delay.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// Datagrams on their way in one direction: more than two seconds of 20 Mbit/s. One more is lost,
/// and counted.
const IN_FLIGHT: usize = 8_192;

/// Both directions, as the peer sees them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network {
    /// What all that is random is drawn from.
    pub seed: u64,
    /// To the server.
    pub up: Conditions,
    /// From the server.
    pub down: Conditions,
}

impl Network {
    /// The same both ways.
    #[must_use]
    pub const fn both(seed: u64, conditions: Conditions) -> Self {
        Self { seed, up: conditions, down: conditions }
    }
}

/// What one direction does to datagrams; by default nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions {
    /// For every datagram.
    pub delay: Duration,
    /// Beyond `delay`: uniformly from nothing to this.
    pub jitter: Duration,
    /// Jitter lets none overtake another, as in a queue. Otherwise they arrive by their times.
    pub in_order: bool,
    /// The share that is spared delay and jitter, and so overtakes what was sent before.
    pub overtaking: f64,
    /// Which are lost.
    pub loss: Loss,
    /// The share that arrives twice.
    pub doubled: f64,
    /// The narrowest place.
    pub bottleneck: Option<Bottleneck>,
    /// All are lost. Those on their way arrive.
    pub blackout: bool,
}

/// Which datagrams are lost.
#[derive(Clone, Copy, Debug, Default)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each with this probability, whatever happened to the others.
    Random(f64),
    /// In a row: Gilbert's model of two states, one of which loses everything.
    Bursts {
        /// Of all datagrams, in the long run.
        share: f64,
        /// The mean length of a burst, in datagrams.
        length: f64,
    },
}

/// A link with a queue in front that refuses what finds no room (tail drop).
#[derive(Clone, Copy, Debug)]
pub struct Bottleneck {
    /// Of UDP payload, kbit/s.
    pub kbps: u32,
    /// UDP payload that may wait.
    pub queue_bytes: usize,
}

/// What one direction did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams put in.
    pub sent: u64,
    /// Of those, the ones that a blackout or loss took.
    pub lost: u64,
    /// Of those, the ones that found the bottleneck's queue, or the link, full.
    pub refused: u64,
    /// Made beside those sent.
    pub doubled: u64,
}

/// What travels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Datagram {
    /// The UDP payload.
    pub bytes: Vec<u8>,
    /// The other end: where it goes, or where it is from.
    pub remote: SocketAddr,
}

/// One direction.
#[derive(Debug)]
pub struct Link {
    conditions: Conditions,
    random: SmallRng,
    /// Of [`Loss::Bursts`].
    losing: bool,
    /// When the bottleneck has sent all that waits.
    clear_at: Option<Instant>,
    /// When the latest of those in order arrives.
    last: Option<Instant>,
    /// By arrival, then by the order of sending.
    flying: BinaryHeap<Reverse<(Instant, u64, Datagram)>>,
    counts: Counts,
}

impl Link {
    /// An empty link.
    #[must_use]
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        let random = SmallRng::seed_from_u64(seed);
        let (flying, counts) = (BinaryHeap::new(), Counts::default());
        Self { conditions, random, losing: false, clear_at: None, last: None, flying, counts }
    }

    /// From now on; what is on its way keeps its time.
    pub fn change(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Puts a datagram in.
    pub fn send(&mut self, now: Instant, datagram: Datagram) {
        self.counts.sent += 1;
        if self.is_lost() {
            self.counts.lost += 1;
            return;
        }
        let Some(out) = self.through_the_bottleneck(now, datagram.bytes.len()) else {
            self.counts.refused += 1;
            return;
        };
        if self.random.random_bool(self.conditions.doubled) {
            self.counts.doubled += 1;
            self.fly(out, datagram.clone());
        }
        self.fly(out, datagram);
    }

    /// The next one that has arrived.
    pub fn take(&mut self, now: Instant) -> Option<Datagram> {
        self.flying.peek().filter(|Reverse((at, ..))| *at <= now)?;
        self.flying.pop().map(|Reverse((.., datagram))| datagram)
    }

    /// When the next one arrives.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.flying.peek().map(|Reverse((at, ..))| *at)
    }

    /// See [`Counts`].
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    fn is_lost(&mut self) -> bool {
        match self.conditions.loss {
            _ if self.conditions.blackout => true,
            Loss::None => false,
            Loss::Random(share) => self.random.random_bool(share),
            Loss::Bursts { share, length } => {
                let end = 1.0 / length;
                let change = if self.losing { end } else { end * share / (1.0 - share) };
                self.losing ^= self.random.random_bool(change.clamp(0.0, 1.0));
                self.losing
            }
        }
    }

    /// When the last bit is through; `None` when the queue is full.
    fn through_the_bottleneck(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let Some(Bottleneck { kbps, queue_bytes }) = self.conditions.bottleneck else {
            return Some(now);
        };
        let bytes_per_second = f64::from(kbps) * 125.0;
        let start = self.clear_at.map_or(now, |at| at.max(now));
        let waiting = (start - now).as_secs_f64() * bytes_per_second;
        if waiting > queue_bytes as f64 {
            return None;
        }
        let out = start + Duration::from_secs_f64(bytes as f64 / bytes_per_second);
        self.clear_at = Some(out);
        Some(out)
    }

    fn fly(&mut self, out: Instant, datagram: Datagram) {
        if self.flying.len() >= IN_FLIGHT {
            self.counts.refused += 1;
            return;
        }
        let Conditions { delay, jitter, in_order, overtaking, .. } = self.conditions;
        let mut at = out;
        if !self.random.random_bool(overtaking) {
            at += delay + jitter.mul_f64(self.random.random_range(0.0..=1.0));
            if in_order {
                at = self.last.map_or(at, |last| at.max(last));
                self.last = Some(at);
            }
        }
        self.flying.push(Reverse((at, self.counts.sent, datagram)));
    }
}
