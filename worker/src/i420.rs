//! Pictures as the wire carries them, and their conversion to and from what handlers see.
//!
//! BT.601, limited range: what browsers mean by VP8 video over WebRTC, which has no field to say otherwise.

use std::time::Duration;

use bytes::Bytes;
use reframe_proto::i420_len;
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPlanarImage, YuvPlanarImageMut, YuvRange, YuvStandardMatrix, rgb_to_yuv420,
    yuv420_to_rgb,
};

use crate::frame::Frame;

/// Why no conversion here can fail.
const SIZED: &str = "planes and strides follow from a size that was checked";

/// An I420 picture without padding. `data` has `i420_len(width, height)` bytes: whoever makes one checks that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct I420 {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) data: Bytes,
}

impl I420 {
    /// Converts to RGB24 in `buffer`, whatever it held: a buffer of the same size is used again as it is.
    pub(crate) fn to_frame(&self, seq: u64, capture_time: Duration, buffer: Vec<u8>) -> Frame {
        let Self { width, height, ref data } = *self;
        let (y_plane, chroma) = data.split_at(luma_len(width, height));
        let (u_plane, v_plane) = chroma.split_at(chroma.len() / 2);
        let image = YuvPlanarImage {
            y_plane,
            y_stride: width,
            u_plane,
            u_stride: width.div_ceil(2),
            v_plane,
            v_stride: width.div_ceil(2),
            width,
            height,
        };
        let mut frame = Frame { width, height, rgb: buffer, seq, capture_time };
        frame.rgb.resize(frame.row_bytes() * height as usize, 0);
        yuv420_to_rgb(&image, &mut frame.rgb, width * 3, YuvRange::Limited, YuvStandardMatrix::Bt601).expect(SIZED);
        frame
    }

    pub(crate) fn from_frame(frame: &Frame) -> Self {
        let (width, height) = (frame.width, frame.height);
        let mut data = vec![0; i420_len(width, height)];
        let (y_plane, chroma) = data.split_at_mut(luma_len(width, height));
        let (u_plane, v_plane) = chroma.split_at_mut(chroma.len() / 2);
        let mut image = YuvPlanarImageMut {
            y_plane: BufferStoreMut::Borrowed(y_plane),
            y_stride: width,
            u_plane: BufferStoreMut::Borrowed(u_plane),
            u_stride: width.div_ceil(2),
            v_plane: BufferStoreMut::Borrowed(v_plane),
            v_stride: width.div_ceil(2),
            width,
            height,
        };
        let (range, matrix, mode) = (YuvRange::Limited, YuvStandardMatrix::Bt601, YuvConversionMode::Balanced);
        rgb_to_yuv420(&mut image, &frame.rgb, width * 3, range, matrix, mode).expect(SIZED);
        Self { width, height, data: data.into() }
    }
}

const fn luma_len(width: u32, height: u32) -> usize {
    width as usize * height as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Around the widths of SIMD registers, and every parity.
    const SIDES: [u32; 9] = [1, 2, 3, 15, 16, 17, 33, 64, 127];

    fn there_and_back(frame: &Frame) -> Frame {
        I420::from_frame(frame).to_frame(0, Duration::ZERO, Vec::new())
    }

    #[test]
    fn limited_range_bt601_has_its_well_known_values() {
        for (rgb, yuv) in [([0, 0, 0], [16, 128, 128]), ([255; 3], [235, 128, 128]), ([255, 0, 0], [82, 90, 240])] {
            let picture = I420::from_frame(&Frame::filled(2, 2, rgb).unwrap());
            let got = [picture.data[0], picture.data[4], picture.data[5]];
            assert!(
                got.iter().zip(yuv).all(|(got, yuv)| got.abs_diff(yuv) <= 1),
                "{rgb:?} became {got:?}, not {yuv:?}"
            );
        }
    }

    #[test]
    fn one_colour_survives_in_every_size() {
        let colour = [200, 80, 30];
        for (width, height) in SIDES.into_iter().flat_map(|width| SIDES.map(|height| (width, height))) {
            let back = there_and_back(&Frame::filled(width, height, colour).unwrap());
            assert_eq!((back.width(), back.height()), (width, height));
            let worst = back.rgb().iter().zip(colour.iter().cycle()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(3), "{width}x{height}: off by {worst:?}");
        }
    }

    #[test]
    fn brightness_stays_at_its_pixel_in_every_size() {
        for (width, height) in SIDES.into_iter().flat_map(|width| SIDES.map(|height| (width, height))) {
            let grey = (0..width * height).flat_map(|i| [u8::try_from(i * 37 % 251).unwrap(); 3]).collect();
            let frame = Frame::new(width, height, grey).unwrap();
            let back = there_and_back(&frame);
            let worst = frame.rgb().iter().zip(back.rgb()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(2), "{width}x{height}: off by {worst:?}");
        }
    }

    #[test]
    fn a_used_buffer_leaves_no_trace() {
        let picture = I420::from_frame(&Frame::filled(5, 3, [10, 20, 30]).unwrap());
        let fresh = picture.to_frame(7, Duration::from_millis(1), Vec::new());
        let (larger, smaller) = (vec![0xAA; 999], vec![0xAA; 1]);
        assert_eq!(picture.to_frame(7, Duration::from_millis(1), larger), fresh);
        assert_eq!(picture.to_frame(7, Duration::from_millis(1), smaller), fresh);
    }
}
