//! Seeded: a sender's packets through a bad network; and hostile input.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::media::packet::HeaderExtensions;

/// A frame's packets; every payload names its frame, so that the output can be checked.
fn frame(number: u32, first: u16, packets: u16, keyframe: bool) -> Vec<Packet> {
    let tag = if keyframe { 0x10 } else { 0x11 };
    (0..packets)
        .map(|index| {
            let descriptor = if index == 0 { 0x10 } else { 0x00 };
            let body = if index == 0 { tag } else { 0xee };
            Packet {
                ssrc: 1,
                sequence: first.wrapping_add(index),
                timestamp: number_to_time(number),
                marker: index + 1 == packets,
                marks: HeaderExtensions::default(),
                payload: Bytes::copy_from_slice(
                    &[&[descriptor, body][..], &number.to_be_bytes()].concat(),
                ),
            }
        })
        .collect()
}

fn number_to_time(number: u32) -> u32 {
    number.wrapping_mul(3_000).wrapping_add(u32::MAX - 50_000)
}

/// `count` frames of one to nine packets from sequence number `first`, a keyframe each `every`.
fn stream(seed: u64, first: u16, count: u32, every: u32) -> Vec<Vec<Packet>> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut next = first;
    (0..count)
        .map(|number| {
            let packets = random.random_range(1..=9);
            let packets = frame(number, next, packets, number % every == 0);
            next = next.wrapping_add(u16::try_from(packets.len()).unwrap());
            packets
        })
        .collect()
}

/// The number in a released frame, whose packets must all agree.
fn number(unit: &AccessUnit) -> u32 {
    let packets: Vec<&[u8]> = unit.data.chunks(5).collect();
    let number = |chunk: &[u8]| u32::from_be_bytes(chunk[1..5].try_into().unwrap());
    assert!(packets.iter().all(|chunk| number(chunk) == number(packets[0])), "a mixed frame");
    assert_eq!(unit.timestamp, number_to_time(number(packets[0])));
    number(packets[0])
}

fn drain(assembler: &mut Assembler, now: Instant, out: &mut Vec<u32>) {
    out.extend(std::iter::from_fn(|| assembler.pop(now)).map(|unit| number(&unit)));
    assert!(assembler.is_bounded());
}

#[test]
fn in_order_packets_release_each_frame_on_its_marker() {
    let mut assembler = Assembler::new(Codec::Vp8);
    let now = Instant::now();
    for packets in stream(1, 65_500, 300, 1_000) {
        let (last, before) = packets.split_last().unwrap();
        for packet in before {
            assert!(assembler.push(now, packet.clone()));
            assert!(assembler.pop(now).is_none(), "before its marker");
        }
        assert!(assembler.push(now, last.clone()));
        assert!(assembler.pop(now).is_some(), "on its marker");
        assert!(!assembler.needs_keyframe() && assembler.deadline().is_none());
    }
}

