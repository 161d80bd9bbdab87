//! One port for all: how sessions share it, and what else comes there.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use reframe_tests::http::{get, post};
use reframe_tests::nat::{Nat, Outside};
use reframe_tests::peer::{Candidates, Media, Place, offer_sdp};
use reframe_tests::source::{Clip, Format, Video};
use reframe_tests::turn::TurnServer;

use super::*;

/// One address, so that there is one way.
const LOOPBACK: [&str; 2] = ["--media", "127.0.0.1"];

/// No other way leads to the server: it does not know where the peer is.
fn through(id: &str, video: Video, through: SocketAddr) -> Options {
    let place = Place { through: Some(through), ..Place::default() };
    Options { place, candidates: Candidates::Hidden, ..Options::camera(id, video) }
}

/// The addresses in an answer, which has them in each section of its bundle.
fn answered(cluster: &Cluster, id: &str) -> Vec<String> {
    let body =
        serde_json::json!({ "sdp": offer_sdp(Media::default()), "type": "offer", "webrtc_id": id });
    let reply = post(&cluster.page("/webrtc/offer"), body.to_string()).expect("an answer").json();
    let sdp = reply["sdp"].as_str().unwrap_or_else(|| panic!("no answer: {reply}"));
    let lines = sdp.lines().filter(|line| line.starts_with("a=candidate:"));
    let mut told = Vec::new();
    for line in lines {
        // Behind foundation, component, protocol and priority.
        let address = line.split(' ').skip(4).collect::<Vec<_>>().join(" ");
        if !told.contains(&address) {
            told.push(address);
        }
    }
    told
}

#[test]
fn forty_sessions_share_one_port_and_leave_nothing() {
    const SESSIONS: usize = 40;
    let cluster = Cluster::launch_with("flip", &[&LOOPBACK[..], &["--capacity", "64"]].concat());
    // Slow, so that 40 of them leave the machine some time.
    let format = Format { fps: 5.0, ..Format::SMALL };
    let clip = Arc::new(Clip::encode(format, 150, 30).expect("the encoder works"));
    // The first session's threads and descriptors stay for the next.
    connect(&cluster, "first", Video::Clip(Arc::clone(&clip))).close();
    cluster.wait_for_sessions(0, CLOSED);
    let before = cluster.gateway.descriptors();
    let mut peers: Vec<Peer> = (0..SESSIONS)
        .map(|n| {
            let options = Options {
                decode: n == 0,
                ..Options::camera(format!("session-{n}"), Video::Clip(Arc::clone(&clip)))
            };
            Peer::connect(&cluster.page(""), options)
                .unwrap_or_else(|reply| panic!("no answer: {reply:?}"))
        })
        .collect();
    for peer in &peers {
        peer.wait_connected(PATIENCE);
    }
    let server = peers[0].server().to_vec();
    assert_eq!(server.len(), 1);
    for peer in &peers {
        assert_eq!(peer.server(), server, "one port");
        peer.wait_received(10, PATIENCE);
    }
    assert_flipped_in_order(&peers[0].stats());
    // What a session has descriptors for is its link to the worker, and here that is in the same
    // process.
    let used = cluster.gateway.descriptors();
    assert!(
        used <= before + SESSIONS / 2,
        "{used} descriptors for {SESSIONS} sessions, {before} without"
    );
    peers.iter_mut().for_each(Peer::close);
    cluster.wait_for_sessions(0, PATIENCE);
    eventually("no descriptor is left", PATIENCE, || {
        (cluster.gateway.descriptors() <= before).then_some(())
    });
}

#[test]
fn both_families_reach_it() {
    let cluster = Cluster::launch_with("flip", &["--media", "127.0.0.1,::1"]);
    let mut v4 = connect(&cluster, "v4", Video::Live(Format::SMALL));
    let place = Place { local: IpAddr::V6(Ipv6Addr::LOCALHOST), through: None };
    let mut v6 = connect_with(
        &cluster,
        Options { place, ..Options::camera("v6", Video::Live(Format::SMALL)) },
    );
    v4.wait_received(20, PATIENCE);
    v6.wait_received(20, PATIENCE);
    for peer in [&v4, &v6] {
        assert_flipped_in_order(&peer.stats());
        let ports: HashSet<u16> = peer.server().iter().map(SocketAddr::port).collect();
        assert_eq!((peer.server().len(), ports.len()), (2, 1), "{:?}", peer.server());
    }
    v4.close();
    v6.close();
    assert_balanced(&cluster);
}

