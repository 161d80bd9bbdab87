//! What every codec must do, each with its real library.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reframe_proto::i420_len;

use super::*;

fn grey(width: u32, height: u32, luma: u8) -> Picture {
    let mut data = vec![luma; i420_len(width, height)];
    data[(width * height) as usize..].fill(128);
    Picture { width, height, data: data.into() }
}

/// Slight noise that differs in each picture, so that any bitrate is used up.
fn busy(width: u32, height: u32, number: u64) -> Picture {
    let mut random = SmallRng::seed_from_u64(number);
    let mut data = grey(width, height, 128).data.to_vec();
    data.iter_mut().for_each(|value| *value = random.random_range(112..144));
    Picture { width, height, data: data.into() }
}

#[test]
fn names_are_read_back() {
    for codec in Codec::AVAILABLE.iter().copied() {
        assert!(Codecs::CHOICES.contains(codec.name()), "{codec}");
        assert_eq!(codec.name().to_uppercase().parse(), Ok(codec));
    }
    assert_eq!("av1".parse::<Codec>(), Err(()));
}

#[test]
fn odd_and_changing_sizes_survive_a_round_trip() {
    for codec in Codec::ALL {
        let (mut encoder, mut decoder) = (codec.encoder(1_000, 30.0), codec.decoder().unwrap());
        let sizes = [(16, 16), (33, 17), (640, 480), (1, 1), (641, 359), (1280, 720), (64, 48)];
        for (step, (width, height)) in sizes.into_iter().enumerate() {
            let unit = encoder
                .encode(&grey(width, height, 90), step as u64 * 3_000, false)
                .unwrap()
                .unwrap();
            assert!(unit.keyframe, "{codec}: a change of size starts with a keyframe");
            let picture = decoder.decode(&unit.data).unwrap().unwrap();
            // H.264 has only even sides, of at least a macroblock.
            let side = |side: u32| {
                if codec == Codec::H264 { side.next_multiple_of(2).max(16) } else { side }
            };
            assert_eq!((picture.width, picture.height), (side(width), side(height)), "{codec}");
            assert_eq!(picture.data.len(), i420_len(side(width), side(height)));
            let (luma, chroma) = picture.data.split_at((picture.width * picture.height) as usize);
            let furthest =
                |plane: &[u8], from: u8| plane.iter().map(|value| value.abs_diff(from)).max();
            let off = (furthest(luma, 90), furthest(chroma, 128));
            // VP9 begins at its coarsest; a misplaced plane or stride is further off.
            assert!(off.0 < Some(32) && off.1 < Some(8), "{codec} {width}x{height}: {off:?}");
        }
    }
}

#[test]
fn keyframes_come_when_forced_and_not_otherwise() {
    for codec in Codec::ALL {
        let mut encoder = codec.encoder(1_000, 30.0);
        let keys: Vec<bool> = (0..6_u8)
            .map(|n| {
                encoder
                    .encode(&grey(320, 240, 60 + n), u64::from(n) * 3_000, n == 2)
                    .unwrap()
                    .unwrap()
                    .keyframe
            })
            .collect();
        assert_eq!(keys, [true, false, true, false, false, false], "{codec}");
    }
}

#[test]
fn a_bitrate_is_followed_without_a_keyframe() {
    for codec in Codec::ALL {
        let mut encoder = codec.encoder(2_000, 30.0);
        let mut frame = 0;
        let mut seconds = |encoder: &mut Box<dyn Encoder>, count: u64| {
            let mut bytes = 0;
            for _ in 0..30 * count {
                let unit = encoder.encode(&busy(320, 240, frame), frame * 3_000, false).unwrap();
                assert!(frame == 0 || unit.as_ref().is_none_or(|unit| !unit.keyframe), "{codec}");
                bytes += unit.map_or(0, |unit| unit.data.len());
                frame += 1;
            }
            bytes
        };
        seconds(&mut encoder, 2);
        let before = seconds(&mut encoder, 1);
        encoder.set_bitrate(700);
        seconds(&mut encoder, 2);
        let after = seconds(&mut encoder, 1);
        assert!(after * 2 < before, "{codec}: {before} bytes a second, then {after}");
        encoder.set_bitrate(2_000);
        seconds(&mut encoder, 2);
        let again = seconds(&mut encoder, 1);
        assert!(after * 2 < again, "{codec}: {after} bytes a second, then {again}");
    }
}

#[test]
fn a_bitrate_is_kept_at_every_frame_rate() {
    for codec in Codec::ALL {
        for fps in [30, 15, 10, 5] {
            // Created for 30 fps: the ladder leaves pictures out later.
            let mut encoder = codec.encoder(1_000, 30.0);
            let mut bytes = 0;
            // Ten seconds; in the first five the rate is learned and rate control settles.
            for frame in 0..10 * fps {
                let unit =
                    encoder.encode(&busy(640, 480, frame), frame * 90_000 / fps, false).unwrap();
                assert!(frame == 0 || unit.as_ref().is_none_or(|unit| !unit.keyframe), "{codec}");
                bytes += unit.filter(|_| frame >= 5 * fps).map_or(0, |unit| unit.data.len());
            }
            let kbps = bytes * 8 / 5_000;
            assert!((650..=1_350).contains(&kbps), "{codec} at {fps} fps: {kbps} kbit/s");
        }
    }
}

#[test]
fn a_bitrate_set_early_outlives_a_change_of_size() {
    for codec in Codec::ALL {
        let bytes = |kbps: u32| {
            let mut encoder = codec.encoder(2_000, 30.0);
            encoder.set_bitrate(kbps);
            let unit = encoder.encode(&grey(64, 64, 90), 0, false).unwrap();
            assert!(unit.is_some_and(|unit| unit.keyframe));
            let sizes =
                (1..60).map(|n| encoder.encode(&busy(320, 240, n), n * 3_000, false).unwrap());
            sizes.map(|unit| unit.map_or(0, |unit| unit.data.len())).sum::<usize>()
        };
        assert!(bytes(500) * 2 < bytes(2_000), "{codec}");
    }
}

