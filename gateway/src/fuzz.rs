//! What strangers' bytes reach first, as functions of bytes, for `tests/fuzz`. No part of the interface.
//!
//! Each panics when an invariant breaks. What is found goes into the corpus, which the test below runs everywhere.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rtc::interceptor::{AttributedPacket, Packet as Taken, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::assembler::{Assembler, Packet};
use crate::bandwidth::Limits;
use crate::codec::Codec;
use crate::intake::Most;
use crate::net::{Kind, classify};
use crate::offer::{self, Codecs};
use crate::payload;
use crate::peer::{self, Feedback, Ids, Marks, Missing, Remb};
use crate::session::client::ClientMessage;
use crate::spec::Mode;

/// One of what is fuzzed.
pub type Target = fn(&[u8]);

/// By the names of their corpora.
pub const TARGETS: [(&str, Target); 12] = [
    ("datagram", datagram),
    ("payload", payload),
    ("assembler", assembler),
    ("vp8", vp8),
    ("vp9", vp9),
    ("h264", h264),
    ("missing", missing),
    ("feedback", feedback),
    ("offer", offer),
    ("answer", answer),
    ("candidate", candidate),
    ("message", message),
];

const LIMITS: Limits = Limits { start: 1_500, min: 100, max: 3_000 };

/// A datagram at the media port.
pub fn datagram(data: &[u8]) {
    if let Kind::Check(check) = classify(data) {
        assert!(!check.ufrag.contains(':'), "ours is what comes first");
        assert!(!check.is_signed_with("nobody was told this one"));
    }
    if let Kind::Check(_) | Kind::Other = classify(data)
        && data[0] <= 3
    {
        // The stack reads it next. Refusing is its right.
        drop(rtc::stun::message::Message::new().unmarshal_binary(data));
    }
}

/// The codec in one byte, then an RTP payload.
pub fn payload(data: &[u8]) {
    let Some((codec, payload)) = split_codec(data) else { return };
    assert!(payload::starts_frame(codec, payload) || !payload::starts_keyframe(codec, payload));
    let mut unit = BytesMut::new();
    payload::append(codec, payload, &mut unit);
    // The worst is a unit of one byte, which gets a start code of four.
    assert!(unit.len() <= 2 * payload.len() + 4, "more than what came");
}

/// Access units of VP8 as [`parts`].
pub fn vp8(data: &[u8]) {
    decode(Codec::Vp8, data);
}

/// The same of VP9.
pub fn vp9(data: &[u8]) {
    decode(Codec::Vp9, data);
}

/// The same of H.264.
pub fn h264(data: &[u8]) {
    decode(Codec::H264, data);
}

/// Units of one input: a large picture takes long, and the fuzzer takes an input that runs for 10 s for a fault.
const MAX_UNITS: usize = 16;

/// All units by one decoder, also what follows a failure: more than a session does, which waits for a keyframe then. Their
/// sizes are looked at here, the rest by the codec's library.
fn decode(codec: Codec, data: &[u8]) {
    let Ok(mut decoder) = codec.decoder() else { return };
    for unit in parts(data).take(MAX_UNITS) {
        if let Ok(Some(picture)) = decoder.decode(unit) {
            assert!(reframe_proto::picture_fits(picture.width, picture.height));
            assert_eq!(picture.data.len(), reframe_proto::i420_len(picture.width, picture.height));
        }
    }
}

fn split_codec(data: &[u8]) -> Option<(Codec, &[u8])> {
    let (codec, rest) = data.split_first()?;
    Some((Codec::ALL[usize::from(*codec) % Codec::ALL.len()], rest))
}

/// The codec in one byte, then RTP packets of six bytes each and their payload: sequence number, timestamp in frames of
/// 30 fps, a bit for the SSRC and seven for the milliseconds since the one before, a bit for the marker and seven for the
/// payload's length.
pub fn assembler(data: &[u8]) {
    let Some((codec, mut data)) = split_codec(data) else { return };
    let mut assembler = Assembler::new(codec);
    let mut now = Instant::now();
    while let Some((&[high, low, time_high, time_low, wait, flags], rest)) = data.split_first_chunk() {
        let (payload, rest) = rest.split_at(usize::from(flags >> 1).min(rest.len()));
        data = rest;
        now += Duration::from_millis((wait & 0x7f).into());
        assembler.push(
            now,
            Packet {
                ssrc: u32::from(wait >> 7),
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

/// Packets of three bytes each, of which some are missing: sequence number, and milliseconds since the one before.
pub fn missing(mut data: &[u8]) {
    let (mut missing, mut now) = (Missing::default(), Instant::now().into_std());
    while let Some((&[high, low, wait], rest)) = data.split_first_chunk() {
        data = rest;
        now += Duration::from_millis(wait.into());
        missing.received(now, u16::from_be_bytes([high, low]));
        missing.take(now);
        assert!(missing.is_bounded(now), "more is asked for than may be, or without a pause");
    }
}

/// Compound RTCP, one behind the other.
pub fn feedback(mut data: &[u8]) {
    // Refusing is the stack's right.
    let Ok(packets) = rtc::rtcp::packet::unmarshal(&mut data) else { return };
    let mut remb = Remb::new(LIMITS, watch::Sender::new(0));
    let (now, transport) = (Instant::now().into_std(), TransportContext::default());
    let message = AttributedPacket::new(Taken::Rtcp(packets));
    assert!(remb.handle_read(TaggedPacket { now, transport, message }).is_ok());
    assert!(remb.poll_read().is_some(), "others read it too");
}

/// An offer's text.
pub fn offer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for mode in [Mode::SendReceive, Mode::Receive, Mode::Send] {
        if let Ok((reduced, negotiated)) = offer::check(&text, mode, &Codecs::Browsers) {
            let again = offer::check(&reduced.sdp, mode, &Codecs::Browsers).map(|(_, negotiated)| negotiated);
            assert_eq!(again, Ok(negotiated), "what is left is what was chosen");
        }
    }
    drop((offer::origin(&text), offer::ice_ufrag(&text), offer::first_video(&text), Feedback::offered(&text)));
}

/// The text of an answer of the stack's, which repeats much of the offer.
pub fn answer(data: &[u8]) {
    // Its last line is whole, as all are.
    let text = String::from_utf8_lossy(data).into_owned() + "\r\n";
    let ours = "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n";
    let placed = offer::place_candidates(&text, ours);
    let lines = placed.split_inclusive("\r\n").filter(|line| *line == ours);
    assert_eq!(lines.count(), 1, "our candidates stand in it, once");
    let asked = peer::ask(&placed, LIMITS, Most { long: 1280, short: 720, fps: 30.0 });
    let sections = |text: &str| text.split_inclusive("\r\n").filter(|line| line.starts_with("m=")).count();
    assert_eq!(sections(&asked), sections(&placed));
    Ids::of(&asked);
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

/// Parts, each behind its length in two bytes.
fn parts(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk()?;
        let (part, behind) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        data = behind;
        Some(part)
    })
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
