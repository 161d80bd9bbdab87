//! Conversions between the pixel formats, and to and from the wire's pictures.
//!
//! BT.601, limited range: what browsers mean by VP8 video over WebRTC, which has no field to say
//! otherwise. GRAY8 has the full range, as RGB24 has.

use std::time::Duration;

use bytes::Bytes;
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvGrayImage, YuvGrayImageMut, YuvPlanarImage,
    YuvPlanarImageMut, YuvRange, YuvStandardMatrix, bgr_to_yuv400, bgr_to_yuv420, rgb_to_yuv400,
    rgb_to_yuv420, yuv400_to_bgr, yuv400_to_rgb, yuv420_to_bgr, yuv420_to_rgb,
};

use super::{Frame, PixelFormat, Rotation};

/// Why the conversions here cannot fail.
const SIZED: &str = "planes and strides follow from a size that was checked";

const MATRIX: YuvStandardMatrix = YuvStandardMatrix::Bt601;

/// Chroma of a picture without colour.
const NEUTRAL: u8 = 128;

/// An I420 picture without padding. `data` has `i420_len(width, height)` bytes; the code that makes
/// the picture checks that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct I420 {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) data: Bytes,
    /// Degrees clockwise to upright.
    pub(crate) rotation: Rotation,
}

impl I420 {
    /// Converts the picture for a handler into `buffer`. A buffer of the right size is reused
    /// without being cleared. An I420 picture stays in the buffer that it arrived in.
    pub(crate) fn into_frame(
        self,
        format: PixelFormat,
        seq: u64,
        capture_time: Duration,
        mut buffer: Vec<u8>,
    ) -> Frame {
        let Self { width, height, data, rotation } = self;
        let data = if format == PixelFormat::I420 {
            Vec::from(data)
        } else {
            buffer.resize(format.len(width, height), 0);
            convert(width, height, (PixelFormat::I420, &data), (format, &mut buffer));
            buffer
        };
        Frame { width, height, format, data, seq, capture_time, rotation }
    }

    /// The picture for the wire, and the frame's buffer for reuse (empty if the picture owns it).
    pub(crate) fn from_frame(frame: Frame) -> (Self, Vec<u8>) {
        let Frame { width, height, format, data, rotation, .. } = frame;
        if format == PixelFormat::I420 {
            return (Self { width, height, data: data.into(), rotation }, Vec::new());
        }
        let mut wire = vec![0; PixelFormat::I420.len(width, height)];
        convert(width, height, (format, &data), (PixelFormat::I420, &mut wire));
        (Self { width, height, data: wire.into(), rotation }, data)
    }
}

/// Fills `target` with the picture of `source`. Both have exactly the bytes of their format and
/// this size.
pub(crate) fn convert(
    width: u32,
    height: u32,
    (from, source): (PixelFormat, &[u8]),
    (to, target): (PixelFormat, &mut [u8]),
) {
    use PixelFormat::{Bgr24, Gray8, I420, Rgb24};
    let luma_len = width as usize * height as usize;
    let converted = match (from, to) {
        (Rgb24, Rgb24) | (Bgr24, Bgr24) | (I420, I420) | (Gray8, Gray8) => {
            target.copy_from_slice(source);
            Ok(())
        }
        (Rgb24, Bgr24) | (Bgr24, Rgb24) => {
            let (pixels, _) = source.as_chunks::<3>();
            for (target, [first, second, third]) in
                target.as_chunks_mut::<3>().0.iter_mut().zip(pixels)
            {
                *target = [*third, *second, *first];
            }
            Ok(())
        }
        (I420, Rgb24) => yuv420_to_rgb(
            &planes(width, height, source),
            target,
            width * 3,
            YuvRange::Limited,
            MATRIX,
        ),
        (I420, Bgr24) => yuv420_to_bgr(
            &planes(width, height, source),
            target,
            width * 3,
            YuvRange::Limited,
            MATRIX,
        ),
        (I420, Gray8) => {
            expand(&source[..luma_len], target);
            Ok(())
        }
        (Rgb24 | Bgr24, I420) => {
            let convert = if from == Rgb24 { rgb_to_yuv420 } else { bgr_to_yuv420 };
            let mode = YuvConversionMode::Balanced;
            convert(
                &mut planes_mut(width, height, target),
                source,
                width * 3,
                YuvRange::Limited,
                MATRIX,
                mode,
            )
        }
        (Rgb24 | Bgr24, Gray8) => {
            let convert = if from == Rgb24 { rgb_to_yuv400 } else { bgr_to_yuv400 };
            let y_plane = BufferStoreMut::Borrowed(target);
            let mut image = YuvGrayImageMut { y_plane, y_stride: width, width, height };
            convert(&mut image, source, width * 3, YuvRange::Full, MATRIX)
        }
        (Gray8, Rgb24 | Bgr24) => {
            let convert = if to == Rgb24 { yuv400_to_rgb } else { yuv400_to_bgr };
            let image = YuvGrayImage { y_plane: source, y_stride: width, width, height };
            convert(&image, target, width * 3, YuvRange::Full, MATRIX)
        }
        (Gray8, I420) => {
            let (luma, chroma) = target.split_at_mut(luma_len);
            compress(source, luma);
            chroma.fill(NEUTRAL);
            Ok(())
        }
    };
    converted.expect(SIZED);
}

