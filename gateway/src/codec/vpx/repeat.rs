//! A VP8 frame that shows the last one again. It takes every macroblock from the last frame as it
//! is, codes nothing, and changes none of the decoder's state. So it needs no encoder, and the
//! encoder need not know of it.
//!
//! Section numbers are those of RFC 6386.

/// `token_prob_update` (13.4): how likely each probability is to stay, by plane, band and context,
/// 11 each; omitted values are 255.
#[rustfmt::skip]
const COEFFICIENTS_STAY: [&[u8]; 4 * 8 * 3] = [
    &[], &[], &[], &[176, 246], &[223, 241, 252], &[249, 253, 253], &[255, 244, 252],
    &[234, 254, 254], &[253], &[255, 246, 254], &[239, 253, 254], &[254, 255, 254],
    &[255, 248, 254], &[251, 255, 254], &[], &[255, 253, 254], &[251, 254, 254], &[254, 255, 254],
    &[255, 254, 253, 255, 254], &[250, 255, 254, 255, 254], &[254], &[], &[], &[],
    // 1
    &[217], &[225, 252, 241, 253, 255, 255, 254], &[234, 250, 241, 250, 253, 255, 253, 254],
    &[255, 254], &[223, 254, 254], &[238, 253, 254, 254], &[255, 248, 254], &[249, 254], &[],
    &[255, 253], &[247, 254], &[], &[255, 253, 254], &[252], &[], &[255, 254, 254], &[253], &[],
    &[255, 254, 253], &[250], &[254], &[], &[], &[],
    // 2
    &[186, 251, 250], &[234, 251, 244, 254], &[251, 251, 243, 253, 254, 255, 254], &[255, 253, 254],
    &[236, 253, 254], &[251, 253, 253, 254, 254], &[255, 254, 254], &[254, 254, 254], &[],
    &[255, 254], &[254, 254], &[254], &[], &[254], &[], &[], &[], &[], &[], &[], &[], &[], &[], &[],
    // 3
    &[248], &[250, 254, 252, 254], &[248, 254, 249, 253], &[255, 253, 253], &[246, 253, 253],
    &[252, 254, 251, 254, 254], &[255, 254, 252], &[248, 254, 253], &[253, 255, 254, 254],
    &[255, 251, 254], &[245, 251, 254], &[253, 253, 254], &[255, 251, 253], &[252, 253, 254],
    &[255, 254], &[255, 252], &[249, 255, 254], &[255, 255, 254], &[255, 255, 253], &[250], &[],
    &[], &[254], &[],
];
const PER_CONTEXT: usize = 11;
/// `mv_prob_update` (17.2): the same for motion vectors.
const VECTORS_STAY: [u8; 2 * 19] = [
    237, 246, 253, 253, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 250, 250, 252, 254,
    254, //
    231, 243, 245, 253, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 251, 251, 254, 254, 254,
];
/// How likely a macroblock has no motion (16.3, the first of `mode_contexts`), by the weight of the
/// neighbours without motion: two above, two to the left, one above left.
const STILL: [u8; 6] = [7, 14, 135, 60, 159, 234];
/// The highest probability.
const SURE: u8 = 255;
/// The lowest probability.
const NEVER: u8 = 1;

/// The frame for pictures of this size (pixels): about 50 bytes, and a fifth of a bit for each
/// macroblock.
pub(super) fn frame(width: u32, height: u32) -> Vec<u8> {
    let mut header = BoolEncoder::default();
    // 9.3 to 9.6: no segments, the normal loop filter at level 0 (off), its adjustments off, one
    // partition, quantizer 0.
    header.literal(1 + 1 + 6 + 3 + 1 + 2 + 7 + 5);
    // 9.7: golden and altref neither refreshed nor copied to, their signs.
    header.literal(1 + 1 + 2 + 2 + 1 + 1);
    // 9.11, 9.7: probabilities are not kept, and this frame does not replace the last one.
    header.literal(1 + 1);
    for context in COEFFICIENTS_STAY {
        (0..PER_CONTEXT).for_each(|n| header.bool(context.get(n).copied().unwrap_or(SURE), false));
    }
    // 9.11: macroblocks without coefficients are marked, and nearly all are.
    header.flag(true);
    header.byte(NEVER);
    // 9.10: hardly any is intra-coded, nearly all refer to the last frame.
    header.byte(NEVER);
    header.byte(SURE);
    header.byte(SURE);
    // No new probabilities of intra modes, for luma or chroma.
    header.literal(1 + 1);
    VECTORS_STAY.into_iter().for_each(|stay| header.bool(stay, false));
    for row in 0..height.div_ceil(16) {
        for column in 0..width.div_ceil(16) {
            let neighbours = match (row > 0, column > 0) {
                (true, true) => 5,
                (false, false) => 0,
                _ => 2,
            };
            // 19.3: no coefficients, inter-coded, from the last frame, without motion.
            header.bool(NEVER, true);
            header.bool(NEVER, true);
            header.bool(SURE, false);
            header.bool(STILL[neighbours], false);
        }
    }
    let first = header.finish();
    // 9.1: an inter frame, version 0, shown; the size of the first partition. The second is empty;
    // its two bytes are for decoders that read ahead.
    let tag = 1 | 1 << 4 | u32::try_from(first.len()).unwrap_or(0) << 5;
    [&tag.to_le_bytes()[..3], &first, &[0; 2]].concat()
}

