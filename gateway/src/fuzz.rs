//! What strangers' bytes reach first, as functions of bytes, for `tests/fuzz`. No part of the
//! interface.
//!
//! Each panics when an invariant breaks. What is found goes into the corpus, which the test below
//! runs everywhere.

pub(crate) mod stack;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::RngExt;
use rand::rngs::SmallRng;
use rtc::datachannel::data_channel::{DataChannel, DataChannelConfig};
use rtc::interceptor::{AttributedPacket, Packet as Taken, TaggedPacket};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::sctp::PayloadProtocolIdentifier;
use rtc::shared::TransportContext;
use rtc::shared::marshal::Unmarshal;
use rtc::stun::attributes::{ATTR_MESSAGE_INTEGRITY, ATTR_USE_CANDIDATE};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::browser::messages::ClientMessage;
use crate::browser::net::{Check, Kind, classify};
use crate::browser::peer::{self, ExtensionIds, Feedback, Missing, PacketFilter, Remb};
use crate::browser::{guard, offer};
use crate::codec::{Codec, Codecs, payload};
use crate::fuzz::stack::Stack;
use crate::media::limits::{BitrateLimits, VideoLimits};
use crate::media::packet::{HeaderExtensions, Packet};
use crate::pipeline::assembler::Assembler;
use crate::stream::spec::Mode;

/// One of what is fuzzed.
pub type Target = fn(&[u8]);

/// By the names of their corpora.
pub const TARGETS: [(&str, Target); 18] = [
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
    ("association", association),
    ("sctp", sctp),
    ("dcep", dcep),
    ("dtls", dtls),
    ("srtp", srtp),
    ("rtp", rtp),
];

const LIMITS: BitrateLimits = BitrateLimits { start: 1_500, min: 100, max: 3_000 };

/// A datagram at the media port.
pub fn datagram(data: &[u8]) {
    if let Kind::Check(check) = classify(data) {
        assert!(!check.ufrag.contains(':'), "ours is what comes first");
        assert!(!check.is_signed_with("nobody was told this one"));
    }
    let read = |message: &[u8]| {
        // The stack reads it next. Refusing is its right.
        let mut read = rtc::stun::message::Message::new();
        read.unmarshal_binary(message).ok().map(|()| read)
    };
    if let Kind::Check(Check { stun, .. }) | Kind::Stun(stun) = classify(data) {
        let signed = stun.signed_part();
        assert!(signed.len() <= data.len() + 3, "padding apart, no more than what came");
        if let Some(read) = read(&signed) {
            let last = read.attributes.0.last().map(|attribute| attribute.typ);
            assert_eq!(last, Some(ATTR_MESSAGE_INTEGRITY), "nothing behind the signature");
        }
        if let Some(read) = read(&stun.without_nomination("a password")) {
            assert!(!read.contains(ATTR_USE_CANDIDATE), "it nominates nothing");
        }
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

/// Access units of VP8 as `parts`.
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

/// Units of one input: a large picture takes long, and the fuzzer takes an input that runs for 10 s
/// for a fault.
const MAX_UNITS: usize = 16;

/// All units by one decoder, also what follows a failure: more than a session does, which waits for
/// a keyframe then. Their sizes are looked at here, the rest by the codec's library.
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

/// The codec in one byte, then RTP packets of six bytes each and their payload: sequence number,
/// timestamp in frames of 30 fps, a bit for the SSRC and seven for the milliseconds since the one
/// before, a bit for the marker and seven for the payload's length.
pub fn assembler(data: &[u8]) {
    let Some((codec, mut data)) = split_codec(data) else { return };
    let mut assembler = Assembler::new(codec);
    let mut now = Instant::now();
    while let Some((&[high, low, time_high, time_low, wait, flags], rest)) =
        data.split_first_chunk()
    {
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
                marks: HeaderExtensions::default(),
                payload: Bytes::copy_from_slice(payload),
            },
        );
        while assembler.pop(now).is_some() {}
        assert!(assembler.is_bounded(), "more is held than may be");
        assert!(
            assembler.deadline().is_none_or(|at| at > now),
            "a deadline in the past is a loop without a pause"
        );
    }
}

