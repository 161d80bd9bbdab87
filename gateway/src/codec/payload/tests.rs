//! Tables of descriptors and headers, a round trip of each codec, seeded damage.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use reframe_proto::i420_len;
use tokio::time::Instant;

use super::*;
use crate::codec::{Encoded, H264Encoder, Picture};
use crate::media::packet::{HeaderExtensions, Packet};
use crate::pipeline::assembler::Assembler;

fn appended(payload: &[u8]) -> Vec<u8> {
    let mut unit = BytesMut::new();
    append(Codec::H264, payload, &mut unit);
    unit.to_vec()
}

#[test]
fn vp8_descriptors_of_every_form_are_stripped() {
    let cases: &[(&[u8], Option<&[u8]>)] = &[
        (&[], None),
        (&[0x10], None),
        (&[0x10, 7], Some(&[7])),
        (&[0x90, 0x80, 0x11, 7], Some(&[7])),
        (&[0x90, 0x80, 0x91, 0x22, 7], Some(&[7])),
        (&[0x90, 0xe0, 0x91, 0x22, 3, 4, 7, 8], Some(&[7, 8])),
        (&[0x90, 0x20, 4, 7], Some(&[7])),
        (&[0x90, 0xf0, 0x91], None),
        (&[0x90], None),
    ];
    for (payload, data) in cases {
        assert_eq!(vp8::strip_descriptor(payload), *data, "{payload:x?}");
    }
}

#[test]
fn vp9_descriptors_of_every_form_are_stripped() {
    let cases: &[(&[u8], Option<&[u8]>)] = &[
        (&[], None),
        (&[0x0c], None),
        (&[0x0c, 7], Some(&[7])),
        // A picture id of 7 bits and of 15.
        (&[0x8c, 0x11, 7], Some(&[7])),
        (&[0x8c, 0x91, 0x22, 7], Some(&[7])),
        // Layers, with TL0PICIDX and in flexible mode without.
        (&[0xac, 0x11, 0x02, 0x33, 7], Some(&[7])),
        (&[0xbc, 0x11, 0x02, 7], Some(&[7])),
        // One reference, three, and a fourth, which is not allowed.
        (&[0xdc, 0x11, 0x02, 7], Some(&[7])),
        (&[0xdc, 0x11, 0x03, 0x05, 0x06, 7], Some(&[7])),
        (&[0xdc, 0x11, 0x03, 0x05, 0x07, 0x06, 7], None),
        // Structures: a size for each of two layers; a group of two pictures with one reference and
        // with none; both.
        (&[0x0e, 0x30, 1, 2, 3, 4, 5, 6, 7, 8, 9], Some(&[9])),
        (&[0x0e, 0x08, 2, 0x04, 1, 0x00, 9], Some(&[9])),
        (&[0x0e, 0x18, 1, 2, 3, 4, 1, 0x08, 1, 2, 9], Some(&[9])),
        (&[0x0e, 0x08, 200, 0x04, 1], None),
        (&[0x8c], None),
        (&[0xac, 0x11, 2], None),
    ];
    for (payload, data) in cases {
        assert_eq!(vp9::strip_descriptor(payload), *data, "{payload:x?}");
    }
}

#[test]
fn vp9_starts_are_told_by_the_layer_and_the_frame_header() {
    // Start of a frame, no layers: key, inter, show existing, another profile.
    for (data, keyframe) in [(0x82, true), (0x86, false), (0x88, false), (0xb2, false)] {
        assert!(starts_frame(Codec::Vp9, &[0x08, data]));
        assert_eq!(starts_keyframe(Codec::Vp9, &[0x08, data]), keyframe, "{data:x}");
    }
    assert!(starts_keyframe(Codec::Vp9, &[0xa8, 0x91, 0x22, 0x00, 5, 0x82]), "the lowest layer");
    assert!(!starts_frame(Codec::Vp9, &[0xa8, 0x91, 0x22, 0x02, 5, 0x82]), "the one above");
    assert!(!starts_frame(Codec::Vp9, &[0x84, 0x91, 0x22, 0x82]), "the end");
}

