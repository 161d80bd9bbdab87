//! SCTP packets by hand (RFC 9260): every field is the writer's, the checksum alone is right.

use super::crc::{CASTAGNOLI, crc32};

/// Of WebRTC data channels, on both sides (RFC 8841, section 5.2: the default).
const PORT: [u8; 2] = 5_000_u16.to_be_bytes();

/// A message, or a part of one.
pub const DATA: u8 = 0;
/// Begins an association.
pub const INIT: u8 = 1;
/// Takes it, with a cookie.
pub const INIT_ACK: u8 = 2;
/// What has come, and where there are gaps.
pub const SACK: u8 = 3;
/// Wants its own text back.
pub const HEARTBEAT: u8 = 4;
/// The end, with causes.
pub const ABORT: u8 = 6;
/// The end, in order.
pub const SHUTDOWN: u8 = 7;
/// No end, with causes.
pub const ERROR: u8 = 9;
/// Gives the cookie back.
pub const COOKIE_ECHO: u8 = 10;
/// The association stands.
pub const COOKIE_ACK: u8 = 11;
/// Resets streams (RFC 6525).
pub const RECONFIG: u8 = 130;
/// Gives up what was not acknowledged (RFC 3758).
pub const FORWARD_TSN: u8 = 192;

/// Begin and end of a message in one chunk, unordered not.
pub const WHOLE: u8 = 0b011;
/// The same, in no order.
pub const UNORDERED: u8 = 0b111;
/// DCEP's payload protocol identifier (RFC 8832, section 8.1).
pub const DCEP: u32 = 50;

const STATE_COOKIE: u16 = 7;
const SUPPORTED_EXTENSIONS: u16 = 0x8008;

/// One packet of these chunks, for the association that `tag` is of.
#[must_use]
pub fn packet(tag: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = [&PORT[..], &PORT, &tag.to_be_bytes(), &[0; 4], &chunks.concat()].concat();
    let sum = crc32(CASTAGNOLI, &packet);
    packet[8..12].copy_from_slice(&sum.to_le_bytes());
    packet
}

/// One chunk, whose length says the truth.
#[must_use]
pub fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    lying_chunk(kind, flags, value.len() + 4, value)
}

/// One chunk that says to be so long, its own header included.
#[must_use]
pub fn lying_chunk(kind: u8, flags: u8, length: usize, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    let mut chunk = [&[kind, flags][..], &length.to_be_bytes(), value].concat();
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

/// A parameter of INIT and RECONFIG, or a cause of ERROR and ABORT.
#[must_use]
pub fn parameter(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    let mut parameter = [&kind.to_be_bytes()[..], &length.to_be_bytes(), value].concat();
    parameter.resize(parameter.len().next_multiple_of(4), 0);
    parameter
}

/// What both INIT and INIT-ACK say, with FORWARD-TSN and RECONFIG among the extensions.
#[must_use]
pub fn beginning(tag: u32, tsn: u32, cookie: Option<&[u8]>) -> Vec<u8> {
    let fixed =
        [&tag.to_be_bytes()[..], &0x10_0000_u32.to_be_bytes(), &[0xff; 4], &tsn.to_be_bytes()]
            .concat();
    let extensions = parameter(SUPPORTED_EXTENSIONS, &[RECONFIG, FORWARD_TSN]);
    let cookie = cookie.map(|cookie| parameter(STATE_COOKIE, cookie)).unwrap_or_default();
    [fixed, cookie, extensions].concat()
}

/// DATA of one whole message.
#[must_use]
pub fn data(tsn: u32, stream: u16, sequence: u16, protocol: u32, payload: &[u8]) -> Vec<u8> {
    let head = [
        &tsn.to_be_bytes()[..],
        &stream.to_be_bytes(),
        &sequence.to_be_bytes(),
        &protocol.to_be_bytes(),
    ];
    chunk(DATA, WHOLE, &[&head.concat()[..], payload].concat())
}

/// DCEP's OPEN of a reliable channel, which says of its label and protocol to be so long (RFC 8832,
/// section 5.1).
#[must_use]
pub fn open_channel(label: &[u8], label_length: u16, protocol_length: u16) -> Vec<u8> {
    let lengths = [label_length.to_be_bytes(), protocol_length.to_be_bytes()].concat();
    [&[3, 0, 0, 0, 0, 0, 0, 0][..], &lengths, label].concat()
}

/// The first chunk of a packet: its kind and its value, and the packet's tag.
#[must_use]
pub fn read(packet: &[u8]) -> Option<(u32, u8, &[u8])> {
    let tag = u32::from_be_bytes(*packet.get(4..)?.first_chunk()?);
    let [kind, _, high, low] = *packet.get(12..)?.first_chunk()?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    Some((tag, kind, packet.get(16..12 + length.max(4))?))
}

/// Their tag, their first TSN and their cookie, of the value of an INIT or INIT-ACK.
#[must_use]
pub fn read_beginning(value: &[u8]) -> Option<(u32, u32, Vec<u8>)> {
    let number = |at: usize| Some(u32::from_be_bytes(*value.get(at..)?.first_chunk()?));
    let (tag, tsn) = (number(0)?, number(12)?);
    let mut rest = value.get(16..)?;
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]])).checked_sub(4)?;
        if u16::from_be_bytes([head[0], head[1]]) == STATE_COOKIE {
            return Some((tag, tsn, after.get(..length)?.to_vec()));
        }
        rest = after.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some((tag, tsn, Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let packet = packet(7, &[chunk(INIT_ACK, 0, &beginning(1, 2, Some(b"cookie")))]);
        let (tag, kind, value) = read(&packet).expect("a packet");
        assert_eq!((tag, kind), (7, INIT_ACK));
        assert_eq!(read_beginning(value), Some((1, 2, b"cookie".to_vec())));
        assert_eq!(packet.len() % 4, 0);
    }

    #[test]
    fn a_forward_tsn_is_twenty_bytes() {
        assert_eq!(packet(7, &[chunk(FORWARD_TSN, 0, &[0; 4])]).len(), 20);
    }
}
