//! What clients get wrong, and what the gateway has no room for: always a problem that says what to
//! do, and nothing is taken.

use reframe_tests::cluster::Worker;

use super::*;

#[test]
fn a_bad_offer_is_told_what_is_wrong_and_takes_nothing() {
    let cluster = Cluster::local(streams());
    let url = cluster.page("/sent/whip");
    let good = offer(Direction::SendOnly);
    let refused = |reply: Reply, status, error| {
        assert_problem(&reply, status, error);
        reply
    };
    for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded"] {
        let reply = send("POST", &url, &[("content-type", kind)], &good);
        let reply = refused(reply, 415, "invalid_request");
        assert_eq!(reply.header("accept-post"), Some("application/sdp"));
    }
    refused(send("POST", &url, &[], &good), 415, "invalid_request");
    let compressed = [SDP, ("content-encoding", "gzip")];
    refused(send("POST", &url, &compressed, &good), 415, "invalid_request");
    let large = "v=0\r\n".repeat(100_000);
    refused(post(&url, &large), 413, "invalid_request");
    let long = "v=0\r\n".repeat(20_000);
    for malformed in ["", "hello", "v=0\r\nhello\r\n", &long] {
        let reply = post(&url, malformed);
        assert_eq!(reply.status, 400, "{:?}: {reply:?}", malformed.get(..40));
        refused(reply, 400, "invalid_offer");
    }

    let no_video = Media { video: None, ..Media::default() };
    let audio = Media { audio: true, ..no_video };
    let video = &good[good.find("m=video").expect("a video")..];
    let second = format!("{good}{}", video.replace("a=mid:", "a=mid:second-"));
    let microphones = offer_sdp(Media { audio: true, ..Media::video(Direction::SendOnly) });
    let audio_at = microphones.find("m=audio").expect("an audio");
    let end = audio_at + microphones[audio_at..].find("m=video").expect("behind it");
    let two = format!("{microphones}{}", microphones[audio_at..end].replace("a=mid:", "a=mid:2-"));
    for (what, sdp) in [
        ("no video", offer_sdp(no_video)),
        ("cut off", good[..40].to_owned()),
        ("audio alone", offer_sdp(audio)),
        ("a second video", second),
        ("a second microphone", two),
        ("recvonly", offer(Direction::RecvOnly)),
        ("inactive", offer(Direction::Inactive)),
        ("no codec", good.replace("VP8/90000", "H266/90000")),
        ("no fingerprint", good.replace("a=fingerprint:", "a=nothing:")),
        ("no such role", good.replace("a=setup:actpass", "a=setup:holdconn")),
    ] {
        let reply = post(&url, &sdp);
        assert_eq!(reply.status, 422, "{what}: {reply:?}");
        refused(reply, 422, "invalid_offer");
    }
    let whep = cluster.page("/shown/whep");
    for direction in [Direction::SendOnly, Direction::Inactive] {
        refused(post(&whep, &offer(direction)), 422, "invalid_offer");
    }
    assert_eq!(cluster.sessions(), 0.0);
}

#[test]
fn an_endpoint_is_where_the_stream_has_one() {
    let cluster = Cluster::local(streams());
    let (sends, shown) = (offer(Direction::SendOnly), offer(Direction::RecvOnly));
    for (path, sdp, error) in [
        ("/shown/whip", &sends, "wrong_mode"),
        ("/both/whep", &shown, "wrong_mode"),
        ("/sent/whep", &shown, "wrong_mode"),
        ("/nobody/whip", &sends, "unknown_stream"),
        // There are several, and none of them is named so.
        ("/whip", &sends, "unknown_stream"),
        ("/both/whep/view", &shown, "unknown_view"),
    ] {
        assert_problem(&post(&cluster.page(path), sdp), 404, error);
    }
}

