//! Codecs: access units to pictures and back.
//!
//! [`Decoder`] and [`Encoder`] are two of the project's four seams: a hardware codec is one more
//! file here, and a new codec also needs its payload format and its place in offers.
//! Implementations are single-threaded (libvpx's own threads cost 30-40 % more CPU per frame when
//! measured) and run on codec arbiters only. A decoder checks the size that a unit claims before
//! its library sees it: libraries allocate whatever a unit claims.
//!
//! H.264 can be left out of a build (the feature `h264`): then [`Codec::AVAILABLE`] has it no more,
//! which is all that options and offers go by. Its name and its payload format stay.

mod bits;
mod format;
#[cfg(feature = "h264")]
mod h264;
mod nal;
pub(crate) mod payload;
mod picture;
mod preference;
mod rotate;
mod scale;
mod speed;
mod vpx;
// In a test build too: what is there in no build that is tested would not be compiled for long.
#[cfg(any(test, not(feature = "h264")))]
mod without_h264;

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
pub(crate) use h264::lacks_assembler as h264_lacks_assembler;
pub use h264::{H264Decoder, H264Encoder};
pub use picture::Picture;
pub(crate) use rotate::{Rotation, turn};
pub use scale::scale;
pub use vpx::{VpxDecoder, VpxEncoder};

pub(crate) use self::format::Format;
pub(crate) use self::preference::Codecs;
#[cfg(not(feature = "h264"))]
use self::without_h264 as h264;

#[cfg(test)]
mod tests;

/// The codecs of a browser's video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 6386, by libvpx.
    Vp8,
    /// Profile 0, by libvpx.
    Vp9,
    /// ITU-T H.264, by OpenH264 where it is built in: encodes constrained baseline.
    H264,
}

impl Codec {
    /// All codecs, in the order of our preference; without `--codecs` the browser's order is used.
    pub const ALL: [Self; 3] = [Self::Vp8, Self::Vp9, Self::H264];

    /// Those of them that this build can decode and encode.
    pub const AVAILABLE: &[Self] =
        if h264::IS_BUILT { &Self::ALL } else { &[Self::Vp8, Self::Vp9] };

    /// The name in options, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::H264 => "h264",
        }
    }

    /// The name in an `a=rtpmap` line.
    #[must_use]
    pub const fn sdp_name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::H264 => "H264",
        }
    }

    /// A decoder that waits for its first keyframe.
    ///
    /// # Errors
    /// The library could not allocate it.
    pub fn decoder(self) -> Result<Box<dyn Decoder>, CodecError> {
        Ok(match self {
            Self::Vp8 | Self::Vp9 => Box::new(VpxDecoder::new(self)?),
            Self::H264 => Box::new(H264Decoder::new()?),
        })
    }

    /// An encoder that aims at `kbps` (kbit/s) at about `fps` frames a second.
    #[must_use]
    pub fn encoder(self, kbps: u32, fps: f64) -> Box<dyn Encoder> {
        match self {
            Self::Vp8 | Self::Vp9 => Box::new(VpxEncoder::new(self, kbps, fps)),
            Self::H264 => Box::new(H264Encoder::new(kbps, fps)),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// By its name in options, of those that are [`Codec::AVAILABLE`].
impl FromStr for Codec {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let named = |codec: &&Self| name.eq_ignore_ascii_case(codec.name());
        Self::AVAILABLE.iter().find(named).copied().ok_or(())
    }
}

/// One encoded picture.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The access unit; H.264 as an Annex B byte stream.
    pub data: Bytes,
    /// Decodable without any earlier unit.
    pub keyframe: bool,
    /// No later unit refers to it: a receiver that does not get it misses nothing else.
    pub droppable: bool,
}

/// A codec refused its input or failed. The codec stays usable; a decoder needs a keyframe next.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// A unit claims a picture that is empty or above the limit; nothing was allocated for it.
    #[error("a picture of {width}x{height} is empty or too large")]
    Size {
        /// Pixels, as claimed.
        width: u32,
        /// Pixels, as claimed.
        height: u32,
    },
    /// Not a unit of this codec, or of an unsupported kind; the library has not seen it.
    #[error("{0}")]
    Unit(&'static str),
    /// The library's error.
    #[error("{operation}: {detail}")]
    Library {
        /// The operation.
        operation: &'static str,
        /// The library's message.
        detail: String,
    },
}

/// Turns access units into pictures.
pub trait Decoder: Send {
    /// Decodes one access unit; `None` when it shows nothing (an invisible reference frame).
    ///
    /// # Errors
    /// A damaged or oversized unit. Feed it keyframes only until one succeeds.
    fn decode(&mut self, unit: &[u8]) -> Result<Option<Picture>, CodecError>;
}

/// Turns pictures into access units.
pub trait Encoder: Send {
    /// Encodes one picture; `None` when rate control dropped it. A change of size makes a keyframe.
    ///
    /// `pts` is in 90 kHz ticks and must increase with each call: the bitrate is based on it, at
    /// any frame rate.
    ///
    /// # Errors
    /// The picture is outside the size limits, or the library failed.
    fn encode(
        &mut self,
        picture: &Picture,
        pts: u64,
        force_keyframe: bool,
    ) -> Result<Option<Encoded>, CodecError>;

    /// A unit that shows the last picture again to a receiver that has decoded it. It costs almost
    /// nothing, and no later unit refers to it. `pts` is as in [`Self::encode`]. `None` means that
    /// the picture must be encoded again: always for some codecs, and now and then for a picture
    /// that could still look much better.
    fn repeat(&mut self, pts: u64) -> Option<Encoded>;

    /// Aims at `kbps` (kbit/s) from the next picture on. Makes no keyframe and rebuilds nothing.
    /// Cheap enough for every frame.
    fn set_bitrate(&mut self, kbps: u32);

    /// From the next picture on, encodes as fast as possible without looking bad; if false, as well
    /// as the time allows. Cheap enough for every frame.
    fn set_fastest(&mut self, _: bool) {}

    /// From the next picture on, every second unit is droppable, if the codec can do that; if
    /// false, as few as the codec likes. Cheap enough for every frame.
    fn set_temporal_layers(&mut self, _: bool) {}
}
