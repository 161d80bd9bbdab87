//! Codecs: access units to pictures and back.
//!
//! [`Decoder`] and [`Encoder`] are two of the project's four seams, so that a further codec, or a hardware one, is one
//! more file here. Implementations are single-threaded (libvpx's own threads cost 30-40 % more CPU per frame when
//! measured) and run on codec arbiters only.

mod rotate;
mod scale;
mod vp8;

use bytes::Bytes;

pub(crate) use rotate::{Rotation, turn};
pub use scale::scale;
pub use vp8::{Vp8Decoder, Vp8Encoder};

/// One I420 picture: luma, then the two chroma planes at half the size rounded up, without padding.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Exactly `reframe_proto::i420_len(width, height)` bytes. Cheap to clone.
    pub data: Bytes,
}

/// One encoded picture.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The access unit.
    pub data: Bytes,
    /// Decodable without any earlier one.
    pub keyframe: bool,
}

/// A codec refused its input or failed. The codec stays usable; a decoder needs a keyframe next.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// A keyframe claims a picture that is empty or above the limit; nothing was allocated for it.
    #[error("a picture of {width}x{height} is empty or too large")]
    Size {
        /// Pixels, as claimed.
        width: u32,
        /// Pixels, as claimed.
        height: u32,
    },
    /// The library's own words.
    #[error("{operation}: {detail}")]
    Library {
        /// What was asked of it.
        operation: &'static str,
        /// What it said.
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
    /// `pts` is in 90 kHz ticks and must grow from call to call.
    ///
    /// # Errors
    /// The picture is outside the size limits, or the library failed.
    fn encode(&mut self, picture: &Picture, pts: u64, force_keyframe: bool) -> Result<Option<Encoded>, CodecError>;

    /// Aims at `kbps` (kbit/s) from the next picture on: no keyframe, nothing is rebuilt. Cheap enough for every frame.
    fn set_bitrate(&mut self, kbps: u32);
}
