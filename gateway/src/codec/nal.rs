//! H.264's NAL units in an Annex B byte stream.

/// What we write before each unit.
pub(crate) const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Kinds that are packed and unpacked here (ITU-T H.264, table 7-1).
pub(crate) const SLICE: u8 = 1;
/// See [`SLICE`].
pub(crate) const IDR: u8 = 5;
/// Sequence parameter set.
pub(crate) const SPS: u8 = 7;
/// Picture parameter set.
pub(crate) const PPS: u8 = 8;

/// The kind of a NAL unit, from its first byte.
pub(crate) const fn kind(header: u8) -> u8 {
    header & 0x1f
}

/// The units of a byte stream, without their start codes; empty ones are left out.
pub(crate) fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = start_code(stream).map_or(&[][..], |at| &stream[at + 3..]);
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = start_code(rest);
            let (unit, after) = end.map_or((rest, &[][..]), |at| (&rest[..at], &rest[at + 3..]));
            rest = after;
            // Strips trailing zeros, and the first zero of a four-byte start code.
            let unit = &unit[..unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)];
            if !unit.is_empty() {
                return Some(unit);
            }
        }
        None
    })
}

fn start_code(stream: &[u8]) -> Option<usize> {
    stream.windows(3).position(|window| window == [0, 0, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [&[u8]; 0] = [];

    #[test]
    fn units_are_found_behind_either_start_code() {
        let found = |stream: &'static [u8]| units(stream).collect::<Vec<_>>();
        assert_eq!(
            found(&[0, 0, 0, 1, 7, 1, 0, 0, 1, 8, 2, 0, 0, 0, 1, 5, 3]),
            [&[7, 1][..], &[8, 2], &[5, 3]]
        );
        assert_eq!(
            found(&[9, 9, 0, 0, 1, 5, 0, 0]),
            [&[5][..]],
            "what is before and zeros behind do not count"
        );
        assert_eq!(found(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 1]), NONE);
        assert_eq!(found(&[5, 5]), NONE);
        assert_eq!(found(&[]), NONE);
    }
}
