//! Through the whole chain: NACKs in, packets out.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rtc::interceptor::{AttributedPacket, Interceptor, RTCPFeedback, RTPHeaderExtension};
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;

use super::*;
use crate::browser::peer::congestion::register;
use crate::browser::peer::interceptors::registry;
use crate::media::limits::BitrateLimits;

const MS: Duration = Duration::from_millis(1);
const SSRC: u32 = 77;
const PAYLOAD: usize = 1_000;

/// A chain that sends one stream.
fn chain() -> (impl Interceptor, Instant) {
    let mut chain = registry(&mut MediaEngine::default(), Default::default()).unwrap().build();
    let nack = RTCPFeedback { typ: "nack".to_owned(), parameter: String::new() };
    chain.bind_local_stream(&StreamInfo {
        ssrc: SSRC,
        rtcp_feedback: vec![nack],
        ..Default::default()
    });
    (chain, tokio::time::Instant::now().into_std())
}

fn tagged(now: Instant, packet: Packet) -> TaggedPacket {
    TaggedPacket {
        now,
        transport: TransportContext::default(),
        message: AttributedPacket::new(packet),
    }
}

fn send(chain: &mut impl Interceptor, now: Instant, sequence_number: u16) {
    let header = rtp::Header { version: 2, ssrc: SSRC, sequence_number, ..Default::default() };
    chain
        .handle_write(tagged(
            now,
            Packet::Rtp(rtp::Packet { header, payload: vec![0; PAYLOAD].into() }),
        ))
        .unwrap();
    assert_eq!(resent(chain).len(), 0, "nobody asked");
}

/// What is sent again when these are asked for.
fn ask(chain: &mut impl Interceptor, now: Instant, wanted: &[u16]) -> Vec<u16> {
    let nacks = nack_pairs_from_sequence_numbers(wanted);
    let nack = TransportLayerNack { sender_ssrc: 1, media_ssrc: SSRC, nacks };
    chain.handle_read(tagged(now, Packet::Rtcp(vec![Box::new(nack)]))).unwrap();
    assert!(chain.poll_read().is_none(), "no application's business");
    resent(chain)
}

fn resent(chain: &mut impl Interceptor) -> Vec<u16> {
    let mut resent = Vec::new();
    while let Some(out) = chain.poll_write() {
        if let Packet::Rtp(packet) = &out.message.packet
            && out.message.has(&Attribute::Retransmission)
        {
            resent.push(packet.header.sequence_number);
        }
    }
    resent
}

#[test]
fn a_repeated_request_is_answered_at_a_pace_and_ten_times() {
    let (mut chain, start) = chain();
    (0..100).for_each(|sequence| send(&mut chain, start, sequence));
    let mut answers = Vec::new();
    for ms in 0..1_000 {
        let now = start + MS * ms;
        // Twice in one request, and in three of them.
        (0..3).for_each(|_| {
            answers.extend(ask(&mut chain, now, &[7, 70, 7]).into_iter().map(|number| (ms, number)))
        });
    }
    let expected: Vec<_> =
        (0..u32::from(MAX_ANSWERS)).flat_map(|n| [(10 * n, 7), (10 * n, 70)]).collect();
    assert_eq!(answers, expected);
}

#[test]
fn a_huge_request_is_answered_within_the_budget() {
    let (mut chain, start) = chain();
    let all: Vec<u16> = (0..SENT_PACKETS).collect();
    for sequence in &all {
        send(&mut chain, start, *sequence);
    }
    let mut answers = 0;
    for n in 0..100 {
        answers += ask(&mut chain, start + PACE * n, &all).len();
    }
    assert_eq!(answers, BURST_BYTES / (PAYLOAD + HEADER_BYTES));
    // What is sent from then on earns the half of itself, whatever is asked for.
    let mut later = 0;
    for n in 0..300 {
        let now = start + PACE * (100 + n);
        send(&mut chain, now, SENT_PACKETS + u16::try_from(n).unwrap());
        let everything: Vec<u16> = (0..=u16::MAX).collect();
        later += ask(&mut chain, now, &everything).len();
    }
    assert!((149..=151).contains(&later), "{later}");
}

