//! On pictures that are drawn here.

use super::*;
use crate::demos::boxes::fill;

/// A grey room with squares of 120 pixels in it.
fn room((width, height): (u32, u32), squares: &[(i32, i32, u8)]) -> Frame {
    let mut picture = Frame::filled(width, height, [90; 3]).unwrap();
    for (left, top, level) in squares {
        fill(&mut picture, (*left, *top), (120, 120), [*level; 3]);
    }
    picture
}

#[test]
fn a_moving_square_is_found_at_its_place_in_every_size() {
    for size in [(1280, 720), (640, 480), (641, 361), (320, 240), (1920, 1080)] {
        let mut detector = Detector::default();
        assert_eq!(detector.detect(&room(size, &[])), []);
        for step in 0..15 {
            let at = (10 + step * 12, 20 + step * 5);
            let found = detector.detect(&room(size, &[(at.0, at.1, 250)]));
            let [region] = found[..] else { panic!("{size:?} step {step}: {found:?}") };
            let expected = [at.0, at.1, 120, 120];
            let got = [region.left, region.top, region.width, region.height];
            // A cell at most on each side.
            let cell = size.0.div_ceil(COLUMNS);
            assert!(
                got.iter().zip(expected).all(|(a, b)| a.abs_diff(b.cast_unsigned()) <= 2 * cell),
                "{got:?} {expected:?}"
            );
            assert!(region.score > 0.7 && region.score < 1.0, "{}", region.score);
        }
    }
}

#[test]
fn two_things_are_two_and_the_clearer_is_first() {
    let mut detector = Detector::default();
    detector.detect(&room((1280, 720), &[]));
    let found = detector.detect(&room((1280, 720), &[(100, 100, 130), (800, 400, 250)]));
    let [first, second] = found[..] else { panic!("{found:?}") };
    assert!(first.left > 700 && second.left < 200 && first.score > second.score + 0.1, "{found:?}");
}

#[test]
fn a_still_picture_has_none_and_neither_has_noise() {
    let mut detector = Detector::default();
    let mut random = 0x9e37_79b9_u32;
    for _ in 0..60 {
        let mut picture = room((640, 480), &[(300, 200, 200)]);
        for byte in picture.data_mut() {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            *byte += u8::try_from(random % 16).unwrap();
        }
        assert_eq!(detector.detect(&picture), []);
    }
}

#[test]
fn what_stays_becomes_background_and_what_passes_does_not() {
    let mut detector = Detector::default();
    detector.detect(&room((640, 480), &[]));
    // 160 levels, one in two pictures, less the 20 that are no movement.
    let pictures =
        (0..400).take_while(|_| !detector.detect(&room((640, 480), &[(200, 200, 250)])).is_empty());
    assert_eq!(pictures.count(), 280);

    let mut detector = Detector::default();
    detector.detect(&room((640, 480), &[]));
    for step in 0..40 {
        assert_eq!(detector.detect(&room((640, 480), &[(step * 12, 200, 250)])).len(), 1);
    }
    assert_eq!(detector.detect(&room((640, 480), &[])), []);
}

#[test]
fn another_size_starts_anew_and_small_pictures_do() {
    let mut detector = Detector::default();
    for (width, height) in [(640, 480), (1, 1), (16, 16), (33, 17), (4096, 2), (2, 3)] {
        let dark = Frame::filled(width, height, [0; 3]).unwrap();
        assert_eq!(detector.detect(&dark), []);
        let light = Frame::filled(width, height, [255; 3]).unwrap();
        let found = detector.detect(&light);
        let sizes: Vec<_> = found.iter().map(|region| (region.width, region.height)).collect();
        let whole = if width * height < SMALLEST { vec![] } else { vec![(width, height)] };
        assert_eq!(sizes, whole);
    }
}
