//! Padding that makes a picture a burst to measure the path by ([`super::burst`]).

use std::sync::atomic::{AtomicU64, Ordering};

use super::burst::MIN_PACKETS;

/// How many bytes the next pictures must have, so that each is a burst to measure by. The estimator
/// asks for them; hop 10 adds the padding (RFC 3550, section 5.1).
#[derive(Debug, Default)]
pub(crate) struct Padding(AtomicU64);

/// Of one packet. Its last byte holds the length.
pub(crate) const PADDING_BYTES: usize = 120;
/// Pictures that one request is for: enough to measure, and one more to see the end of the last.
/// When feedback stops, so does the padding.
const PICTURES: u64 = 4;

impl Padding {
    /// Asks for bursts of `bytes`; 0 asks for none.
    pub(crate) fn ask(&self, bytes: u32) {
        let asked = if bytes == 0 { 0 } else { u64::from(bytes) << 32 | PICTURES };
        self.0.store(asked, Ordering::Relaxed);
    }

    /// How many packets of [`PADDING_BYTES`] must follow a picture of `packets` with `bytes` in
    /// all.
    pub(crate) fn packets(&self, packets: usize, bytes: usize) -> usize {
        let asked = self.0.load(Ordering::Relaxed);
        let (wanted, pictures) = (usize::try_from(asked >> 32).unwrap_or(0), asked & 0xffff_ffff);
        if wanted == 0 || pictures == 0 || packets == 0 {
            return 0;
        }
        let missing = wanted.saturating_sub(bytes).div_ceil(PADDING_BYTES);
        let missing = missing.max(MIN_PACKETS.saturating_sub(packets));
        if missing > 0 {
            let left = if pictures == 1 { 0 } else { asked - 1 };
            // If this fails, the estimator has just asked again.
            self.0.compare_exchange(asked, left, Ordering::Relaxed, Ordering::Relaxed).ok();
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_filled_up_only_as_far_as_it_is_missing_and_a_few_times() {
        let padding = Padding::default();
        assert_eq!(padding.packets(1, 500), 0, "nobody asked");
        padding.ask(2_000);
        assert_eq!(padding.packets(7, 8_000), 0);
        assert_eq!(padding.packets(2, 1_900), 3, "packets");
        assert_eq!(padding.packets(1, 500), 13, "bytes");
        let more = (0..100).filter(|_| padding.packets(1, 500) > 0).count();
        assert_eq!(more, 2);
        padding.ask(2_000);
        padding.ask(0);
        assert_eq!(padding.packets(1, 500), 0);
    }
}