fn planes(width: u32, height: u32, data: &[u8]) -> YuvPlanarImage<'_, u8> {
    let (y_plane, chroma) = data.split_at(width as usize * height as usize);
    let (u_plane, v_plane) = chroma.split_at(chroma.len() / 2);
    let (u_stride, v_stride) = (width.div_ceil(2), width.div_ceil(2));
    YuvPlanarImage { y_plane, y_stride: width, u_plane, u_stride, v_plane, v_stride, width, height }
}

fn planes_mut(width: u32, height: u32, data: &mut [u8]) -> YuvPlanarImageMut<'_, u8> {
    let (y_plane, chroma) = data.split_at_mut(width as usize * height as usize);
    let (u_plane, v_plane) = chroma.split_at_mut(chroma.len() / 2);
    YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y_plane),
        y_stride: width,
        u_plane: BufferStoreMut::Borrowed(u_plane),
        u_stride: width.div_ceil(2),
        v_plane: BufferStoreMut::Borrowed(v_plane),
        v_stride: width.div_ceil(2),
        width,
        height,
    }
}

/// Brightness from limited (16 to 235) to full range: times 255/219, as 1 + 42/256 so that 16 bits
/// are enough.
fn expand(limited: &[u8], full: &mut [u8]) {
    for (full, limited) in full.iter_mut().zip(limited) {
        let above = u16::from(limited.saturating_sub(16));
        *full = u8::try_from(above + (above * 42 + 128) / 256).unwrap_or(u8::MAX);
    }
}

/// Brightness from full to limited range: times 219/255, as 220/256.
#[expect(clippy::cast_possible_truncation, reason = "at most 16 + 255 * 220 / 256 = 235")]
fn compress(full: &[u8], limited: &mut [u8]) {
    for (limited, full) in limited.iter_mut().zip(full) {
        *limited = (16 + (u16::from(*full) * 220 + 128) / 256) as u8;
    }
}

#[cfg(test)]
mod tests {
    use PixelFormat::{Bgr24, Gray8, Rgb24};

    use super::*;

    /// Around the widths of SIMD registers, and every parity.
    const SIDES: [u32; 9] = [1, 2, 3, 15, 16, 17, 33, 64, 127];

    fn sizes() -> impl Iterator<Item = (u32, u32)> {
        SIDES.into_iter().flat_map(|width| SIDES.map(|height| (width, height)))
    }

    fn there_and_back(frame: Frame) -> Frame {
        let format = frame.format();
        I420::from_frame(frame).0.into_frame(format, 0, Duration::ZERO, Vec::new())
    }

