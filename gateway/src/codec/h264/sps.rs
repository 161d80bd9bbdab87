//! The memory that a sequence parameter set (ITU-T H.264, section 7.3.2.1.1) would make a decoder
//! allocate, computed before any decoder sees it.

use crate::codec::CodecError;
use crate::codec::bits::Bits;
use crate::codec::picture::check_size;

/// Bytes that are parsed. What comes before the size is shorter, even with every scaling list.
const MAX_BYTES: usize = 1_024;
/// Most reference pictures that a stream may claim (ITU-T H.264, section A.3.1).
const MAX_REFERENCES: u32 = 16;
/// Pictures that OpenH264 allocates beyond those: the one being decoded, and one for concealment.
const FURTHER_PICTURES: u32 = 2;
/// Most macroblocks in all pictures that a decoder allocates: the references that level 5.2, the
/// highest, allows (`MaxDpbMbs`, table A-1), and the further pictures at that level's size
/// (`MaxFS`). 384 bytes each: 99 MB.
const MAX_MACROBLOCKS: u32 = 184_320 + FURTHER_PICTURES * 36_864;
/// Profiles with the chroma format (and possibly scaling lists) in the parameter set.
const WITH_CHROMA: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// What a parameter set claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    /// In pixels: whole macroblocks, before cropping.
    size: (u32, u32),
    references: u32,
}

/// Checks the picture size and the number of reference pictures that a parameter set claims. `unit`
/// starts with the NAL header.
///
/// # Errors
/// It claims too much, is malformed, or is for video that is not 8 bits and 4:2:0.
pub(super) fn check(unit: &[u8]) -> Result<(), CodecError> {
    let malformed = CodecError::Unit("not a sequence parameter set of 8 bits and 4:2:0");
    let Claim { size: (width, height), references } = claim(&unescaped(unit)).ok_or(malformed)?;
    check_size(width, height)?;
    let macroblocks = width / 16 * (height / 16);
    let fits = references <= MAX_REFERENCES
        && (references + FURTHER_PICTURES) * macroblocks <= MAX_MACROBLOCKS;
    fits.then_some(())
        .ok_or(CodecError::Unit("more reference pictures of its size than any level allows"))
}

/// The unit without its NAL header and its emulation prevention bytes.
fn unescaped(unit: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let kept = unit.iter().skip(1).take(MAX_BYTES).filter(|byte| {
        let escape = zeros >= 2 && **byte == 3;
        zeros = if **byte == 0 { zeros + 1 } else { 0 };
        !escape
    });
    kept.copied().collect()
}

fn claim(data: &[u8]) -> Option<Claim> {
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
    let references = bits.unsigned()?;
    // Whether gaps in frame numbers are allowed.
    bits.flag()?;
    let (columns, rows) = (bits.unsigned()?.checked_add(1)?, bits.unsigned()?.checked_add(1)?);
    let rows = if bits.flag()? { rows } else { rows.checked_mul(2)? };
    Some(Claim { size: (columns.checked_mul(16)?, rows.checked_mul(16)?), references })
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
        let baseline =
            [0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0x90, 0x0f, 0x08, 0x84, 0x6a];
        assert_eq!(claim(&unescaped(&baseline)), Some(Claim { size: (640, 480), references: 1 }));
        let high = [
            0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00,
            0x00, 0x03, 0x00, 0x04,
        ];
        assert_eq!(claim(&unescaped(&high)), Some(Claim { size: (1920, 1088), references: 4 }));
        assert!(check(&high).is_ok());
    }

    /// A baseline set with this many reference frames, and macroblocks across and down.
    fn set(references: u32, columns: u32, rows: u32) -> Vec<u8> {
        // Exp-Golomb: the value plus one, after as many zeros as it has bits after the first.
        let code = |value: u32| {
            format!("{:0>width$b}", value + 1, width = 2 * (value + 1).ilog2() as usize + 1)
        };
        // Set 0, frame numbers of 4 bits, no order of output; no gaps, frames only, no cropping.
        let fields = [0, 0, 2, references].map(code).concat()
            + "0"
            + &[columns - 1, rows - 1].map(code).concat()
            + "110";
        let bits: Vec<u8> = fields.bytes().map(|bit| bit - b'0').collect();
        let bytes = bits
            .chunks(8)
            .map(|byte| (0..8).fold(0, |sum, bit| sum << 1 | byte.get(bit).copied().unwrap_or(0)));
        [0x67, 0x42, 0xc0, 0x34].into_iter().chain(bytes).collect()
    }

    #[test]
    fn what_a_decoder_would_keep_is_bounded() {
        assert_eq!(
            claim(&unescaped(&set(16, 80, 45))),
            Some(Claim { size: (1280, 720), references: 16 })
        );
        // As many as level 5.2 allows of each size.
        for (references, columns, rows) in
            [(16, 80, 45), (16, 120, 68), (5, 256, 144), (12, 160, 90)]
        {
            assert!(
                check(&set(references, columns, rows)).is_ok(),
                "{references} of {columns}x{rows}"
            );
        }
        for (references, columns, rows) in
            [(6, 256, 144), (16, 256, 144), (16, 160, 90), (17, 1, 1), (u32::MAX - 1, 1, 1)]
        {
            let refused = check(&set(references, columns, rows));
            assert!(
                matches!(refused, Err(CodecError::Unit(_))),
                "{references} of {columns}x{rows}: {refused:?}"
            );
        }
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
