//! H.264's Exp-Golomb codes.

use crate::codec::bits::Bits;

impl Bits<'_> {
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
    fn endless_codes_are_none() {
        assert_eq!(Bits::new(&[0; 64]).unsigned(), None);
        assert_eq!(Bits::new(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).unsigned(), Some(u32::MAX - 1));
    }
}
