//! What strangers' bytes reach first, as functions of bytes, for `tests/fuzz`. No part of the interface.
//!
//! Each panics when an invariant breaks. What is found goes into the corpus, which the test below runs everywhere.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::assembler::{Assembler, Packet};
use crate::codec::Codec;
use crate::offer::{self, Codecs};
use crate::peer::Marks;
use crate::session::client::ClientMessage;
use crate::spec::Mode;

/// One of what is fuzzed.
pub type Target = fn(&[u8]);

/// By the names of their corpora.
pub const TARGETS: [(&str, Target); 4] =
    [("assembler", assembler), ("offer", offer), ("candidate", candidate), ("message", message)];

/// The codec in one byte, then RTP packets of six bytes each and their payload: sequence number, timestamp in frames of 30 fps, milliseconds since
/// the one before, then a bit for the marker and seven for the payload's length.
pub fn assembler(mut data: &[u8]) {
    // The first byte chooses the codec, and with it how payloads are read.
    let Some((codec, rest)) = data.split_first() else { return };
    data = rest;
    let mut assembler = Assembler::new(Codec::ALL[usize::from(*codec) % Codec::ALL.len()]);
    let mut now = Instant::now();
    while let Some((&[high, low, time_high, time_low, wait, flags], rest)) = data.split_first_chunk() {
        let (payload, rest) = rest.split_at(usize::from(flags >> 1).min(rest.len()));
        data = rest;
        now += Duration::from_millis(wait.into());
        assembler.push(
            now,
            Packet {
                ssrc: 1,
                sequence: u16::from_be_bytes([high, low]),
                timestamp: u32::from(u16::from_be_bytes([time_high, time_low])) * 3_000,
                marker: flags & 1 == 1,
                marks: Marks::default(),
                payload: Bytes::copy_from_slice(payload),
            },
        );
        while assembler.pop(now).is_some() {}
        assert!(assembler.is_bounded(), "more is held than may be");
        assert!(assembler.deadline().is_none_or(|at| at > now), "a deadline in the past is a loop without a pause");
    }
}

/// An offer's text.
pub fn offer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for mode in [Mode::SendReceive, Mode::Receive, Mode::Send] {
        drop(offer::check(&text, mode, &Codecs::Browsers));
    }
    drop((offer::origin(&text), offer::ice_ufrag(&text), offer::first_video(&text)));
    let ours = "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n";
    let placed = offer::place_candidates(&text, ours);
    assert_eq!(placed.matches(ours).count(), 1, "our candidates stand in it, once");
}

/// A trickled candidate's line.
pub fn candidate(data: &[u8]) {
    let line = String::from_utf8_lossy(data);
    if offer::is_candidate(&line) {
        // Refusing is its right.
        drop(rtc::ice::candidate::unmarshal_candidate(line.trim_start_matches("candidate:")));
    }
}

/// A text on the data channel.
pub fn message(data: &[u8]) {
    drop(ClientMessage::read(&String::from_utf8_lossy(data)));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Of each entry of each corpus.
    const MUTATIONS: u32 = 400;

    fn mutate(random: &mut SmallRng, data: &mut Vec<u8>) {
        for _ in 0..random.random_range(1..8) {
            let at = random.random_range(0..=data.len());
            match random.random_range(0..4) {
                0 => data.insert(at, random.random()),
                1 if at < data.len() => drop(data.remove(at)),
                2 if at < data.len() => data[at] ^= 1 << random.random_range(0..8),
                // A part comes twice: lines, packets.
                _ => {
                    let end = random.random_range(at..=data.len().min(at + 64));
                    let part = data[at..end].to_vec();
                    data.splice(at..at, part);
                }
            }
        }
    }

    #[test]
    fn corpora_and_what_is_near_them_break_nothing() {
        let mut random = SmallRng::seed_from_u64(11);
        for (name, target) in TARGETS {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(name);
            let mut entries: Vec<_> = std::fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
            entries.sort();
            assert!(!entries.is_empty(), "{}", corpus.display());
            for entry in entries {
                let seed = std::fs::read(&entry).unwrap();
                target(&seed);
                for _ in 0..MUTATIONS {
                    let mut data = seed.clone();
                    mutate(&mut random, &mut data);
                    target(&data);
                }
            }
        }
    }
}