#[test]
fn h264_payloads_of_every_form_become_a_byte_stream() {
    let cases: &[(&[u8], &[u8])] = &[
        (&[], &[]),
        (&[0x65, 1, 2], &[0, 0, 0, 1, 0x65, 1, 2]),
        (&[0x41], &[0, 0, 0, 1, 0x41]),
        // Information, delimiters and unsupported kinds are ignored.
        (&[0x06, 1], &[]),
        (&[0x09, 1], &[]),
        (&[0x6f, 1], &[]),
        (&[0x1d, 1, 2, 3], &[]),
        // Two units together; a length beyond the end; a payload that ends within a length; an
        // empty unit.
        (&[0x78, 0, 2, 0x67, 1, 0, 1, 0x68], &[0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68]),
        (&[0x78, 0, 2, 0x67, 1, 0, 9, 0x68], &[0, 0, 0, 1, 0x67, 1]),
        (&[0x78, 0, 2, 0x67, 1, 0], &[0, 0, 0, 1, 0x67, 1]),
        (&[0x78, 0, 0, 0, 1, 0x68], &[]),
        // Fragments: the first one, one between, the last.
        (&[0x7c, 0x85, 1, 2], &[0, 0, 0, 1, 0x65, 1, 2]),
        (&[0x7c, 0x05, 3], &[3]),
        (&[0x7c, 0x45, 4], &[4]),
        (&[0x7c], &[]),
    ];
    for (payload, unit) in cases {
        assert_eq!(appended(payload), *unit, "{payload:x?}");
    }
}

#[test]
fn h264_starts_are_told_by_parameter_sets_and_first_slices() {
    let cases: &[(&[u8], bool, bool)] = &[
        (&[0x67, 1], true, true),
        (&[0x68, 1], true, false),
        (&[0x65, 0x88], true, true),
        (&[0x65, 0x40], false, false),
        (&[0x41, 0x9a], true, false),
        (&[0x41, 0x40], false, false),
        (&[0x78, 0, 1, 0x67, 0, 1, 0x68], true, true),
        (&[0x78, 0, 1, 0x09, 0, 2, 0x65, 0x88], true, true),
        (&[0x7c, 0x85, 0x88], true, true),
        (&[0x7c, 0x81, 0x9a], true, false),
        (&[0x7c, 0x05, 0x88], false, false),
        (&[0x06, 0xff], false, false),
        (&[], false, false),
    ];
    for (payload, frame, keyframe) in cases {
        let found = (starts_frame(Codec::H264, payload), starts_keyframe(Codec::H264, payload));
        assert_eq!(found, (*frame, *keyframe), "{payload:x?}");
    }
}

/// Access units of noise, which take several packets each.
fn units(encoder: &mut dyn crate::codec::Encoder) -> Vec<Encoded> {
    let mut random = SmallRng::seed_from_u64(4);
    let picture = |random: &mut SmallRng| {
        let data: Vec<u8> = (0..i420_len(320, 240)).map(|_| random.random_range(90..160)).collect();
        Picture { width: 320, height: 240, data: data.into() }
    };
    (0..6)
        .filter_map(|n| encoder.encode(&picture(&mut random), n * 3_000, n == 3).unwrap())
        .collect()
}

fn round_trip(codec: Codec, units: &[Encoded], packetiser: &mut Packetiser) -> Vec<Vec<Bytes>> {
    let mut all = Vec::new();
    for unit in units {
        let payloads = packetiser.packetise(&unit.data, unit.keyframe);
        assert!(payloads.iter().all(|payload| payload.len() <= MTU_PAYLOAD_BYTES));
        assert!(starts_frame(codec, &payloads[0]));
        assert_eq!(starts_keyframe(codec, &payloads[0]), unit.keyframe, "{codec}");
        let mut back = BytesMut::new();
        payloads.iter().for_each(|payload| append(codec, payload, &mut back));
        if codec == Codec::H264 {
            use crate::codec::nal;
            assert!(nal::units(&back).eq(nal::units(&unit.data)));
        } else {
            assert_eq!(back, unit.data);
            assert!(payloads[1..].iter().all(|payload| !starts_frame(codec, payload)));
        }
        all.push(payloads);
    }
    all
}

