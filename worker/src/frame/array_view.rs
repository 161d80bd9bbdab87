//! Frames as arrays of the `ndarray` crate: feature `ndarray`.

use ndarray::{Array3, ArrayView3, ArrayViewMut3};

use super::{Frame, FrameError, PixelFormat};

/// Why the view cannot fail.
const SIZED: &str = "a frame has the bytes of its size";

impl Frame {
    /// The frame as an array of shape (height, width, channels), without a copy. RGB24 and BGR24
    /// have 3 channels, GRAY8 has 1.
    ///
    /// # Panics
    ///
    /// When the format is I420.
    #[must_use]
    #[track_caller]
    pub fn array(&self) -> ArrayView3<'_, u8> {
        ArrayView3::from_shape(self.shape(), &self.data).expect(SIZED)
    }

    /// [`array`](Self::array), to change in place.
    ///
    /// # Panics
    ///
    /// When the format is I420.
    #[must_use]
    #[track_caller]
    pub fn array_mut(&mut self) -> ArrayViewMut3<'_, u8> {
        ArrayViewMut3::from_shape(self.shape(), &mut self.data).expect(SIZED)
    }

    /// A frame from an array of shape (height, width, channels). There is no copy if the array is
    /// in standard layout, as every array is that was not sliced, transposed or reversed.
    ///
    /// # Errors
    ///
    /// As for [`Frame::new`], and when the channels are not those of `format`. No array is I420.
    pub fn from_array(format: PixelFormat, array: Array3<u8>) -> Result<Self, FrameError> {
        let (height, width, channels) = array.dim();
        if format.channels() != Some(channels) {
            return Err(FrameError::Channels { channels, format });
        }
        let side = |side| u32::try_from(side).unwrap_or(u32::MAX);
        let data = if array.is_standard_layout() {
            let len = array.len();
            let (mut data, offset) = array.into_raw_vec_and_offset();
            // A slice of rows keeps the whole array's buffer.
            data.truncate(offset.unwrap_or(0) + len);
            data.drain(..offset.unwrap_or(0));
            data
        } else {
            array.iter().copied().collect()
        };
        Self::new(format, side(width), side(height), data)
    }

    fn shape(&self) -> (usize, usize, usize) {
        (self.height as usize, self.width as usize, self.channels())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Axis, s};

    use super::*;

    fn counting() -> Frame {
        Frame::new(PixelFormat::Rgb24, 3, 2, (0..18).collect()).unwrap()
    }

    #[test]
    fn the_axes_are_row_column_channel() {
        let mut frame = counting();
        assert_eq!(frame.array().dim(), (2, 3, 3));
        assert_eq!(frame.array()[[1, 2, 0]], 15);
        frame.array_mut()[[0, 1, 2]] = 99;
        assert_eq!(frame.data()[5], 99);
        assert_eq!(frame.to_format(PixelFormat::Gray8).array().dim(), (2, 3, 1));
    }

    #[test]
    fn any_array_becomes_the_frame_that_it_shows() {
        let whole = counting().array().to_owned();
        assert_eq!(Frame::from_array(PixelFormat::Rgb24, whole.clone()), Ok(counting()));

        let mut reversed = whole.clone();
        reversed.invert_axis(Axis(0));
        assert_eq!(Frame::from_array(PixelFormat::Rgb24, reversed), Ok(counting().flip_vertical()));

        let row = whole.slice_move(s![1.., .., ..]);
        let frame = Frame::from_array(PixelFormat::Rgb24, row).unwrap();
        assert_eq!((frame.width(), frame.height(), frame.data()), (3, 1, &counting().data()[9..]));
    }

    #[test]
    fn channels_must_be_those_of_the_format() {
        for (format, channels) in
            [(PixelFormat::Rgb24, 4), (PixelFormat::Gray8, 3), (PixelFormat::I420, 1)]
        {
            let refused = Frame::from_array(format, Array3::zeros((2, 2, channels)));
            assert_eq!(refused, Err(FrameError::Channels { channels, format }));
        }
        let refused = Frame::from_array(PixelFormat::Gray8, Array3::zeros((0, 2, 1)));
        assert_eq!(refused, Err(FrameError::Dimensions { width: 2, height: 0 }));
    }
}
