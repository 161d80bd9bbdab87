use super::*;

/// Around the widths of SIMD registers, and every parity.
const SIDES: [u32; 5] = [1, 2, 3, 16, 33];

const FORMATS: [PixelFormat; 4] =
    [PixelFormat::Rgb24, PixelFormat::Bgr24, PixelFormat::I420, PixelFormat::Gray8];

/// A frame whose bytes are all different as far as a byte goes.
fn noise(format: PixelFormat, width: u32, height: u32) -> Frame {
    let data =
        (0..format.len(width, height)).map(|i| u8::try_from(i * 37 % 251).unwrap()).collect();
    Frame::new(format, width, height, data).unwrap()
}

#[test]
fn flips_rows_and_keeps_the_middle_of_an_odd_height() {
    for (height, expected) in
        [(1, vec![0]), (2, vec![1, 0]), (3, vec![2, 1, 0]), (4, vec![3, 2, 1, 0])]
    {
        let rgb = (0..height).flat_map(|row| [u8::try_from(row).unwrap(); 6]).collect();
        let flipped = Frame::new(PixelFormat::Rgb24, 2, height, rgb).unwrap().flip_vertical();
        let rows: Vec<u8> = flipped.rows().map(|row| row[0]).collect();
        assert_eq!(rows, expected, "height {height}");
    }
}

#[test]
fn a_flip_keeps_the_order_within_a_row() {
    let frame = Frame::new(PixelFormat::Rgb24, 2, 2, (0..12).collect()).unwrap();
    assert_eq!(frame.flip_vertical().data(), [6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]);
}

#[test]
fn planes_flip_each_on_its_own() {
    // 3x3: Y, then U and V of 2x2.
    let data = vec![1, 1, 1, 2, 2, 2, 3, 3, 3, 10, 11, 12, 13, 20, 21, 22, 23];
    let flipped = Frame::new(PixelFormat::I420, 3, 3, data).unwrap().flip_vertical();
    assert_eq!(flipped.data(), [3, 3, 3, 2, 2, 2, 1, 1, 1, 12, 13, 10, 11, 22, 23, 20, 21]);
}

#[test]
fn two_flips_are_none_in_every_format_and_size() {
    for format in FORMATS {
        for (width, height) in
            SIDES.into_iter().flat_map(|width| SIDES.map(|height| (width, height)))
        {
            let frame = noise(format, width, height);
            let flipped = frame.clone().flip_vertical();
            assert_eq!(flipped == frame, height == 1, "{frame:?}");
            assert_eq!(flipped.flip_vertical(), frame);
        }
    }
}

#[test]
fn refuses_what_the_wire_cannot_carry() {
    for (width, height) in
        [(0, 1), (1, 0), (MAX_DIMENSION + 1, 1), (1, MAX_DIMENSION + 1), (u32::MAX, u32::MAX)]
    {
        let refused = Frame::filled(width, height, [0; 3]);
        assert_eq!(refused.unwrap_err(), FrameError::Dimensions { width, height });
    }
    assert!(matches!(
        Frame::filled(4096, 4096, [0; 3]),
        Err(FrameError::Area { bytes: 25_165_824, .. })
    ));
    assert!(Frame::filled(4096, 2304, [0; 3]).is_ok());
}

#[test]
fn refuses_data_of_another_size() {
    for (format, expected) in FORMATS.into_iter().zip([27, 27, 17, 9]) {
        for actual in [expected - 1, expected + 1] {
            let refused = Frame::new(format, 3, 3, vec![0; actual]).unwrap_err();
            assert_eq!(
                refused,
                FrameError::Length { width: 3, height: 3, format, expected, actual }
            );
        }
        assert_eq!(
            Frame::new(format, 3, 3, vec![0; expected]).unwrap().into_data().len(),
            expected
        );
    }
}

#[test]
fn another_format_keeps_size_number_and_time() {
    for from in FORMATS {
        for to in FORMATS {
            let mut frame = noise(from, 5, 3);
            (frame.seq, frame.capture_time) = (7, Duration::from_millis(9));
            let other = frame.to_format(to);
            assert_eq!((other.format(), other.width(), other.height()), (to, 5, 3));
            assert_eq!((other.seq(), other.capture_time()), (7, Duration::from_millis(9)));
            assert_eq!(other.data().len(), to.len(5, 3));
        }
    }
}

#[test]
#[should_panic(expected = "an I420 frame has no rows of whole pixels")]
fn planes_have_no_rows() {
    drop(noise(PixelFormat::I420, 2, 2).rows());
}
