//! Offers, candidates and the data channel: FastRTC's wire, and everything a client can get wrong.

use reframe_tests::http::{Reply, get, post};
use reframe_tests::peer::{Candidates, Media, offer_sdp};
use reframe_tests::source::{Format, Video};
use serde_json::{Value, json};
use str0m::media::Direction;

use super::*;

fn offer(cluster: &Cluster, body: impl AsRef<[u8]>) -> Reply {
    post(&cluster.page("/webrtc/offer"), body).expect("the gateway answers")
}

fn offer_json(cluster: &Cluster, body: &Value) -> Reply {
    offer(cluster, body.to_string())
}

fn failed(error: &str) -> Value {
    json!({ "status": "failed", "meta": { "error": error } })
}

#[test]
fn candidates_may_come_before_or_after_the_offer() {
    let cluster = Cluster::launch("flip");
    for candidates in [Candidates::TrickledBefore, Candidates::TrickledAfter, Candidates::InOffer] {
        let options = Options::camera(format!("{candidates:?}"), Video::Live(Format::SMALL));
        let mut peer = connect_with(&cluster, Options { candidates, ..options });
        peer.wait_received(5, PATIENCE);
        peer.close();
    }
    assert_balanced(&cluster);
}

/// Browsers do not wait for each other's answers: the candidate's comes once the offer has.
#[test]
fn an_early_candidate_is_told_of_success() {
    let cluster = Cluster::launch("flip");
    let candidate =
        json!({ "candidate": "candidate:1 1 udp 2122260223 127.0.0.1 9 typ host", "sdpMid": "0" });
    let body = json!({ "type": "ice-candidate", "candidate": candidate, "webrtc_id": "early" });
    std::thread::scope(|scope| {
        let early = scope.spawn(|| offer_json(&cluster, &body));
        connect(&cluster, "early", Video::Live(Format::SMALL)).close();
        let reply = early.join().expect("the request does not fail");
        assert_eq!((reply.status, reply.json()), (200, json!({ "status": "success" })));
    });
}

#[test]
fn a_handshake_is_answered_on_the_data_channel() {
    let cluster = Cluster::launch("flip");
    let mut peer = connect(&cluster, "handshake", Video::Live(Format::SMALL));
    peer.send_text("handshake");
    let log = peer.wait_message("log", PATIENCE);
    assert_eq!(log, json!({ "type": "log", "data": "Server received: handshake" }));
    peer.close();
}

