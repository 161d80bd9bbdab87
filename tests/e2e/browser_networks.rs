//! A real Chromium on networks that let little through: by TCP, by a TURN server, and not at all.

use reframe_tests::browser::Camera;
use reframe_tests::cluster::Cluster;
use reframe_tests::turn::TurnServer;

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
    assert!(outcome.starts_with("The relay refused this page\n") && outcome.contains("401"), "{outcome}");
}

/// By TCP alone: the browser's own candidates would lead our checks to it, here where both are on one machine.
#[test]
fn an_address_that_does_not_answer_is_named() {
    let cluster = Cluster::launch_with("flip", &[&LOOPBACK[..], &["--public-ip", "198.51.100.1"]].concat());
    let browser = start("nowhere", Camera::Allowed);
    browser.open(&cluster.page("/?ice=tcp"));
    browser.click("start");
    browser.wait_for_state("failed");
    let outcome = browser.text("outcome");
    assert!(outcome.starts_with("No video connection could be made\n"), "{outcome}");
    assert!(outcome.contains("198.51.100.1 port ") && outcome.contains("(TCP)"), "{outcome}");
}
