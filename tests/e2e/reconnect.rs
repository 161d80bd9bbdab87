//! The page goes on through another gateway when its own one is gone, or says that it will be.

use reframe_tests::balancer::Balancer;
use reframe_tests::browser::{Browser, Camera, KEY_END};
use reframe_tests::process::Process;
use serde_json::json;
use tokio::time::Instant;

use super::browser::{SOON, keep_screenshots, start};
use super::*;

/// From the end of a gateway to the next picture. The page's own time for that is five seconds.
const BACK: Duration = Duration::from_secs(15);
/// The page tries for a minute; the rest is for the machine.
const GIVEN_UP: Duration = Duration::from_secs(120);

/// Two gateways over the same two workers, behind a load balancer that leads to the first one.
fn two_gateways(demo: &str) -> (Cluster, Cluster, Balancer) {
    let first = Cluster::separate(demo, 2);
    let second = Cluster::beside(&first, &[]);
    let balancer = Balancer::start(&[first.page(""), second.page("")]);
    balancer.only(Some(0));
    (first, second, balancer)
}

#[track_caller]
fn start_live(browser: &Browser, page: &str) {
    browser.resize(1280, 800);
    browser.open(page);
    eventually("the page knows its stream", SOON, || {
        (browser.run("return document.body.dataset.mode ?? ''") != "").then_some(())
    });
    // Each time that the page asks for the camera.
    browser.run(
        "window.cameras = 0;
         const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
         navigator.mediaDevices.getUserMedia = (wish) => (window.cameras++, ask(wish));",
    );
    browser.click("start");
    browser.wait_for_state("live");
}

#[track_caller]
fn wait_slider(browser: &Browser, what: &str, timeout: Duration, value: &Value) {
    eventually(what, timeout, || (browser.output("seen")["slider"] == *value).then_some(()));
}

/// Still the track that the first connection had.
#[track_caller]
fn assert_one_camera(browser: &Browser) {
    let camera = "const [track] = preview.srcObject.getVideoTracks(); return [window.cameras, \
                  track.readyState]";
    let camera =
        browser.run(&format!("const preview = document.getElementById('preview'); {camera}"));
    assert_eq!(camera, json!([1, "live"]));
}

#[test]
fn a_killed_gateway_is_replaced_by_another_and_inputs_hold() {
    goes_on_elsewhere("killed", |gateway, balancer| {
        balancer.only(None);
        gateway.kill9();
    });
}

#[test]
fn a_gateway_that_hangs_is_replaced_by_another_and_inputs_hold() {
    goes_on_elsewhere("hung", |gateway, balancer| {
        // A balancer that asks `/readyz` does that by itself: what is stopped still takes
        // connections.
        balancer.only(Some(1));
        gateway.freeze();
    });
}

#[expect(clippy::print_stdout, reason = "the real figure, which the assertion is far from")]
fn goes_on_elsewhere(name: &str, fault: impl FnOnce(&mut Process, &Balancer)) {
    let (mut first, second, balancer) = two_gateways("echo-inputs");
    let browser = start(name, Camera::Allowed);
    start_live(&browser, &balancer.page("/"));
    assert_eq!((first.sessions(), second.sessions()), (1.0, 0.0));
    browser.press("input-slider", KEY_END);
    wait_slider(&browser, "the slider is obeyed", SOON, &json!(1));

    // The panel keeps its values. A new handler tells what it sees at first: without these that can
    // be told.
    browser.run("document.getElementById('output-seen').dataset.value = 'null'");
    let killed = Instant::now();
    fault(&mut first.gateway, &balancer);
    browser.wait_for_state("reconnecting");
    let noticed = killed.elapsed();
    browser.wait_for_state("live");
    let back = killed.elapsed();
    assert!(back < BACK, "noticed after {noticed:?}, live again only after {back:?}");
    println!("noticed after {noticed:?}, live again {back:?} after it was {name}");
    assert_eq!(second.sessions(), 1.0);

    wait_slider(&browser, "the slider still holds", SOON, &json!(1));
    browser.click("input-checkbox");
    eventually("the checkbox is obeyed", SOON, || {
        (browser.output("seen")["checkbox"] == true).then_some(())
    });
    let (_, code) = browser.wait_for_picture("output", "the camera", |_| true);
    browser.wait_for_picture("output", "another picture", |next| next.number != code.number);
    assert_one_camera(&browser);
    browser.click("start");
    browser.wait_for_state("idle");
    second.wait_for_sessions(0, SOON);
}

/// The browser's idle HTTP connections still lead to the gateway that leaves.
#[test]
fn a_gateway_that_stops_is_left_for_another_without_a_gap() {
    let (mut first, second, balancer) = two_gateways("echo-inputs");
    let browser = start("left-for-another", Camera::Allowed);
    start_live(&browser, &balancer.page("/"));
    browser.press("input-slider", KEY_END);
    wait_slider(&browser, "the slider is obeyed", SOON, &json!(1));
    // Whatever else the page says from now on.
    browser.run(
        "window.states = [];
         const keep = () => window.states.push(document.body.dataset.state);
         new MutationObserver(keep).observe(document.body, { attributes: true });",
    );

    balancer.only(None);
    first.gateway.terminate();
    second.wait_for_sessions(1, PATIENCE);
    let status = first.gateway.exit(PATIENCE);
    assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", first.gateway.log());
    let (_, code) = browser.wait_for_picture("output", "the camera", |_| true);
    browser.wait_for_picture("output", "another picture", |next| next.number != code.number);
    let states = browser.run("return window.states");
    let other = states.as_array().expect("a list").iter().find(|state| **state != json!("live"));
    assert_eq!(other, None, "{states}");
    assert_eq!(browser.text("messages"), "");
    wait_slider(&browser, "the slider still holds", SOON, &json!(1));
    browser.click("input-checkbox");
    eventually("the checkbox is obeyed", SOON, || {
        (browser.output("seen")["checkbox"] == true).then_some(())
    });
    assert_one_camera(&browser);
    browser.click("start");
    browser.wait_for_state("idle");
    second.wait_for_sessions(0, SOON);
}

#[test]
fn stop_ends_reconnecting() {
    let mut cluster = Cluster::launch("flip");
    let browser = start("given-up", Camera::Allowed);
    start_live(&browser, &cluster.page("/"));
    cluster.gateway.kill9();
    browser.wait_for_state("reconnecting");
    assert_eq!(browser.text("start"), "Stop");
    browser.click("start");
    browser.wait_for_state("idle");
    assert_eq!(browser.run("return document.getElementById('preview').srcObject"), Value::Null);
}

#[test]
fn a_page_that_finds_no_gateway_gives_up() {
    let mut cluster = Cluster::launch("flip");
    let browser = start("gone", Camera::Allowed);
    start_live(&browser, &cluster.page("/"));
    cluster.gateway.kill9();
    browser.wait_for_state("reconnecting");
    keep_screenshots(&browser, "reconnecting");
    eventually("the page gives up", GIVEN_UP, || {
        (browser.run("return document.body.dataset.state") == "failed").then_some(())
    });
    let outcome = browser.text("outcome");
    assert!(
        outcome.starts_with("The connection was lost\nIt did not come back within a minute."),
        "{outcome}"
    );
    keep_screenshots(&browser, "lost");
    browser.click("start");
    eventually("the server is missed", SOON, || {
        browser.text("outcome").starts_with("The server cannot be reached\n").then_some(())
    });
    keep_screenshots(&browser, "gone");
    assert_eq!(browser.run("return document.getElementById('preview').srcObject"), Value::Null);
}
