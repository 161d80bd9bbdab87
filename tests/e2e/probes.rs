//! Whom a gateway speaks to: nobody first, a few times whoever does not answer, and where it must
//! speak first, not everywhere.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use reframe_tests::http::post;
use reframe_tests::peer::{Candidates, Media, Place, offer_sdp};
use reframe_tests::source::{Format, Video};
use serde_json::json;
use tokio::time::Instant;

use super::netns::in_namespace;
use super::*;

const LOOPBACK: [&str; 2] = ["--media", "127.0.0.1"];
/// How long is waited for what must not come: all checks to a silent address take 2.25 s.
const QUIET: Duration = Duration::from_secs(3);
/// Of checks to an address that has not answered.
const PROBES: usize = 10;
const PROBES_UNHEARD: usize = 5;
const CANDIDATES: usize = 32;

fn socket(ip: &str) -> UdpSocket {
    UdpSocket::bind((ip, 0)).expect("a free port")
}

fn candidate(address: SocketAddr, n: usize) -> String {
    format!(
        "candidate:{n} 1 udp {} {} {} typ host generation 0",
        2_122_260_223 - n,
        address.ip(),
        address.port()
    )
}

/// The value of an attribute, the first of its kind.
fn value<'a>(sdp: &'a str, attribute: &str) -> &'a str {
    let value = sdp.lines().find_map(|line| line.strip_prefix(attribute));
    value.unwrap_or_else(|| panic!("no {attribute} in {sdp}"))
}

/// Posts an offer and returns the answer.
fn offer(cluster: &Cluster, id: &str, sdp: &str) -> String {
    let body = json!({ "sdp": sdp, "type": "offer", "webrtc_id": id });
    let reply = post(&cluster.page("/webrtc/offer"), body.to_string()).expect("an answer").json();
    reply["sdp"].as_str().unwrap_or_else(|| panic!("no answer: {reply}")).to_owned()
}

/// An offer with `lines` in its first section.
fn with_candidates(lines: impl Iterator<Item = String>) -> String {
    let lines: String = lines.map(|line| format!("a={line}\r\n")).collect();
    let sdp = offer_sdp(Media::default());
    let (first, rest) = sdp.split_once("a=mid:").expect("a section");
    format!("{first}{lines}a=mid:{rest}")
}

/// What has come to `socket` by then.
fn came(socket: &UdpSocket, until: Instant) -> Vec<Vec<u8>> {
    let (mut room, mut datagrams) = ([0; 2_000], Vec::new());
    loop {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left)).expect("a timeout");
        match socket.recv(&mut room) {
            Ok(length) => datagrams.push(room[..length].to_vec()),
            Err(_) if Instant::now() >= until => return datagrams,
            Err(_) => {}
        }
    }
}

fn is_request(datagram: &[u8]) -> bool {
    datagram.starts_with(&[0, 1])
}

