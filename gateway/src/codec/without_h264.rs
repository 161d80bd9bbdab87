//! What is here in place of H.264 where it is left out of the build. Nothing negotiates the codec
//! then, so that none of this is reached. A direct call is refused.
#![allow(unreachable_pub, reason = "a test build with H.264 exports that one's types")]

use super::{CodecError, Decoder, Encoded, Encoder, Picture};

/// This build cannot code H.264.
pub(crate) const IS_BUILT: bool = false;

/// Nobody needs to be told how slow it is.
pub(crate) const fn lacks_assembler() -> bool {
    false
}

const fn refused() -> CodecError {
    CodecError::Unit("built without H.264")
}

/// Never made: this build has no decoder for H.264.
pub enum H264Decoder {}

/// Refuses every picture.
pub struct H264Encoder;

impl H264Decoder {
    /// No decoder.
    ///
    /// # Errors
    /// Always.
    pub const fn new() -> Result<Self, CodecError> {
        Err(refused())
    }
}

impl Decoder for H264Decoder {
    fn decode(&mut self, _: &[u8]) -> Result<Option<Picture>, CodecError> {
        match *self {}
    }
}

impl H264Encoder {
    /// One that refuses every picture.
    #[must_use]
    pub const fn new(_bitrate_kbps: u32, _fps: f64) -> Self {
        Self
    }

    /// The same.
    #[must_use]
    pub const fn with_max_slice(self, _bytes: u32) -> Self {
        self
    }
}

impl Encoder for H264Encoder {
    fn encode(&mut self, _: &Picture, _: u64, _: bool) -> Result<Option<Encoded>, CodecError> {
        Err(refused())
    }

    fn repeat(&mut self, _: u64) -> Option<Encoded> {
        None
    }

    fn set_bitrate(&mut self, _: u32) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_refuses() {
        assert_eq!((IS_BUILT, lacks_assembler()), (false, false));
        assert!(H264Decoder::new().map(|mut decoder| decoder.decode(&[])).is_err());
        let picture = Picture { width: 16, height: 16, data: vec![0; 384].into() };
        let mut encoder = H264Encoder::new(1_000, 30.0).with_max_slice(1_000);
        encoder.set_bitrate(500);
        let refused = encoder.encode(&picture, 0, true);
        assert!(matches!(refused, Err(CodecError::Unit("built without H.264"))));
        assert!(encoder.repeat(3_000).is_none());
    }
}
