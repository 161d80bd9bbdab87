//! The picture that a handler receives and returns.

#[cfg(feature = "ndarray")]
mod array_view;
mod format;
#[cfg(feature = "image")]
mod image_view;
pub(crate) mod pixels;
mod rotation;

use std::fmt;
use std::time::Duration;

pub use format::PixelFormat;
use reframe_proto::{MAX_DIMENSION, MAX_PICTURE_BYTES, i420_len};
pub use rotation::Rotation;

/// A picture: its size, and its pixels in one of four [formats](PixelFormat), RGB24 unless the
/// handler asks for another.
///
/// A `Frame` always has a size that the wire can carry and exactly the bytes of that size and
/// format. What a handler returns may differ in both from what it was given.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    width: u32,
    height: u32,
    format: PixelFormat,
    data: Vec<u8>,
    seq: u64,
    capture_time: Duration,
    rotation: Rotation,
}

/// Why a [`Frame`] cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A side is zero or too long.
    #[error("a frame of {width}x{height}: each side must be 1 to {MAX_DIMENSION} pixels")]
    Dimensions {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// Each side is allowed, but their product is too large.
    #[error(
        "a frame of {width}x{height} is {bytes} bytes on the wire, over the limit of \
         {MAX_PICTURE_BYTES}"
    )]
    Area {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// As I420.
        bytes: usize,
    },
    /// The data does not have the length that size and format ask for.
    #[error("{actual} bytes for a frame of {width}x{height}, which has {expected} as {format}")]
    Length {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// The format that was named.
        format: PixelFormat,
        /// Bytes: [`PixelFormat::len`].
        expected: usize,
        /// Bytes.
        actual: usize,
    },
    /// An array's last axis does not fit the format.
    #[error("an array of {channels} channels is no {format} frame")]
    Channels {
        /// Of the array.
        channels: usize,
        /// The format that was named.
        format: PixelFormat,
    },
}

impl Frame {
    /// A frame of `width` x `height` pixels from its bytes, laid out as `format` says.
    ///
    /// ```
    /// # use reframe_worker::{Frame, PixelFormat};
    /// let checkers = Frame::new(PixelFormat::Gray8, 2, 2, vec![0, 255, 255, 0])?;
    /// # Ok::<(), reframe_worker::FrameError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When a side is 0 or over 4096 pixels, when the picture does not fit one message (4096x2304
    /// does), or when `data` is not [`format.len(width, height)`](PixelFormat::len) bytes long.
    pub fn new(
        format: PixelFormat,
        width: u32,
        height: u32,
        data: Vec<u8>,
    ) -> Result<Self, FrameError> {
        check_size(width, height)?;
        let (expected, actual) = (format.len(width, height), data.len());
        if actual != expected {
            return Err(FrameError::Length { width, height, format, expected, actual });
        }
        Ok(Self {
            width,
            height,
            format,
            data,
            seq: 0,
            capture_time: Duration::ZERO,
            rotation: Rotation::Upright,
        })
    }

    /// A frame of one colour (red, green, blue), as RGB24.
    ///
    /// # Errors
    ///
    /// When a side is 0 or over 4096 pixels, or when the picture does not fit one message
    /// (4096x2304 does).
    pub fn filled(width: u32, height: u32, colour: [u8; 3]) -> Result<Self, FrameError> {
        check_size(width, height)?;
        Self::new(
            PixelFormat::Rgb24,
            width,
            height,
            colour.repeat(width as usize * height as usize),
        )
    }

    /// Pixels in a row.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// How [`data`](Self::data) is laid out.
    #[must_use]
    pub const fn format(&self) -> PixelFormat {
        self.format
    }

