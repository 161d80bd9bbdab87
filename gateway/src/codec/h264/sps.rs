//! The size in a sequence parameter set (ITU-T H.264, section 7.3.2.1.1), before any decoder sees it.

use crate::codec::CodecError;
use crate::codec::bits::Bits;
use crate::codec::picture::check_size;

/// Bytes that are looked at: all that comes before the size, with every scaling list written out, is shorter.
const MAX_BYTES: usize = 1_024;
/// Profiles whose sets say what chroma there is (and may hold scaling lists).
const WITH_CHROMA: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Checks the size that a set, with its NAL header, makes a decoder allocate: whole macroblocks, before cropping.
///
/// # Errors
/// It is too large, no set, or of video that is not 8 bits and 4:2:0.
pub(super) fn check(unit: &[u8]) -> Result<(), CodecError> {
    let malformed = CodecError::Unit("not a sequence parameter set of 8 bits and 4:2:0");
    let (width, height) = coded_size(&unescaped(unit)).ok_or(malformed)?;
    check_size(width, height)
}

/// Without the bytes that keep start codes out.
fn unescaped(unit: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let kept = unit.iter().skip(1).take(MAX_BYTES).filter(|byte| {
        let escape = zeros >= 2 && **byte == 3;
        zeros = if **byte == 0 { zeros + 1 } else { 0 };
        !escape
    });
    kept.copied().collect()
}

fn coded_size(data: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::new(data);
    let profile = bits.take(8)?;
    // Constraints and level.
    bits.take(16)?;
    bits.unsigned()?;
    if WITH_CHROMA.contains(&profile) {
        // 4:2:0, 8 bits of luma, 8 of chroma.
        if (bits.unsigned()?, bits.unsigned()?, bits.unsigned()?) != (1, 0, 0) {
            return None;
        }
        bits.flag()?;
        if bits.flag()? {
            skip_scaling_lists(&mut bits)?;
        }
    }
    bits.unsigned()?;
    match bits.unsigned()? {
        0 => drop(bits.unsigned()?),
        1 => {
            bits.flag()?;
            bits.signed()?;
            bits.signed()?;
            let count = bits.unsigned().filter(|count| *count <= 255)?;
            for _ in 0..count {
                bits.signed()?;
            }
        }
        _ => {}
    }
    // Reference frames, and whether numbers may be left out.
    bits.unsigned()?;
    bits.flag()?;
    let (columns, rows) = (bits.unsigned()?.checked_add(1)?, bits.unsigned()?.checked_add(1)?);
    let rows = if bits.flag()? { rows } else { rows.checked_mul(2)? };
    Some((columns.checked_mul(16)?, rows.checked_mul(16)?))
}

fn skip_scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for list in 0..8 {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8, 8);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.signed()?).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_real_sets() {
        // Chromium's constrained baseline 640x480, x264's high 1920x1080 (coded as 1088 lines).
        let baseline = [0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0x90, 0x0f, 0x08, 0x84, 0x6a];
        assert_eq!(coded_size(&unescaped(&baseline)), Some((640, 480)));
        let high = [
            0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04,
        ];
        assert_eq!(coded_size(&unescaped(&high)), Some((1920, 1088)));
        assert!(check(&high).is_ok());
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_bounded() {
        let high = [0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0];
        for end in 0..high.len() {
            for bit in 0..high.len() * 8 {
                let mut set = high;
                set[bit / 8] ^= 1 << (bit % 8);
                check(&set[..end]).ok();
                check(&set).ok();
            }
        }
    }
}