#[test]
fn units_survive_their_packets() {
    for codec in Codec::ALL {
        let units = units(&mut *codec.encoder(3_000, 30.0));
        assert!(
            units.len() > 3 && units.iter().all(|unit| unit.data.len() > 2 * MTU_PAYLOAD_BYTES),
            "{codec}"
        );
        round_trip(codec, &units, &mut Packetiser::new(codec, false));
    }
}

#[test]
fn packetization_mode_0_has_neither_fragments_nor_aggregates() {
    let mut encoder = H264Encoder::new(3_000, 30.0).with_max_slice(1_100);
    let payloads =
        round_trip(Codec::H264, &units(&mut encoder), &mut Packetiser::new(Codec::H264, true));
    let kinds: Vec<u8> = payloads.into_iter().flatten().map(|payload| payload[0] & 0x1f).collect();
    assert!(kinds.len() > 12 && kinds.iter().all(|kind| [1, 5, 7, 8].contains(kind)), "{kinds:?}");
}

#[test]
fn packetization_mode_1_puts_parameter_sets_in_front_of_each_keyframe() {
    let units = units(&mut *Codec::H264.encoder(3_000, 30.0));
    let payloads = round_trip(Codec::H264, &units, &mut Packetiser::new(Codec::H264, false));
    for (unit, payloads) in units.iter().zip(payloads) {
        assert_eq!(payloads[0][0] & 0x1f == 24, unit.keyframe);
        assert_eq!(payloads[1][0] & 0x1f, 28, "a large slice in fragments");
        let last = payloads.last().unwrap();
        assert_eq!(last[1] & 0x40, 0x40, "the end bit");
    }
}

#[test]
fn vp9_frames_refer_to_the_one_before() {
    let units = units(&mut *Codec::Vp9.encoder(3_000, 30.0));
    let payloads = round_trip(Codec::Vp9, &units, &mut Packetiser::new(Codec::Vp9, false));
    for (number, (unit, payloads)) in units.iter().zip(payloads).enumerate() {
        for (index, payload) in payloads.iter().enumerate() {
            let mut first = 0x90;
            first |= if unit.keyframe { 0 } else { 0x40 };
            first |= if index == 0 { 8 } else { 0 };
            first |= if index == payloads.len() - 1 { 4 } else { 0 };
            assert_eq!(payload[..3], [first, 0x80, u8::try_from(number).unwrap() + 1]);
            assert!(unit.keyframe || payload[3] == 2);
        }
    }
}

#[test]
fn damage_is_bounded_and_does_not_panic() {
    let mut random = SmallRng::seed_from_u64(11);
    let good: Vec<(Codec, Bytes)> = Codec::ALL
        .into_iter()
        .flat_map(|codec| {
            let units = units(&mut *codec.encoder(1_000, 30.0));
            let payloads = round_trip(codec, &units, &mut Packetiser::new(codec, false));
            payloads.into_iter().flatten().map(move |payload| (codec, payload)).collect::<Vec<_>>()
        })
        .collect();
    for step in 0..100_000 {
        let (codec, payload) = &good[step % good.len()];
        // Mostly the headers, where the decisions are made.
        let mut payload = payload[..payload.len().min(random.random_range(0..40))].to_vec();
        for _ in 0..random.random_range(0..4) {
            if let Some(byte) = payload.get_mut(random.random_range(0..8)) {
                *byte = random.random();
            }
        }
        starts_frame(*codec, &payload);
        starts_keyframe(*codec, &payload);
        let mut unit = BytesMut::new();
        append(*codec, &payload, &mut unit);
        // A STAP-A of units of one byte grows most: three bytes become five.
        assert!(unit.len() <= 2 * payload.len() + 4);
    }
}