#[test]
fn a_huge_claim_is_refused_before_anything_is_allocated() {
    let vp8 = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0x3f, 0, 0, 0, 0];
    let refused = Codec::Vp8.decoder().unwrap().decode(&vp8);
    assert!(matches!(refused, Err(CodecError::Size { width: 16_383, height: 16_383 })));
    // Marker, sync code, colour space, 16383 - 1 twice.
    let vp9 = [0x82, 0x49, 0x83, 0x42, 0x03, 0xff, 0xe3, 0xff, 0xe0, 0, 0];
    let refused = Codec::Vp9.decoder().unwrap().decode(&vp9);
    assert!(
        matches!(refused, Err(CodecError::Size { width: 16_383, height: 16_383 })),
        "{refused:?}"
    );
    // 1024 by 1024 macroblocks: ue(0) four times, ue(1), no gaps, ue(1023) twice, frames only; then
    // a picture.
    let h264 = [
        0,
        0,
        0,
        1,
        0x67,
        0x42,
        0xc0,
        0x33,
        0b1111_0100,
        0,
        0b0010_0000,
        0,
        0b0000_0001,
        0,
        0b0011_0000,
    ];
    let unit = [&h264[..], &[0, 0, 1, 0x68, 0xce, 0x3c, 0x80, 0, 0, 1, 0x65, 0x88]].concat();
    let refused = Codec::H264.decoder().unwrap().decode(&unit);
    assert!(
        matches!(refused, Err(CodecError::Size { width: 16_384, height: 16_384 })),
        "{refused:?}"
    );
}

#[test]
fn damage_is_an_error_and_the_decoder_lives_on() {
    for codec in Codec::ALL {
        let mut decoder = codec.decoder().unwrap();
        assert!(decoder.decode(&[0x10, 0, 0, 1, 2, 3, 4, 5]).is_err());
        assert!(decoder.decode(&[]).is_err(), "{codec}");
        let mut encoder = codec.encoder(2_000, 30.0);
        let units: Vec<Encoded> = (0..40)
            .filter_map(|n| encoder.encode(&busy(160, 120, n), n * 3_000, n == 20).unwrap())
            .collect();
        let (damaged, sound) =
            units.split_at(units.iter().rposition(|unit| unit.keyframe).unwrap());
        assert!(damaged.len() >= 15 && sound.len() >= 15, "{codec}");
        let mut random = SmallRng::seed_from_u64(3);
        for unit in damaged {
            let mut data = unit.data.to_vec();
            for _ in 0..8 {
                let at = random.random_range(0..data.len());
                data[at] ^= 1 << random.random_range(0..8);
            }
            // Any result is fine.
            decoder.decode(&data).ok();
        }
        let mut shown = 0;
        for unit in sound {
            shown += usize::from(decoder.decode(&unit.data).unwrap().is_some());
        }
        assert_eq!(shown, sound.len(), "{codec}: from the keyframe on all is well");
    }
}

#[test]
fn noise_neither_panics_nor_grows() {
    for codec in Codec::ALL {
        let mut decoder = codec.decoder().unwrap();
        let good =
            codec.encoder(300, 30.0).encode(&busy(64, 64, 1), 0, false).unwrap().unwrap().data;
        let mut random = SmallRng::seed_from_u64(17);
        for step in 0..2_000 {
            let mut data = if step % 2 == 0 { good.to_vec() } else { Vec::new() };
            let length = random.random_range(0..200);
            data.extend((0..length).map(|_| random.random::<u8>()));
            let flips = random.random_range(0..6);
            for _ in 0..flips.min(data.len()) {
                let at = random.random_range(0..data.len());
                data[at] = random.random();
            }
            data.truncate(random.random_range(0..=data.len()));
            if let Ok(Some(picture)) = decoder.decode(&data) {
                assert_eq!(picture.data.len(), i420_len(picture.width, picture.height));
            }
        }
    }
}

#[test]
fn a_picture_of_the_wrong_length_is_refused() {
    for codec in Codec::ALL {
        let picture = Picture { width: 64, height: 64, data: Bytes::from_static(&[0; 100]) };
        assert!(codec.encoder(500, 30.0).encode(&picture, 0, false).is_err());
    }
}

#[test]
fn without_its_second_layer_vp8_decodes_to_the_same_pictures() {
    let (mut encoder, mut all, mut half) = (
        Codec::Vp8.encoder(1_000, 30.0),
        Codec::Vp8.decoder().unwrap(),
        Codec::Vp8.decoder().unwrap(),
    );
    encoder.set_temporal_layers(true);
    let mut left_out = 0;
    for number in 0..60 {
        let unit = encoder.encode(&busy(320, 240, number), number * 3_000, number == 31);
        let Some(unit) = unit.unwrap() else { continue };
        let whole = all.decode(&unit.data).unwrap().unwrap();
        if unit.droppable {
            assert!(!unit.keyframe && encoder.repeat(number * 3_000 + 1).is_none());
            left_out += 1;
            continue;
        }
        assert_eq!(half.decode(&unit.data).unwrap().unwrap().data, whole.data, "frame {number}");
    }
    assert!((28..=30).contains(&left_out), "{left_out}");
    encoder.set_temporal_layers(false);
    for number in 60..70 {
        let unit = encoder.encode(&busy(320, 240, number), number * 3_000, false).unwrap();
        assert!(unit.is_none_or(|unit| !unit.droppable));
    }
}