/// A binding request with a user name, signed with `password`.
fn check(username: &str, password: &str, transaction: u32) -> Vec<u8> {
    let mut message =
        [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
    message[16..20].copy_from_slice(&transaction.to_be_bytes());
    let add = |message: &mut Vec<u8>, kind: u16, value: &[u8]| {
        message.extend(kind.to_be_bytes());
        message.extend(u16::try_from(value.len()).expect("short").to_be_bytes());
        message.extend(value);
        message.resize(message.len().next_multiple_of(4), 0);
    };
    add(&mut message, 6, username.as_bytes());
    add(&mut message, 0x24, &[0x6e, 0, 1, 0xff]);
    let length = u16::try_from(message.len() - 20 + 24).expect("short");
    message[2..4].copy_from_slice(&length.to_be_bytes());
    let key = PKey::hmac(password.as_bytes()).expect("a key");
    let mut signer = Signer::new(MessageDigest::sha1(), &key).expect("openssl has SHA-1");
    let mac = signer.sign_oneshot_to_vec(&message).expect("a signature");
    add(&mut message, 8, &mac);
    message
}

#[test]
fn nobody_is_spoken_to_who_was_only_named() {
    let cluster = Cluster::launch_with("flip", &LOOPBACK);
    let victims = [socket("127.0.0.1"), socket("127.0.0.1")];
    let [in_offer, trickled] =
        [&victims[0], &victims[1]].map(|socket| socket.local_addr().expect("its address"));
    let sdp = with_candidates((0..CANDIDATES).map(|n| candidate(in_offer, n)));
    offer(&cluster, "named", &sdp);
    for n in 0..CANDIDATES {
        let candidate =
            json!({ "candidate": candidate(trickled, n), "sdpMid": "0", "sdpMLineIndex": 0 });
        let body = json!({ "type": "ice-candidate", "candidate": candidate, "webrtc_id": "named" });
        let reply = post(&cluster.page("/webrtc/offer"), body.to_string()).expect("an answer");
        assert_eq!((reply.status, reply.json()), (200, json!({ "status": "success" })));
    }
    let until = Instant::now() + QUIET;
    for victim in &victims {
        assert_eq!(came(victim, until), Vec::<Vec<u8>>::new());
    }
}

/// A source address can be forged: whoever is at it gets an answer for each check, and a few checks
/// in all.
#[test]
fn an_address_that_does_not_answer_is_asked_ten_times() {
    let cluster = Cluster::launch_with("flip", &LOOPBACK);
    let victim = socket("127.0.0.1");
    let sdp = offer_sdp(Media::default());
    let theirs = value(&sdp, "a=ice-ufrag:").to_owned();
    let (mut sent, mut datagrams) = (0_u32, Vec::new());
    for restart in 0..3 {
        // The same browser with another name: an ICE restart.
        let name = format!("{theirs}{restart}");
        let answer = offer(&cluster, "silent", &sdp.replace(&theirs, &name));
        let (ours, password) = (value(&answer, "a=ice-ufrag:"), value(&answer, "a=ice-pwd:"));
        let port = value(&answer, "a=candidate:")
            .split(' ')
            .nth(5)
            .expect("a port")
            .parse()
            .expect("a number");
        for _ in 0..20 {
            let check = check(&format!("{ours}:{name}"), password, sent);
            victim
                .send_to(&check, SocketAddr::from(([127, 0, 0, 1], port)))
                .expect("loopback takes it");
            sent += 1;
            datagrams.extend(came(&victim, Instant::now() + QUIET / 60));
        }
    }
    datagrams.extend(came(&victim, Instant::now() + QUIET));
    let (requests, answers): (Vec<_>, Vec<_>) =
        datagrams.iter().partition(|datagram| is_request(datagram));
    assert_eq!(requests.len(), PROBES, "and {} answers to {sent} checks", answers.len());
    assert!(
        answers.len() <= sent as usize && answers.iter().all(|answer| answer.starts_with(&[1, 1]))
    );
    let dropped = cluster.metrics().by("reframe_packets_dropped_total", "reason");
    assert!(dropped["not_answered"] >= 1.0, "{dropped:?}");
}

/// From the browser's own address, as somebody on its way could send it.
#[test]
fn unsigned_stun_on_a_known_path_is_dropped() {
    const EACH: u32 = 25;
    let cluster = Cluster::launch_with("flip", &LOOPBACK);
    let mut peer = connect(&cluster, "known", Video::Live(Format::SMALL));
    peer.wait_received(5, PATIENCE);
    // A request, an answer, an error and an indication; the first with ICE-CONTROLLED and the least
    // tie-breaker, on which the stack would take the other role and answer.
    let role = [0x80, 0x29, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    for kind in [[0, 1], [1, 1], [1, 0x11], [0, 0x11]] {
        let header = [
            kind[0], kind[1], 0, 12, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
        ];
        for _ in 0..EACH {
            peer.send_datagram([&header[..], &role].concat());
        }
    }
    eventually("all of them are counted", PATIENCE, || {
        let dropped = cluster.metrics().by("reframe_packets_dropped_total", "reason");
        (dropped.get("unsigned").copied().unwrap_or_default() >= f64::from(4 * EACH)).then_some(())
    });
    let before = peer.stats().received.len();
    peer.wait_received(before + 30, PATIENCE);
    assert_flipped_in_order(&peer.stats());
    peer.close();
    assert_balanced(&cluster);
}

/// A gateway on loopback asks nobody: it is told to browsers at an address that is neither public
/// nor private.
const NETWORK: &str = "ip link set lo up && ip link add outer type veth peer name inner && ip link set inner up \
                       && ip address add 10.77.0.1/24 dev outer && ip address add 169.254.7.7/16 dev outer \
                       && ip link set outer up";

#[test]
#[ignore = "needs root: scripts/privileged.sh"]
fn a_gateway_that_speaks_first_does_so_five_times_to_ten_addresses() {
    in_namespace(
        "probes::a_gateway_that_speaks_first_does_so_five_times_to_ten_addresses",
        NETWORK,
        || {
            let options = ["--media", "10.77.0.1", "--candidates", "any"];
            let cluster = Cluster::launch_with("flip", &options);
            let named: Vec<UdpSocket> = (0..12).map(|_| socket("10.77.0.1")).collect();
            let never = [socket("127.0.0.1"), socket("169.254.7.7")];
            let all =
                never.iter().chain(&named).map(|socket| socket.local_addr().expect("its address"));
            offer(
                &cluster,
                "named",
                &with_candidates(all.enumerate().map(|(n, address)| candidate(address, n))),
            );
            let until = Instant::now() + QUIET;
            let counts: Vec<usize> = named.iter().map(|socket| came(socket, until).len()).collect();
            assert!(
                counts[..10].iter().all(|count| (1..=PROBES_UNHEARD).contains(count)),
                "{counts:?}"
            );
            assert_eq!(counts[10..], [0, 0]);
            for socket in &never {
                assert!(came(socket, Instant::now()).is_empty());
            }
            // The server can only make the first step with the candidate that was told to it.
            let local: IpAddr = "10.77.0.1".parse().expect("an address");
            for candidates in
                [Candidates::InOffer, Candidates::TrickledBefore, Candidates::TrickledAfter]
            {
                let place = Place { local, through: None };
                let options =
                    Options::camera(format!("{candidates:?}"), Video::Live(Format::SMALL));
                let mut peer = connect_with(
                    &cluster,
                    Options { candidates, place, wait_for_server: true, ..options },
                );
                peer.wait_received(5, PATIENCE);
                peer.close();
            }
        },
    );
}