    /// All bytes. In RGB24 and BGR24, channel `c` of pixel `(x, y)` is at `(y * width + x) * 3 +
    /// c`; in GRAY8 the pixel is at `y * width + x`; for I420 see [`PixelFormat::I420`].
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// All bytes, mutable. Drawing in place is cheapest, because the frame's buffer is reused.
    #[must_use]
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// All bytes, without a copy.
    #[must_use]
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The rows from top to bottom, each `width` pixels.
    ///
    /// # Panics
    ///
    /// When the format is I420, whose planes have rows of different lengths.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.data.chunks_exact(self.width as usize * self.channels())
    }

    /// The frame upside down. Swaps rows in the same buffer, in every format.
    #[must_use]
    pub fn flip_vertical(mut self) -> Self {
        let (width, height) = (self.width as usize, self.height as usize);
        if let Some(channels) = self.format.channels() {
            flip(&mut self.data, width * channels, height);
        } else {
            let (luma, chroma) = self.data.split_at_mut(width * height);
            let (u_plane, v_plane) = chroma.split_at_mut(chroma.len() / 2);
            flip(luma, width, height);
            flip(u_plane, width.div_ceil(2), height.div_ceil(2));
            flip(v_plane, width.div_ceil(2), height.div_ceil(2));
        }
        self
    }

    /// The same picture in another format; itself when it is in that one already.
    ///
    /// From colour to GRAY8 by the weights of BT.601; to and from I420 by BT.601, limited range.
    #[must_use]
    pub fn to_format(self, format: PixelFormat) -> Self {
        if format == self.format {
            return self;
        }
        let mut data = vec![0; format.len(self.width, self.height)];
        pixels::convert(self.width, self.height, (self.format, &self.data), (format, &mut data));
        Self { format, data, ..self }
    }

    /// The number of this frame in its session; a gap is a frame that was skipped. 0 in a frame the
    /// handler made.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// When the picture was taken, on the session's own clock: zero is its first frame. Zero in a
    /// frame that the handler made.
    #[must_use]
    pub const fn capture_time(&self) -> Duration {
        self.capture_time
    }

    /// The clockwise turn that makes the picture upright.
    ///
    /// Always [`Rotation::Upright`] unless the handler
    /// [keeps the rotation](crate::VideoStreamHandler::keep_rotation).
    #[must_use]
    pub const fn rotation(&self) -> Rotation {
        self.rotation
    }

    /// The same picture with another rotation. What a handler makes of the frame that it was given
    /// keeps its rotation by itself; this is for a frame that the handler made.
    #[must_use]
    pub fn with_rotation(self, rotation: Rotation) -> Self {
        Self { rotation, ..self }
    }

    /// Bytes of a pixel.
    fn channels(&self) -> usize {
        self.format
            .channels()
            .unwrap_or_else(|| panic!("an {} frame has no rows of whole pixels", self.format))
    }

    /// The views have the layout of one format each.
    #[cfg(feature = "image")]
    #[track_caller]
    fn expect_format(&self, expected: PixelFormat) {
        assert!(
            self.format == expected,
            "the frame is {}, not {expected}: ask for pixel_format or convert it",
            self.format
        );
    }
}

/// Without the pixels, which would be megabytes in a log.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, height, format, data: _, seq, capture_time, rotation } = self;
        write!(
            f,
            "Frame({width}x{height} {format}, seq {seq}, at {capture_time:?}, rotation {})",
            rotation.degrees()
        )
    }
}

/// Checks the size before anything is allocated: the number of bytes is only computed for an
/// allowed size.
const fn check_size(width: u32, height: u32) -> Result<(), FrameError> {
    if width == 0 || height == 0 || width > MAX_DIMENSION || height > MAX_DIMENSION {
        return Err(FrameError::Dimensions { width, height });
    }
    let bytes = i420_len(width, height);
    if bytes > MAX_PICTURE_BYTES {
        return Err(FrameError::Area { width, height, bytes });
    }
    Ok(())
}

/// Turns `height` rows upside down.
fn flip(rows: &mut [u8], row_bytes: usize, height: usize) {
    let (top, bottom) = rows.split_at_mut(height / 2 * row_bytes);
    // With an odd height `bottom` begins with the middle row, which the shorter `top` leaves alone.
    for (upper, lower) in
        top.chunks_exact_mut(row_bytes).zip(bottom.chunks_exact_mut(row_bytes).rev())
    {
        upper.swap_with_slice(lower);
    }
}

#[cfg(test)]
mod tests;
