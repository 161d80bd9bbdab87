//! Packets of SCTP that no sound peer sends.

use crate::attacker::association::{Association, sack};
use crate::attacker::sctp::{
    self, ABORT, COOKIE_ECHO, DATA, DCEP, ERROR, FORWARD_TSN, HEARTBEAT, INIT, RECONFIG, SHUTDOWN,
    UNORDERED, chunk, data, lying_chunk, open_channel, packet, parameter,
};

/// The furthest that a TSN may be ahead of another (RFC 1982).
const HALF: u32 = i32::MAX as u32;

/// FORWARD-TSN as far ahead as there is, so many times in one packet: with one it has 20 bytes,
/// with 100 it has 812.
#[must_use]
pub fn jumps(association: Association, count: u32) -> Vec<Vec<u8>> {
    let jump = |n: u32| association.tsn.wrapping_sub(1).wrapping_add(HALF.wrapping_mul(n));
    (1..=count).map(|n| chunk(FORWARD_TSN, 0, &jump(n).to_be_bytes())).collect()
}

/// A cause that says to be longer than the chunk that it is in; with the header of the packet 20
/// bytes.
#[must_use]
pub fn long_cause(kind: u8) -> Vec<u8> {
    // 6: unrecognized chunk type.
    chunk(kind, 0, &[0, 6, 0xff, 0xff])
}

