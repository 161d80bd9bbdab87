//! Records of DTLS and packets of SRTP that have no keys: all of this may be written by whoever
//! knows an address.

use std::net::{Ipv4Addr, UdpSocket};

use rand::RngExt;
use rand::rngs::SmallRng;

use super::{IN_A_ROW, PATIENCE, SETUPS, associated, pause, still_there, unique};
use crate::attacker::Attacker;
use crate::attacker::arena::Arena;
use crate::attacker::offer::Offer;
use crate::attacker::sctp::{self, HEARTBEAT};

const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// A handshake's message that may be long.
const CERTIFICATE: u8 = 11;

/// Of messages that are never whole.
const INCOMPLETE: u16 = 3_000;
/// What sources that were never heard of may take of memory.
const MORE_BYTES: u64 = 32 << 20;

/// One record of DTLS 1.2, which says the truth of its length.
fn record(kind: u8, epoch: u16, number: u64, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a datagram");
    let number = (u64::from(epoch) << 48 | number).to_be_bytes();
    [&[kind, 0xfe, 0xfd][..], &number, &length.to_be_bytes(), content].concat()
}

/// A handshake message of `length` bytes says that these are its bytes from `offset` on, `said` of
/// them.
fn fragment(sequence: u16, [length, offset, said]: [u32; 3], bytes: &[u8]) -> Vec<u8> {
    let three = |number: u32| number.to_be_bytes()[1..].to_vec();
    let head = [
        vec![CERTIFICATE],
        three(length),
        sequence.to_be_bytes().to_vec(),
        three(offset),
        three(said),
    ];
    [&head.concat()[..], bytes].concat()
}

/// What looks like a handshake, and what comes when no handshake is under way.
fn records(random: &mut SmallRng) -> Vec<Vec<u8>> {
    let max = 0x00ff_ffff;
    let lies = [
        [max, 0, 100],
        [max, max - 100, 100],
        [200, max, 100],
        [200, 150, 100],
        [50, 0, 100],
        [200, 0, max],
    ];
    let mut all = Vec::new();
    for (n, lie) in (0..).zip(lies) {
        all.push(record(HANDSHAKE, 0, n.into(), &fragment(n, lie, &[7; 100])));
        all.push(record(HANDSHAKE, 0, n.into(), &fragment(u16::MAX - n, lie, &[7; 100])));
    }
    let incomplete = |n: u16| fragment(n % 16, [16_000, n.into(), 1], &[7]);
    all.extend((0..INCOMPLETE).map(|n| record(HANDSHAKE, 0, n.into(), &incomplete(n))));
    for n in 0..100 {
        for epoch in [0, 1] {
            all.push(record(CHANGE_CIPHER_SPEC, epoch, n, &[1]));
            all.push(record(CHANGE_CIPHER_SPEC, epoch, n, &[random.random(), 1]));
        }
        let later = random.random_range(2..=u16::MAX);
        all.push(record(APPLICATION_DATA, later, n, &[random.random(); 60]));
        all.push(record(HANDSHAKE, later, n, &[random.random(); 60]));
        // Of this epoch, and not sealed with its keys.
        all.push(record(APPLICATION_DATA, 1, (1 << 48) - 1 - n, &[random.random(); 60]));
    }
    // Cut off, and longer than they say.
    all.push(record(HANDSHAKE, 0, 0, &[1; 20])[..20].to_vec());
    all.push([record(HANDSHAKE, 0, 0, &[]), vec![22]].concat());
    all
}

/// From the address of a session that stands, of one that has not begun DTLS, and from one of
/// nobody's.
pub(super) fn dtls_records(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let mut sent = 0;
    for setup in SETUPS {
        let (mut attacker, association) = associated(&arena.page, "records", setup)?;
        let offer = Offer { setup, ..Offer::new(unique("early")) };
        let mut early =
            Attacker::offer(&arena.page, offer).map_err(|reply| format!("{reply:?}"))?;
        early.reach(PATIENCE)?;
        for (n, record) in records(random).iter().enumerate() {
            attacker.send(record);
            early.send(record);
            drop(stranger.send_to(record, attacker.answer.media));
            pause(&mut attacker, n);
            sent += 3;
        }
        // The same sealed record again and again.
        let text = sctp::parameter(1, b"once more");
        let heartbeat = sctp::packet(association.tag, &[sctp::chunk(HEARTBEAT, 0, &text)]);
        for datagram in attacker.sealed(&heartbeat)? {
            (0..IN_A_ROW).for_each(|_| attacker.send(&datagram));
        }
        still_there(&mut attacker, association)?;
    }
    Ok(format!("{sent} records"))
}

/// From the address of a session that stands: RTP of ever new senders, and RTCP that says that it
/// is not encrypted.
pub(super) fn ssrcs(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    const SOURCES: usize = 5_000;
    let before = arena.cluster.gateway.rss_bytes();
    for setup in SETUPS {
        let (mut attacker, association) = associated(&arena.page, "ssrcs", setup)?;
        for n in 0..SOURCES {
            let source: [u8; 4] = random.random();
            let number = u16::try_from(n).unwrap_or_default().to_be_bytes();
            let rtp =
                [&[0x80, 96][..], &number, &random.random::<[u8; 4]>(), &source, &[7; 60]].concat();
            attacker.send(&rtp);
            // A receiver report; its index says E=0, and behind that is a tag of nothing.
            let index = u32::try_from(n).unwrap_or_default().to_be_bytes();
            let srtcp = [&[0x80, 201, 0, 1][..], &source, &index, &[0; 10]].concat();
            attacker.send(&srtcp);
            pause(&mut attacker, 2 * n);
        }
        still_there(&mut attacker, association)?;
    }
    let more = arena.cluster.gateway.rss_bytes().saturating_sub(before);
    if more > MORE_BYTES {
        return Err(format!("{} MB for {SOURCES} senders", more >> 20));
    }
    Ok(format!("twice {SOURCES} senders, {} MB", more >> 20))
}
