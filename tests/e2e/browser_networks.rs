//! A real Chromium on networks that let little through: by TCP, by a TURN server, not at all, and
//! not for a while.

use reframe_tests::browser::{Browser, Camera};
use reframe_tests::cluster::Cluster;
use reframe_tests::turn::TurnServer;
use reframe_tests::wait::eventually;
use serde_json::json;

use super::browser::{SOON, start};
use super::networks::directory;

const LOOPBACK: [&str; 2] = ["--media", "127.0.0.1"];

#[test]
fn tcp_alone_brings_the_picture() {
    let cluster = Cluster::launch_with("flip", &LOOPBACK);
    let browser = start("tcp", Camera::Allowed);
    browser.open(&cluster.page("/?ice=tcp"));
    browser.click("start");
    browser.wait_for_state("live");
    browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    let outcomes = cluster.metrics().by("reframe_ice_tcp_connections_total", "outcome");
    assert!(outcomes.get("accepted").is_some_and(|count| *count >= 1.0), "{outcomes:?}");
    browser.click("start");
    browser.wait_for_state("idle");
    cluster.wait_for_sessions(0, SOON);
    assert_eq!(browser.console_errors(), Vec::<String>::new());
}

#[test]
fn a_turn_server_brings_the_picture() {
    let turn = TurnServer::start(&directory("relay"), "the secret");
    let url = format!("turn:{}", turn.address());
    let options = ["--ice-servers", url.as_str(), "--turn-secret", "the secret"];
    let cluster = Cluster::launch_with("flip", &[&LOOPBACK[..], &options].concat());
    let browser = start("relay", Camera::Allowed);
    browser.open(&cluster.page("/?ice=relay"));
    browser.click("start");
    browser.wait_for_state("live");
    browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    browser.click("start");
    browser.wait_for_state("idle");
    cluster.wait_for_sessions(0, SOON);
}

#[test]
fn a_relay_that_refuses_is_told() {
    let turn = TurnServer::start(&directory("refuses"), "the secret");
    let url = format!("turn:{}", turn.address());
    let options = ["--ice-servers", url.as_str(), "--turn-secret", "another"];
    let cluster = Cluster::launch_with("flip", &[&LOOPBACK[..], &options].concat());
    let browser = start("refuses", Camera::Allowed);
    browser.open(&cluster.page("/?ice=relay"));
    browser.click("start");
    browser.wait_for_state("failed");
    let outcome = browser.text("outcome");
    assert!(
        outcome.starts_with("The relay refused this page\n") && outcome.contains("401"),
        "{outcome}"
    );
}

/// By TCP alone: the browser's own candidates would lead our checks to it, here where both are on
/// one machine.
#[test]
fn an_address_that_does_not_answer_is_named() {
    let cluster =
        Cluster::launch_with("flip", &[&LOOPBACK[..], &["--public-ip", "198.51.100.1"]].concat());
    let browser = start("nowhere", Camera::Allowed);
    browser.open(&cluster.page("/?ice=tcp"));
    browser.click("start");
    browser.wait_for_state("failed");
    let outcome = browser.text("outcome");
    assert!(outcome.starts_with("No video connection could be made\n"), "{outcome}");
    assert!(outcome.contains("198.51.100.1 port ") && outcome.contains("(TCP)"), "{outcome}");
}

/// The page hears nothing of the server over WebRTC while `silent`, though all of it comes; and
/// counts its offers.
fn start_deaf(browser: &Browser, page: &str) {
    browser.open(page);
    browser.run(
        "Object.assign(window, { silent: false, offers: 0, restarts: 0, restartsAtLoss: null });
         const { getStats } = RTCPeerConnection.prototype;
         let last;
         RTCPeerConnection.prototype.getStats = async function () {
           if (!window.silent || !last) last = await getStats.call(this);
           return last;
         };
         RTCDataChannel.prototype.addEventListener = function (type, listener, options) {
           const hear = (event) => (type === 'message' && window.silent) || listener(event);
           EventTarget.prototype.addEventListener.call(this, type, hear, options);
         };
         const { fetch } = window;
         window.fetch = (url, request) => {
           const { type, renegotiate } = JSON.parse(request?.body ?? '{}');
           if (renegotiate) window.restarts += 1;
           else if (type === 'offer' && ++window.offers === 2) window.restartsAtLoss = window.restarts;
           return fetch.call(window, url, request);
         };",
    );
    browser.click("start");
    browser.wait_for_state("live");
    browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    assert_eq!(browser.run("return [window.offers, window.restarts]"), json!([1, 0]));
}

#[test]
fn a_silence_has_one_restart_and_then_another_connection() {
    let cluster = Cluster::launch("flip");
    let browser = start("silence", Camera::Allowed);
    start_deaf(&browser, &cluster.page("/"));
    browser.run("window.silent = true");
    eventually("another connection", SOON, || {
        (browser.run("return window.offers") == 2).then_some(())
    });
    assert_eq!(browser.run("return window.restartsAtLoss"), 1);
    browser.run("window.silent = false");
    browser.wait_for_state("live");
    browser.click("start");
    browser.wait_for_state("idle");
    cluster.wait_for_sessions(0, SOON);
}

/// The restart under way when the network comes back went to one that is gone: it is not waited
/// for.
#[test]
fn a_restart_into_a_dead_network_is_begun_anew() {
    let cluster = Cluster::launch("flip");
    let browser = start("dead", Camera::Allowed);
    start_deaf(&browser, &cluster.page("/"));
    browser.run(
        "const { fetch } = window;
         window.fetch = (url, request) => {
           if (!window.silent) return fetch(url, request);
           if (JSON.parse(request.body).renegotiate) window.restarts += 1;
           return new Promise((_, fail) => request.signal?.addEventListener('abort', () => fail(new Error('aborted'))));
         };
         window.silent = true",
    );
    eventually("a restart", SOON, || (browser.run("return window.restarts") == 1).then_some(()));
    browser.run("window.silent = false; window.dispatchEvent(new Event('online'))");
    eventually("another restart", SOON, || {
        (browser.run("return window.restarts") == 2).then_some(())
    });
    let (_, code) =
        browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    browser.wait_for_picture("output", "another picture", |next| next.number != code.number);
    assert_eq!(browser.run("return window.offers"), 1, "the connection that it had");
    assert_eq!(cluster.sessions(), 1.0);
}

/// For four seconds; a silence of three is the end of a connection.
#[test]
fn a_network_that_comes_and_goes_is_no_silence_of_the_servers() {
    let cluster = Cluster::launch("flip");
    let browser = start("comes-and-goes", Camera::Allowed);
    start_deaf(&browser, &cluster.page("/"));
    browser.run(
        "Object.assign(window, { silent: true, changes: 0 });
         const change = setInterval(() => {
           window.dispatchEvent(new Event('online'));
           if (++window.changes < 8) return;
           clearInterval(change);
           window.silent = false;
         }, 500);",
    );
    eventually("the last change", SOON, || {
        (browser.run("return window.changes") == 8).then_some(())
    });
    let (_, code) =
        browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    browser.wait_for_picture("output", "another picture", |next| next.number != code.number);
    let (offers, restarts) =
        (browser.run("return window.offers"), browser.run("return window.restarts"));
    assert_eq!(offers, 1, "the connection that it had");
    assert!(restarts.as_u64().is_some_and(|restarts| restarts > 1), "{restarts}");
    assert_eq!(cluster.sessions(), 1.0);
}
