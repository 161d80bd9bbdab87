//! Frames as pictures of the `image` crate: feature `image`.

use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage};

use super::{Frame, FrameError, PixelFormat};

/// Why the view cannot fail.
const SIZED: &str = "a frame has the bytes of its size";

impl Frame {
    /// The frame as a picture to look at, without a copy.
    ///
    /// # Panics
    ///
    /// When the format is not RGB24.
    #[must_use]
    #[track_caller]
    pub fn rgb_image(&self) -> ImageBuffer<Rgb<u8>, &[u8]> {
        self.expect_format(PixelFormat::Rgb24);
        ImageBuffer::from_raw(self.width, self.height, self.data.as_slice()).expect(SIZED)
    }

    /// The frame as a picture to draw on, without a copy.
    ///
    /// # Panics
    ///
    /// When the format is not RGB24.
    #[must_use]
    #[track_caller]
    pub fn rgb_image_mut(&mut self) -> ImageBuffer<Rgb<u8>, &mut [u8]> {
        self.expect_format(PixelFormat::Rgb24);
        ImageBuffer::from_raw(self.width, self.height, self.data.as_mut_slice()).expect(SIZED)
    }

    /// The frame as a grey picture to look at, without a copy.
    ///
    /// # Panics
    ///
    /// When the format is not GRAY8.
    #[must_use]
    #[track_caller]
    pub fn gray_image(&self) -> ImageBuffer<Luma<u8>, &[u8]> {
        self.expect_format(PixelFormat::Gray8);
        ImageBuffer::from_raw(self.width, self.height, self.data.as_slice()).expect(SIZED)
    }

    /// The frame as a grey picture to draw on, without a copy.
    ///
    /// # Panics
    ///
    /// When the format is not GRAY8.
    #[must_use]
    #[track_caller]
    pub fn gray_image_mut(&mut self) -> ImageBuffer<Luma<u8>, &mut [u8]> {
        self.expect_format(PixelFormat::Gray8);
        ImageBuffer::from_raw(self.width, self.height, self.data.as_mut_slice()).expect(SIZED)
    }

    /// The frame as a picture of its own, without a copy.
    ///
    /// # Panics
    ///
    /// When the format is not RGB24.
    #[must_use]
    #[track_caller]
    pub fn into_rgb_image(self) -> RgbImage {
        self.expect_format(PixelFormat::Rgb24);
        ImageBuffer::from_raw(self.width, self.height, self.data).expect(SIZED)
    }
}

/// Without a copy; fails as [`Frame::new`] does.
impl TryFrom<RgbImage> for Frame {
    type Error = FrameError;

    fn try_from(image: RgbImage) -> Result<Self, FrameError> {
        let (width, height) = image.dimensions();
        Self::new(PixelFormat::Rgb24, width, height, image.into_raw())
    }
}

/// Without a copy; fails as [`Frame::new`] does.
impl TryFrom<GrayImage> for Frame {
    type Error = FrameError;

    fn try_from(image: GrayImage) -> Result<Self, FrameError> {
        let (width, height) = image.dimensions();
        Self::new(PixelFormat::Gray8, width, height, image.into_raw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_on_the_view_is_in_the_frame() {
        let mut frame = Frame::filled(3, 2, [0; 3]).unwrap();
        frame.rgb_image_mut().put_pixel(2, 1, Rgb([1, 2, 3]));
        assert_eq!(frame.data()[15..], [1, 2, 3]);
        assert_eq!(frame.rgb_image().get_pixel(2, 1), &Rgb([1, 2, 3]));

        let mut grey = frame.to_format(PixelFormat::Gray8);
        grey.gray_image_mut().put_pixel(1, 0, Luma([9]));
        assert_eq!((grey.data()[1], grey.gray_image().get_pixel(1, 0)), (9, &Luma([9])));
    }

    #[test]
    fn images_go_there_and_back_in_the_same_buffer() {
        let frame = Frame::filled(3, 2, [1, 2, 3]).unwrap();
        let address = frame.data().as_ptr();
        let back = Frame::try_from(frame.clone().into_rgb_image()).unwrap();
        assert_eq!(back, frame);
        assert_eq!(Frame::try_from(frame.into_rgb_image()).unwrap().data().as_ptr(), address);
    }

    #[test]
    fn an_image_without_pixels_is_no_frame() {
        let refused = Frame::try_from(RgbImage::new(0, 5));
        assert_eq!(refused, Err(FrameError::Dimensions { width: 0, height: 5 }));
    }

    #[test]
    #[should_panic(expected = "the frame is GRAY8, not RGB24")]
    fn a_view_is_of_its_own_format_only() {
        drop(Frame::filled(2, 2, [0; 3]).unwrap().to_format(PixelFormat::Gray8).into_rgb_image());
    }
}
