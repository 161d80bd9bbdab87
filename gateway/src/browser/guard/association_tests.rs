//! Against the stack's own SCTP.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rtc::sctp::PayloadProtocolIdentifier;

use super::super::sctp::tests::data;
use super::*;
use crate::fuzz::stack::Stack;
use crate::fuzz::{connected, connected_from, packet};

const OPEN: &[u8] = b"\x03\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00text";

/// Loses one in so many packets, and hands the others over in any order. 0: an ideal one.
struct Network {
    lose: u32,
    random: SmallRng,
}

impl Network {
    fn new(lose: u32) -> Self {
        Self { lose, random: SmallRng::seed_from_u64(lose.into()) }
    }

    fn next(&mut self, on_the_way: &mut VecDeque<(usize, Vec<u8>)>) -> Option<(usize, Vec<u8>)> {
        let at = if self.lose == 0 {
            0
        } else {
            self.random.random_range(0..on_the_way.len().clamp(1, 4))
        };
        on_the_way.remove(at)
    }

    fn loses(&mut self) -> bool {
        self.lose > 0 && self.random.random_ratio(1, self.lose)
    }
}

/// Hands packets to and fro until nobody has any. What is refused is a fault.
fn talk(mut sides: [&mut Stack; 2], network: &mut Network) {
    let (mut sent, mut quiet) = (0, 0);
    // Longer than the stack waits before it sends something again.
    while quiet < 150 {
        let mut on_the_way = VecDeque::new();
        for (from, side) in sides.iter_mut().enumerate() {
            side.wait(Duration::from_millis(500));
            on_the_way.extend(side.answers().into_iter().map(|packet| (1 - from, packet)));
        }
        quiet = if on_the_way.is_empty() { quiet + 1 } else { 0 };
        while let Some((to, packet)) = network.next(&mut on_the_way) {
            sent += 1;
            if !network.loses() {
                assert_eq!(sides[to].deliver(&packet), Ok(()), "{packet:02x?}");
                on_the_way.extend(sides[to].answers().into_iter().map(|packet| (1 - to, packet)));
            }
        }
        assert!(sent < 10_000, "they talk for ever");
    }
}

/// A data channel is opened, used, and closed.
fn use_a_channel(lose: u32) {
    let (mut client, mut server, mut network) =
        (Stack::client(), Stack::server(), Network::new(lose));
    talk([&mut client, &mut server], &mut network);
    let now = Instant::now().into_std();
    let mut messages = vec![Bytes::from_static(OPEN)];
    let association = client.association().unwrap();
    let mut stream = association.open_stream(1, PayloadProtocolIdentifier::Binary).unwrap();
    stream.write_chunk_with_ppi(now, &messages[0], PayloadProtocolIdentifier::Dcep).unwrap();
    for size in [1, 100, 1_000, 5_000, 60_000, 7] {
        messages.push(Bytes::from(vec![b'x'; size]));
        stream.write_chunk(now, messages.last().unwrap()).unwrap();
    }
    talk([&mut client, &mut server], &mut network);
    assert_eq!(server.messages, messages, "all came, in order, once");
    client.association().unwrap().stream(1).unwrap().close(now).unwrap();
    talk([&mut client, &mut server], &mut network);
    let mut stream =
        client.association().unwrap().open_stream(1, PayloadProtocolIdentifier::Binary).unwrap();
    stream.write_chunk_with_ppi(now, &messages[0], PayloadProtocolIdentifier::Dcep).unwrap();
    talk([&mut client, &mut server], &mut network);
    assert_eq!(server.messages.len(), messages.len() + 1, "the stream is used again");
}

#[test]
fn two_stacks_talk_as_if_nobody_listened() {
    use_a_channel(0);
}

#[test]
fn two_stacks_talk_on_a_bad_network() {
    // The stack itself sends nothing again after five timeouts in a row, so that one in three is
    // too many.
    for lose in [5, 8, 10, 20, 50] {
        use_a_channel(lose);
    }
}

