//! Chunks of SCTP (RFC 9260, section 3.3; RFC 6525; RFC 8832): lengths, counts and order, of all
//! that the stack reads.
//!
//! Pure and without state. Where the stack reads otherwise than the RFC says, this reads as it
//! does.

use super::Refusal;
use super::sctp::{CHUNK_HEADER, be16, be32, split_padded};

pub(super) const DATA: u8 = 0;
pub(super) const INIT: u8 = 1;
pub(super) const INIT_ACK: u8 = 2;
pub(super) const SACK: u8 = 3;
pub(super) const FORWARD_TSN: u8 = 192;
pub(super) const I_FORWARD_TSN: u8 = 194;
pub(super) const RECONFIG: u8 = 130;
/// Data channels' own messages (RFC 8832, section 8.1).
pub(super) const DCEP: u32 = 50;
const DCEP_OPEN: u8 = 3;
const DCEP_ACK: u8 = 2;
/// The label and the protocol of a channel begin here in the message that opens it.
const DCEP_NAMES: usize = 12;
/// A label and a protocol, together. FastRTC's is "text".
const MAX_NAMES: usize = 512;

pub(super) const OUTGOING_RESET: u16 = 13;
const RESET_RESPONSE: u16 = 16;
const HEARTBEAT_INFO: u16 = 1;

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
    /// Of no consequence but to the stack: SACK, HEARTBEAT, COOKIE-ACK, SHUTDOWN and its answers,
    /// ABORT, the answer to a reset.
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

pub(super) fn read_chunk(chunk: &[u8]) -> Result<Chunk<'_>, Refusal> {
    let sound = match chunk[0] {
        DATA => return read_data(chunk),
        kind @ (INIT | INIT_ACK) => {
            let init = read_init(chunk)?;
            return Ok(if kind == INIT { Chunk::Init(init) } else { Chunk::InitAck(init) });
        }
        SACK => is_sack(chunk),
        // The stack slices each cause by its length, one close behind the other: it knows no
        // padding.
        6 => are_causes(&chunk[CHUNK_HEADER..]),
        4 => is_heartbeat(chunk),
        7 => chunk.len() == 8,
        8 | 11 | 14 => chunk.len() == CHUNK_HEADER,
        10 => return Ok(Chunk::CookieEcho),
        RECONFIG => return read_reset(chunk),
        FORWARD_TSN | I_FORWARD_TSN => return Err(Refusal::ForwardTsn),
        // ERROR ends the stack's association, though it should not; what else there is, the stack
        // does not know.
        _ => false,
    };
    if sound { Ok(Chunk::Other) } else { Err(Refusal::Malformed) }
}

fn read_data(chunk: &[u8]) -> Result<Chunk<'_>, Refusal> {
    let (header, bytes) = chunk
        .split_at_checked(16)
        .filter(|(_, bytes)| !bytes.is_empty())
        .ok_or(Refusal::Malformed)?;
    let content = Content {
        begins: header[1] & 2 != 0,
        ends: header[1] & 1 != 0,
        unordered: header[1] & 4 != 0,
        stream: be16(header, 8),
        sequence: be16(header, 10),
        protocol: be32(header, 12),
        length: u16::try_from(bytes.len()).map_err(|_| Refusal::Malformed)?,
    };
    // Chromium fills packets to their end, and splits small messages for it. What begins as one
    // that opens a channel, and of a length that such have, the stack reads with care.
    let sound = content.protocol != DCEP
        || match (content.begins, content.ends) {
            (true, true) => is_dcep(bytes),
            (true, false) => open_length(bytes).is_some_and(|length| length > bytes.len()),
            (false, _) => true,
        };
    if !sound {
        return Err(Refusal::Malformed);
    }
    Ok(Chunk::Data { tsn: be32(header, 4), content })
}

/// Whether it is one of the two messages that there are. The stack has two of its own beside, of
/// types that are reserved, and panics when one comes in that is short.
pub(crate) fn is_dcep(message: &[u8]) -> bool {
    let is_open = |names: &[u8]| {
        let (label, protocol) = names.split_at(usize::from(be16(message, 8)));
        std::str::from_utf8(label).is_ok() && std::str::from_utf8(protocol).is_ok()
    };
    message == [DCEP_ACK]
        || (open_length(message) == Some(message.len()) && is_open(&message[DCEP_NAMES..]))
}

/// How long a message is that opens a channel, by its beginning.
fn open_length(beginning: &[u8]) -> Option<usize> {
    let &[DCEP_OPEN, channel_type, ..] = beginning.first_chunk::<DCEP_NAMES>()? else {
        return None;
    };
    let names = usize::from(be16(beginning, 8)) + usize::from(be16(beginning, 10));
    (channel_type & 0x7f <= 2 && names <= MAX_NAMES).then_some(DCEP_NAMES + names)
}

fn read_init(chunk: &[u8]) -> Result<Init, Refusal> {
    let (fixed, mut parameters) = chunk.split_at_checked(20).ok_or(Refusal::Malformed)?;
    while !parameters.is_empty() {
        // The last one's padding is not in the chunk's length.
        let unpadded =
            usize::from(be16(parameters, 2)) == parameters.len() && parameters.len() >= 4;
        parameters = if unpadded { &[] } else { split_padded(parameters, 4)?.1 };
    }
    let init = Init { tag: be32(fixed, 4), tsn: be32(fixed, 16) };
    let streams = be16(fixed, 12) > 0 && be16(fixed, 14) > 0;
    if fixed[1] == 0 && init.tag != 0 && streams { Ok(init) } else { Err(Refusal::Malformed) }
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

/// One request, an answer, or a request and an answer: that is all the stack knows of those there
/// are.
fn read_reset(chunk: &[u8]) -> Result<Chunk<'_>, Refusal> {
    let (mut rest, mut request) = (&chunk[CHUNK_HEADER..], None);
    for _ in 0..2 {
        let unpadded = usize::from(be16(rest, 2)) == rest.len() && rest.len() >= 4;
        let (parameter, behind) = if unpadded { (rest, &[][..]) } else { split_padded(rest, 4)? };
        match be16(parameter, 0) {
            OUTGOING_RESET
                if parameter.len() >= 16
                    && parameter.len().is_multiple_of(2)
                    && request.is_none() =>
            {
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
