//! Checks VP8 and VP9 frame headers before anything is decoded.

use crate::codec::CodecError;
use crate::codec::bits::Bits;
use crate::codec::picture::check_size;

/// Longest superframe index: a marker, eight sizes of four bytes, the marker again.
const MAX_INDEX: usize = 34;

/// Checks the size that a VP8 keyframe claims (RFC 6386, section 9.1); no other frame has one.
pub(super) fn check_vp8(unit: &[u8]) -> Result<(), CodecError> {
    let [tag, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = *unit else { return Ok(()) };
    if tag & 1 != 0 {
        return Ok(());
    }
    let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    check_size(side(w0, w1), side(h0, h1))
}

/// Checks every frame of a VP9 unit. Returns the superframe index to append if the unit has none.
///
/// libvpx takes what follows a frame's data for another frame, which would not have been checked.
/// With an index (VP9 bitstream specification, annex B) it decodes only the frames that are listed.
pub(super) fn check_vp9(unit: &[u8]) -> Result<Option<[u8; 6]>, CodecError> {
    let Some(sizes) = frame_sizes(unit) else {
        check_vp9_frame(unit)?;
        let size = u32::try_from(unit.len()).map_err(|_| MALFORMED)?.to_le_bytes();
        // One frame, its size in four bytes.
        let marker = 0b1101_1000;
        return Ok(Some([marker, size[0], size[1], size[2], size[3], marker]));
    };
    let mut rest = unit;
    for size in sizes {
        let (frame, after) = rest.split_at_checked(size).ok_or(MALFORMED)?;
        // libvpx skips an empty frame, but decodes a hidden one.
        if !frame.is_empty() {
            check_vp9_frame(frame)?;
        }
        rest = after;
    }
    Ok(None)
}

const MALFORMED: CodecError = CodecError::Unit("not a VP9 frame");

/// The sizes in a superframe index, if there is one.
fn frame_sizes(unit: &[u8]) -> Option<Vec<usize>> {
    let marker = *unit.last().filter(|marker| *marker & 0b1110_0000 == 0b1100_0000)?;
    let (frames, bytes) = (usize::from(marker & 7) + 1, usize::from(marker >> 3 & 3) + 1);
    let length = 2 + frames * bytes;
    debug_assert!(length <= MAX_INDEX);
    let index = unit.get(unit.len().checked_sub(length)?..)?;
    if index[0] != marker {
        return None;
    }
    let size =
        |bytes: &[u8]| bytes.iter().rev().fold(0, |size, byte| size << 8 | usize::from(*byte));
    Some(index[1..length - 1].chunks_exact(bytes).map(size).collect())
}

/// Accepts profile 0 only (8 bits, 4:2:0), and sizes within the limit. Frames other than keyframes
/// may claim a size too.
fn check_vp9_frame(frame: &[u8]) -> Result<(), CodecError> {
    match claimed_size(frame).ok_or(MALFORMED)? {
        Some((width, height)) => check_size(width, height),
        None => Ok(()),
    }
}

/// The size in an uncompressed header (VP9 bitstream specification, section 6.2); the inner `None`
/// if the frame has no size of its own.
fn claimed_size(frame: &[u8]) -> Option<Option<(u32, u32)>> {
    let mut bits = Bits::new(frame);
    // Frame marker and profile 0.
    if bits.take(4)? != 0b1000 {
        return None;
    }
    let show_existing = bits.flag()?;
    if show_existing {
        return Some(None);
    }
    let (inter, show, resilient) = (bits.flag()?, bits.flag()?, bits.flag()?);
    if !inter {
        sync_code(&mut bits)?;
        // Colour space; RGB, which has no range, is not in profile 0.
        if bits.take(3)? == 7 {
            return None;
        }
        bits.flag()?;
        return Some(Some(size(&mut bits)?));
    }
    let intra_only = !show && bits.flag()?;
    if !resilient {
        bits.take(2)?;
    }
    if intra_only {
        sync_code(&mut bits)?;
        bits.take(8)?;
        return Some(Some(size(&mut bits)?));
    }
    // Which references are refreshed and used.
    bits.take(8 + 3 * 4)?;
    for _ in 0..3 {
        if bits.flag()? {
            return Some(None);
        }
    }
    Some(Some(size(&mut bits)?))
}

fn sync_code(bits: &mut Bits<'_>) -> Option<()> {
    (bits.take(24)? == 0x49_83_42).then_some(())
}

fn size(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    Some((bits.take(16)? + 1, bits.take(16)? + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header, bit by bit.
    fn header(fields: &[(u32, u32)]) -> Vec<u8> {
        let bits = fields
            .iter()
            .flat_map(|(count, value)| (0..*count).rev().map(move |bit| value >> bit & 1));
        let bits: Vec<u32> = bits.collect();
        bits.chunks(8)
            .map(|byte| {
                (0..8).fold(0, |sum, bit| {
                    sum << 1 | u8::from(byte.get(bit).is_some_and(|bit| *bit == 1))
                })
            })
            .collect()
    }

    /// Marker and profile, show existing, inter, show, error resilient.
    const KEY: (u32, u32) = (8, 0b1000_0010);
    const HIDDEN: (u32, u32) = (8, 0b1000_0100);
    const INTER: (u32, u32) = (8, 0b1000_0110);
    const SYNC: (u32, u32) = (24, 0x49_83_42);

    #[test]
    fn vp9_sizes_are_found_wherever_they_are_claimed() {
        let huge = [(16, 16_382), (16, 16_382)];
        let frames = [
            [&[KEY, SYNC, (4, 0b0100)][..], &huge].concat(),
            [&[HIDDEN, (1, 1), (2, 0), SYNC, (8, 0xff)][..], &huge].concat(),
            [&[INTER, (2, 0), (8, 1), (12, 0), (3, 0)][..], &huge].concat(),
        ];
        for frame in frames.map(|fields| header(&fields)) {
            assert_eq!(claimed_size(&frame), Some(Some((16_383, 16_383))));
            assert!(matches!(check_vp9(&frame), Err(CodecError::Size { .. })));
            // Second in a superframe.
            let fine = header(&[INTER, (2, 0), (8, 1), (12, 0), (1, 1)]);
            let index = [
                0b1100_0001,
                u8::try_from(fine.len()).unwrap(),
                u8::try_from(frame.len()).unwrap(),
                0b1100_0001,
            ];
            assert!(matches!(
                check_vp9(&[&fine, &frame, &index[..]].concat()),
                Err(CodecError::Size { .. })
            ));
            assert!(check_vp9(&frame[..frame.len() - 3]).is_err(), "cut");
        }
    }

    #[test]
    fn other_vp9_profiles_are_refused() {
        for profile in [0b1010, 0b1001, 0b1011] {
            assert!(matches!(
                check_vp9(&header(&[(4, profile), (28, 0)])),
                Err(CodecError::Unit(_))
            ));
        }
    }

    #[test]
    fn a_lone_frame_gets_an_index_that_lists_it() {
        let frame = header(&[INTER, (2, 0), (8, 1), (12, 0), (1, 1)]);
        let index = check_vp9(&frame).unwrap().unwrap();
        let unit = [&frame, &index[..]].concat();
        assert_eq!(frame_sizes(&unit), Some(vec![frame.len()]));
        assert_eq!(check_vp9(&unit).unwrap(), None);
    }
}
