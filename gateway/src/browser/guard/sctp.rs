//! SCTP packets (RFC 9260, section 3), read strictly. [`super::chunk`] reads what is in them.
//!
//! Pure and without state. Where the stack reads otherwise than the RFC says, this reads as it
//! does.

use super::Refusal;
use super::chunk::{Chunk, DATA, INIT, INIT_ACK, SACK, read_chunk};

/// Bytes of a packet: as for a datagram. The stack keeps the whole of it for each piece of data in
/// it.
pub(super) const MAX_PACKET: usize = super::MAX_DATAGRAM;
pub(super) const HEADER: usize = 12;
const CHECKSUM: std::ops::Range<usize> = 8..12;
pub(super) const CHUNK_HEADER: usize = 4;

/// A packet whose checksum is right.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) tag: u32,
    chunks: &'a [u8],
}

/// Big-endian, at a place that is there.
pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u16::from_be_bytes)
}

pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u32::from_be_bytes)
}

fn checksum(packet: &[u8]) -> u32 {
    let (header, rest) = packet.split_at(CHECKSUM.start);
    let before = crc32c::crc32c_append(crc32c::crc32c(header), &[0; 4]);
    crc32c::crc32c_append(before, rest.get(4..).unwrap_or_default())
}

/// Puts the right checksum in place.
pub(crate) fn seal(packet: &mut [u8]) {
    let sum = checksum(packet);
    packet[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
}

/// Splits what begins with a length at `length_at` from what follows, padding and all. The padding
/// must be zeros.
pub(super) fn split_padded(bytes: &[u8], least: usize) -> Result<(&[u8], &[u8]), Refusal> {
    if bytes.len() < least {
        return Err(Refusal::Malformed);
    }
    let length = usize::from(be16(bytes, 2));
    let padded = length.next_multiple_of(4);
    if length < least || padded > bytes.len() || bytes[length..padded].iter().any(|byte| *byte != 0)
    {
        return Err(Refusal::Malformed);
    }
    Ok((&bytes[..length], &bytes[padded..]))
}

impl<'a> Packet<'a> {
    pub(super) fn read(packet: &'a [u8]) -> Result<Self, Refusal> {
        let sound = (HEADER + CHUNK_HEADER..=MAX_PACKET).contains(&packet.len())
            && packet.len().is_multiple_of(4)
            && be16(packet, 0) != 0
            && be16(packet, 2) != 0
            && packet[CHECKSUM] == checksum(packet).to_le_bytes();
        if !sound {
            return Err(Refusal::Malformed);
        }
        let read = Self { tag: be32(packet, 4), chunks: &packet[HEADER..] };
        read.check_composition()?;
        Ok(read)
    }

    /// One of the stack's own, which is not checked.
    pub(super) fn ours(packet: &'a [u8]) -> Self {
        Self { tag: be32(packet, 4), chunks: packet.get(HEADER..).unwrap_or_default() }
    }

    fn raw_chunks(&self) -> impl Iterator<Item = Result<&'a [u8], Refusal>> {
        let mut rest = self.chunks;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let split = split_padded(rest, CHUNK_HEADER);
            rest = split.map_or(&[], |(_, behind)| behind);
            Some(split.map(|(chunk, _)| chunk))
        })
    }

    /// INIT and INIT-ACK stand alone; of all else but DATA there is one, as each is answered, or
    /// walks what is in flight.
    fn check_composition(&self) -> Result<(), Refusal> {
        let (mut kinds, mut chunks) = ([false; 256], 0);
        for chunk in self.raw_chunks() {
            let kind = usize::from(chunk?[0]);
            if kind != usize::from(DATA) && std::mem::replace(&mut kinds[kind], true) {
                return Err(Refusal::Malformed);
            }
            chunks += 1;
        }
        let alone = kinds[usize::from(INIT)] || kinds[usize::from(INIT_ACK)];
        if alone && chunks > 1 { Err(Refusal::Malformed) } else { Ok(()) }
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = Result<Chunk<'a>, Refusal>> {
        self.raw_chunks().map(|chunk| read_chunk(chunk?))
    }

    /// What our own SACK acknowledges.
    pub(super) fn acknowledges(&self) -> Option<u32> {
        self.raw_chunks().flatten().find(|chunk| chunk[0] == SACK).map(|chunk| be32(chunk, 4))
    }
}

#[cfg(test)]
#[path = "sctp_tests.rs"]
pub(super) mod tests;
