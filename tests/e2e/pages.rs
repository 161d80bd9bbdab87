//! Every demo on its page: what a person sees of it, and that its inputs are obeyed and its outputs
//! shown.

use reframe_tests::browser::{Browser, Camera, KEY_END, KEY_HOME, KEY_RIGHT};
use reframe_tests::http::delete;
use reframe_tests::source::Format;
use serde_json::json;

use super::browser::{SOON, keep_screenshots, start};
use super::*;

/// That the program serves to people.
const DEMOS: usize = 7;

#[track_caller]
fn wait_output(
    browser: &Browser,
    name: &str,
    what: &str,
    accept: impl Fn(&Value) -> bool,
) -> Value {
    eventually(&format!("the output {name} {what}"), SOON, || {
        Some(browser.output(name)).filter(|value| accept(value))
    })
}

/// With everything in view: Chromium pauses a muted video that is scrolled away.
fn start_wide(name: &str, camera: Camera) -> Browser {
    let browser = start(name, camera);
    browser.resize(1280, 800);
    browser
}

/// Opens the page of the demo `name` and starts it.
fn live(browser: &Browser, cluster: &Cluster, name: &str) {
    browser.open(&cluster.page(&format!("/{name}/")));
    let ready = || (browser.run("return document.body.dataset.mode ?? ''") != "").then_some(());
    eventually("the page knows its stream", SOON, ready);
    browser.click("start");
    browser.wait_for_state("live");
}

#[track_caller]
fn stop(browser: &Browser, cluster: &Cluster, name: &str) {
    keep_screenshots(browser, &format!("demo-{name}"));
    browser.click("start");
    browser.wait_for_state("idle");
    cluster.wait_for_sessions(0, SOON);
    assert_eq!(browser.console_errors(), Vec::<String>::new(), "{name}");
}

/// The video element shows a picture of this size, and then another picture.
#[track_caller]
fn assert_moves(browser: &Browser, id: &str, size: [u32; 2]) {
    let seen = || {
        browser.run(&format!(
            "const v = document.getElementById('{id}'); return [v.videoWidth, v.videoHeight]"
        ))
    };
    eventually(&format!("a picture of {size:?} in #{id}"), SOON, || {
        (seen() == json!(size)).then_some(())
    });
    let first = browser.picture(id);
    assert!(first.mean(0.0, 1.0).iter().any(|mean| *mean > 20.0), "#{id} is black");
    eventually("another picture", SOON, || (browser.picture(id) != first).then_some(()));
}

#[test]
fn the_index_leads_to_every_demo() {
    let cluster = Cluster::launch_all();
    let browser = start_wide("index", Camera::Allowed);
    browser.open(&cluster.page("/"));
    let titles = || {
        browser.run(
            "return [...document.querySelectorAll('#streams a')].map((link) => link.textContent)",
        )
    };
    eventually("all streams", SOON, || {
        (titles().as_array().is_some_and(|titles| titles.len() == DEMOS)).then_some(())
    });
    keep_screenshots(&browser, "index");
    for n in 0..DEMOS {
        let title = titles()[n].as_str().expect("a text").to_owned();
        browser.run(&format!("document.querySelectorAll('#streams a')[{n}].click()"));
        eventually(&title, SOON, || (browser.text("title") == title).then_some(()));
        eventually("a way back", SOON, || (browser.text("others") == "All streams").then_some(()));
        browser.click("others");
        eventually("the index", SOON, || {
            (titles().as_array().is_some_and(|titles| titles.len() == DEMOS)).then_some(())
        });
    }
    assert_eq!(browser.console_errors(), Vec::<String>::new());
}

#[test]
fn every_demo_with_a_camera_works_on_its_page() {
    let cluster = Cluster::launch_all();
    let browser = start_wide("demos", Camera::Allowed);

    live(&browser, &cluster, "detection");
    let some = |objects: &Value| objects.as_u64().is_some_and(|count| count > 0);
    browser.press("input-conf_threshold", KEY_HOME);
    wait_output(&browser, "objects", "counts some", some);
    // Nothing that moves by a few pixels is as sure as that.
    browser.press("input-conf_threshold", KEY_END);
    wait_output(&browser, "objects", "counts none", |objects| *objects == 0);
    browser.press("input-conf_threshold", KEY_HOME);
    wait_output(&browser, "objects", "counts some again", some);
    assert_moves(&browser, "output", [640, 480]);
    stop(&browser, &cluster, "detection");

    live(&browser, &cluster, "detect-objects");
    browser.press("input-confidence", KEY_END);
    wait_output(&browser, "objects", "counts none", |objects| *objects == 0);
    browser.press("input-confidence", KEY_HOME);
    wait_output(&browser, "objects", "counts some", some);
    wait_output(&browser, "classes", "counts blue ones", |classes| some(&classes["blue"]));
    // Another session's frames share its batches.
    let camera = Options::camera("other", Video::Live(Format::SMALL));
    let mut other = connect_at(&cluster, "/detect-objects", camera);
    eventually("a batch in the status line", SOON, || {
        let status = browser.text("status");
        ["handler", "wait ", "batch of "].iter().all(|part| status.contains(part)).then_some(())
    });
    assert_moves(&browser, "output", [640, 480]);
    other.close();
    stop(&browser, &cluster, "detect-objects");

    live(&browser, &cluster, "skip-frames");
    browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    stop(&browser, &cluster, "skip-frames");

    live(&browser, &cluster, "sink");
    let values = |plot: &Value| plot.as_array().map_or(0, Vec::len);
    wait_output(&browser, "brightness", "is a plot", |plot| values(plot) > 30);
    let latest = wait_output(&browser, "brightness", "goes on", |plot| values(plot) > 60);
    assert!(
        latest
            .as_array()
            .expect("a list")
            .iter()
            .all(|mean| mean.as_f64().is_some_and(|mean| mean > 30.0)),
        "{latest}"
    );
    browser.wait_for_picture("preview", "the camera itself", |code| !code.flipped);
    stop(&browser, &cluster, "sink");
}