/// Shuffles each frame's packets and passes them through the assembler. Returns how many pictures a
/// decoder shows.
fn through_the_assembler(codec: Codec, units: &[Encoded], packetiser: &mut Packetiser) -> usize {
    let mut random = SmallRng::seed_from_u64(23);
    let (mut assembler, mut decoder) = (Assembler::new(codec), codec.decoder().unwrap());
    let (now, mut sequence, mut shown) = (Instant::now(), 65_530_u16, 0);
    for (timestamp, unit) in (0..).step_by(3_000).zip(units) {
        let payloads = packetiser.packetise(&unit.data, unit.keyframe);
        let last = payloads.len() - 1;
        let mut packets = Vec::new();
        for (index, payload) in payloads.into_iter().enumerate() {
            let (marker, marks) = (index == last, HeaderExtensions::default());
            packets.push(Packet { ssrc: 1, sequence, timestamp, marker, marks, payload });
            sequence = sequence.wrapping_add(1);
        }
        // The very first packet must come first: a late start looks the same as a lost one.
        let kept = usize::from(timestamp == 0);
        packets[kept..].shuffle(&mut random);
        for packet in packets {
            assert!(assembler.pop(now).is_none(), "before its last packet");
            assert!(assembler.push(now, packet));
        }
        let out = assembler.pop(now).expect("a whole frame");
        shown += usize::from(decoder.decode(&out.data).unwrap().is_some());
    }
    shown
}

#[test]
fn frames_of_every_codec_come_whole_out_of_the_assembler() {
    for codec in Codec::ALL {
        let units = units(&mut *codec.encoder(3_000, 30.0));
        let shown = through_the_assembler(codec, &units, &mut Packetiser::new(codec, false));
        assert_eq!(shown, units.len(), "{codec}");
    }
    // Parameter sets in packets of their own, with the picture's timestamp.
    let mut encoder = H264Encoder::new(3_000, 30.0).with_max_slice(1_100);
    let units = units(&mut encoder);
    let shown = through_the_assembler(Codec::H264, &units, &mut Packetiser::new(Codec::H264, true));
    assert_eq!(shown, units.len());
}

#[test]
fn an_idr_picture_without_its_parameter_sets_is_decoded_by_earlier_ones() {
    let mut packetiser = Packetiser::new(Codec::H264, false);
    let mut units = units(&mut *Codec::H264.encoder(3_000, 30.0));
    let second = units.iter().rposition(|unit| unit.keyframe).unwrap();
    assert!(second > 0);
    let bare = packetiser.packetise(&units[second].data, true).split_off(1);
    assert!(starts_keyframe(Codec::H264, &bare[0]));
    let mut data = BytesMut::new();
    bare.iter().for_each(|payload| append(Codec::H264, payload, &mut data));
    units[second].data = data.freeze();
    assert_eq!(through_the_assembler(Codec::H264, &units, &mut packetiser), units.len());
}

#[test]
fn a_payload_of_vp8_is_renumbered_and_nothing_else_in_it_changes() {
    let mut packetiser = Packetiser::new(Codec::Vp8, false);
    let unit = Bytes::from(vec![9; 2_500]);
    for number in 0..300_u16 {
        for payload in packetiser.packetise(&unit, false) {
            let by = number / 3;
            let renumbered = renumbered(Codec::Vp8, &payload, by);
            assert!(
                renumbered.len() <= payload.len() + 1 && renumbered.len() <= MTU_PAYLOAD_BYTES + 1
            );
            assert_eq!(starts_frame(Codec::Vp8, &payload), starts_frame(Codec::Vp8, &renumbered));
            assert_eq!(vp8::strip_descriptor(&payload), vp8::strip_descriptor(&renumbered));
            if by > 0 {
                let id = u16::from_be_bytes([renumbered[2] & 0x7f, renumbered[3]]);
                assert_eq!(id, number - by);
            }
        }
    }
    for text in [&b""[..], &[0x90], &[0x10, 1, 2], &[0x90, 0x80], &[0x90, 0x80, 0x81]] {
        let payload = Bytes::from_static(text);
        assert!(renumbered(Codec::Vp8, &payload, 1).len() <= payload.len() + 1, "{text:?}");
    }
}
