//! What is changed in packets of SCTP on their way to and from the stack.
//!
//! Pure. Takes any bytes: what is not as it should be stays as it is.

use super::chunk::{
    DATA, FORWARD_TSN, I_FORWARD_TSN, INIT, INIT_ACK, OUTGOING_RESET, RECONFIG, SACK,
};
use super::sctp::{CHUNK_HEADER, HEADER, be16, be32, seal};

/// The supported extensions of whoever sends an INIT (RFC 5061, section 4.2.7).
const EXTENSIONS: u16 = 0x8008;
/// The parameters of an INIT or INIT-ACK begin here.
const INIT_PARAMETERS: usize = 20;

/// A packet of the peer's, for the stack: nobody skips messages, and all TSNs are less by `shift`.
pub(super) fn incoming(packet: &mut [u8], shift: u32) {
    let mut changed = shift != 0;
    each(packet, HEADER, |chunk| {
        changed |= renounce_forward_tsn(chunk);
        match chunk[0] {
            INIT | INIT_ACK => subtract(chunk, 16, shift),
            DATA => subtract(chunk, 4, shift),
            RECONFIG => each(chunk, CHUNK_HEADER, |parameter| {
                if be16(parameter, 0) == OUTGOING_RESET {
                    subtract(parameter, 12, shift);
                }
            }),
            _ => {}
        }
    });
    if changed {
        seal(packet);
    }
}

/// A packet of the stack's, for the peer: the same, the other way round.
pub(super) fn outgoing(packet: &mut [u8], shift: u32) {
    let mut changed = false;
    each(packet, HEADER, |chunk| {
        changed |= renounce_forward_tsn(chunk);
        if chunk[0] == SACK && shift != 0 {
            changed = true;
            let back = shift.wrapping_neg();
            subtract(chunk, 4, back);
            let duplicates = 16 + 4 * usize::from(be16(chunk, 12));
            (duplicates..chunk.len()).step_by(4).for_each(|at| subtract(chunk, at, back));
        }
    });
    if changed {
        seal(packet);
    }
}

/// Removes FORWARD-TSN from the abilities in an INIT or INIT-ACK, so that the other side never
/// skips messages. A channel that was asked to be unreliable is reliable. True when there was
/// something to remove.
fn renounce_forward_tsn(chunk: &mut [u8]) -> bool {
    let mut changed = false;
    if matches!(chunk[0], INIT | INIT_ACK) {
        each(chunk, INIT_PARAMETERS, |parameter| {
            let end = usize::from(be16(parameter, 2)).min(parameter.len());
            if be16(parameter, 0) == EXTENSIONS {
                for extension in parameter.get_mut(4..end).unwrap_or_default() {
                    if matches!(*extension, FORWARD_TSN | I_FORWARD_TSN) {
                        (*extension, changed) = (RECONFIG, true);
                    }
                }
            }
        });
    }
    changed
}

/// Each chunk of a packet, or parameter of a chunk, from `start` on: what has its length in its
/// third and fourth byte, with its padding.
fn each(bytes: &mut [u8], start: usize, mut change: impl FnMut(&mut [u8])) {
    let mut rest = bytes.get_mut(start..).unwrap_or_default();
    while rest.len() >= 4 {
        let length = usize::from(be16(rest, 2)).max(4).next_multiple_of(4).min(rest.len());
        let (one, behind) = rest.split_at_mut(length);
        change(one);
        rest = behind;
    }
}

fn subtract(bytes: &mut [u8], at: usize, shift: u32) {
    let number = be32(bytes, at).wrapping_sub(shift);
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::sctp::tests::data;
    use super::*;
    use crate::fuzz::packet;

    fn init(tsn: u32, extensions: [u8; 3]) -> Vec<u8> {
        let fixed =
            [&[1, 0, 0, 31, 0, 0, 0, 9, 0, 2, 0, 0, 4, 0, 8, 0][..], &tsn.to_be_bytes()].concat();
        [&fixed[..], &[0xc0, 0, 0, 4, 0x80, 8, 0, 7], &extensions, &[0]].concat()
    }

    #[test]
    fn nobody_can_skip_messages() {
        let mut from = packet(0, &init(5, [130, 192, 194]));
        incoming(&mut from, 0);
        assert_eq!(from, packet(0, &init(5, [130; 3])), "and the checksum is right");
        let mut to = packet(0, &init(5, [130, 192, 64]));
        outgoing(&mut to, 7);
        assert_eq!(to, packet(0, &init(5, [130, 130, 64])), "our own TSNs stay as they are");
    }

    #[test]
    fn the_first_tsn_is_1_to_the_stack() {
        let reset = |tsn: u32| {
            let answer = [130, 0, 0, 34, 0, 16, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1];
            [
                &answer[..],
                &[0, 13, 0, 18, 0, 0, 0, 1, 0, 0, 0, 0],
                &tsn.to_be_bytes(),
                &[0, 3, 0, 0],
            ]
            .concat()
        };
        let sack = |tsn: u32, twice: u32| {
            let gap = [0, 1, 0, 1, 0, 2, 0, 2];
            [&[3, 0, 0, 24][..], &tsn.to_be_bytes(), &[0, 1, 0, 0], &gap, &twice.to_be_bytes()]
                .concat()
        };
        // As when the first TSN is the last there is.
        let shift = u32::MAX - 1;
        let theirs = |tsn: u32| {
            [reset(tsn), data(3, tsn, 1, 0, 51, b"hello"), data(3, tsn, 1, 1, 51, b"x")].concat()
        };
        for (wire, stack) in [(u32::MAX, 1), (0, 2), (9, 11)] {
            for (theirs, ours) in [
                (theirs(wire), theirs(stack)),
                (sack(wire, 7), sack(wire, 7)),
                (init(wire, [0; 3]), init(stack, [0; 3])),
            ] {
                let mut from = packet(7, &theirs);
                incoming(&mut from, shift);
                assert_eq!(from, packet(7, &ours));
            }
            let mut to = packet(7, &[sack(stack, stack), reset(7)].concat());
            outgoing(&mut to, shift);
            assert_eq!(to, packet(7, &[sack(wire, wire), reset(7)].concat()));
        }
    }

    #[test]
    fn what_is_no_packet_stays_as_it_is() {
        let whole = packet(7, &[130, 0, 0, 20, 0, 13, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9]);
        for end in 0..HEADER + 4 {
            let mut cut = whole[..end].to_vec();
            outgoing(&mut cut, 7);
            assert_eq!(cut, whole[..end]);
        }
    }
}