/// 7.3.
struct BoolEncoder {
    output: Vec<u8>,
    range: u32,
    bottom: u32,
    /// Bits until the next byte.
    bits: u32,
}

impl Default for BoolEncoder {
    fn default() -> Self {
        Self { output: Vec::new(), range: 255, bottom: 0, bits: 24 }
    }
}

impl BoolEncoder {
    /// `probability` is that of `false`, out of 256.
    fn bool(&mut self, probability: u8, value: bool) {
        let split = 1 + (((self.range - 1) * u32::from(probability)) >> 8);
        if value {
            self.bottom += split;
            self.range -= split;
        } else {
            self.range = split;
        }
        while self.range < 128 {
            self.range <<= 1;
            self.shift();
        }
    }

    fn flag(&mut self, value: bool) {
        self.bool(128, value);
    }

    fn byte(&mut self, value: u8) {
        (0..8).rev().for_each(|bit| self.flag(value >> bit & 1 == 1));
    }

    /// Writes this many zero bits.
    fn literal(&mut self, bits: u32) {
        (0..bits).for_each(|_| self.flag(false));
    }

    fn shift(&mut self) {
        if self.bottom >> 31 == 1 {
            // A carry: into the last byte that has room for it.
            let full = self.output.iter().rev().take_while(|byte| **byte == u8::MAX).count();
            let last = self.output.len() - full;
            self.output[last..].fill(0);
            self.output[last - 1] += 1;
        }
        self.bottom <<= 1;
        self.bits -= 1;
        if self.bits == 0 {
            self.output.extend(self.bottom.to_be_bytes().first());
            self.bottom &= 0x00ff_ffff;
            self.bits = 8;
        }
    }

    /// Writes out all bytes that a decoder may read.
    fn finish(mut self) -> Vec<u8> {
        (0..32).for_each(|_| self.shift());
        self.output
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, Decoder, Picture};

    /// Moving noise, so that any error is seen.
    fn picture(width: u32, height: u32, n: u32) -> Picture {
        let len = u32::try_from(reframe_proto::i420_len(width, height)).unwrap();
        let pixel =
            |i: u32| u8::try_from((i / 3 + n * 7).wrapping_mul(2_654_435_761) >> 24).unwrap();
        Picture { width, height, data: (0..len).map(pixel).collect() }
    }

    #[test]
    fn it_shows_the_last_picture_and_leaves_no_trace() {
        for (width, height) in [(16, 16), (35, 21), (320, 240), (1280, 720), (16, 400), (1919, 31)]
        {
            let mut encoder = Codec::Vp8.encoder(1_000, 30.0);
            let [mut plain, mut repeated] = [0; 2].map(|_| Codec::Vp8.decoder().unwrap());
            let repeat = frame(width, height);
            let mut frames = 0;
            for n in 0..12 {
                let encoded = encoder
                    .encode(&picture(width, height, n), u64::from(n) * 3_000, n == 7)
                    .unwrap();
                let Some(encoded) = encoded else { continue };
                frames += 1;
                let decode = |decoder: &mut Box<dyn Decoder>, unit: &[u8]| {
                    decoder.decode(unit).unwrap().unwrap()
                };
                let shown = decode(&mut plain, &encoded.data);
                assert!(
                    decode(&mut repeated, &encoded.data).data == shown.data,
                    "{width}x{height}, frame {n}"
                );
                for _ in 0..n % 4 {
                    assert!(
                        decode(&mut repeated, &repeat).data == shown.data,
                        "{width}x{height}, after frame {n}"
                    );
                }
            }
            assert!(frames > 4, "{width}x{height}: {frames} frames");
        }
    }

    #[test]
    fn what_could_be_better_is_encoded_again_now_and_then() {
        let mut encoder = Codec::Vp8.encoder(300, 30.0);
        assert!(encoder.repeat(0).is_none(), "nothing to repeat");
        let noise = picture(640, 480, 0);
        encoder.encode(&noise, 0, false).unwrap().unwrap();
        assert!(
            encoder
                .repeat(22_499)
                .is_some_and(|unit| !unit.keyframe && unit.data == frame(640, 480))
        );
        assert!(encoder.repeat(22_500).is_none(), "noise at 300 kbit/s is not good");
        encoder.encode(&noise, 22_500, false).unwrap();
        assert!(encoder.repeat(25_500).is_some());
        // A grey picture is as good as possible at once.
        let grey = Picture { data: vec![128; noise.data.len()].into(), ..noise };
        let mut encoder = Codec::Vp8.encoder(2_000, 30.0);
        (0..60).for_each(|n| drop(encoder.encode(&grey, n * 3_000, false).unwrap()));
        assert!(encoder.repeat(10_000_000).is_some());
        for codec in [Codec::Vp9, Codec::H264] {
            let mut encoder = codec.encoder(2_000, 30.0);
            encoder.encode(&grey, 0, false).unwrap().unwrap();
            assert!(encoder.repeat(3_000).is_none(), "{codec} has none");
        }
    }

    #[test]
    fn it_is_small() {
        assert!(frame(1280, 720).len() < 250, "{} bytes", frame(1280, 720).len());
        assert!(frame(16, 16).len() < 60, "{} bytes", frame(16, 16).len());
    }
}
