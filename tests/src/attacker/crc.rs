//! The two checksums that an attacker needs, bit by bit: they cover some hundred bytes.

/// Of STUN's fingerprint (ITU V.42), its polynomial in reverse.
pub const IEEE: u32 = 0xedb8_8320;
/// Of SCTP (RFC 9260, appendix A: Castagnoli's), its polynomial in reverse.
pub const CASTAGNOLI: u32 = 0x82f6_3b78;

/// The checksum by this polynomial.
#[must_use]
pub fn crc32(polynomial: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { polynomial } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the catalogue of parametrised CRC algorithms.
    #[test]
    fn is_what_it_is_elsewhere() {
        assert_eq!(
            [IEEE, CASTAGNOLI].map(|kind| crc32(kind, b"123456789")),
            [0xcbf4_3926, 0xe306_9283]
        );
    }
}