/// Packets of three bytes each, of which some are missing: sequence number, and milliseconds since
/// the one before.
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
    let mut bounded = TaggedPacket { now, transport, message: message.clone() };
    guard::bound_feedback(&mut bounded);
    assert!(remb.on_read(&mut TaggedPacket { now, transport, message }), "others read it too");
}

/// A candidate of ours, as it stands in answers.
const OURS: &str = "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n";

/// What is written around an offer's own words, at most: eight sections' transport.
const AROUND: usize = 8 * 1_024;

/// An offer's text.
pub fn offer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let most = text.len() + AROUND;
    let Ok(offer) = offer::parse(text.into_owned()) else { return };
    let mut codec = None;
    for mode in [Mode::SendReceive, Mode::Receive, Mode::Send] {
        let Ok(normal) = offer.negotiate(mode, &Codecs::Browsers) else { continue };
        given(&normal, most);
        let again = offer::parse(normal.sdp().to_owned())
            .and_then(|offer| offer.negotiate(mode, &Codecs::Browsers));
        assert_eq!(again.map(|offer| offer.codec), Ok(normal.codec.clone()), "as it was chosen");
        codec = Some((normal.codec, normal.settled));
    }
    if let Some((codec, settled)) = codec
        && let Ok(further) = offer.further(codec, &settled)
    {
        given(&further, most);
    }
    drop(offer.origin());
}

/// The stack can read it, it has at most `most` bytes, and what it could answer becomes an answer
/// with a section for each.
fn given(offer: &offer::Offer, most: usize) {
    assert!(offer.sdp().len() <= most, "{} bytes of {most}", offer.sdp().len());
    let read = RTCSessionDescription::offer(offer.sdp().to_owned());
    assert!(read.is_ok_and(|read| read.unmarshal().is_ok()), "{}", offer.sdp());
    Feedback::offered(offer.sdp());
    // Much of an answer is as the offer.
    if let Ok(answer) = offer.plan.answer(offer.sdp(), OURS) {
        assert!(answer.len() <= most + AROUND, "{} bytes of {most}", answer.len());
        answered(offer, &answer);
    }
}

fn answered(offer: &offer::Offer, answer: &str) {
    let candidates = answer.lines().filter(|line| *line == OURS.trim_end()).count();
    let is_accepted = |line: &&str| {
        line.starts_with("m=") && line.split(' ').nth(1).is_some_and(|port| port != "0")
    };
    let accepted = answer.lines().filter(is_accepted).count();
    assert_eq!(candidates, accepted, "our candidates stand in each section that is accepted");
    let asked = peer::ask(answer, LIMITS, VideoLimits { long: 1280, short: 720, fps: 30.0 });
    let sections = |text: &str| text.lines().filter(|line| line.starts_with("m=")).count();
    assert_eq!([sections(answer), sections(&asked)], [offer.plan.sections(); 2]);
    ExtensionIds::of(&asked);
}

/// The text of an answer of the stack's, which repeats much of the offer.
pub fn answer(data: &[u8]) {
    let offer = usual_offer();
    if let Ok(answer) = offer.plan.answer(&String::from_utf8_lossy(data), OURS) {
        answered(&offer, &answer);
    }
}

/// What that is an answer to.
fn usual_offer() -> offer::Offer {
    const OFFER: &str = "v=0\r\na=group:BUNDLE 0 1 2\r\na=fingerprint:sha-256 AB:AB:AB:AB:AB:AB:AB:AB:AB:\
        AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB\r\na=ice-ufrag:u\r\n\
        a=ice-pwd:p\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=rtcp-mux\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n\
        m=application 9 DTLS/SCTP 5000\r\na=mid:2\r\n";
    let offer = offer::parse(OFFER.to_owned());
    let offer = offer.and_then(|offer| offer.negotiate(Mode::SendReceive, &Codecs::Browsers));
    offer.expect("a usual offer")
}

