//! The offers of real clients (`tests/corpus/offers`), and what is near them, to a real gateway.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reframe_gateway::fuzz::mutate;
use reframe_tests::http::{Reply, send};
use reframe_tests::offers::{corpus, expected};
use reframe_tests::peer::{Media, offer_sdp};
use reframe_tests::process::digest;
use reframe_tests::source::{Format, Video};
use serde_json::json;

use super::*;

/// An offer whose client never comes is given up after half a minute at most.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// Every network has so many new sessions a second: each of these is of another.
fn offer_of(cluster: &Cluster, client: usize, id: &str, sdp: &str) -> Reply {
    let body = json!({ "type": "offer", "sdp": sdp, "webrtc_id": id }).to_string();
    let address = format!("10.{}.{}.7", client / 256, client % 256);
    let headers = [("content-type", "application/json"), ("x-forwarded-for", address.as_str())];
    send("POST", &cluster.page("/webrtc/offer"), &headers, &body)
}

/// A gateway behind a proxy, which is these tests.
fn behind_a_proxy() -> Cluster {
    let proxied = ["--auth", "none", "--trusted-proxies", "127.0.0.1"];
    Cluster::launch_with("flip", &[&["--capacity", "4"], &proxied[..]].concat())
}

/// Slots that workers have given away: an offer takes none.
fn slots(cluster: &Cluster) -> f64 {
    cluster.metrics().sum("reframe_worker_sessions", &[])
}

/// Those of the corpus that can be made to this stream: answered or refused as the table says.
#[test]
fn real_clients_offers_are_answered_or_told_why_not() {
    let (cluster, offers, expected) = (behind_a_proxy(), corpus(), expected());
    let asked = expected.iter().filter(|line| line.mode == "send-receive");
    for (client, line) in asked.enumerate() {
        let reply = offer_of(&cluster, client, &line.offer, &offers[&line.offer]);
        let body = reply.json();
        assert_eq!(reply.status, line.status, "{}: {reply:?}", line.offer);
        if line.status == 200 {
            assert_eq!(body["type"], "answer", "{}: {reply:?}", line.offer);
        } else {
            let told = (&body["meta"]["error"], &body["meta"]["message"]);
            assert_eq!(told, (&json!("invalid_offer"), &json!(line.answer)), "{}", line.offer);
        }
    }
    assert_eq!(slots(&cluster), 0.0);
    cluster.wait_for_sessions(0, GIVEN_UP);
}

/// Whoever wrote the client reads it in the reply, and whoever runs the gateway in its log.
#[test]
fn a_refusal_names_what_was_wrong_to_the_client_and_once_in_the_log() {
    let (offers, expected) = (corpus(), expected());
    let refused = expected.iter().filter(|line| line.status == 400 && line.mode == "send-receive");
    let mut refused: Vec<(String, &str, &str)> = refused
        .map(|line| (line.offer.clone(), offers[&line.offer].as_str(), line.answer.as_str()))
        .collect();
    let good = offer_sdp(Media::default());
    let long = good.replace("a=ice-ufrag:", "a=ice-ufrag:0123456789abcdef0123456789abcdef");
    let fingerprint = good.lines().find(|line| line.starts_with("a=fingerprint:"));
    let unknown = good.replace(fingerprint.expect("it has one"), "a=fingerprint:none");
    let many = format!("{good}{}", "a=rid:x send\r\n".repeat(50));
    refused.push(("long-name".to_owned(), &long, "`a=ice-ufrag` in `sdp` is longer than 32 bytes"));
    refused.push(("many-layers".to_owned(), &many, "`sdp` has 50 layers (`a=rid`) in one section"));
    refused.push(("not-a-fingerprint".to_owned(), &unknown, "`a=fingerprint` in `sdp` must be"));
    assert!(refused.len() >= 10, "{refused:?}");
    // Of one kind of line a stranger can have five written at once.
    for some in refused.chunks(4) {
        let cluster = behind_a_proxy();
        for (client, (id, sdp, reason)) in some.iter().enumerate() {
            let reply = offer_of(&cluster, client, id, sdp);
            let message = reply.json()["meta"]["message"].as_str().unwrap_or_default().to_owned();
            assert_eq!(reply.status, 400, "{id}: {reply:?}");
            assert!(message.starts_with(reason), "{id}: {message}");
            let told = |line: &&str| {
                line.contains(&format!("session=\"{}\"", digest(id))) && line.contains(&message)
            };
            let log = cluster.gateway.log();
            let lines: Vec<&str> = log.lines().filter(told).collect();
            assert!(lines.len() == 1 && lines[0].contains(" INFO "), "{id}: {lines:?}\n{log}");
        }
        assert_eq!((cluster.sessions(), slots(&cluster)), (0.0, 0.0));
    }
}

/// Of each offer: by bytes, and by lines.
const MUTATIONS: usize = 5;

/// Lines are taken away, said twice, or elsewhere: that reaches what changed bytes do not.
fn mutate_lines(random: &mut SmallRng, sdp: &str) -> String {
    let mut lines: Vec<&str> = sdp.lines().collect();
    for _ in 0..random.random_range(1..6) {
        let (from, to) = (random.random_range(1..lines.len()), random.random_range(1..lines.len()));
        match random.random_range(0..3) {
            0 => drop(lines.remove(from)),
            1 => lines.insert(to, lines[from]),
            _ => lines.swap(from, to),
        }
    }
    lines.join("\r\n")
}

/// Offers of the corpus, changed at random: each costs an answer or a reason, and nothing stays.
#[test]
fn mutated_offers_are_answered_or_refused_and_leave_nothing() {
    let mut cluster = behind_a_proxy();
    let mut random = SmallRng::seed_from_u64(25);
    let (mut answered, mut refused) = (0, 0);
    for (name, sdp) in corpus() {
        for n in 0..2 * MUTATIONS {
            let mut bytes = sdp.clone().into_bytes();
            mutate(&mut random, &mut bytes);
            let by_bytes = String::from_utf8_lossy(&bytes).into_owned();
            let sdp = if n % 2 == 0 { by_bytes } else { mutate_lines(&mut random, &sdp) };
            let client = answered + refused;
            let reply = offer_of(&cluster, client, &format!("mutation-{client}"), &sdp);
            let body = reply.json();
            match (reply.status, &body["type"], &body["meta"]["error"]) {
                (200, Value::String(answer), _) if answer == "answer" => answered += 1,
                (400, _, Value::String(error)) if error == "invalid_offer" => {
                    let message = body["meta"]["message"].as_str().unwrap_or_default();
                    assert!((20..300).contains(&message.len()), "{name}: {reply:?}");
                    refused += 1;
                }
                _ => panic!("{name}: {reply:?}\n{sdp}"),
            }
        }
    }
    assert!(answered > 200 && refused > 200, "{answered} answered, {refused} refused");
    assert_eq!(slots(&cluster), 0.0);
    assert!(cluster.gateway.alive());
    cluster.wait_for_sessions(0, GIVEN_UP);
    // It serves as before.
    let mut peer = connect(&cluster, "honest", Video::Live(Format::SMALL));
    peer.wait_received(5, PATIENCE);
    peer.close();
    assert_balanced(&cluster);
}