    fn worst(one: &Frame, other: &Frame) -> u8 {
        assert_eq!(one.data().len(), other.data().len());
        one.data().iter().zip(other.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
    }

    #[test]
    fn limited_range_bt601_has_its_well_known_values() {
        for (rgb, yuv) in
            [([0, 0, 0], [16, 128, 128]), ([255; 3], [235, 128, 128]), ([255, 0, 0], [82, 90, 240])]
        {
            for format in [Rgb24, Bgr24] {
                let picture =
                    I420::from_frame(Frame::filled(2, 2, rgb).unwrap().to_format(format)).0;
                let got = [picture.data[0], picture.data[4], picture.data[5]];
                let close = got.iter().zip(yuv).all(|(got, yuv)| got.abs_diff(yuv) <= 1);
                assert!(close, "{rgb:?} became {got:?}, not {yuv:?}, from {format}");
            }
        }
    }

    #[test]
    fn grey_is_the_brightness_of_a_colour_in_full_range() {
        for (rgb, grey) in
            [([0; 3], 0), ([255; 3], 255), ([255, 0, 0], 76), ([0, 255, 0], 150), ([0, 0, 255], 29)]
        {
            for format in [Rgb24, Bgr24, PixelFormat::I420] {
                let frame = Frame::filled(4, 4, rgb).unwrap().to_format(format).to_format(Gray8);
                let worst = frame.data().iter().map(|got| got.abs_diff(grey)).max().unwrap();
                assert!(worst <= 2, "{rgb:?} as {format} is off by {worst}");
            }
        }
    }

    #[test]
    fn ranges_convert_as_exactly_as_bytes_can() {
        let all: Vec<u8> = (0..=255).collect();
        let (mut full, mut limited) = ([0; 256], [0; 256]);
        expand(&all, &mut full);
        compress(&all, &mut limited);
        for i in 0..256 {
            let exact = ((i as f64 - 16.0) * 255.0 / 219.0).clamp(0.0, 255.0);
            assert!(
                (f64::from(full[i]) - exact).abs() <= 1.0,
                "{i} became {}, not {exact}",
                full[i]
            );
            let exact = 16.0 + i as f64 * 219.0 / 255.0;
            assert!(
                (f64::from(limited[i]) - exact).abs() <= 1.0,
                "{i} became {}, not {exact}",
                limited[i]
            );
        }
        assert_eq!((full[16], full[235], limited[0], limited[255]), (0, 255, 16, 235));
    }

    #[test]
    fn one_colour_survives_in_every_size_and_format() {
        for (width, height) in sizes() {
            let colour = Frame::filled(width, height, [200, 80, 30]).unwrap();
            for format in [Rgb24, Bgr24, Gray8, PixelFormat::I420] {
                let frame = colour.clone().to_format(format);
                let worst = worst(&there_and_back(frame.clone()), &frame);
                assert!(worst <= 3, "{frame:?}: off by {worst}");
            }
        }
    }

    #[test]
    fn brightness_stays_at_its_pixel_in_every_size_and_format() {
        for (width, height) in sizes() {
            let grey = (0..width * height).map(|i| u8::try_from(i * 37 % 251).unwrap()).collect();
            let grey = Frame::new(Gray8, width, height, grey).unwrap();
            for format in [Rgb24, Bgr24, Gray8] {
                let frame = grey.clone().to_format(format);
                let back = there_and_back(frame.clone());
                assert!(worst(&back, &frame) <= 2, "{frame:?}");
                assert!(worst(&back.to_format(Gray8), &grey) <= 2, "{frame:?}");
            }
        }
    }

    #[test]
    fn red_and_blue_change_places_and_nothing_else() {
        let frame = Frame::new(Rgb24, 2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap().to_format(Bgr24);
        assert_eq!(frame.data(), [3, 2, 1, 6, 5, 4]);
        assert_eq!(frame.to_format(Rgb24).data(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_used_buffer_leaves_no_trace() {
        let picture = I420::from_frame(Frame::filled(5, 3, [10, 20, 30]).unwrap()).0;
        for format in [Rgb24, Bgr24, Gray8, PixelFormat::I420] {
            let frame =
                |buffer| picture.clone().into_frame(format, 7, Duration::from_millis(1), buffer);
            let fresh = frame(Vec::new());
            assert_eq!(frame(vec![0xAA; 999]), fresh);
            assert_eq!(frame(vec![0xAA; 1]), fresh);
        }
    }

    #[test]
    fn planes_go_through_without_a_copy() {
        let wire = Bytes::from(vec![7; PixelFormat::I420.len(64, 64)]);
        let address = wire.as_ptr();
        let picture = I420 { width: 64, height: 64, data: wire, rotation: Rotation::Upright };
        let frame = picture.into_frame(PixelFormat::I420, 0, Duration::ZERO, Vec::new());
        assert_eq!(I420::from_frame(frame).0.data.as_ptr(), address);
    }
}
