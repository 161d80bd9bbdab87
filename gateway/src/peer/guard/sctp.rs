//! SCTP packets (RFC 9260, section 3), read strictly: lengths, counts and order, of all that the stack reads.
//!
//! Pure and without state. Where the stack reads otherwise than the RFC says, this reads as it does.

use super::Refusal;

/// Bytes of a packet: as for a datagram. The stack keeps the whole of it for each piece of data in it.
pub(super) const MAX_PACKET: usize = super::MAX_DATAGRAM;
/// A label and a protocol, together. FastRTC's is "text".
const MAX_NAMES: usize = 512;

const HEADER: usize = 12;
const CHECKSUM: std::ops::Range<usize> = 8..12;
const CHUNK_HEADER: usize = 4;

pub(super) const INIT: u8 = 1;
pub(super) const INIT_ACK: u8 = 2;
pub(super) const SACK: u8 = 3;
const FORWARD_TSN: u8 = 192;
const I_FORWARD_TSN: u8 = 194;
const RECONFIG: u8 = 130;
/// Data channels' own messages (RFC 8832, section 8.1).
const DCEP: u32 = 50;
const DCEP_OPEN: u8 = 3;
const DCEP_ACK: u8 = 2;

const SUPPORTED_EXTENSIONS: u16 = 0x8008;
const OUTGOING_RESET: u16 = 13;
const RESET_RESPONSE: u16 = 16;
const HEARTBEAT_INFO: u16 = 1;

/// A packet whose checksum is right.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) tag: u32,
    chunks: &'a [u8],
}

/// What a chunk says that somebody has to remember or compare.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunk<'a> {
    Data {
        tsn: u32,
        content: Content,
    },
    Init(Init),
    InitAck(Init),
    CookieEcho,
    Reset(Reset<'a>),
    /// Of no consequence but to the stack: SACK, HEARTBEAT, COOKIE-ACK, SHUTDOWN and its answers, ABORT, the answer to a
    /// reset.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Init {
    pub(super) tag: u32,
    pub(super) tsn: u32,
}

/// Of a piece of data all but its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) begins: bool,
    pub(super) ends: bool,
    pub(super) unordered: bool,
    pub(super) stream: u16,
    pub(super) sequence: u16,
    pub(super) protocol: u32,
    pub(super) length: u16,
}

/// A request that streams begin anew (RFC 6525, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reset<'a> {
    pub(super) number: u32,
    pub(super) last_tsn: u32,
    streams: &'a [u8],
}

impl<'a> Reset<'a> {
    /// Of streams by their identifiers, two bytes each.
    #[cfg(test)]
    pub(super) fn new(number: u32, last_tsn: u32, streams: &'a [u8]) -> Self {
        Self { number, last_tsn, streams }
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = u16> {
        self.streams.chunks_exact(2).map(|pair| be16(pair, 0))
    }
}

/// Big-endian, at a place that is there.
fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u16::from_be_bytes)
}

