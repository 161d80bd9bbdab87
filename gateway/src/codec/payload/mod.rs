//! RTP payload formats: access units into packets and back, as pure functions for each codec.
//!
//! Packets come from browsers and may contain anything. Nothing here panics, and the output is
//! never much larger than its packet.

mod h264;
mod vp8;
mod vp9;

use bytes::{Bytes, BytesMut};
use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::codec::vp8::Vp8Payloader;
use rtc::rtp::packetizer::Payloader;

use crate::codec::Codec;

#[cfg(test)]
mod tests;

/// Payload bytes per RTP packet: 1500 less IP, UDP, SRTP and room for tunnels, as browsers do.
pub(crate) const MTU_PAYLOAD_BYTES: usize = 1_188;

/// Whether the payload is the first of its frame.
pub(crate) fn starts_frame(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Vp8 => vp8::starts_frame(payload),
        Codec::Vp9 => vp9::starts_frame(payload),
        Codec::H264 => h264::starts_frame(payload),
    }
}

/// Whether a frame that starts with this payload can be decoded without any before it.
pub(crate) fn starts_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Vp8 => vp8::starts_keyframe(payload),
        Codec::Vp9 => vp9::starts_keyframe(payload),
        Codec::H264 => h264::starts_keyframe(payload),
    }
}

/// Appends the payload's data to its frame. A malformed payload adds nothing, and the decoder will
/// report it.
pub(crate) fn append(codec: Codec, payload: &[u8], unit: &mut BytesMut) {
    match codec {
        Codec::Vp8 => unit.extend_from_slice(vp8::strip_descriptor(payload).unwrap_or_default()),
        Codec::Vp9 => unit.extend_from_slice(vp9::strip_descriptor(payload).unwrap_or_default()),
        Codec::H264 => h264::append(payload, unit).unwrap_or_default(),
    }
}

/// The payload for a receiver that was not sent `left_out` earlier pictures, to which no other
/// refers: without a gap in the numbers by which receivers notice a loss.
pub(crate) fn renumbered(codec: Codec, payload: &Bytes, left_out: u16) -> Bytes {
    match codec {
        // Only this one has pictures that may be left out, and numbers of them.
        Codec::Vp8 if left_out != 0 => {
            vp8::renumbered(payload, left_out).unwrap_or_else(|| payload.clone())
        }
        _ => payload.clone(),
    }
}

/// Splits access units into payloads.
pub(crate) enum Packetiser {
    /// With a picture id, by which browsers tell a lost frame from a skipped one.
    Vp8(Vp8Payloader),
    /// See [`vp9`].
    Vp9(vp9::Packetiser),
    /// Parameter sets go together in a STAP-A, long units into fragments.
    H264(H264Payloader),
    /// Packetization mode 0: one NAL unit, one packet.
    H264SingleNal,
}

impl Packetiser {
    /// `single_nal` is H.264's packetization mode 0.
    pub(crate) fn new(codec: Codec, single_nal: bool) -> Self {
        match codec {
            Codec::Vp8 => {
                let mut payloader = Vp8Payloader::default();
                payloader.enable_picture_id = true;
                Self::Vp8(payloader)
            }
            Codec::Vp9 => Self::Vp9(vp9::Packetiser::default()),
            Codec::H264 if single_nal => Self::H264SingleNal,
            Codec::H264 => Self::H264(H264Payloader::default()),
        }
    }

    /// The payloads in order, each at most [`MTU_PAYLOAD_BYTES`] long.
    pub(crate) fn packetise(&mut self, unit: &Bytes, keyframe: bool) -> Vec<Bytes> {
        match self {
            // These fail only if the MTU is zero.
            Self::Vp8(payloader) => payloader.payload(MTU_PAYLOAD_BYTES, unit).unwrap_or_default(),
            Self::H264(payloader) => payloader.payload(MTU_PAYLOAD_BYTES, unit).unwrap_or_default(),
            Self::Vp9(packetiser) => packetiser.packetise(unit, keyframe),
            Self::H264SingleNal => h264::single_nals(unit),
        }
    }
}