#[test]
fn a_browser_that_udp_does_not_reach_uses_tcp() {
    let cluster = Cluster::launch_with("flip", &LOOPBACK);
    let mut direct = connect(&cluster, "direct", Video::Live(Format::SMALL));
    let nat = Nat::before(direct.server()[0], Outside::Tcp);
    let mut tcp = connect_with(&cluster, through("tcp", Video::Live(Format::SMALL), nat.inside));
    tcp.wait_received(60, PATIENCE);
    assert_flipped_in_order(&tcp.stats());
    direct.wait_received(20, PATIENCE);
    let outcomes = cluster.metrics().by("reframe_ice_tcp_connections_total", "outcome");
    assert_eq!(outcomes["accepted"], 1.0, "{outcomes:?}");
    tcp.close();
    direct.close();
    assert_balanced(&cluster);
}

/// The browser's NAT gives it another address in the midst of it all; its next check moves it, and
/// nobody else.
#[test]
fn an_address_that_changes_is_followed() {
    let cluster = Cluster::launch_with("flip", &LOOPBACK);
    let mut direct = connect(&cluster, "direct", Video::Live(Format::SMALL));
    let server = direct.server()[0];
    let nats = [Nat::before(server, Outside::Udp), Nat::before(server, Outside::Udp)];
    let mut moving: Vec<Peer> = (0..2)
        .map(|n| {
            connect_with(
                &cluster,
                through(&format!("moving-{n}"), Video::Live(Format::SMALL), nats[n].inside),
            )
        })
        .collect();
    for peer in &moving {
        peer.wait_received(10, PATIENCE);
    }
    for nat in &nats {
        nat.rebind();
        moving.iter().for_each(wait_for_more);
    }
    wait_for_more(&direct);
    for peer in moving.iter_mut().chain([&mut direct]) {
        assert_eq!(peer.stats().failed, None);
        peer.close();
    }
    cluster.wait_for_sessions(0, PATIENCE);
    assert_eq!(
        cluster.metrics().by("reframe_sessions_ended_total", "reason")["client_closed"],
        3.0
    );
}

/// Well-formed, from nobody that we know; on either protocol.
#[test]
fn strangers_at_the_port_get_nothing_and_harm_nobody() {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    let cluster = Cluster::launch_with("flip", &LOOPBACK);
    let mut peer = connect(&cluster, "known", Video::Live(Format::SMALL));
    let server = peer.server()[0];
    // A binding request for a session `nobody`, without a signature; RTP; DTLS.
    let username = [&[0, 6, 0, 12][..], b"nobody:there"].concat();
    let check = [
        &[0, 1, 0, 16, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12][..],
        &username,
    ]
    .concat();
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    for datagram in [&check[..], &[0x80; 40], &[22, 0xfe, 0xfd, 0, 0, 0]] {
        stranger.send_to(datagram, server).expect("the loopback interface takes datagrams");
    }
    eventually("strangers are counted", PATIENCE, || {
        let dropped = cluster.metrics().by("reframe_packets_dropped_total", "reason");
        let count = |reason: &str| dropped.get(reason).copied().unwrap_or_default();
        (count("unknown_ufrag") >= 1.0 && count("unknown_address") >= 2.0).then_some(())
    });
    // The same, a lie about its length, and silence: each is closed, the silent one last.
    let frame = [&[0, 36][..], &check].concat();
    for bytes in [&frame[..], &[0xff, 0xff, 1, 2], &[]] {
        let mut stream = TcpStream::connect(server).expect("the port takes TCP");
        stream.write_all(bytes).expect("a new connection takes bytes");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // An error is a reset: closed with bytes unread.
        assert!(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)), "an answer to a stranger");
    }
    let outcomes = cluster.metrics().by("reframe_ice_tcp_connections_total", "outcome");
    assert_eq!((outcomes["unknown"], outcomes["silent"]), (2.0, 1.0), "{outcomes:?}");
    wait_for_more(&peer);
    assert_flipped_in_order(&peer.stats());
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn browsers_are_told_the_public_address_and_no_other() {
    let options = ["--public-ip", "192.0.2.7,192.0.2.8", "--public-port", "7000"];
    let cluster = Cluster::launch_with("flip", &[&LOOPBACK[..], &options].concat());
    let told = answered(&cluster, "public");
    assert_eq!(
        told,
        [
            "192.0.2.7 7000 typ host",
            "192.0.2.8 7000 typ host",
            "192.0.2.7 7000 typ host tcptype passive",
            "192.0.2.8 7000 typ host tcptype passive"
        ]
    );
    let without = Cluster::launch_with("flip", &[&LOOPBACK[..], &["--ice-tcp", "off"]].concat());
    let told = answered(&without, "without");
    assert!(
        told.len() == 1 && told[0].starts_with("127.0.0.1 ") && !told[0].contains("tcp"),
        "{told:?}"
    );
}

