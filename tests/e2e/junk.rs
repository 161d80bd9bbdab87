//! Datagrams that are no WebRTC, and WebRTC that carries no video: a counter each, never a panic or
//! a line of log.

use std::net::UdpSocket;

use reframe_tests::source::{Format, Video};

use super::*;

/// Deterministic noise; `rand` would need a seed to be reproducible all the same.
struct Noise(u64);

impl Noise {
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut byte = || {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            self.0.to_be_bytes()[0]
        };
        (0..length).map(|_| byte()).collect()
    }

    /// Starts of every protocol that shares the port (RFC 7983 tells them apart by the first byte),
    /// then noise.
    fn datagram(&mut self, n: usize) -> Vec<u8> {
        let head: &[u8] = match n % 10 {
            // STUN: a binding request whose length is a lie, and one that is cut off.
            0 => &[0, 1, 0xff, 0xfc, 0x21, 0x12, 0xa4, 0x42],
            1 => &[0, 1, 0, 8, 0x21, 0x12],
            // DTLS: a handshake record, a fragment of a later epoch, a length beyond the datagram.
            2 => &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 1, 0, 0, 28],
            3 => &[23, 254, 253, 0, 9, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
            // RTP: fifteen contributing sources, an extension of 64 K words, padding longer than
            // the packet.
            4 => &[0x8f, 96, 0, 1],
            5 => &[0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0xff, 0xff],
            6 => &[0xa0, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xff],
            // RTCP: a receiver report and a feedback message whose lengths are lies.
            7 => &[0x9f, 201, 0xff, 0xff],
            8 => &[0x81, 206, 0, 0],
            _ => &[],
        };
        let length = [0, 1, 7, 30, 200, 1_200][n % 6];
        [head, &self.bytes(length)].concat()
    }
}

const DATAGRAMS: usize = 3_000;

/// From strangers, and from the very address that a session's media comes from.
#[test]
fn junk_datagrams_disturb_nobody() {
    let mut cluster = Cluster::launch("flip");
    let mut peer = connect(&cluster, "media", Video::Live(Format::SMALL));
    peer.wait_received(10, PATIENCE);
    let logged = cluster.gateway.log().lines().count();
    let stranger = UdpSocket::bind("0.0.0.0:0").expect("a free port");
    let mut noise = Noise(1);
    assert!(!peer.server().is_empty(), "the answer names an address");
    for n in 0..DATAGRAMS {
        let datagram = noise.datagram(n);
        // Of the stranger's own family.
        for server in peer.server().iter().filter(|server| server.is_ipv4()) {
            stranger.send_to(&datagram, server).expect("the loopback interface takes datagrams");
        }
        // In step with the peer, whose queue of orders is bounded.
        if n % 3 == 0 {
            peer.send_datagram(datagram);
        }
        if n % 300 == 0 {
            let seen = peer.stats().received.len();
            peer.wait_received(seen + 1, PATIENCE);
        }
    }
    let seen = peer.stats().received.len();
    peer.wait_received(seen + 60, PATIENCE);
    assert_flipped_in_order(&peer.stats());
    assert!(cluster.gateway.alive());
    let counted = cluster.metrics().sum("reframe_packets_dropped_total", &[("reason", "junk")]);
    // Of each ten datagrams at least one is of no protocol at all; the rest looks like one at first
    // sight.
    assert!(counted >= (DATAGRAMS / 10) as f64, "{counted} counted as junk");
    let lines = cluster.gateway.log().lines().count() - logged;
    assert!(
        lines < 20,
        "{lines} lines of log for {DATAGRAMS} datagrams:\n{}",
        cluster.gateway.log()
    );
    peer.close();
    assert_balanced(&cluster);
}

/// Encrypted and sequenced as it should be, but no VP8: the stream recovers with the next keyframe,
/// others notice nothing, and each broken frame is in the books.
#[test]
fn broken_video_is_counted_and_recovered_from() {
    const BROKEN: usize = 60;
    let mut cluster = Cluster::launch("flip");
    let mut broken = connect(&cluster, "broken", Video::Live(Format::SMALL));
    let mut sound = connect(&cluster, "sound", Video::Live(Format::SMALL));
    broken.wait_received(10, PATIENCE);
    sound.wait_received(10, PATIENCE);
    let logged = cluster.gateway.log().lines().count();
    let mut noise = Noise(2);
    for n in 0..BROKEN {
        let mut payload = noise.bytes([1, 2, 3, 10, 100, 3_000][n % 6]);
        if n % 2 == 0 {
            // A keyframe's start code with a size of noise, up to 16383x16383: nothing may be
            // allocated for it.
            let head = [0x10, 0, 0, 0x9d, 0x01, 0x2a];
            payload.splice(0..0, head);
        }
        broken.send_frame(payload);
        let sent = broken.stats().sent.len();
        broken.wait_until("the camera goes on", PATIENCE, |stats| {
            (stats.sent.len() > sent).then_some(())
        });
    }
    let asked = broken.stats().keyframe_requests;
    assert!(asked > 0, "the server asks for a keyframe");
    let newest = broken.stats().sent.last().expect("frames were sent").number;
    broken.wait_until("a frame sent after all that", PATIENCE, |stats| {
        (stats.numbers().last().is_some_and(|number| *number > newest)).then_some(())
    });
    let seen = sound.stats().received.len();
    sound.wait_received(seen + 30, PATIENCE);
    assert_flipped_in_order(&sound.stats());
    assert!(cluster.gateway.alive());
    let lines = cluster.gateway.log().lines().count() - logged;
    assert!(lines < 20, "{lines} lines of log for {BROKEN} frames:\n{}", cluster.gateway.log());
    broken.close();
    sound.close();
    assert_balanced(&cluster);
    assert!(cluster.metrics().sum("reframe_frames_dropped_total", &[("hop", "ingress")]) >= 1.0);
}
