//! VP9 (RFC 9628).
//!
//! Sent in flexible mode, where each frame says that it refers to the one before it. The `rtc`
//! crate's payloader is not used: it never sets the bit P, so browsers take every frame for a
//! keyframe and do not notice a lost one.

use bytes::{BufMut, Bytes, BytesMut};

use super::MTU_PAYLOAD_BYTES;

/// Bits of the first byte.
const PICTURE_ID: u8 = 0x80;
const PREDICTED: u8 = 0x40;
const LAYERS: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const BEGIN: u8 = 0x08;
const END: u8 = 0x04;
const STRUCTURE: u8 = 0x02;
/// Flexible mode: a frame refers to no more than this many others.
const MAX_REFERENCES: usize = 3;

/// The VP9 data behind the payload descriptor (section 4.2); `None` if there is no data.
pub(super) fn strip_descriptor(payload: &[u8]) -> Option<&[u8]> {
    let (&first, mut rest) = payload.split_first()?;
    if first & PICTURE_ID != 0 {
        let long = rest.first()? & 0x80 != 0;
        rest = rest.get(if long { 2 } else { 1 }..)?;
    }
    if first & LAYERS != 0 {
        // TL0PICIDX follows, except in flexible mode.
        rest = rest.get(if first & FLEXIBLE != 0 { 1 } else { 2 }..)?;
    }
    if first & FLEXIBLE != 0 && first & PREDICTED != 0 {
        let more =
            rest.iter().take(MAX_REFERENCES).take_while(|reference| **reference & 1 != 0).count();
        rest = rest.get(more + 1..).filter(|_| more < MAX_REFERENCES)?;
    }
    if first & STRUCTURE != 0 {
        rest = strip_structure(rest)?;
    }
    (!rest.is_empty()).then_some(rest)
}

/// Skips a scalability structure (section 4.2.1).
fn strip_structure(data: &[u8]) -> Option<&[u8]> {
    let (&first, mut rest) = data.split_first()?;
    if first & 0x10 != 0 {
        let layers = usize::from(first >> 5) + 1;
        rest = rest.get(4 * layers..)?;
    }
    if first & 0x08 != 0 {
        let (&pictures, after) = rest.split_first()?;
        rest = after;
        for _ in 0..pictures {
            let references = usize::from(rest.first()? >> 2 & 3);
            rest = rest.get(1 + references..)?;
        }
    }
    Some(rest)
}

/// The first packet of a picture: the start of a frame of the lowest spatial layer.
pub(super) fn starts_frame(payload: &[u8]) -> bool {
    let Some(&first) = payload.first() else { return false };
    let behind_id = match (first & PICTURE_ID != 0, payload.get(1)) {
        (false, _) => 1,
        (true, Some(id)) if id & 0x80 != 0 => 3,
        (true, _) => 2,
    };
    let lowest =
        first & LAYERS == 0 || payload.get(behind_id).is_some_and(|layers| layers & 0x0e == 0);
    first & BEGIN != 0 && lowest
}

/// The same, and the uncompressed header is a keyframe's: frame marker, profile 0, clear bits for
/// `show_existing_frame` and the frame type. The bit P is not enough: it is clear in other frames
/// too.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    starts_frame(payload)
        && strip_descriptor(payload).is_some_and(|data| data[0] & 0b1111_1100 == 0b1000_0000)
}

/// Splits frames into payloads.
#[derive(Default)]
pub(crate) struct Packetiser {
    /// 15 bits.
    picture_id: u16,
}

impl Packetiser {
    pub(super) fn packetise(&mut self, unit: &Bytes, keyframe: bool) -> Vec<Bytes> {
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        let id = self.picture_id.to_be_bytes();
        let room = MTU_PAYLOAD_BYTES - 4;
        let last = unit.len().saturating_sub(1) / room;
        let payload = |(index, data): (usize, &[u8])| {
            let mut first = PICTURE_ID | FLEXIBLE;
            first |= if keyframe { 0 } else { PREDICTED };
            first |= if index == 0 { BEGIN } else { 0 };
            first |= if index == last { END } else { 0 };
            let mut payload = BytesMut::with_capacity(4 + data.len());
            payload.put_slice(&[first, id[0] | 0x80, id[1]]);
            if !keyframe {
                // P_DIFF: refers only to the frame before.
                payload.put_u8(1 << 1);
            }
            payload.put_slice(data);
            payload.freeze()
        };
        unit.chunks(room).enumerate().map(payload).collect()
    }
}
