//! The one association that a connection has, from the peer's INIT on.
//!
//! Pure. The stack makes another one for each INIT, a hundred thousand if it must, and looks
//! through all of them with each packet.

use std::time::Duration;

use tokio::time::Instant;

use super::chunk::{Chunk, Init};
use super::received::Received;
use super::sctp::Packet;
use super::{Refusal, rewrite};

/// An INIT or INIT-ACK is sent nine times at most (RFC 9260, section 16, Max.Init.Retransmits).
const MAX_INITS: u8 = 9;
/// Pieces of data a second, and how many may come at once: a text each, mostly, which is parsed and
/// may be answered. A client that sends more is slowed down by its own congestion control.
const CHUNKS_PER_SECOND: u32 = 4_000;
const BURST: u32 = 8_192;
/// The first TSN of the peer's, to the stack and to [`Received`].
const FIRST_TSN: u32 = 1;

#[derive(Clone, Debug, Default)]
pub(crate) struct Association {
    /// As the peer named itself first. One of its INIT and its INIT-ACK may be lost or late: they
    /// say the same.
    peer: Option<Init>,
    inits: u8,
    established: Option<Established>,
    tokens: u32,
    refilled: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Established {
    /// Ours, which each of its packets carries.
    tag: u32,
    received: Received,
}

impl Association {
    /// A packet of the peer's, as a whole: an error leaves no trace of it. Changes what it says of
    /// its abilities and its TSNs, which begin anywhere and wrap: the stack cannot count beyond
    /// that.
    pub(crate) fn incoming(&mut self, now: Instant, packet: &mut [u8]) -> Result<(), Refusal> {
        let mut next = self.clone();
        next.apply(now, &Packet::read(packet)?)?;
        *self = next;
        rewrite::incoming(packet, self.shift());
        Ok(())
    }

    /// A packet of ours. Changes the same.
    pub(crate) fn outgoing(&mut self, packet: &mut [u8]) {
        if let Some(established) = &mut self.established
            && let Some(tsn) = Packet::ours(packet).acknowledges()
        {
            established.received.acknowledge(tsn);
        }
        rewrite::outgoing(packet, self.shift());
    }

    /// By how much the peer's TSNs are more than what the stack gets.
    fn shift(&self) -> u32 {
        self.peer.map_or(0, |peer| peer.tsn.wrapping_sub(FIRST_TSN))
    }

    fn apply(&mut self, now: Instant, packet: &Packet<'_>) -> Result<(), Refusal> {
        let shift = self.shift();
        for chunk in packet.chunks() {
            match chunk? {
                Chunk::Init(init) if packet.tag == 0 => self.named(init)?,
                Chunk::Init(_) => return Err(Refusal::Association),
                Chunk::InitAck(init) => {
                    self.named(init)?;
                    self.come_up(packet.tag)?;
                }
                Chunk::CookieEcho => self.come_up(packet.tag)?,
                Chunk::Data { tsn, content } => {
                    self.spend(now)?;
                    self.established(packet.tag)?
                        .received
                        .data(tsn.wrapping_sub(shift), content)?;
                }
                Chunk::Reset(mut reset) => {
                    reset.last_tsn = reset.last_tsn.wrapping_sub(shift);
                    self.established(packet.tag)?.received.reset(&reset)?;
                }
                Chunk::Other => {
                    self.established(packet.tag)?;
                }
            }
        }
        Ok(())
    }

    fn named(&mut self, init: Init) -> Result<(), Refusal> {
        self.inits += 1;
        let same = *self.peer.get_or_insert(init) == init;
        if !same || self.established.is_some() || self.inits > MAX_INITS {
            Err(Refusal::Association)
        } else {
            Ok(())
        }
    }

    /// With what follows our answer to its INIT, or with its answer to ours.
    fn come_up(&mut self, tag: u32) -> Result<(), Refusal> {
        if self.peer.is_none() {
            return Err(Refusal::Association);
        }
        let established = self
            .established
            .get_or_insert_with(|| Established { tag, received: Received::new(FIRST_TSN) });
        if established.tag == tag { Ok(()) } else { Err(Refusal::Association) }
    }

    fn established(&mut self, tag: u32) -> Result<&mut Established, Refusal> {
        self.established
            .as_mut()
            .filter(|established| established.tag == tag)
            .ok_or(Refusal::Association)
    }

    fn spend(&mut self, now: Instant) -> Result<(), Refusal> {
        let since = self.refilled.map(|refilled| now.saturating_duration_since(refilled));
        let earned = since.map_or(BURST, |since| {
            let earned = since.min(Duration::from_secs(60)).as_micros()
                * u128::from(CHUNKS_PER_SECOND)
                / 1_000_000;
            u32::try_from(earned).unwrap_or(BURST)
        });
        if earned > 0 {
            self.refilled = Some(now);
            self.tokens = self.tokens.saturating_add(earned).min(BURST);
        }
        self.tokens = self.tokens.checked_sub(1).ok_or(Refusal::Rate)?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "association_tests.rs"]
mod tests;