#[test]
fn a_gateway_without_room_says_when_to_come_again() {
    let cluster = Cluster::launch_with("flip", &["--capacity", "1"]);
    let _peer = connect_with(&cluster, ingest("/whip"));
    let full = post(&cluster.page("/whip"), &offer(Direction::SendOnly));
    assert_problem(&full, 503, "concurrency_limit_reached");
    assert!(full.retry_after.is_some_and(|wait| wait > 0), "{full:?}");
}

#[test]
fn a_gateway_that_stops_takes_nobody() {
    let cluster = Cluster::of_with(vec![Worker::serve("flip")], &["--grace", "60"]);
    let peer = connect_with(&cluster, ingest("/whip"));
    let camera = connect_with(&cluster, Options::camera("seen", Video::Live(Format::SMALL)));
    let view = camera.whep();
    cluster.gateway.terminate();
    for (path, direction) in [("/whip", Direction::SendOnly), (&view, Direction::RecvOnly)] {
        let refused = eventually("it stops", PATIENCE, || {
            let reply = post(&cluster.page(path), &offer(direction));
            (reply.status != 201).then_some(reply)
        });
        assert_problem(&refused, 503, "draining");
        assert!(refused.retry_after.is_some_and(|wait| wait > 0), "{refused:?}");
    }
    // What there is goes on, and can be changed and ended.
    let url = cluster.page(peer.resource());
    assert_eq!(patch(&url, Some("*"), CANDIDATE).status, 204);
    assert_eq!(send("DELETE", &url, &[], "").status, 200);
}

#[test]
fn a_session_that_shows_nothing_yet_is_watched_later() {
    let cluster = Cluster::local(streams());
    let reply = post(&cluster.page("/both/whip"), &offer(Direction::SendOnly));
    let link = reply.header("link").expect("a link to watch it");
    let path = link[1..].split('>').next().expect("a target").to_owned();
    let early = post(&cluster.page(&path), &offer(Direction::RecvOnly));
    assert_problem(&early, 409, "no_picture");
    assert!(early.retry_after.is_some_and(|wait| wait > 0), "{early:?}");
    let (location, _) = created(&reply);
    assert_eq!(send("DELETE", &cluster.page(&location), &[], "").status, 200);
    eventually("it has ended", PATIENCE, || {
        let late = post(&cluster.page(&path), &offer(Direction::RecvOnly));
        (late.status == 404).then(|| assert_problem(&late, 404, "unknown_connection"))
    });
    // One that has been changed is nobody's.
    let forged = path.replace("/whep/", "/whep/A");
    let forged = post(&cluster.page(&forged), &offer(Direction::RecvOnly));
    assert_problem(&forged, 404, "unknown_view");
    let sent = post(&cluster.page("/sent/whip"), &offer(Direction::SendOnly));
    assert_eq!(sent.header("link"), None, "nothing of it can be watched");
}

/// What is wrong here is wrong for each session, so that nobody can try many URLs.
#[test]
fn urls_cannot_be_tried_out() {
    let proxied = ["--auth", "none", "--trusted-proxies", "127.0.0.1", "--max-wrong-ids", "3"];
    let cluster = Cluster::launch_with("flip", &proxied);
    let from = |address: &str, method: &str, path: &str| {
        send(method, &cluster.page(path), &[("x-forwarded-for", address)], "")
    };
    let unknown = "/whip/abcdefghijklmnopqrstuvwx";
    for path in [unknown, "/whip/short", "/whep/nonsense/abcdefghijklmnopqrstuvwx"] {
        assert_problem(&from("192.0.2.1", "DELETE", path), 404, "unknown_connection");
    }
    assert_problem(&from("192.0.2.1", "DELETE", unknown), 429, "rate_limited");
    assert_problem(&from("192.0.2.2", "DELETE", unknown), 404, "unknown_connection");
    // What is right is done all the same.
    let (location, _) = created(&post(&cluster.page("/whip"), &offer(Direction::SendOnly)));
    assert_eq!(from("192.0.2.1", "DELETE", &location).status, 200);
}