#[test]
fn a_stun_server_tells_the_public_address_and_a_silent_one_is_passed_over() {
    let turn = TurnServer::start(&directory("stun"), "secret");
    // A port where nobody answers.
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let silent = socket.local_addr().expect("its address").to_string();
    let servers = format!("stun:{silent},stun:{}", turn.address());
    let cluster =
        Cluster::launch_with("flip", &[&LOOPBACK[..], &["--public-ip", &servers]].concat());
    let mut peer = connect(&cluster, "stun", Video::Live(Format::SMALL));
    peer.wait_received(10, PATIENCE);
    peer.close();
    let errors = cluster.metrics().by("reframe_stun_errors_total", "server");
    assert!(errors[&silent] >= 1.0 && errors[&turn.address()] == 0.0, "{errors:?}");
}

/// Our own addresses are better than none: it serves, says so, and asks again.
#[test]
fn a_gateway_whose_stun_server_is_silent_serves_and_asks_again() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let silent = socket.local_addr().expect("its address").to_string();
    let server = format!("stun:{silent}");
    let options = ["--public-ip", &server, "--auth", "none"];
    let cluster = Cluster::launch_with("flip", &[&LOOPBACK[..], &options].concat());
    let mut peer = connect(&cluster, "own", Video::Live(Format::SMALL));
    peer.wait_received(10, PATIENCE);
    peer.close();
    let metrics = cluster.metrics();
    assert_eq!(metrics.sum("reframe_media_address_private", &[]), 1.0);
    let log = cluster.gateway.log();
    let lines = |part: &str| log.lines().filter(|line| line.contains(part)).count();
    assert_eq!((lines("private addresses only"), lines(&silent)), (1, 1), "{log}");
    eventually("it is asked again", PATIENCE, || {
        let errors = cluster.metrics().sum("reframe_stun_errors_total", &[("server", &silent)]);
        (errors >= 3.0).then_some(())
    });
    assert_eq!(cluster.gateway.log().matches(&silent).count(), 1, "and told once");
}

/// Loopback for everybody on this machine is meant.
#[test]
fn a_demo_on_this_machine_is_warned_of_nothing() {
    let cluster = Cluster::launch("flip");
    assert_eq!(cluster.metrics().sum("reframe_media_address_private", &[]), 0.0);
    let log = cluster.gateway.log();
    assert!(!log.contains("private addresses only"), "{log}");
}

/// An offer, and then nothing: the log and the metrics say which step failed.
#[test]
fn a_connection_that_fails_says_where() {
    let cluster = Cluster::launch_with("flip", &LOOPBACK);
    assert!(!answered(&cluster, "silent").is_empty());
    eventually("the session has failed", PATIENCE, || {
        let failed = cluster.metrics().by("reframe_connection_failures_total", "step");
        failed.get("no_packet").is_some_and(|count| *count == 1.0).then_some(())
    });
    assert!(
        cluster.gateway.log().contains("no packet from the browser reached us"),
        "{}",
        cluster.gateway.log()
    );
    // One that was connected, and vanishes.
    let mut peer = connect(&cluster, "vanishes", Video::Live(Format::SMALL));
    peer.vanish();
    eventually("the session has failed", PATIENCE, || {
        let failed = cluster.metrics().by("reframe_connection_failures_total", "step");
        failed.get("silence").is_some_and(|count| *count == 1.0).then_some(())
    });
}

#[test]
fn browsers_get_fresh_credentials_for_turn() {
    let options = [
        "--ice-servers",
        "stun:stun.example.org:3478,turn:turn.example.org",
        "--turn-secret",
        "secret",
    ];
    let cluster = Cluster::launch_with("flip", &options);
    let servers = || {
        get(&cluster.page("/webrtc/ice_servers")).expect("an answer").json()["iceServers"].clone()
    };
    let (first, second) = (servers(), servers());
    assert_eq!(first[0], serde_json::json!({ "urls": ["stun:stun.example.org:3478"] }));
    assert_eq!(first[1]["urls"], serde_json::json!(["turn:turn.example.org"]));
    assert_ne!(first[1]["credential"], second[1]["credential"]);
    let (expiry, name) =
        first[1]["username"].as_str().expect("a name").split_once(':').expect("two parts");
    assert!(expiry.parse::<u64>().is_ok() && !name.is_empty());
    // Below a stream's name too; the secret is nowhere.
    let named = get(&cluster.page("/flip/webrtc/ice_servers")).expect("an answer");
    assert_eq!(named.status, 200);
    assert!(!named.body.contains("secret") && !cluster.gateway.log().contains("secret"));
}

pub(super) fn directory(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("turn-{name}-{}", std::process::id()))
}
