//! A bit reader for headers: bits from the most significant on, and H.264's Exp-Golomb codes.

/// A position in some bytes. Every read beyond the end is `None`.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, position: 0 }
    }

    /// At most 32.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| {
            let byte = self.data.get(self.position / 8)?;
            let bit = byte >> (7 - self.position % 8) & 1;
            self.position += 1;
            Some(value << 1 | u32::from(bit))
        })
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    /// `ue(v)` (ITU-T H.264, section 9.1), up to 32 bits long.
    pub(super) fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1_u32 << zeros) - 1 + self.take(zeros)?)
    }

    /// `se(v)`.
    pub(super) fn signed(&mut self) -> Option<i64> {
        let code = i64::from(self.unsigned()?);
        Some(if code % 2 == 0 { -code / 2 } else { (code + 1) / 2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_are_those_of_the_table() {
        // 1 010 011 00100 00101 00111: ue 0 1 2 3 4 6.
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1001_1100]);
        let values: Vec<_> = (0..6).map(|_| bits.unsigned()).collect();
        assert_eq!(values, [0, 1, 2, 3, 4, 6].map(Some));
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let values: Vec<_> = (0..5).map(|_| bits.signed()).collect();
        assert_eq!(values, [0, 1, -1, 2, -2].map(Some));
    }

    #[test]
    fn the_end_and_endless_codes_are_none() {
        assert_eq!(Bits::new(&[0xff]).take(9), None);
        assert_eq!(Bits::new(&[0; 64]).unsigned(), None);
        assert_eq!(Bits::new(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).unsigned(), Some(u32::MAX - 1));
    }
}
