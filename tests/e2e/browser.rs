//! The page in a real Chromium: what the person in front of it sees, when all goes well and when it
//! does not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reframe_tests::browser::{Browser, Camera, UNTRUSTED_HOST};
use reframe_tests::cluster::Cluster;
use reframe_tests::wait::eventually;

/// For the page to say something, or for the server to notice that it left.
pub(super) const SOON: Duration = Duration::from_secs(30);

#[test]
fn the_picture_comes_back_upside_down() {
    let cluster = Cluster::launch("flip");
    let browser = start("flip", Camera::Allowed);
    browser.open(&cluster.page("/"));
    eventually("the stream's title", SOON, || (browser.text("title") == "Flip").then_some(()));
    keep_screenshots(&browser, "idle");

    for round in 1..=2 {
        browser.click("start");
        browser.wait_for_state("live");
        assert_eq!(cluster.sessions(), 1.0);
        let (sent, _) = browser.wait_for_picture("preview", "the camera", |code| !code.flipped);
        let (shown, first) =
            browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
        // A mirrored or turned picture has no code that can be read. Colours travel apart from it:
        // the scene is pale below its code and yellow at its other end. Over the whole clip either
        // varies by 22 at most.
        let (pale, yellow) = (sent.mean(0.14, 0.30), sent.mean(0.84, 1.00));
        let (shown_pale, shown_yellow) = (shown.mean(0.70, 0.86), shown.mean(0.00, 0.16));
        assert!(distance(pale, yellow) > 50.0, "the scene is {pale:?} and {yellow:?}");
        assert!(distance(pale, shown_pale) < 30.0, "sent {pale:?}, shown {shown_pale:?}");
        assert!(distance(yellow, shown_yellow) < 30.0, "sent {yellow:?}, shown {shown_yellow:?}");
        browser.wait_for_picture("output", "another picture", |code| {
            code.flipped && code.number != first.number
        });
        let status = eventually("numbers in the status line", SOON, || {
            Some(browser.text("status")).filter(|status| status.contains("round trip"))
        });
        assert!(status.starts_with("Live") && status.contains("fps"), "{status}");
        keep_screenshots(&browser, &format!("live-{round}"));

        browser.click("start");
        browser.wait_for_state("idle");
        cluster.wait_for_sessions(0, SOON);
    }
    assert_eq!(browser.console_errors(), Vec::<String>::new());
}

#[test]
fn a_page_that_is_left_gives_its_place_back() {
    let cluster = Cluster::launch("flip");
    let browser = start("left", Camera::Allowed);
    browser.open(&cluster.page("/"));
    browser.click("start");
    browser.wait_for_state("live");
    assert_eq!(cluster.sessions(), 1.0);
    browser.open("about:blank");
    cluster.wait_for_sessions(0, SOON);
}

#[test]
fn a_visitor_over_the_limit_is_told() {
    let cluster = Cluster::launch_with("flip", &["--capacity", "1"]);
    let browser = start("limit", Camera::Allowed);
    browser.open(&cluster.page("/"));
    browser.click("start");
    browser.wait_for_state("live");

    browser.open_tab(&cluster.page("/"));
    browser.click("start");
    browser.wait_for_state("failed");
    assert_eq!(
        browser.text("outcome"),
        "Every place is taken\nThis server runs one stream at once. Press Start again when \
         someone has left."
    );
    assert_eq!(cluster.sessions(), 1.0, "the first visitor keeps the place");
    keep_screenshots(&browser, "limit");
}

#[test]
fn a_handlers_errors_and_its_end_are_told() {
    let cluster = Cluster::launch("faulty");
    let browser = start("faulty", Camera::Allowed);
    browser.open(&cluster.page("/"));
    browser.click("start");
    browser.wait_for_state("live");
    eventually("the handler's error", SOON, || {
        browser.text("messages").contains("Error\nframe ").then_some(())
    });
    // Its 100th frame makes the handler panic.
    browser.wait_for_state("ended");
    let outcome = browser.text("outcome");
    assert!(
        outcome.contains("crashed") && outcome.ends_with("Press Start to begin again."),
        "{outcome}"
    );
    // Nine frames failed, and then the handler; the page keeps four messages. On a machine that
    // cannot keep up one of them is a warning of that.
    let messages = browser.text("messages");
    assert_eq!(messages.matches("Dismiss").count(), 4, "{messages}");
    assert!(!messages.contains("frame 60 ") && messages.contains("frame 80 "), "{messages}");
    assert!(messages.contains("the handler crashed"), "{messages}");
    keep_screenshots(&browser, "faulty");
    cluster.wait_for_sessions(0, SOON);
}

/// As behind a proxy that asks for a name and a password, when both stand in the address.
#[test]
fn a_page_whose_address_has_a_password_works() {
    let cluster = Cluster::launch("flip");
    let browser = start("password", Camera::Allowed);
    browser.open(&cluster.page("/").replace("http://", "http://user:pw@"));
    // Not what the address bar shows, but what `fetch` would go by.
    let base = browser.run("return document.baseURI");
    assert!(base.as_str().is_some_and(|base| base.contains("user:pw@")), "{base}");
    browser.click("start");
    browser.wait_for_state("live");
    browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    assert_eq!(browser.console_errors(), Vec::<String>::new());
}

#[test]
fn a_camera_that_cannot_be_had_is_told() {
    let cluster = Cluster::launch("flip");
    for (camera, title) in
        [(Camera::Denied, "The camera is not allowed"), (Camera::Missing, "No camera was found")]
    {
        let browser = start(&format!("{camera:?}"), camera);
        browser.open(&cluster.page("/"));
        browser.click("start");
        browser.wait_for_state("failed");
        assert!(
            browser.text("outcome").starts_with(&format!("{title}\n")),
            "{}",
            browser.text("outcome")
        );
        assert_eq!(browser.console_errors(), Vec::<String>::new());
    }

    let cluster = Cluster::launch_with("flip", &["--allowed-hosts", UNTRUSTED_HOST]);
    let browser = start("untrusted", Camera::Allowed);
    browser.open(&cluster.page("/").replace("127.0.0.1", UNTRUSTED_HOST));
    browser.click("start");
    browser.wait_for_state("failed");
    let outcome = browser.text("outcome");
    assert!(
        outcome.starts_with("This page may not use the camera\n")
            && outcome.contains("http://localhost:"),
        "{outcome}"
    );
    assert_eq!(cluster.metrics().sum("reframe_frames_received_total", &[]), 0.0);
}

pub(super) fn start(name: &str, camera: Camera) -> Browser {
    Browser::start(Path::new(env!("CARGO_TARGET_TMPDIR")), name, camera)
}

/// `target/screenshots/NAME-{wide,phone}.png`, for people to look at.
pub(super) fn keep_screenshots(browser: &Browser, name: &str) {
    let directory: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
    for (kind, width, height) in [("phone", 390, 844), ("wide", 1280, 800)] {
        browser.resize(width, height);
        browser.screenshot(&directory.join(format!("{name}-{kind}.png")));
    }
}

/// The greatest difference of a colour component, of 255.
fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}
