//! The picture that a handler receives and returns.

use std::{fmt, time::Duration};

use reframe_proto::{MAX_DIMENSION, MAX_PICTURE_BYTES, i420_len};

/// A picture, RGB24: rows from top to bottom, 3 bytes a pixel (red, green, blue), no padding.
///
/// A `Frame` always has a size that the wire can carry and exactly the bytes of that size. What a handler returns may
/// differ in size from what it was given.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rgb: Vec<u8>,
    pub(crate) seq: u64,
    pub(crate) capture_time: Duration,
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
    /// Both sides are allowed, but not together.
    #[error("a frame of {width}x{height} is {bytes} bytes on the wire, over the limit of {MAX_PICTURE_BYTES}")]
    Area {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// As I420.
        bytes: usize,
    },
    /// The data does not have the length that the size asks for.
    #[error("{actual} bytes for a frame of {width}x{height}, which has {expected} as RGB24")]
    Length {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Bytes: width x height x 3.
        expected: usize,
        /// Bytes.
        actual: usize,
    },
}

impl Frame {
    /// A frame of `width` x `height` pixels from packed RGB24.
    ///
    /// # Errors
    ///
    /// When a side is 0 or over [`MAX_DIMENSION`], when the picture does not fit one message (4096x2304 does), or when
    /// `rgb` is not `width * height * 3` bytes long.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self, FrameError> {
        let expected = rgb_len(width, height)?;
        if rgb.len() != expected {
            return Err(FrameError::Length { width, height, expected, actual: rgb.len() });
        }
        Ok(Self { width, height, rgb, seq: 0, capture_time: Duration::ZERO })
    }

    /// A frame of one colour.
    ///
    /// # Errors
    ///
    /// As for [`Frame::new`].
    pub fn filled(width: u32, height: u32, colour: [u8; 3]) -> Result<Self, FrameError> {
        let pixels = rgb_len(width, height)? / 3;
        Self::new(width, height, colour.repeat(pixels))
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

    /// All pixels: the byte of pixel `(x, y)`, channel `c`, is at `(y * width + x) * 3 + c`.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// All pixels, to change in place: the cheapest way to draw, because the frame's buffer is used again.
    #[must_use]
    pub fn rgb_mut(&mut self) -> &mut [u8] {
        &mut self.rgb
    }

    /// The rows from top to bottom, each `width * 3` bytes.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.rgb.chunks_exact(self.row_bytes())
    }

    /// The frame upside down. Swaps rows in the same buffer.
    #[must_use]
    pub fn flip_vertical(mut self) -> Self {
        let row_bytes = self.row_bytes();
        let (top, bottom) = self.rgb.split_at_mut(self.height as usize / 2 * row_bytes);
        // With an odd height `bottom` begins with the middle row, which the shorter `top` leaves alone.
        for (upper, lower) in top.chunks_exact_mut(row_bytes).zip(bottom.chunks_exact_mut(row_bytes).rev()) {
            upper.swap_with_slice(lower);
        }
        self
    }

    /// The number of this frame in its session; a gap is a frame that was skipped. 0 in a frame the handler made.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// When the picture was taken, on the session's own clock: zero is its first frame. Zero in a frame that the
    /// handler made.
    #[must_use]
    pub const fn capture_time(&self) -> Duration {
        self.capture_time
    }

    pub(crate) const fn row_bytes(&self) -> usize {
        self.width as usize * 3
    }
}

/// Without the pixels, which would be megabytes in a log.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, height, rgb: _, seq, capture_time } = self;
        write!(f, "Frame({width}x{height}, seq {seq}, at {capture_time:?})")
    }
}

/// Checked before anything is allocated: the bytes of a size follow only from one that is allowed.
fn rgb_len(width: u32, height: u32) -> Result<usize, FrameError> {
    let allowed = 1..=MAX_DIMENSION;
    if !allowed.contains(&width) || !allowed.contains(&height) {
        return Err(FrameError::Dimensions { width, height });
    }
    let bytes = i420_len(width, height);
    if bytes > MAX_PICTURE_BYTES {
        return Err(FrameError::Area { width, height, bytes });
    }
    Ok(width as usize * height as usize * 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flips_rows_and_keeps_the_middle_of_an_odd_height() {
        for (height, expected) in [(1, vec![0]), (2, vec![1, 0]), (3, vec![2, 1, 0]), (4, vec![3, 2, 1, 0])] {
            let rgb = (0..height).flat_map(|row| [u8::try_from(row).unwrap(); 6]).collect();
            let flipped = Frame::new(2, height, rgb).unwrap().flip_vertical();
            let rows: Vec<u8> = flipped.rows().map(|row| row[0]).collect();
            assert_eq!(rows, expected, "height {height}");
        }
    }

    #[test]
    fn a_flip_keeps_the_order_within_a_row() {
        let frame = Frame::new(2, 2, (0..12).collect()).unwrap();
        assert_eq!(frame.flip_vertical().rgb(), [6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn refuses_what_the_wire_cannot_carry() {
        for (width, height) in [(0, 1), (1, 0), (MAX_DIMENSION + 1, 1), (1, MAX_DIMENSION + 1), (u32::MAX, u32::MAX)] {
            let refused = Frame::filled(width, height, [0; 3]);
            assert_eq!(refused.unwrap_err(), FrameError::Dimensions { width, height });
        }
        assert!(matches!(Frame::filled(4096, 4096, [0; 3]), Err(FrameError::Area { bytes: 25_165_824, .. })));
        assert!(Frame::filled(4096, 2304, [0; 3]).is_ok());
    }

    #[test]
    fn refuses_data_of_another_size() {
        let refused = Frame::new(2, 2, vec![0; 11]).unwrap_err();
        assert_eq!(refused, FrameError::Length { width: 2, height: 2, expected: 12, actual: 11 });
    }
}