fn be32(bytes: &[u8], at: usize) -> u32 {
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

/// Splits what begins with a length at `length_at` from what follows, padding and all. The padding must be zeros.
fn split_padded(bytes: &[u8], least: usize) -> Result<(&[u8], &[u8]), Refusal> {
    if bytes.len() < least {
        return Err(Refusal::Malformed);
    }
    let length = usize::from(be16(bytes, 2));
    let padded = length.next_multiple_of(4);
    if length < least || padded > bytes.len() || bytes[length..padded].iter().any(|byte| *byte != 0) {
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

    /// INIT and INIT-ACK stand alone; of all else but DATA there is one, as each is answered, or walks what is in flight.
    fn check_composition(&self) -> Result<(), Refusal> {
        let (mut kinds, mut chunks) = ([false; 256], 0);
        for chunk in self.raw_chunks() {
            let kind = usize::from(chunk?[0]);
            if kind != 0 && std::mem::replace(&mut kinds[kind], true) {
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

fn read_chunk(chunk: &[u8]) -> Result<Chunk<'_>, Refusal> {
    let sound = match chunk[0] {
        0 => return read_data(chunk),
        kind @ (INIT | INIT_ACK) => {
            let init = read_init(chunk)?;
            return Ok(if kind == INIT { Chunk::Init(init) } else { Chunk::InitAck(init) });
        }
        SACK => is_sack(chunk),
        // The stack slices each cause by its length, one close behind the other: it knows no padding.
        6 => are_causes(&chunk[CHUNK_HEADER..]),
        4 => is_heartbeat(chunk),
        7 => chunk.len() == 8,
        8 | 11 | 14 => chunk.len() == CHUNK_HEADER,
        10 => return Ok(Chunk::CookieEcho),
        RECONFIG => return read_reset(chunk),
        FORWARD_TSN | I_FORWARD_TSN => return Err(Refusal::ForwardTsn),
        // ERROR ends the stack's association, though it should not; what else there is, the stack does not know.
        _ => false,
    };
    if sound { Ok(Chunk::Other) } else { Err(Refusal::Malformed) }
}

fn read_data(chunk: &[u8]) -> Result<Chunk<'_>, Refusal> {
    let (header, bytes) =
        chunk.split_at_checked(16).filter(|(_, bytes)| !bytes.is_empty()).ok_or(Refusal::Malformed)?;
    let content = Content {
        begins: header[1] & 2 != 0,
        ends: header[1] & 1 != 0,
        unordered: header[1] & 4 != 0,
        stream: be16(header, 8),
        sequence: be16(header, 10),
        protocol: be32(header, 12),
        length: u16::try_from(bytes.len()).map_err(|_| Refusal::Malformed)?,
    };
    if content.protocol == DCEP && !(content.begins && content.ends && is_dcep(bytes)) {
        return Err(Refusal::Malformed);
    }
    Ok(Chunk::Data { tsn: be32(header, 4), content })
}

/// Whether it is one of the two messages that there are. The stack has two of its own beside, of types that are reserved,
/// and panics when one comes in that is short.
pub(crate) fn is_dcep(message: &[u8]) -> bool {
    match message {
        [DCEP_ACK] => true,
        [DCEP_OPEN, channel_type, ..] if message.len() >= 12 => {
            let names = &message[12..];
            let label = usize::from(be16(message, 8));
            let fits = names.len() == label + usize::from(be16(message, 10)) && names.len() <= MAX_NAMES;
            let text = |name: &[u8]| std::str::from_utf8(name).is_ok();
            fits && channel_type & 0x7f <= 2 && text(&names[..label]) && text(&names[label..])
        }
        _ => false,
    }
}

fn read_init(chunk: &[u8]) -> Result<Init, Refusal> {
    let (fixed, mut parameters) = chunk.split_at_checked(20).ok_or(Refusal::Malformed)?;
    while !parameters.is_empty() {
        // The last one's padding is not in the chunk's length.
        let unpadded = usize::from(be16(parameters, 2)) == parameters.len() && parameters.len() >= 4;
        parameters = if unpadded { &[] } else { split_padded(parameters, 4)?.1 };
    }
    let init = Init { tag: be32(fixed, 4), tsn: be32(fixed, 16) };
    let streams = be16(fixed, 12) > 0 && be16(fixed, 14) > 0;
    // The stack adds to the TSN before it wraps, which panics where overflow is checked, and is one of four billion.
    if fixed[1] == 0 && init.tag != 0 && init.tsn != 0 && streams { Ok(init) } else { Err(Refusal::Malformed) }
}

/// Each block is behind the one before: so all of them together are no more than what is in flight.
fn is_sack(chunk: &[u8]) -> bool {
    let Some((fixed, lists)) = chunk.split_at_checked(16) else { return false };
    let (gaps, duplicates) = (usize::from(be16(fixed, 12)), usize::from(be16(fixed, 14)));
    if lists.len() != 4 * (gaps + duplicates) {
        return false;
    }
    let mut last = 0;
    lists.chunks_exact(4).take(gaps).all(|block| {
        let (start, end) = (be16(block, 0), be16(block, 2));
        start > std::mem::replace(&mut last, end) && start <= end
    })
}

fn are_causes(mut causes: &[u8]) -> bool {
    while causes.len() >= 4 {
        let length = usize::from(be16(causes, 2));
        if length < 4 || length > causes.len() {
            return false;
        }
        causes = &causes[length..];
    }
    causes.is_empty()
}

fn is_heartbeat(chunk: &[u8]) -> bool {
    let information = &chunk[CHUNK_HEADER..];
    information.len() >= 4
        && be16(information, 0) == HEARTBEAT_INFO
        && usize::from(be16(information, 2)) == information.len()
}

/// One request, an answer, or a request and an answer: that is all the stack knows of those there are.
fn read_reset(chunk: &[u8]) -> Result<Chunk<'_>, Refusal> {
    let (mut rest, mut request) = (&chunk[CHUNK_HEADER..], None);
    for _ in 0..2 {
        let unpadded = usize::from(be16(rest, 2)) == rest.len() && rest.len() >= 4;
        let (parameter, behind) = if unpadded { (rest, &[][..]) } else { split_padded(rest, 4)? };
        match be16(parameter, 0) {
            OUTGOING_RESET if parameter.len() >= 16 && parameter.len().is_multiple_of(2) && request.is_none() => {
                let [number, last_tsn] = [4, 12].map(|at| be32(parameter, at));
                request = Some(Reset { number, last_tsn, streams: &parameter[16..] });
            }
            RESET_RESPONSE if parameter.len() == 12 => {}
            _ => return Err(Refusal::Malformed),
        }
        rest = behind;
        if rest.is_empty() {
            return Ok(request.map_or(Chunk::Other, Chunk::Reset));
        }
    }
    Err(Refusal::Malformed)
}

/// Takes the skipping of messages out of what an INIT or INIT-ACK says that its sender can do, so that the other side does
/// not do it: whoever wants a channel that loses messages gets one that does not. Anything else stays as it is.
pub(super) fn renounce_forward_tsn(packet: &mut [u8]) {
    let Some(chunk) = packet.get_mut(HEADER..).filter(|chunk| matches!(chunk.first(), Some(&(INIT | INIT_ACK)))) else {
        return;
    };
    let end = usize::from(be16(chunk, 2)).min(chunk.len());
    let (mut at, mut changed) = (20, false);
    while at + 4 <= end {
        let length = usize::from(be16(chunk, at + 2)).max(4);
        if be16(chunk, at) == SUPPORTED_EXTENSIONS {
            for extension in &mut chunk[at + 4..(at + length).min(end)] {
                if matches!(*extension, FORWARD_TSN | I_FORWARD_TSN) {
                    (*extension, changed) = (RECONFIG, true);
                }
            }
        }
        at += length.next_multiple_of(4);
    }
    if changed {
        seal(packet);
    }
}

#[cfg(test)]
#[path = "sctp_tests.rs"]
pub(super) mod tests;