#[test]
fn an_audio_section_beside_the_video_is_no_obstacle() {
    let cluster = Cluster::launch("flip");
    let media = Media { audio: true, ..Media::default() };
    let options = Options { media, ..Options::camera("audio", Video::Live(Format::SMALL)) };
    let mut peer = connect_with(&cluster, options);
    peer.wait_received(10, PATIENCE);
    assert_flipped_in_order(&peer.stats());
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn candidates_are_where_browsers_look_for_them() {
    let cluster = Cluster::launch("flip");
    let media = Media { audio: true, ..Media::default() };
    let peer = connect_with(
        &cluster,
        Options { media, ..Options::camera("audio", Video::Live(Format::SMALL)) },
    );
    assert!(
        !peer.server().is_empty(),
        "the answer has no candidate in a section that was not refused"
    );
}

/// With one slot, an input that took it would make every later one fail differently.
#[test]
fn bad_input_is_refused_and_takes_no_slot() {
    let cluster = Cluster::launch_with("flip", &["--capacity", "1"]);
    let good = offer_sdp(Media::default());
    let bodies = [
        ("not JSON", "{".to_owned()),
        ("nothing", String::new()),
        ("JSON of another shape", "[1, 2]".to_owned()),
        ("no webrtc_id", json!({ "sdp": good, "type": "offer" }).to_string()),
        (
            "an empty webrtc_id",
            json!({ "sdp": good, "type": "offer", "webrtc_id": "" }).to_string(),
        ),
        (
            "a number for webrtc_id",
            json!({ "sdp": good, "type": "offer", "webrtc_id": 7 }).to_string(),
        ),
        ("no type", json!({ "sdp": good, "webrtc_id": "bad" }).to_string()),
        (
            "an unknown type",
            json!({ "sdp": good, "type": "answer", "webrtc_id": "bad" }).to_string(),
        ),
        ("no sdp", json!({ "type": "offer", "webrtc_id": "bad" }).to_string()),
        ("no candidate", json!({ "type": "ice-candidate", "webrtc_id": "bad" }).to_string()),
    ];
    for (what, body) in bodies {
        assert_refused(&cluster, what, &offer(&cluster, body), 422, "invalid_request");
    }
    let large = json!({ "sdp": "x".repeat(2 << 20), "type": "offer", "webrtc_id": "bad" });
    assert_eq!(offer_json(&cluster, &large).status, 413);
    assert_eq!(cluster.sessions(), 0.0);
    let no_video = Media { video: None, ..Media::default() };
    let descriptions = [
        ("garbage", "hello".to_owned()),
        ("empty", String::new()),
        ("binary", "\u{0}\u{1}\u{fffd}".repeat(100)),
        ("cut off", good[..good.len() / 3].to_owned()),
        ("no video", offer_sdp(no_video)),
        ("audio only", offer_sdp(Media { audio: true, ..no_video })),
        ("no common codec", good.replace("VP8/90000", "H266/90000")),
        ("nothing wanted back", offer_sdp(Media::video(Direction::SendOnly))),
        ("no ICE", without(&good, "a=ice-")),
        ("no fingerprint", without(&good, "a=fingerprint")),
    ];
    for (what, sdp) in descriptions {
        let reply =
            offer_json(&cluster, &json!({ "sdp": sdp, "type": "offer", "webrtc_id": "bad" }));
        assert_refused(&cluster, what, &reply, 400, "invalid_offer");
    }
    let mut peer = connect(&cluster, "bad", Video::Live(Format::SMALL));
    peer.wait_received(5, PATIENCE);
    peer.close();
    assert_balanced(&cluster);
}

/// The status, FastRTC's body with a text for people, and nothing taken.
#[track_caller]
fn assert_refused(cluster: &Cluster, what: &str, reply: &Reply, status: u16, error: &str) {
    let body = reply.json();
    assert_eq!((reply.status, &body["status"]), (status, &json!("failed")), "{what}: {reply:?}");
    assert_eq!(body["meta"]["error"], error, "{what}: {reply:?}");
    assert!(
        body["meta"]["message"].as_str().is_some_and(|text| text.len() > 10),
        "{what}: {reply:?}"
    );
    assert_eq!(cluster.sessions(), 0.0, "{what}");
}

fn without(sdp: &str, prefix: &str) -> String {
    sdp.lines().filter(|line| !line.starts_with(prefix)).flat_map(|line| [line, "\r\n"]).collect()
}

#[test]
fn an_id_is_used_once_at_a_time() {
    let cluster = Cluster::launch("flip");
    let mut peer = connect(&cluster, "twin", Video::Live(Format::SMALL));
    let again =
        Peer::connect(&cluster.page(""), Options::camera("twin", Video::Live(Format::SMALL)));
    let reply = again.expect_err("the id is taken");
    assert_eq!((reply.status, reply.json()), (200, failed("connection_already_exists")));
    assert_eq!(cluster.sessions(), 1.0);
    // The first one never noticed.
    let seen = peer.stats().received.len();
    peer.wait_received(seen + 10, PATIENCE);
    peer.close();
    cluster.wait_for_sessions(0, CLOSED);
    connect(&cluster, "twin", Video::Live(Format::SMALL)).close();
    assert_balanced(&cluster);
}

#[test]
fn over_the_limit_is_told_with_the_limit() {
    let cluster = Cluster::launch_with("flip", &["--capacity", "2"]);
    let mut peers: Vec<_> =
        (0..2).map(|n| connect(&cluster, &format!("in-{n}"), Video::Live(Format::SMALL))).collect();
    let refused =
        Peer::connect(&cluster.page(""), Options::camera("out", Video::Live(Format::SMALL)));
    let reply = refused.expect_err("both slots are taken");
    let body =
        json!({ "status": "failed", "meta": { "error": "concurrency_limit_reached", "limit": 2 } });
    assert_eq!((reply.status, reply.json()), (200, body));
    assert_eq!(cluster.sessions(), 2.0);
    peers[0].close();
    cluster.wait_for_sessions(1, CLOSED);
    connect(&cluster, "out", Video::Live(Format::SMALL)).close();
    peers[1].close();
    assert_balanced(&cluster);
}

#[test]
fn candidates_are_checked_and_never_take_a_slot() {
    let cluster = Cluster::launch("flip");
    let mut peer = connect(&cluster, "known", Video::Live(Format::SMALL));
    let send = |id: &str, candidate: Value| {
        let reply = offer_json(
            &cluster,
            &json!({ "type": "ice-candidate", "candidate": candidate, "webrtc_id": id }),
        );
        (reply.status, reply.json())
    };
    let bare = "candidate:1 1 udp 2122260223 127.0.0.1 9 typ host";
    let success = (200, json!({ "status": "success" }));
    let line = |text: &str| json!({ "candidate": text, "sdpMid": "0", "sdpMLineIndex": 0 });
    assert_eq!(send("known", line(bare)), success, "without the trailing fields");
    assert_eq!(
        send("known", line(&format!("{bare} generation 0 ufrag abcd network-cost 999"))),
        success
    );
    assert_eq!(send("known", line("")), success, "the browser's end-of-candidates mark");
    for bad in [
        "candidate:",
        "nonsense",
        "candidate:1 1 udp x 127.0.0.1 9 typ host",
        "candidate:1 1 udp 1 h 70000 typ host",
    ] {
        assert_eq!(send("known", line(bad)), (200, failed("invalid_candidate_format")), "{bad}");
    }
    for bad in [json!("text"), json!({}), json!({ "candidate": 7 })] {
        assert_eq!(send("known", bad.clone()), (200, failed("invalid_candidate_format")), "{bad}");
    }
    // Unknown ids: more at once than the server has room for, each told within a second or so.
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..100)
            .map(|thread| {
                scope.spawn(move || {
                    (0..4).map(|n| send(&format!("unknown-{thread}-{n}"), line(bare))).collect()
                })
            })
            .collect();
        for thread in threads {
            let replies: Vec<(u16, Value)> = thread.join().expect("no request fails");
            assert_eq!(replies, vec![(200, failed("unknown_connection")); 4]);
        }
    });
    assert_eq!(cluster.sessions(), 1.0);
    let seen = peer.stats().received.len();
    peer.wait_received(seen + 10, PATIENCE);
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn what_a_page_and_an_operator_ask_for() {
    let cluster = Cluster::launch("flip");
    let streams = get(&cluster.page("/api/streams")).expect("the gateway answers");
    assert_eq!(streams.status, 200);
    let stream = &streams.json()["streams"][0];
    assert_eq!(
        (&stream["name"], &stream["fps"], &stream["mode"]),
        (&json!("flip"), &json!(30.0), &json!("send-receive"))
    );
    let page = get(&cluster.page("/")).expect("the gateway answers");
    assert!(page.status == 200 && page.body.contains("<video"), "{page:?}");
    for (path, public) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 404)] {
        let admin = get(&cluster.admin(path)).expect("the admin port answers");
        let page = get(&cluster.page(path)).expect("the gateway answers");
        assert_eq!((admin.status, page.status), (200, public), "{path}");
    }
    assert_eq!(get(&cluster.page("/nowhere")).expect("the gateway answers").status, 404);
}
