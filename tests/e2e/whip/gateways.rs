//! Two gateways with one Redis: whichever is asked, the one that has the session answers.

use std::fs;
use std::sync::atomic::Ordering;

use reframe_tests::local::LocalWorker;
use reframe_tests::peer::Candidates;
use reframe_tests::redis::RedisServer;

use super::super::forward::Gateway;
use super::super::viewers::broadcast;
use super::*;

/// Both, which share their key.
fn started(test: &str) -> (RedisServer, LocalWorker, [Gateway; 2]) {
    let echo = VideoStreamHandler::new(|frame: Frame| Ok::<_, HandlerError>(frame));
    started_with(test, Stream::builder(echo).build())
}

fn started_with(test: &str, stream: Stream) -> (RedisServer, LocalWorker, [Gateway; 2]) {
    let file = std::env::temp_dir().join(format!("reframe-{test}-{}", std::process::id()));
    fs::write(&file, "k".repeat(32)).expect("a file");
    let key = ["--cluster-key-file", file.to_str().expect("a UTF-8 path")];
    let worker = LocalWorker::serve(stream, 4);
    let redis = RedisServer::start();
    let gateways = [(); 2].map(|()| Gateway::start_with(&worker, &redis, &key));
    (redis, worker, gateways)
}

fn connect_to(gateway: &Gateway, options: Options) -> Peer {
    let peer = Peer::connect(&gateway.page(""), options);
    let peer = peer.unwrap_or_else(|reply| panic!("no answer: {reply:?}"));
    peer.wait_connected(PATIENCE);
    peer
}

#[test]
fn another_gateway_passes_changes_on_and_the_end() {
    let (_redis, _worker, [a, b]) = started("whip-changes");
    let (location, tag) = created(&post(&a.page("/whip"), &offer(Direction::SendOnly)));
    let elsewhere = b.page(&location);
    assert_eq!(patch(&elsewhere, Some(&tag), CANDIDATE).status, 204);
    assert_problem(&patch(&elsewhere, Some("\"stale\""), CANDIDATE), 412, "precondition_failed");
    let fragment = format!("a=ice-ufrag:other\r\na=ice-pwd:{}\r\n", "x".repeat(24));
    let restarted = patch(&elsewhere, Some("*"), &fragment);
    assert_eq!(restarted.status, 200, "{restarted:?}");
    assert_eq!(restarted.header("content-type"), Some(FRAGMENT.1));
    let new = restarted.header("etag").expect("an entity tag").to_owned();
    assert!(line(&restarted.body, "a=ice-ufrag:").is_some() && new != tag);
    assert_eq!(patch(&a.page(&location), Some(&new), CANDIDATE).status, 204);
    let deleted = send("DELETE", &elsewhere, &[], "");
    assert_eq!((deleted.status, deleted.body.as_str()), (200, ""));
    eventually("it is known nowhere", PATIENCE, || {
        let known = [&a, &b].map(|gateway| send("DELETE", &gateway.page(&location), &[], ""));
        known.iter().all(|reply| reply.status == 404).then_some(())
    });
}

#[test]
fn a_session_is_watched_by_its_link_at_any_gateway() {
    let (_redis, _worker, [a, b]) = started("whip-views");
    let camera = connect_to(&a, Options::camera("seen", Video::Live(Format::SMALL)));
    camera.wait_received(5, PATIENCE);
    let viewer = connect_to(&b, Options::watcher("viewer", camera.whep()));
    viewer.wait_received(10, PATIENCE);
    assert!(viewer.resource().starts_with(&format!("{}/", camera.whep())), "our own path");
    let url = b.page(viewer.resource());
    assert_eq!(patch(&url, Some("*"), CANDIDATE).status, 204);
    assert_problem(&patch(&url, Some("\"x\""), CANDIDATE), 412, "precondition_failed");
    let bad = post(&b.page(&camera.whep()), &offer(Direction::SendOnly));
    assert_problem(&bad, 422, "invalid_offer");
    assert_eq!(send("DELETE", &url, &[], "").status, 200);
    eventually("its connection ends", PATIENCE, || {
        (send("DELETE", &url, &[], "").status == 404).then_some(())
    });
    drop(camera);
    eventually("nobody has the session", PATIENCE, || {
        let late = post(&b.page("/whep/nothing"), &offer(Direction::RecvOnly));
        (late.status == 404).then_some(())
    });
}

#[test]
fn a_gateway_that_was_killed_is_told() {
    let (_redis, _worker, [mut a, b]) = started("whip-killed");
    let (location, tag) = created(&post(&a.page("/whip"), &offer(Direction::SendOnly)));
    a.kill();
    let gone = patch(&b.page(&location), Some(&tag), CANDIDATE);
    assert_problem(&gone, 503, "owner_unavailable");
    assert!(gone.retry_after.is_some(), "{gone:?}");
}

/// By the page's protocol too, whose later requests for a viewer go where the broadcast is.
#[test]
fn a_broadcast_is_at_one_gateway_for_viewers_of_both() {
    let (stream, begun) = broadcast();
    let (_redis, _worker, [a, b]) = started_with("broadcast", stream);
    let trickles = Options { candidates: Candidates::TrickledAfter, ..Options::viewer("trickles") };
    let viewers = [
        connect_to(&a, Options::viewer("here")),
        connect_to(&b, Options::viewer("there")),
        connect_to(&b, trickles),
        connect_to(&b, Options::watcher("whep", "/whep")),
    ];
    viewers.iter().for_each(|viewer| viewer.wait_received(30, PATIENCE));
    assert_eq!(begun.load(Ordering::Relaxed), 1, "one generator for both gateways");
    let url = b.page(viewers[3].resource());
    assert_eq!(send("DELETE", &url, &[], "").status, 200);
    let before = viewers[1].stats().received.len();
    viewers[1].wait_received(before + 30, PATIENCE);
}
