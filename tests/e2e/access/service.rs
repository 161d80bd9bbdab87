//! `--auth http`: a service decides.

use std::sync::atomic::Ordering;

use reframe_tests::browser::Camera;

use super::super::browser::{SOON, start};
use super::stub::service;
use super::*;

#[test]
fn a_service_decides() {
    let (url, asked) = service(|question| {
        assert_eq!(
            (&question["ip"], &question["stream"]),
            (&json!("127.0.0.1"), &json!("default"))
        );
        match (question["token"].as_str(), question["action"].as_str()) {
            (Some("ada's"), Some("open")) => {
                (200, json!({ "subject": "ada", "inputs": { "by": 9 } }).to_string())
            }
            (Some("bob's"), Some("set")) => (204, String::new()),
            _ => (403, "no".to_owned()),
        }
    });
    let cluster = Cluster::local_with([counting()], &["--auth", "http", "--auth-http", &url]);
    let status = |path: &str, token: Option<&str>| {
        request("GET", &cluster.page(path), token, &Value::Null).status
    };
    assert_eq!(status("/api/streams", None), 401);
    assert_eq!(status("/api/streams", Some("eve's")), 401);
    assert_eq!(status("/api/streams", Some("ada's")), 200);
    let before = asked.load(Ordering::Relaxed);
    let mut peer = open(&cluster, camera("mine", "ada's"));
    assert!(asked.load(Ordering::Relaxed) <= before + 1, "it was asked a moment ago");
    peer.wait_output("by", PATIENCE, |by| by.as_f64() == Some(9.0));
    let set = |token: &str| {
        let body = json!({ "webrtc_id": "mine", "by": 3 });
        request("POST", &cluster.page("/input_hook"), Some(token), &body).status
    };
    assert_eq!((set("ada's"), set("bob's")), (401, 422), "`by` is fixed for everybody");
    peer.close();
    // Nobody is let in because a service is away.
    let away = ["--auth", "http", "--auth-http", "http://127.0.0.1:1/"];
    let away = Cluster::local_with([counting()], &away);
    let reply = request("POST", &away.page("/webrtc/offer"), Some("ada's"), &offer("x"));
    assert_eq!((reply.status, &reply.json()["meta"]["error"]), (503, &json!("auth_unavailable")));
}

/// With the token of its address, which the service is asked about.
#[test]
fn the_page_works_where_a_service_decides() {
    let (url, asked) = service(|question| match question["token"].as_str() {
        Some("ada's") => (200, json!({ "subject": "ada" }).to_string()),
        _ => (403, "no".to_owned()),
    });
    let cluster = Cluster::launch_with("flip", &["--auth", "http", "--auth-http", &url]);
    let browser = start("decided", Camera::Allowed);
    browser.open(&cluster.page("/"));
    eventually("it says what it needs", SOON, || {
        browser.text("outcome").contains("a token is needed").then_some(())
    });
    browser.open(&cluster.page("/?t=ada's"));
    eventually("the stream's title", SOON, || (browser.text("title") == "Flip").then_some(()));
    assert_eq!(browser.run("return document.cookie + location.search"), json!(""));
    browser.click("start");
    browser.wait_for_state("live");
    browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    let log = cluster.gateway.log();
    assert!(log.contains("opened") && log.contains("ada"), "{log}");
    assert!(asked.load(Ordering::Relaxed) > 0);
    assert_only_refused(&browser);
}