/// A trickled candidate's line.
pub fn candidate(data: &[u8]) {
    let line = String::from_utf8_lossy(data);
    offer::is_candidate(&line);
}

/// A text on the data channel.
pub fn message(data: &[u8]) {
    drop(ClientMessage::read(&String::from_utf8_lossy(data)));
}

/// Parts, each behind its length in two bytes.
fn parts(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk()?;
        let (part, behind) =
            rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        data = behind;
        Some(part)
    })
}

/// A packet with these chunks. The checksum is right: nothing behind it would be reached otherwise.
pub(crate) fn packet(tag: u32, chunks: &[u8]) -> Vec<u8> {
    let mut packet = [&[0x13, 0x88, 0x13, 0x88][..], &tag.to_be_bytes(), &[0; 4], chunks].concat();
    guard::seal(&mut packet);
    packet
}

/// The guard by itself: packets of SCTP as `parts`, of which the first byte is our tag.
pub fn association(data: &[u8]) {
    let (mut association, now) = (guard::Association::default(), Instant::now());
    for part in parts(data) {
        let Some((tag, chunks)) = part.split_first() else { continue };
        let mut packet = packet((*tag).into(), chunks);
        if association.incoming(now, &mut packet).is_err() {
            association.outgoing(&mut packet);
        }
    }
}

/// Our tag, which the stack drew: from its INIT-ACK.
fn tag(answer: &[u8]) -> u32 {
    answer.get(16..).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u32::from_be_bytes)
}

/// The state cookie of an INIT-ACK, its first parameter.
fn cookie(answer: &[u8]) -> &[u8] {
    let Some(&length) = answer.get(34..).and_then(|bytes| bytes.first_chunk()) else { return &[] };
    answer.get(36..32 + usize::from(u16::from_be_bytes(length))).unwrap_or_default()
}

/// An association that is up: the stack's SCTP, the guard before it, and our tag. The peer's first
/// TSN is 1.
pub(crate) fn connected() -> (Stack, u32) {
    connected_from(1)
}

/// The same with another first TSN.
pub(crate) fn connected_from(tsn: u32) -> (Stack, u32) {
    let mut stack = Stack::server();
    let init =
        [&[1, 0, 0, 20, 0, 0, 0, 9, 0, 2, 0, 0, 4, 0, 8, 0][..], &tsn.to_be_bytes()].concat();
    let taken = stack.deliver(&packet(0, &init));
    let answers = stack.answers();
    let answer = answers.first().map_or(&[][..], Vec::as_slice);
    let (tag, cookie) = (tag(answer), cookie(answer));
    let length = u16::try_from(cookie.len() + 4).unwrap_or_default().to_be_bytes();
    let mut echo = [&[10, 0][..], &length, cookie].concat();
    echo.resize(echo.len().next_multiple_of(4), 0);
    assert!(taken.is_ok() && stack.deliver(&packet(tag, &echo)).is_ok(), "a handshake");
    assert_eq!(stack.answers().len(), 1, "is acknowledged");
    (stack, tag)
}

/// Chunks of SCTP as `parts`, a packet each, from a peer that is connected: through the guard, into
/// the stack.
pub fn sctp(data: &[u8]) {
    let (mut stack, tag) = connected();
    for part in parts(data) {
        let refused = stack.deliver(&packet(tag, part)).is_err();
        let answers = stack.answers();
        // Each chunk has at most one answer. A reset would answer all resets that wait, but the
        // guard lets none wait.
        assert!(answers.len() <= part.len() / 4 + 2, "more than what came: {}", answers.len());
        assert!(
            answers.iter().all(|answer| answer.len() <= 4 * 1_024),
            "a SACK of all that is missing"
        );
        assert!(!refused || answers.is_empty(), "what is refused is not answered");
        assert!(stack.associations() <= 1);
        if refused {
            // Timers, as of a peer that does not answer. What they send is not an answer to what
            // comes next.
            stack.wait(Duration::from_millis(100));
            stack.answers();
        }
    }
}

