//! How the bytes of a picture are laid out.

use std::fmt;

use reframe_proto::i420_len;

/// How a [`Frame`](super::Frame) keeps its pixels. Rows go from top to bottom, without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PixelFormat {
    /// 3 bytes a pixel: red, green, blue; 0 to 255 each.
    #[default]
    Rgb24,
    /// 3 bytes a pixel: blue, green, red; 0 to 255 each. What OpenCV and the models trained with it
    /// expect.
    Bgr24,
    /// Planes, 1.5 bytes a pixel: brightness (Y, `width * height` bytes), then U, then V (each
    /// `width.div_ceil(2) * height.div_ceil(2)` bytes). BT.601, limited range: Y is 16 (black) to
    /// 235 (white). What the browser's video is made of; costs no conversion.
    I420,
    /// 1 byte a pixel: brightness, 0 (black) to 255 (white).
    Gray8,
}

impl PixelFormat {
    /// Bytes of a picture of `width` x `height` pixels.
    ///
    /// ```
    /// # use reframe_worker::PixelFormat;
    /// assert_eq!(PixelFormat::Rgb24.len(1280, 720), 2_764_800);
    /// assert_eq!(PixelFormat::I420.len(3, 3), 9 + 4 + 4);
    /// ```
    #[must_use]
    pub const fn len(self, width: u32, height: u32) -> usize {
        match self.channels() {
            Some(channels) => width as usize * height as usize * channels,
            None => i420_len(width, height),
        }
    }

    /// Bytes of a pixel; `None` when they are not side by side.
    pub(crate) const fn channels(self) -> Option<usize> {
        match self {
            Self::Rgb24 | Self::Bgr24 => Some(3),
            Self::Gray8 => Some(1),
            Self::I420 => None,
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rgb24 => "RGB24",
            Self::Bgr24 => "BGR24",
            Self::I420 => "I420",
            Self::Gray8 => "GRAY8",
        })
    }
}
