//! Every way a session can end, and what its client, the others and the books are told.

use reframe_tests::http::post;
use reframe_tests::peer::{Media, offer_sdp};
use reframe_tests::source::{Format, Video};
use serde_json::json;

use super::*;

/// A silent client is noticed after 13 s; the rest is for the machine.
const VANISHED: Duration = Duration::from_secs(30);

/// A client that never connects is given thirty seconds by the contract.
const NEVER_CONNECTED: Duration = Duration::from_secs(45);

#[test]
fn an_orderly_close_frees_the_session_at_once() {
    let cluster = Cluster::launch("flip");
    for round in 0..3 {
        let mut peer = connect(&cluster, "close", Video::Live(Format::SMALL));
        peer.wait_received(5, PATIENCE);
        assert_eq!(cluster.sessions(), 1.0, "round {round}");
        peer.close();
        cluster.wait_for_sessions(0, CLOSED);
    }
    assert_balanced(&cluster);
}

#[test]
fn a_vanished_client_is_noticed() {
    let cluster = Cluster::launch("flip");
    let mut gone = connect(&cluster, "gone", Video::Live(Format::SMALL));
    let mut other = connect(&cluster, "other", Video::Live(Format::SMALL));
    gone.wait_received(5, PATIENCE);
    gone.vanish();
    cluster.wait_for_sessions(1, VANISHED);
    let seen = other.stats().received.len();
    other.wait_received(seen + 10, PATIENCE);
    assert_flipped_in_order(&other.stats());
    other.close();
    assert_balanced(&cluster);
}

#[test]
fn an_offer_that_never_connects_ends_and_never_had_a_slot() {
    let cluster = Cluster::launch("flip");
    let body = json!({ "sdp": offer_sdp(Media::default()), "type": "offer", "webrtc_id": "never" });
    let reply =
        post(&cluster.page("/webrtc/offer"), body.to_string()).expect("the gateway answers");
    assert_eq!((reply.status, &reply.json()["type"]), (200, &json!("answer")));
    let ended = || cluster.metrics().by("reframe_sessions_ended_total", "reason");
    let never = [("never_connected", 1.0), ("connection_failed", 1.0)];
    eventually("it ends", NEVER_CONNECTED, || {
        assert_eq!(cluster.sessions(), 0.0);
        let ended = ended();
        never.iter().any(|(reason, count)| ended.get(*reason) == Some(count)).then_some(())
    });
}

/// `faulty` fails on every tenth frame and panics on the hundredth.
#[test]
fn a_failing_handler_costs_its_frame_and_a_panicking_one_its_session() {
    let cluster = Cluster::launch("faulty");
    let mut first = connect(&cluster, "first", Video::Live(Format::SMALL));
    first.wait_received(50, PATIENCE);
    let mut second = connect(&cluster, "second", Video::Live(Format::SMALL));

    first.wait_message("end_stream", PATIENCE);
    cluster.wait_for_sessions(1, PATIENCE);
    let stats = first.stats();
    assert_flipped_in_order(&stats);
    assert!(stats.numbers().len() > 80, "the stream went on after errors: {}", stats.summary());
    let errors = told(&stats, "error");
    // Frames 10, 20, … 90, and then the panic.
    assert_eq!(errors.len(), 10, "nine failures and the crash: {errors:?}");
    for (n, error) in (1..).zip(&errors) {
        let expected = if n < 10 { format!("frame {n}0 failed") } else { "crashed".to_owned() };
        assert!(error.contains(&expected), "{errors:?}");
    }
    assert_eq!(stats.messages.last().map(|message| &message["type"]), Some(&json!("end_stream")));

    // The other session has its own count and its own end.
    wait_for_more(&second);
    second.wait_message("end_stream", PATIENCE);
    cluster.wait_for_sessions(0, PATIENCE);
    let failed =
        cluster.metrics().sum("reframe_frames_dropped_total", &[("reason", "handler_error")]);
    assert_eq!(failed, 18.0, "nine of each session");
    first.close();
    second.close();
    assert_balanced(&cluster);
    connect(&cluster, "third", Video::Live(Format::SMALL)).close();
}

#[test]
fn sigterm_ends_each_process_cleanly() {
    let mut cluster = Cluster::separate("flip", 1);
    let mut peer = connect(&cluster, "term", Video::Live(Format::SMALL));
    peer.wait_received(5, PATIENCE);
    peer.close();
    cluster.wait_for_sessions(0, CLOSED);
    for process in [&mut cluster.gateway, &mut cluster.workers[0].process] {
        process.terminate();
        let status = process.exit(PATIENCE);
        assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", process.log());
    }
}
