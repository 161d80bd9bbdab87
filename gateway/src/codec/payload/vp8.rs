//! VP8 (RFC 7741).

use bytes::Bytes;

/// The VP8 data behind the payload descriptor (RFC 7741, section 4.2); `None` if there is no data.
///
/// Written here because the `rtc` crate's depacketizer refuses payloads under four bytes, which are
/// legal as a frame's last fragment.
pub(super) fn strip_descriptor(payload: &[u8]) -> Option<&[u8]> {
    let (&first, mut rest) = payload.split_first()?;
    if first & 0x80 != 0 {
        let (&extension, after) = rest.split_first()?;
        rest = after;
        let picture_id = match (extension & 0x80 != 0, rest.first()) {
            (false, _) => 0,
            (true, Some(id)) if id & 0x80 != 0 => 2,
            (true, _) => 1,
        };
        let level = usize::from(extension & 0x40 != 0);
        let temporal = usize::from(extension & 0x30 != 0);
        rest = rest.get(picture_id + level + temporal..)?;
    }
    (!rest.is_empty()).then_some(rest)
}

/// The payload with its picture id less `by`, for a receiver that was not sent so many pictures: to
/// it a gap is a loss. `None` if it has no picture id. The id is written with 15 bits.
pub(super) fn renumbered(payload: &[u8], by: u16) -> Option<Bytes> {
    let (first, extension) = (*payload.first()?, *payload.get(1)?);
    if first & 0x80 == 0 || extension & 0x80 == 0 {
        return None;
    }
    let (id, rest) = match (*payload.get(2)?, payload.get(3)) {
        (high, Some(low)) if high & 0x80 != 0 => {
            (u16::from_be_bytes([high & 0x7f, *low]), &payload[4..])
        }
        (id, _) => (u16::from(id & 0x7f), &payload[3..]),
    };
    let [high, low] = (id.wrapping_sub(by) & 0x7fff).to_be_bytes();
    Some([&[first, extension, 0x80 | high, low], rest].concat().into())
}

/// The first packet of a frame: start of partition 0 (RFC 7741, section 4.2).
pub(super) fn starts_frame(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| first & 0x17 == 0x10)
}

/// The first packet of a keyframe: the frame tag's lowest bit is clear (RFC 6386, section 9.1).
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    starts_frame(payload) && strip_descriptor(payload).is_some_and(|data| data[0] & 1 == 0)
}