#[test]
fn reordering_doubling_and_padding_change_nothing() {
    for seed in 0..30 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut packets: Vec<Packet> = Vec::new();
        let mut shift = 0_u16;
        for mut frame in stream(seed, 65_300, 200, 50) {
            frame
                .iter_mut()
                .for_each(|packet| packet.sequence = packet.sequence.wrapping_add(shift));
            let last = frame.last().unwrap().clone();
            packets.append(&mut frame);
            if random.random_bool(0.2) {
                shift = shift.wrapping_add(1);
                let sequence = last.sequence.wrapping_add(1);
                packets.push(Packet { sequence, marker: false, payload: Bytes::new(), ..last });
            }
        }
        // The very first packet must come first: a late start looks the same as a lost one.
        for chunk in packets[1..].chunks_mut(12) {
            chunk.shuffle(&mut random);
        }
        let mut assembler = Assembler::new(Codec::Vp8);
        let (now, mut out) = (Instant::now(), Vec::new());
        for packet in packets {
            let twice = random.random_bool(0.1);
            assembler.push(now, packet.clone());
            if twice {
                assert!(!assembler.push(now, packet), "a double");
            }
            drain(&mut assembler, now, &mut out);
        }
        assert_eq!(out, (0..200).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn after_a_loss_frames_wait_then_resume_at_a_keyframe() {
    let mut assembler = Assembler::new(Codec::Vp8);
    let (start, mut out) = (Instant::now(), Vec::new());
    let mut lost = None;
    for (number, packets) in stream(5, 100, 60, 40).into_iter().enumerate() {
        let now = start + Duration::from_millis(33 * number as u64);
        for (index, packet) in packets.into_iter().enumerate() {
            if number == 10 && index == 0 {
                lost = Some(packet);
                continue;
            }
            assembler.push(now, packet);
            drain(&mut assembler, now, &mut out);
        }
        match number {
            ..10 => assert!(!assembler.needs_keyframe()),
            10 => {}
            11 => assert_eq!(
                assembler.deadline(),
                Some(start + Duration::from_millis(330) + PATIENCE)
            ),
            26..40 => assert!(assembler.needs_keyframe()),
            _ => {}
        }
    }
    assert!(!assembler.push(start, lost.unwrap()), "too late");
    assert_eq!(out, (0..10).chain(40..60).collect::<Vec<_>>());
}

#[test]
fn a_keyframe_with_a_hole_is_given_up_and_another_asked_for() {
    for (hole, intact_after) in [(1, false), (1, true), (3, false), (3, true)] {
        let mut assembler = Assembler::new(Codec::Vp8);
        let (start, mut out) = (Instant::now(), Vec::new());
        let mut first = 0;
        for number in 0..12 {
            // Frame 3 is a keyframe that lacks a packet (its marker, with hole 3); frame 8 is
            // another, or not.
            let keyframe = number == 0 || number == 3 || (number == 8 && intact_after);
            let packets = frame(number, first, 4, keyframe);
            first += 4;
            let now = start + Duration::from_millis(150 * u64::from(number));
            for (index, packet) in packets.into_iter().enumerate() {
                if (number, index) != (3, hole) {
                    assembler.push(now, packet);
                }
                drain(&mut assembler, now, &mut out);
            }
            if number == 7 {
                assert!(assembler.needs_keyframe(), "hole {hole}: the patience has ended");
            }
        }
        let expected: Vec<u32> =
            if intact_after { vec![0, 1, 2, 8, 9, 10, 11] } else { vec![0, 1, 2] };
        assert_eq!(out, expected, "hole {hole}");
        assert_eq!(assembler.needs_keyframe(), !intact_after);
    }
}

#[test]
fn a_retransmission_in_time_loses_nothing() {
    let mut assembler = Assembler::new(Codec::Vp8);
    let (now, mut out) = (Instant::now(), Vec::new());
    let frames = stream(6, 7, 12, 100);
    let missing = frames[3][0].clone();
    for packet in frames.into_iter().flatten().filter(|packet| packet.sequence != missing.sequence)
    {
        assembler.push(now, packet);
        drain(&mut assembler, now, &mut out);
    }
    assert_eq!(out, [0, 1, 2]);
    assembler.push(now + PATIENCE / 2, missing);
    drain(&mut assembler, now + PATIENCE / 2, &mut out);
    assert_eq!(out, (0..12).collect::<Vec<_>>());
}

#[test]
fn a_keyframe_after_a_long_wait_has_the_same_patience() {
    let mut assembler = Assembler::new(Codec::Vp8);
    let (start, mut out) = (Instant::now(), Vec::new());
    // Only delta frames for seconds: nothing to start from.
    for number in 1..100_u16 {
        for packet in frame(number.into(), number * 2, 2, false) {
            assembler.push(start + Duration::from_millis(33) * number.into(), packet);
        }
        drain(&mut assembler, start + Duration::from_millis(33) * number.into(), &mut out);
    }
    // Then a keyframe whose packets swap places.
    let (now, packets) = (start + Duration::from_secs(4), frame(100, 200, 3, true));
    for index in [0, 2, 1] {
        assembler.push(now, packets[index].clone());
        drain(&mut assembler, now, &mut out);
    }
    assert_eq!(out, [100]);
}

#[test]
fn a_keyframe_whose_first_packet_comes_last_is_shown() {
    let mut assembler = Assembler::new(Codec::Vp8);
    let (start, mut out) = (Instant::now(), Vec::new());
    for packet in frame(0, 0, 2, false) {
        assembler.push(start, packet);
    }
    let mut packets = frame(1, 2, 30, true);
    let first = packets.remove(0);
    // Three more frames are here when the retransmission comes.
    packets.extend(
        (2..5).flat_map(|number| frame(number, 28 + 2 * u16::try_from(number).unwrap(), 2, false)),
    );
    for packet in packets {
        assembler.push(start, packet);
        drain(&mut assembler, start, &mut out);
        assert!(assembler.needs_keyframe());
    }
    assembler.push(start + PATIENCE / 2, first);
    drain(&mut assembler, start + PATIENCE / 2, &mut out);
    assert_eq!(out, [1, 2, 3, 4]);
}

#[test]
fn after_a_blackout_nothing_is_waited_for() {
    for (blackout, waits) in [(MAX_MISSING, true), (MAX_MISSING + 1, false)] {
        let mut assembler = Assembler::new(Codec::Vp8);
        let (now, mut out) = (Instant::now(), Vec::new());
        let first = 65_500_u16;
        let after = first.wrapping_add(2 + u16::try_from(blackout).unwrap());
        for packet in frame(0, first, 2, true).into_iter().chain(frame(1, after, 2, false)) {
            assembler.push(now, packet);
            drain(&mut assembler, now, &mut out);
        }
        assert_eq!((&out, assembler.needs_keyframe()), (&vec![0], !waits), "{blackout} missing");
        assert_eq!(assembler.deadline(), waits.then(|| now + PATIENCE));
        for packet in frame(2, after.wrapping_add(2), 2, true) {
            assembler.push(now, packet);
            drain(&mut assembler, now, &mut out);
        }
        assert_eq!(out, if waits { vec![0] } else { vec![0, 2] });
    }
}

#[test]
fn without_a_keyframe_little_is_kept() {
    let mut assembler = Assembler::new(Codec::Vp8);
    let now = Instant::now();
    for number in 0..10_000_u32 {
        let timestamp = number_to_time(number / 7);
        #[expect(clippy::cast_possible_truncation, reason = "it wraps")]
        let packet = Packet {
            ssrc: 1,
            sequence: number as u16,
            timestamp,
            marker: false,
            marks: HeaderExtensions::default(),
            payload: Bytes::from_static(&[1, 1]),
        };
        assert!(assembler.push(now, packet));
        assert!(
            assembler.held.len() <= SEEK_PACKETS && assembler.tickets.len() <= SEEK_PACKETS / 7 + 2
        );
    }
}

#[test]
fn a_restarted_sender_is_followed() {
    let mut assembler = Assembler::new(Codec::Vp8);
    let (now, mut out) = (Instant::now(), Vec::new());
    for first in [10, 40_000] {
        for packet in stream(8, first, 20, 5).into_iter().flatten() {
            assembler.push(now, packet);
            drain(&mut assembler, now, &mut out);
        }
    }
    assert_eq!(&out[..20], (0..20).collect::<Vec<_>>());
    assert_eq!(out.last(), Some(&19));
    assert!(out.len() >= 34, "the restart costs up to one keyframe interval: {}", out.len());
}

#[test]
fn another_ssrc_is_followed_from_its_first_packet_on() {
    for first in [40_000, 200, 90, 10] {
        let mut assembler = Assembler::new(Codec::Vp8);
        let (now, mut out) = (Instant::now(), Vec::new());
        for (ssrc, first) in [(1, 10), (2, first)] {
            for packet in stream(8, first, 20, 5).into_iter().flatten() {
                assert!(assembler.push(now, Packet { ssrc, ..packet }));
                drain(&mut assembler, now, &mut out);
            }
        }
        assert_eq!(out, (0..20).chain(0..20).collect::<Vec<_>>(), "from {first}");
    }
}

#[test]
fn a_late_packet_of_the_ssrc_before_changes_nothing() {
    let mut assembler = Assembler::new(Codec::Vp8);
    let (now, mut out) = (Instant::now(), Vec::new());
    let old: Vec<Packet> = stream(8, 10, 20, 5).into_iter().flatten().collect();
    for packet in &old {
        assert!(assembler.push(now, packet.clone()));
        drain(&mut assembler, now, &mut out);
    }
    for (index, packet) in stream(9, 40_000, 20, 20).into_iter().flatten().enumerate() {
        assert!(assembler.push(now, Packet { ssrc: 2, ..packet }));
        if let Some(late) = old.get(index * 2) {
            assert!(!assembler.push(now, late.clone()));
        }
        drain(&mut assembler, now, &mut out);
    }
    assert_eq!(out, (0..20).chain(0..20).collect::<Vec<_>>());
}

#[test]
fn hostile_input_is_bounded_and_does_not_panic() {
    let mut random = SmallRng::seed_from_u64(9);
    let mut assembler = Assembler::new(Codec::Vp8);
    let start = Instant::now();
    for step in 0..200_000_u64 {
        let length = random.random_range(0..6);
        let payload: Vec<u8> = (0..length).map(|_| random.random()).collect();
        let packet = Packet {
            ssrc: u32::from(random.random_bool(0.01)),
            sequence: if random.random_bool(0.5) {
                random.random()
            } else {
                u16::try_from(step % 65_536).unwrap()
            },
            timestamp: random.random_range(0..50) * 3_000,
            marker: random.random(),
            marks: HeaderExtensions::default(),
            payload: payload.into(),
        };
        let now = start + Duration::from_millis(step / 4);
        assembler.push(now, packet);
        while assembler.pop(now).is_some() {}
        assert!(assembler.is_bounded());
    }
}

/// Frames of three packets each, from sequence number 0; a keyframe where `keyframes` says so.
fn threes(count: u16, keyframes: &[u32]) -> Vec<Vec<Packet>> {
    (0..count).map(|n| frame(n.into(), 3 * n, 3, keyframes.contains(&n.into()))).collect()
}

#[test]
fn of_a_late_backlog_the_newest_keyframe_is_left() {
    let (mut assembler, now, mut out) = (Assembler::new(Codec::Vp8), Instant::now(), Vec::new());
    let frames = threes(9, &[0, 2, 4, 8]);
    frames[..7].iter().flatten().for_each(|packet| assert!(assembler.push(now, packet.clone())));
    assert_eq!(assembler.keep_newest_keyframe(), Kept { packets_dropped: 6 * 3, broken_off: true });
    assert_eq!(assembler.tickets.len(), 1, "each frame that is gone is in the books");
    drain(&mut assembler, now, &mut out);
    // What follows it was dropped, and is not waited for.
    assembler.give_up();
    assert!(assembler.needs_keyframe() && assembler.deadline().is_none());
    for packet in frames[7..].iter().flatten() {
        assert!(assembler.push(now, packet.clone()));
    }
    drain(&mut assembler, now, &mut out);
    assert_eq!(out, [4, 8]);
    assert!(assembler.tickets.is_empty() && assembler.held.is_empty());
}

#[test]
fn a_late_backlog_without_a_keyframe_is_gone() {
    let (mut assembler, now, mut out) = (Assembler::new(Codec::Vp8), Instant::now(), Vec::new());
    let frames = threes(5, &[0, 4]);
    assert_eq!(
        assembler.keep_newest_keyframe(),
        Kept { packets_dropped: 0, broken_off: false },
        "of nothing, nothing"
    );
    frames[0].iter().for_each(|packet| assert!(assembler.push(now, packet.clone())));
    drain(&mut assembler, now, &mut out);
    // The last packet of the third frame is still to come.
    let late: Vec<_> = frames[1..3].iter().flatten().take(5).collect();
    late.iter().for_each(|packet| assert!(assembler.push(now, (*packet).clone())));
    assert_eq!(assembler.keep_newest_keyframe(), Kept { packets_dropped: 5, broken_off: true });
    assembler.give_up();
    assert!(assembler.needs_keyframe() && assembler.tickets.is_empty());
    assert!(!assembler.push(now, frames[2][2].clone()), "its frame is in the books already");
    frames[3..].iter().flatten().for_each(|packet| assert!(assembler.push(now, packet.clone())));
    drain(&mut assembler, now, &mut out);
    assert_eq!(out, [0, 4]);
}

#[test]
fn a_late_keyframe_may_be_completed() {
    let (mut assembler, now, mut out) = (Assembler::new(Codec::Vp8), Instant::now(), Vec::new());
    let frames = threes(4, &[0, 2]);
    frames.iter().flatten().take(8).for_each(|packet| assert!(assembler.push(now, packet.clone())));
    assert_eq!(assembler.keep_newest_keyframe(), Kept { packets_dropped: 6, broken_off: false });
    drain(&mut assembler, now, &mut out);
    frames.iter().flatten().skip(8).for_each(|packet| assert!(assembler.push(now, packet.clone())));
    drain(&mut assembler, now, &mut out);
    assert_eq!(out, [2, 3]);
}

#[test]
fn a_late_keyframe_with_a_hole_is_not_waited_for() {
    let (mut assembler, now) = (Assembler::new(Codec::Vp8), Instant::now());
    let frames = threes(4, &[0, 2]);
    let holed = frames.iter().flatten().filter(|packet| packet.sequence != 7);
    holed.for_each(|packet| assert!(assembler.push(now, packet.clone())));
    assert_eq!(assembler.keep_newest_keyframe(), Kept { packets_dropped: 11, broken_off: true });
    assert!(
        assembler.pop(now).is_none() && assembler.needs_keyframe() && assembler.tickets.is_empty()
    );
    assert!(!assembler.push(now, frames[2][1].clone()), "its frame is in the books already");
}

#[test]
fn a_late_keyframe_of_h264_keeps_its_parameter_sets() {
    let (mut assembler, now) = (Assembler::new(Codec::H264), Instant::now());
    let packet = |sequence: u16, number: u32, marker, payload: &[u8]| Packet {
        ssrc: 1,
        sequence,
        timestamp: number_to_time(number),
        marker,
        marks: HeaderExtensions::default(),
        payload: Bytes::copy_from_slice(payload),
    };
    // STAP-A with a parameter set each; an IDR slice in two fragments; a slice that is its first.
    let sets = [24, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 2, 0x68, 0xce];
    let (begin, end, slice) = ([0x7c, 0x85, 0x88, 1], [0x7c, 0x45, 2, 3], [0x41, 0x9a, 1]);
    let parts = [
        (0, &slice[..], true),
        (1, &sets, false),
        (1, &begin, false),
        (1, &end, true),
        (2, &slice, true),
    ];
    for (sequence, (number, payload, marker)) in (0..).zip(parts) {
        assert!(assembler.push(now, packet(sequence, number, marker, payload)));
    }
    assert_eq!(assembler.keep_newest_keyframe(), Kept { packets_dropped: 1, broken_off: true });
    let unit = assembler.pop(now).expect("it is whole");
    assert_eq!(unit.timestamp, number_to_time(1));
    assert!(unit.data.windows(2).any(|bytes| bytes == [0x67, 0x42]), "{:?}", unit.data);
    assert!(assembler.pop(now).is_none());
    assembler.give_up();
    assert!(assembler.needs_keyframe() && assembler.held.is_empty());
}

#[test]
fn a_stray_with_a_keyframes_time_harms_nothing() {
    let (mut assembler, now, mut out) = (Assembler::new(Codec::Vp8), Instant::now(), Vec::new());
    let mut frames = threes(3, &[0, 2]);
    // Before the keyframe, with its timestamp, and not a start.
    frames[1][1].timestamp = number_to_time(2);
    frames.iter().flatten().for_each(|packet| assert!(assembler.push(now, packet.clone())));
    assert_eq!(assembler.keep_newest_keyframe(), Kept { packets_dropped: 6, broken_off: false });
    drain(&mut assembler, now, &mut out);
    assert_eq!(out, [2]);
}