/// Without a camera, and so without a question about one.
#[test]
fn every_demo_without_a_camera_works_on_its_page() {
    let cluster = Cluster::launch_all();
    let browser = start_wide("clips", Camera::Missing);
    live(&browser, &cluster, "generation");
    assert_moves(&browser, "output", [640, 360]);
    stop(&browser, &cluster, "generation");

    live(&browser, &cluster, "output-fps");
    wait_output(&browser, "fps", "is near 60", |fps| {
        fps.as_f64().is_some_and(|fps| (30.0..66.0).contains(&fps))
    });
    assert_moves(&browser, "output", [640, 360]);
    stop(&browser, &cluster, "output-fps");
}

/// What was set before Start holds from the first frame; every kind of control is obeyed while it
/// runs.
#[test]
fn every_kind_of_input_is_obeyed() {
    let cluster = Cluster::launch("echo-inputs");
    let browser = start_wide("inputs", Camera::Allowed);
    browser.open(&cluster.page("/"));
    eventually("the inputs", SOON, || {
        (browser.run("return !document.getElementById('inputs').hidden") == true).then_some(())
    });
    browser.click("input-checkbox");
    browser.press("input-textbox", "!");
    browser.click("start");
    browser.wait_for_state("live");
    let seen = |what: &str, field: &str, value: Value| {
        wait_output(&browser, "seen", what, |seen| seen[field] == value);
    };
    let first = wait_output(&browser, "seen", "comes", Value::is_object);
    assert_eq!(
        (&first["checkbox"], &first["textbox"], &first["slider"]),
        (&json!(true), &json!("hello!"), &json!(0.3))
    );

    browser.press("input-slider", KEY_RIGHT);
    seen("follows the slider by a step", "slider", json!(0.31));
    browser.press("input-slider", KEY_END);
    seen("follows the slider to its end", "slider", json!(1));
    browser.press("input-number", "0");
    seen("follows the number", "number", json!(10));
    browser.click("input-checkbox");
    seen("follows the checkbox", "checkbox", json!(false));
    browser.press("input-textbox", "?");
    seen("follows the textbox", "textbox", json!("hello!?"));
    browser.press("input-dropdown", "b");
    seen("follows the dropdown", "dropdown", json!("blue"));
    let pick =
        "const colour = document.getElementById('input-color_picker'); colour.value = '#ff8000';
                colour.dispatchEvent(new Event('input', { bubbles: true }))";
    browser.run(pick);
    seen("follows the colour", "color_picker", json!("#ff8000"));
    // Out of range: the page says so and sends nothing, which the next change that is seen proves.
    browser.press("input-number", "0");
    browser.click("input-checkbox");
    seen("follows the checkbox again", "checkbox", json!(true));
    assert_eq!(browser.output("seen")["number"], json!(10));
    assert!(!browser.text("input-number-problem").is_empty());
    keep_screenshots(&browser, "inputs");
    assert_eq!(browser.text("messages"), "");

    // An operator ends it; the outputs stay to be read.
    let listed =
        reframe_tests::http::get(&cluster.admin("/api/sessions")).expect("an answer").json();
    let id = listed["sessions"][0]["id"].as_str().expect("one session").to_owned();
    assert_eq!(
        delete(&cluster.admin(&format!("/api/sessions/{id}"))).expect("an answer").status,
        200
    );
    browser.wait_for_state("ended");
    assert!(
        browser.text("outcome").starts_with("The server closed this stream"),
        "{}",
        browser.text("outcome")
    );
    assert_eq!(browser.output("seen")["color_picker"], json!("#ff8000"));
    keep_screenshots(&browser, "closed");
    assert_eq!(browser.console_errors(), Vec::<String>::new());
    cluster.wait_for_sessions(0, SOON);
}