/// Packets of one association, each of a kind that something in a stack may loop over, allocate by
/// or slice by. Those that end a sound association are the last.
#[must_use]
pub fn zoo(association: Association) -> Vec<(&'static str, Vec<u8>)> {
    let Association { tag, tsn, their_tsn } = association;
    let one = |chunk: Vec<u8>| packet(tag, &[chunk]);
    let gaps: Vec<[u16; 2]> = vec![[1, u16::MAX]; 280];
    let steps: Vec<[u16; 2]> = (0..280).map(|n| [n * 2 + 2, n * 2 + 2]).collect();
    let wild = their_tsn.wrapping_sub(1);
    let reset = |streams: &[u8]| {
        let numbers = [1_u32, 0, tsn.wrapping_add(HALF)].map(u32::to_be_bytes).concat();
        parameter(13, &[&numbers, streams].concat())
    };
    let again = data(tsn.wrapping_add(9), 15, 0, DCEP, &open_channel(b"again", 5, 0)).split_off(4);
    let shifted: Vec<_> = (0..148).map(|n| chunk(HEARTBEAT, 0, &[n; 1])).collect();
    vec![
        ("nothing", Vec::new()),
        ("a header's half", packet(tag, &[])[..6].to_vec()),
        ("no chunk", packet(tag, &[])),
        ("half a chunk", packet(tag, &[vec![DATA, 3]])),
        ("a chunk of length 0", one(lying_chunk(DATA, 3, 0, &[0; 16]))),
        ("a chunk of length 3", one(lying_chunk(HEARTBEAT, 0, 3, &[0; 16]))),
        ("a chunk longer than the packet", one(lying_chunk(DATA, 3, 0xffff, &[0; 16]))),
        (
            "chunks of unknown kinds",
            packet(tag, &[chunk(0x3f, 0, &[1; 8]), chunk(0xff, 0xff, &[1; 8])]),
        ),
        ("a cookie longer than the packet", one(lying_chunk(COOKIE_ECHO, 0, 0xffff, &[1; 8]))),
        ("another cookie", one(chunk(COOKIE_ECHO, 0, &[1; 1_000]))),
        ("an INIT cut off", packet(0, &[lying_chunk(INIT, 0, 20, &[1; 2])])),
        ("an INIT within", one(chunk(INIT, 0, &sctp::beginning(tag, tsn, None)))),
        ("an INIT with a parameter too long", {
            let fixed = &sctp::beginning(9, tsn, None)[..16];
            packet(0, &[chunk(INIT, 0, &[fixed, &[0x80, 8, 0xff, 0xff]].concat())])
        }),
        ("an INIT without streams", {
            let mut init = sctp::beginning(11, tsn, None);
            init[8..12].fill(0);
            packet(0, &[chunk(INIT, 0, &init)])
        }),
        ("an INIT-ACK", one(chunk(sctp::INIT_ACK, 0, &sctp::beginning(tag, tsn, Some(&[7; 400]))))),
        ("a heartbeat whose text is cut off", one(chunk(HEARTBEAT, 0, &[0, 1, 0xff, 0xff]))),
        ("a heartbeat of nothing", one(chunk(HEARTBEAT, 0, &[]))),
        ("many heartbeats", packet(tag, &shifted)),
        ("SACK with fewer gaps than it says", one(sack(wild, u16::MAX, &[]))),
        ("SACK with gaps as long as there are", one(sack(wild, 280, &gaps))),
        ("SACK with many gaps", one(sack(wild, 280, &steps))),
        ("SACK with gaps from end to begin", one(sack(wild, 2, &[[9, 3], [0xffff, 0]]))),
        ("SACK of what was never sent", one(sack(their_tsn.wrapping_add(HALF), 0, &[]))),
        ("RECONFIG cut off", one(chunk(RECONFIG, 0, &[0, 13, 0xff, 0xff]))),
        ("RECONFIG of no parameter", one(chunk(RECONFIG, 0, &[]))),
        ("RECONFIG of an odd stream", one(chunk(RECONFIG, 0, &reset(&[1])))),
        ("RECONFIG of many streams", one(chunk(RECONFIG, 0, &reset(&[0x55; 1_000])))),
        ("FORWARD-TSN cut off", one(lying_chunk(FORWARD_TSN, 0, 6, &[0, 0]))),
        (
            "FORWARD-TSN of many streams",
            one(chunk(FORWARD_TSN, 0, &[&tsn.to_be_bytes()[..], &[0x11; 1_000]].concat())),
        ),
        ("DATA without a head", one(chunk(DATA, 3, &[0; 6]))),
        ("DATA of nothing", one(data(tsn, 0, 0, 51, &[]))),
        ("DATA far ahead", one(data(tsn.wrapping_add(HALF), 1, 0, 51, b"x"))),
        (
            "a channel whose label is cut off",
            one(data(tsn, 1, 0, DCEP, &open_channel(b"text", 0xffff, 0xffff))),
        ),
        ("a channel of half a message", one(data(tsn.wrapping_add(1), 3, 0, DCEP, &[3, 0, 0]))),
        ("DCEP of no kind", one(data(tsn.wrapping_add(2), 5, 0, DCEP, &[0xff]))),
        ("an acknowledgement of no channel", one(data(tsn.wrapping_add(3), 7, 0, DCEP, &[2]))),
        (
            "a label that is no text",
            one(data(tsn.wrapping_add(4), 9, 0, DCEP, &open_channel(&[0xff; 40], 40, 0))),
        ),
        ("DCEP of kind 0", one(data(tsn.wrapping_add(5), 11, 0, DCEP, &[0]))),
        ("DCEP of zeros alone", one(data(tsn.wrapping_add(6), 13, 0, DCEP, &[0; 1_000]))),
        (
            "a second message of a channel before its first",
            one(data(tsn.wrapping_add(8), 15, 1, DCEP, &[2])),
        ),
        (
            "the first of them",
            one(data(tsn.wrapping_add(7), 15, 0, DCEP, &open_channel(b"late", 4, 0))),
        ),
        ("the same channel once more, unordered", one(chunk(DATA, UNORDERED, &again))),
        (
            "FORWARD-TSN as far as there is",
            one(chunk(FORWARD_TSN, 0, &tsn.wrapping_add(HALF - 9).to_be_bytes())),
        ),
        ("ERROR with a cause too long", one(long_cause(ERROR))),
        ("ERROR with causes of length 0", one(chunk(ERROR, 0, &[0; 400]))),
        (
            "SHUTDOWN of what was never sent",
            one(chunk(SHUTDOWN, 0, &their_tsn.wrapping_add(HALF).to_be_bytes())),
        ),
        ("ABORT with a cause too long", one(long_cause(ABORT))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_as_small_as_they_are_said_to_be() {
        let association = Association { tag: 1, tsn: 2, their_tsn: 3 };
        let length = |chunks: &[Vec<u8>]| packet(1, chunks).len();
        assert_eq!(length(&jumps(association, 1)), 20);
        assert_eq!(length(&jumps(association, 100)), 812);
        assert_eq!(length(&[long_cause(ERROR)]), 20);
        assert!(
            zoo(association).iter().all(|(what, packet)| packet.len() <= 1_200 || panic!("{what}"))
        );
    }
}