/// A data channel's first message, as the stack takes it.
fn open(message: &[u8]) {
    drop(DataChannel::accept(
        DataChannelConfig::default(),
        0,
        1,
        PayloadProtocolIdentifier::Dcep,
        message,
    ));
}

/// A message of the data channels' own protocol that the guard lets through.
pub fn dcep(data: &[u8]) {
    if guard::is_dcep(data) {
        open(data);
        let mut message = data;
        assert!(
            rtc::datachannel::message::Message::unmarshal(&mut message).is_ok(),
            "what passes is whole"
        );
    }
}

/// Datagrams of DTLS as `parts`: through the guard, to a server that waits for a client.
pub fn dtls(data: &[u8]) {
    stack::handshake(&mut parts(data));
}

/// A datagram of SRTP or SRTCP that the guard lets through, before anybody knows whose it is.
pub fn srtp(data: &[u8]) {
    use rtc::srtp::protection_profile::ProtectionProfile;
    let Some([128..=191, kind]) = data.first_chunk() else { return };
    for profile in [ProtectionProfile::AeadAes128Gcm, ProtectionProfile::Aes128CmHmacSha1_80] {
        let guard = Arc::new(guard::Guard::default());
        let Ok(provider) = guard::provider(&guard) else { return };
        let (key, salt) = (vec![1; profile.key_len()], vec![2; profile.salt_len()]);
        let context =
            rtc::srtp::context::Context::new(&key, &salt, profile, None, None, provider.crypto());
        let Ok(mut context) = context else { return };
        if guard.admit(data).is_ok() {
            // Told apart as the stack does.
            let rtcp = (192..=223).contains(kind);
            let opened = if rtcp { context.decrypt_rtcp(data) } else { context.decrypt_rtp(data) };
            assert!(opened.is_err(), "nobody has the key");
        }
    }
}

/// A packet of RTP, decrypted.
pub fn rtp(mut data: &[u8]) {
    // Refusing is the stack's right.
    drop(rtc::rtp::Packet::unmarshal(&mut data));
}

/// A target's corpus: what mutations begin with. Offers have a folder of their own besides.
///
/// # Errors
/// It cannot be read.
pub fn seeds(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
    let mut files = files_of(&tests.join("fuzz/corpus").join(target))?;
    if target == "offer" {
        let offers = files_of(&tests.join("corpus/offers"))?;
        files.extend(offers.into_iter().filter(|path| path.extension() == Some("sdp".as_ref())));
    }
    files.iter().map(std::fs::read).collect()
}

fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.sort();
    Ok(files)
}

/// Changes some bytes, in one to seven places.
pub fn mutate(random: &mut SmallRng, data: &mut Vec<u8>) {
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

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// Of each entry of a corpus, and of the whole.
    const MUTATIONS: usize = 400;
    const OF_ALL: usize = 5_000;

    /// The corpus of answers is of such as are passed on: otherwise its target would test nothing.
    #[test]
    fn the_corpus_has_answers_that_are_passed_on() {
        let offer = usual_offer();
        for seed in seeds("answer").unwrap() {
            let text = String::from_utf8(seed).unwrap();
            let answer = offer.plan.answer(&text, OURS);
            assert!(answer.is_ok(), "{answer:?}: {text}");
        }
    }

    #[test]
    fn corpora_and_what_is_near_them_break_nothing() {
        let mut random = SmallRng::seed_from_u64(11);
        for (name, target) in TARGETS {
            let seeds = seeds(name).unwrap();
            assert!(!seeds.is_empty(), "{name} has no corpus");
            let each = MUTATIONS.min(OF_ALL / seeds.len());
            for seed in seeds {
                target(&seed);
                for _ in 0..each {
                    let mut data = seed.clone();
                    mutate(&mut random, &mut data);
                    target(&data);
                }
            }
        }
    }
}
