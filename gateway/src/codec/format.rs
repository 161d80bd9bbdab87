//! How a picture is encoded for a receiver.

use super::payload::{MTU_PAYLOAD_BYTES, Packetiser};
use super::{Codec, Encoder, H264Encoder};

/// What a receiver takes: receivers of one format can share an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Format {
    pub(crate) codec: Codec,
    /// H.264's packetization mode 0: no NAL unit may need more than one packet.
    pub(crate) single_nal: bool,
}

impl Format {
    /// As [`Codec::encoder`].
    pub(crate) fn encoder(self, kbps: u32, fps: f64) -> Box<dyn Encoder> {
        match self.codec {
            Codec::H264 if self.single_nal => Box::new(
                H264Encoder::new(kbps, fps)
                    .with_max_slice(u32::try_from(MTU_PAYLOAD_BYTES).unwrap_or(u32::MAX)),
            ),
            codec => codec.encoder(kbps, fps),
        }
    }

    pub(crate) fn packetiser(self) -> Packetiser {
        Packetiser::new(self.codec, self.single_nal)
    }
}