#[test]
fn tsns_begin_anywhere_and_wrap() {
    for first in [0, 1, 5, u32::MAX - 1, u32::MAX] {
        let (mut stack, tag) = connected_from(first);
        for n in 0..5_u8 {
            let text = data(3, first.wrapping_add(n.into()), 1, n.into(), 51, &[n]);
            assert_eq!(stack.deliver(&packet(tag, &text)), Ok(()), "{first} {n}");
        }
        assert_eq!(stack.messages.concat(), [0, 1, 2, 3, 4]);
        stack.wait(Duration::from_secs(1));
        let answers = stack.answers();
        let last = first.wrapping_add(4).to_be_bytes();
        assert_eq!(
            (answers.len(), answers[0][12], &answers[0][16..20]),
            (1, 3, &last[..]),
            "{first}"
        );
        // One that is missing.
        let text = data(3, first.wrapping_add(6), 1, 6, 51, b"late");
        assert_eq!(stack.deliver(&packet(tag, &text)), Ok(()));
        assert_eq!((&stack.answers()[0][16..20], stack.messages.len()), (&last[..], 5));
    }
}

#[test]
fn nobody_skips_messages() {
    let (mut client, mut server) = (Stack::client(), Stack::server());
    let renounced =
        |packet: &[u8]| packet.windows(6).any(|bytes| bytes == [0x80, 8, 0, 6, 130, 130]);
    let init = client.answers().remove(0);
    assert!(renounced(&init), "{init:02x?}");
    server.deliver(&init).unwrap();
    assert!(renounced(&server.answers()[0]));
    let (mut stack, tag) = connected();
    let skip = packet(tag, &[192, 0, 0, 8, 0x3f, 0xff, 0xff, 0xff]);
    assert_eq!(stack.deliver(&skip), Err(Refusal::ForwardTsn));
    assert!(stack.answers().is_empty());
    // A billion turns of a loop, had the stack agreed to it.
    stack.deliver_unguarded(&skip);
    let answers = stack.answers();
    assert_eq!((answers.len(), answers[0][12]), (1, 9), "it does not know such a chunk");
}

#[test]
fn a_connection_has_one_association() {
    let init = |tag: u8, tsn: u8| {
        packet(0, &[1, 0, 0, 20, 0, 0, 0, tag, 0, 2, 0, 0, 4, 0, 8, 0, 0, 0, 0, tsn])
    };
    let mut stack = Stack::server();
    for n in 0..20 {
        let expected = if n < MAX_INITS { Ok(()) } else { Err(Refusal::Association) };
        assert_eq!(stack.deliver(&init(9, 1)), expected, "the same one again, {n}");
    }
    // The stack takes each for another's.
    assert_eq!(stack.associations(), usize::from(MAX_INITS));
    let mut stack = Stack::server();
    stack.deliver(&init(9, 1)).unwrap();
    assert_eq!(stack.deliver(&init(8, 1)), Err(Refusal::Association), "another one");
    assert_eq!(stack.deliver(&init(9, 2)), Err(Refusal::Association), "the same, from elsewhere");
    let text = data(3, 1, 0, 0, 51, b"hello");
    assert_eq!(stack.deliver(&packet(0, &text)), Err(Refusal::Association), "of none that is up");
    let (mut stack, tag) = connected();
    for late in [
        init(9, 1),
        init(8, 1),
        packet(tag, &init(9, 1)[12..]),
        packet(tag ^ 1, &text),
        packet(0, &text),
    ] {
        assert_eq!(stack.deliver(&late), Err(Refusal::Association));
    }
    assert_eq!(stack.deliver(&packet(tag, &text)), Ok(()));
    assert_eq!((stack.associations(), stack.messages.len()), (1, 1));
}