#[test]
fn what_was_never_sent_or_is_of_another_stream_costs_nothing() {
    let (mut chain, start) = chain();
    (0..10).for_each(|sequence| send(&mut chain, start, sequence));
    assert_eq!(ask(&mut chain, start, &[10, 11, 512, 65_535]).len(), 0);
    let nacks = nack_pairs_from_sequence_numbers(&[1]);
    let other = TransportLayerNack { sender_ssrc: 1, media_ssrc: SSRC + 1, nacks };
    chain.handle_read(tagged(start, Packet::Rtcp(vec![Box::new(other)]))).unwrap();
    assert_eq!(resent(&mut chain).len(), 0);
    assert_eq!(ask(&mut chain, start, &[1, 2]), [1, 2]);
}

/// A browser asks again each 20 ms, the shortest of its paces, until the packet is there.
#[test]
fn a_tenth_lost_each_way_is_repaired() {
    let (mut chain, start) = chain();
    let mut random = SmallRng::seed_from_u64(9);
    let mut arrives = || random.random_bool(0.9);
    let mut missing: Vec<u16> = Vec::new();
    // Twenty seconds of two packets in 10 ms, across the wrap.
    for n in 0..2_000_u16 {
        let now = start + MS * 10 * u32::from(n);
        for sequence in [64_000_u16.wrapping_add(2 * n), 64_001_u16.wrapping_add(2 * n)] {
            send(&mut chain, now, sequence);
            if !arrives() {
                missing.push(sequence);
            }
        }
        if n % 2 == 0 && arrives() {
            let answers = ask(&mut chain, now, &missing);
            assert_eq!(answers, missing, "each is answered");
            missing.retain(|_| !arrives());
        }
    }
    assert!(missing.len() <= 2, "{missing:?}");
}

/// AES-GCM's nonce is the packet's index: what is sent again under it must be what was sent.
#[test]
fn what_is_sent_again_is_the_very_packet() {
    let mut engine = MediaEngine::default();
    let registry = registry(&mut engine, Default::default()).unwrap();
    let limits = BitrateLimits { start: 1_500, min: 100, max: 2_000 };
    let available_kbps = tokio::sync::watch::channel(0).0;
    let mut chain = register(registry, limits, available_kbps, Default::default()).build();
    let feedback = |typ: &str| RTCPFeedback { typ: typ.to_owned(), parameter: String::new() };
    let uri = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    chain.bind_local_stream(&StreamInfo {
        ssrc: SSRC,
        rtcp_feedback: vec![feedback("nack"), feedback("transport-cc")],
        rtp_header_extensions: vec![RTPHeaderExtension { uri: uri.to_owned(), id: 5 }],
        ..Default::default()
    });
    let now = tokio::time::Instant::now().into_std();
    let mut written = |sequence_number: Option<u16>| {
        if let Some(sequence_number) = sequence_number {
            let header =
                rtp::Header { version: 2, ssrc: SSRC, sequence_number, ..Default::default() };
            let packet = rtp::Packet { header, payload: vec![0; PAYLOAD].into() };
            chain.handle_write(tagged(now, Packet::Rtp(packet))).unwrap();
        } else {
            let nacks = nack_pairs_from_sequence_numbers(&[7]);
            let nack = TransportLayerNack { sender_ssrc: 1, media_ssrc: SSRC, nacks };
            chain.handle_read(tagged(now, Packet::Rtcp(vec![Box::new(nack)]))).unwrap();
        }
        match chain.poll_write().unwrap().message.packet {
            Packet::Rtp(packet) => packet,
            _ => panic!("a packet of video"),
        }
    };
    let first = written(Some(7));
    assert!(first.header.get_extension(5).is_some(), "numbered");
    written(Some(8));
    assert_eq!(written(None), first);
}
