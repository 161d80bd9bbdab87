//! Ends that the server sets: the handler's own, a time limit, a place limit, and an operator's.

use reframe_tests::http::{delete, get, post};
use reframe_tests::peer::{Media, offer_sdp};
use reframe_tests::source::{Format, Video};
use reframe_worker::{CloseStream, Frame, HandlerError, Output, Stream, VideoStreamHandler};
use serde_json::json;
use tokio::time::Instant;

use super::*;

fn echo() -> VideoStreamHandler {
    VideoStreamHandler::new(|frame: Frame| Ok::<_, HandlerError>(frame))
}

/// White, as no picture of the camera is: at 5 fps it waits for its turn to be shown, and the end
/// waits for it.
#[test]
fn a_handlers_close_comes_after_its_last_picture() {
    const LAST: u32 = 20;
    let handler = VideoStreamHandler::per_session(|| {
        let mut count = 0;
        move |frame: Frame| -> Result<Output, HandlerError> {
            count += 1;
            if count < LAST {
                return Ok(frame.into());
            }
            let white = Frame::filled(frame.width(), frame.height(), [255, 255, 255])?;
            Ok((white, CloseStream::new("enough")).into())
        }
    });
    let cluster = Cluster::local([Stream::builder(handler.fps(5.0)).build()]);
    let mut peer = connect(&cluster, "close", Video::Live(Format::SMALL));
    let stats = peer.wait_until("the end", PATIENCE, |stats| {
        stats.message("end_stream").map(|_| stats.clone())
    });
    assert_eq!(stats.messages, [json!({ "type": "end_stream", "data": "enough" })]);
    let luma = &stats.picture.expect("a picture").data[..320 * 240];
    let mean = luma.iter().map(|pixel| u32::from(*pixel)).sum::<u32>() / (320 * 240);
    assert!(mean > 220, "the last picture is not the handler's last: its mean is {mean}");
    cluster.wait_for_sessions(0, CLOSED);
    assert_eq!(peer.stats().received.len(), stats.received.len(), "a picture after the end");
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn a_session_ends_at_its_time_limit() {
    const LIMIT: Duration = Duration::from_secs(4);
    let cluster = Cluster::local([Stream::builder(echo()).time_limit(LIMIT).build()]);
    let mut peer = connect(&cluster, "limited", Video::Live(Format::SMALL));
    let connected = peer.stats().connected.expect("it is connected");
    peer.wait_received(5, PATIENCE);
    assert_eq!(cluster.sessions(), 1.0);
    let end = peer.wait_message("end_stream", PATIENCE);
    let lasted = Instant::now().into_std().duration_since(connected);
    // The server is connected a moment before us, or after.
    assert!(lasted > LIMIT - Duration::from_secs(1), "{lasted:?}");
    assert!(end["data"].as_str().is_some_and(|text| text.contains("4s")), "{end}");
    cluster.wait_for_sessions(0, CLOSED);
    assert_eq!(cluster.metrics().by("reframe_sessions_ended_total", "reason")["time_limit"], 1.0);
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn each_stream_has_a_limit_of_its_own() {
    let limited =
        |name: &str, limit| Stream::builder(echo()).name(name).concurrency_limit(limit).build();
    let cluster = Cluster::local([limited("one", 1), limited("two", 2)]);
    let offer = |stream: &str, n: u32| {
        let options = Options::camera(format!("{stream}-{n}"), Video::Live(Format::SMALL));
        Peer::connect(&cluster.page(&format!("/{stream}")), options)
    };
    let taken = |stream: &str, n: u32| {
        let options = Options::camera(format!("{stream}-{n}"), Video::Live(Format::SMALL));
        connect_at(&cluster, &format!("/{stream}"), options)
    };
    let mut peers = Vec::new();
    for (stream, limit) in [("one", 1), ("two", 2)] {
        peers.extend((0..limit).map(|n| taken(stream, n)));
        let reply = offer(stream, limit).expect_err("every place is taken");
        let body = json!({ "status": "failed", "meta": { "error": "concurrency_limit_reached", "limit": limit } });
        assert_eq!((reply.status, reply.json()), (200, body));
    }
    assert_eq!(cluster.sessions(), 3.0);
    peers.iter().for_each(|peer| peer.wait_received(5, PATIENCE));
    peers[0].close();
    cluster.wait_for_sessions(2, CLOSED);
    let mut next = offer("one", 9).expect("the place is free again");
    next.wait_received(5, PATIENCE);
    next.close();
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
}

#[test]
fn an_operator_sees_and_ends_sessions() {
    let cluster = Cluster::launch("flip");
    let sessions =
        || get(&cluster.admin("/api/sessions")).expect("an answer").json()["sessions"].clone();
    assert_eq!(sessions(), json!([]));
    let mut peer = connect(&cluster, "seen", Video::Live(Format::SMALL));
    let mut other = connect(&cluster, "other", Video::Live(Format::SMALL));
    let offer =
        json!({ "sdp": offer_sdp(Media::default()), "type": "offer", "webrtc_id": "never" });
    assert_eq!(
        post(&cluster.page("/webrtc/offer"), offer.to_string()).expect("an answer").status,
        200
    );

    eventually("two live sessions and one to come", PATIENCE, || {
        let listed = sessions();
        let mut states: Vec<_> =
            listed.as_array()?.iter().filter_map(|session| session["state"].as_str()).collect();
        states.sort_unstable();
        (states == ["connecting", "live", "live"]).then_some(())
    });
    let one = get(&cluster.admin("/api/sessions/seen")).expect("an answer");
    assert_eq!(one.status, 200, "{one:?}");
    let session = one.json();
    let facts = ["id", "stream", "mode", "state"].map(|field| session[field].clone());
    assert_eq!(facts, ["seen", "flip", "send-receive", "live"].map(|text| json!(text)));
    assert!(
        session["age_seconds"].as_f64().is_some_and(|age| (0.0..120.0).contains(&age)),
        "{session}"
    );
    assert!(session["worker"].as_str().is_some_and(|worker| !worker.is_empty()), "{session}");

    let end = |id: &str| {
        let reply = delete(&cluster.admin(&format!("/api/sessions/{id}"))).expect("an answer");
        (reply.status, reply.json())
    };
    assert_eq!(end("seen"), (200, json!({ "status": "ok" })));
    peer.wait_message("end_stream", PATIENCE);
    let kinds: Vec<_> =
        peer.stats().messages.iter().map(|message| message["type"].clone()).collect();
    assert_eq!(kinds, [json!("update_connection"), json!("end_stream")]);
    assert_eq!(end("never").0, 200);
    cluster.wait_for_sessions(1, CLOSED);
    for id in ["seen", "never", "nobody"] {
        assert_eq!(
            (
                end(id).0,
                get(&cluster.admin(&format!("/api/sessions/{id}"))).expect("an answer").status
            ),
            (404, 404)
        );
        // The public port has no authentication, so it has none of this.
        let public = cluster.page(&format!("/api/sessions/{id}"));
        assert_eq!(
            (get(&public).expect("an answer").status, delete(&public).expect("an answer").status),
            (404, 404)
        );
    }
    let seen = other.stats().received.len();
    other.wait_received(seen + 10, PATIENCE);
    other.close();
    peer.close();
    assert_balanced(&cluster);
}