#[test]
fn a_packet_counts_as_a_whole() {
    let (mut stack, tag) = connected();
    let lying = [data(3, 1, 0, 0, 51, b"hello"), vec![6, 0, 0, 8, 0, 12, 0x40, 0]].concat();
    for _ in 0..10 {
        assert_eq!(stack.deliver(&packet(tag, &lying)), Err(Refusal::Malformed));
    }
    assert_eq!(
        stack.deliver(&packet(tag, &data(3, 1, 0, 0, 51, b"other"))),
        Ok(()),
        "the first has not come yet"
    );
    assert_eq!(stack.messages, [&b"other"[..]]);
}

#[test]
fn a_flood_is_slowed_down() {
    let init = [1, 0, 0, 20, 0, 0, 0, 9, 0, 2, 0, 0, 4, 0, 8, 0, 0, 0, 0, 1];
    let (mut association, mut now) = (Association::default(), Instant::now());
    association.incoming(now, &mut packet(0, &init)).unwrap();
    association.incoming(now, &mut packet(7, &[10, 0, 0, 4])).unwrap();
    let mut tsn = 0;
    let mut flood = |association: &mut Association, now| {
        for passed in 0.. {
            let sequence = u16::try_from(tsn & 0xffff).unwrap();
            let text = data(3, tsn + 1, 0, sequence, 51, b"hello");
            if let Err(refusal) = association.incoming(now, &mut packet(7, &text)) {
                return (passed, refusal);
            }
            tsn += 1;
            // As the stack acknowledges.
            let sack = [&[3, 0, 0, 16][..], &tsn.to_be_bytes(), &[0, 1, 0, 0, 0, 0, 0, 0]].concat();
            association.outgoing(&mut packet(9, &sack));
        }
        unreachable!("it ends")
    };
    assert_eq!(flood(&mut association, now), (BURST, Refusal::Rate));
    now += Duration::from_millis(500);
    assert_eq!(flood(&mut association, now), (CHUNKS_PER_SECOND / 2, Refusal::Rate));
    now += Duration::from_secs(3_600);
    assert_eq!(flood(&mut association, now), (BURST, Refusal::Rate));
}

/// When one of these does not panic any more, the stack was mended: see
/// docs/decisions/0017-guard.md.
#[test]
fn without_a_guard_the_stack_panics() {
    let unguarded = |chunks: &[u8]| {
        let (mut stack, tag) = connected();
        let packet = packet(tag, chunks);
        assert!(stack.deliver(&packet).is_err(), "the guard knows it");
        catch_unwind(AssertUnwindSafe(|| stack.deliver_unguarded(&packet))).is_err()
    };
    assert!(unguarded(&[6, 0, 0, 8, 0, 12, 0x40, 0]), "the cause of an ABORT");
    assert!(unguarded(&[9, 0, 0, 8, 0, 12, 0x40, 0]), "the cause of an ERROR");
    assert!(unguarded(&data(3, 1, 0, 0, 50, b"\x00")), "a message of data channels");
    // The last part comes first, and says what the whole is.
    let parts = [
        data(3, 4, 0, 1, 50, b"\x02"),
        data(2, 3, 0, 1, 53, b"\x00"),
        data(3, 2, 0, 0, 51, b"hello"),
    ];
    assert!(unguarded(&parts.concat()), "the same, put together");
}

#[test]
fn without_a_guard_resets_are_answered_for_ever() {
    let request = |number: u8| {
        [130, 0, 0, 20, 0, 13, 0, 16, 0, 0, 0, number, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff]
    };
    let (mut stack, tag) = connected();
    for number in 0..100 {
        assert_eq!(stack.deliver(&packet(tag, &request(number))), Err(Refusal::Reset));
        stack.deliver_unguarded(&packet(tag, &request(number)));
    }
    stack.answers();
    stack.deliver(&packet(tag, &data(3, 1, 0, 0, 51, b"x"))).unwrap();
    assert!(stack.answers().len() >= 100, "a hundred packets for one");
}
