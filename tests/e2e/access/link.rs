//! `--auth link`: whoever has the address that was printed.

use reframe_tests::browser::Camera;
use reframe_tests::http::get;
use reframe_tests::process::Process;

use super::super::browser::{SOON, keep_screenshots, start};
use super::*;

/// As in Jupyter: whoever has the address that was printed.
#[test]
fn a_page_in_the_network_is_opened_by_its_link() {
    let options = ["launch", "--demo", "flip", "--http", "0.0.0.0:0", "--admin", "127.0.0.1:0"];
    let mut launched = Process::start("reframe-worker", &options);
    let link = launched.announced("page ");
    let (page, token) = link.split_once("/?t=").expect("a token in the address");
    assert_eq!(get(&format!("{page}/api/streams")).expect("an answer").status, 401);
    let browser = start("link", Camera::Allowed);
    browser.open(&format!("{page}/"));
    eventually("it says what it needs", SOON, || {
        browser.text("outcome").contains("needs a token").then_some(())
    });
    keep_screenshots(&browser, "denied");
    browser.open(&link);
    eventually("the stream's title", SOON, || (browser.text("title") == "Flip").then_some(()));
    let address = browser.run("return location.href");
    assert!(!address.to_string().contains(token), "{address}");
    let cookies = browser.run("return document.cookie");
    assert_eq!(cookies, json!(""), "no script reads it");
    browser.click("start");
    browser.wait_for_state("live");
    // The cookie is enough from now on.
    browser.open(&format!("{page}/"));
    eventually("the stream's title", SOON, || (browser.text("title") == "Flip").then_some(()));
    assert_only_refused(&browser);
}
