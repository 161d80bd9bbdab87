//! How many senders of RTP and RTCP a client has.
//!
//! The stack keeps a state for each SSRC that it sees, before it knows whether the packet is the
//! client's, and for ever; and it announces a track for each new one that is.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Refusal;

/// SSRCs of a session's life, of RTP and RTCP together. A browser has one or two of each, and draws
/// new ones when a camera is changed.
const MAX_SOURCES: usize = 64;
/// Told apart from RTP as the stack does (RFC 5761, section 4).
const RTCP: std::ops::RangeInclusive<u8> = 192..=223;

/// What SRTCP ends with in AES' counter mode: its index, and a tag of 80 bits (RFC 3711, sections
/// 3.4 and 4.2). The index begins with a bit that says whether the packet is encrypted.
const INDEX_AND_TAG: usize = 4 + 10;
const ENCRYPTED: u8 = 0x80;

#[derive(Debug, Default)]
pub(super) struct Sources {
    /// The last one, for the many packets of one stream; 0 is none.
    last: AtomicU64,
    /// All, as in `last`; [`MAX_SOURCES`] at most.
    seen: Mutex<Vec<u64>>,
}

impl Sources {
    /// `counter_mode`: as SRTP's keys are for it. The stack takes a packet that says of itself that
    /// it is not encrypted without a look at its tag, so that anybody may write one; none of
    /// WebRTC's is (RFC 8827, section 6.5).
    pub(super) fn admit(&self, packet: &[u8], counter_mode: bool) -> Result<(), Refusal> {
        let Some(source) = source(packet) else { return Err(Refusal::Sources) };
        if counter_mode && RTCP.contains(&packet[1]) && !is_encrypted(packet) {
            return Err(Refusal::Plain);
        }
        if self.last.load(Ordering::Relaxed) == source {
            return Ok(());
        }
        let mut seen = self.seen.lock();
        if !seen.contains(&source) {
            if seen.len() >= MAX_SOURCES {
                return Err(Refusal::Sources);
            }
            seen.push(source);
        }
        self.last.store(source, Ordering::Relaxed);
        Ok(())
    }
}

fn is_encrypted(srtcp: &[u8]) -> bool {
    let index = srtcp.len().checked_sub(INDEX_AND_TAG).and_then(|at| srtcp.get(at));
    index.is_some_and(|first| first & ENCRYPTED != 0)
}

/// The SSRC and a bit that tells RTP from RTCP, and both from nothing; `None`: too short for
/// either.
fn source(packet: &[u8]) -> Option<u64> {
    let rtcp = RTCP.contains(packet.get(1)?);
    let (at, kind) = if rtcp { (4, 2) } else { (8, 1) };
    let ssrc = packet.get(at..)?.first_chunk()?;
    Some(kind << 32 | u64::from(u32::from_be_bytes(*ssrc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtp(ssrc: u32) -> Vec<u8> {
        [&[0x80, 96, 0, 1, 0, 0, 0, 0][..], &ssrc.to_be_bytes(), &[0; 20]].concat()
    }

    fn rtcp(ssrc: u32) -> Vec<u8> {
        [&[0x80, 200, 0, 1][..], &ssrc.to_be_bytes(), &[0; 20]].concat()
    }

    #[test]
    fn a_client_has_few_sources_and_keeps_them() {
        let sources = Sources::default();
        for ssrc in 0..32 {
            assert_eq!(
                (sources.admit(&rtp(ssrc), false), sources.admit(&rtcp(ssrc), false)),
                (Ok(()), Ok(()))
            );
        }
        for ssrc in 32..1_000 {
            assert_eq!(sources.admit(&rtp(ssrc), false), Err(Refusal::Sources));
        }
        assert_eq!(
            (sources.admit(&rtp(7), false), sources.admit(&rtcp(9), false)),
            (Ok(()), Ok(())),
            "the first ones go on"
        );
        assert_eq!(sources.admit(&[0x80, 96, 0], false), Err(Refusal::Sources), "none at all");
    }

    #[test]
    fn what_is_not_encrypted_is_not_authenticated() {
        let (sources, mut packet) = (Sources::default(), rtcp(1));
        assert_eq!(
            (sources.admit(&packet, false), sources.admit(&packet, true)),
            (Ok(()), Err(Refusal::Plain))
        );
        let index = packet.len() - 14;
        packet[index] |= 0x80;
        assert_eq!(
            (sources.admit(&packet, true), sources.admit(&packet[..12], true)),
            (Ok(()), Err(Refusal::Plain))
        );
        assert_eq!(sources.admit(&rtp(1), true), Ok(()), "RTP always is");
    }
}
