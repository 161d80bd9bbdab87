//! The page in a frame of another site.

use reframe_tests::browser::Camera;

use super::super::browser::{SOON, start};
use super::stub::service;
use super::*;

/// A dashboard or a notebook: no cookie of ours goes there.
#[test]
fn a_page_in_a_frame_of_another_site_keeps_its_token_in_memory() {
    let keys = File::new("framed", KEY);
    let auth = ["--auth", "token", "--auth-key-file", keys.path()];
    let framed = [&auth[..], &["--frame-ancestors", "'self' http://localhost:*"]].concat();
    let (open, closed) =
        (Cluster::launch_with("flip", &framed), Cluster::launch_with("flip", &auth));
    let token = token(&keys, &[]);
    let browser = start("framed", Camera::Allowed);
    let show = |cluster: &Cluster| {
        let frame =
            format!("<iframe src=\"{}?t={token}\" allow=\"camera\"></iframe>", cluster.page("/"));
        let (url, _) =
            service(move |_| (200, format!("<!doctype html><title>other</title>{frame}")));
        // Another site than 127.0.0.1.
        browser.open(&url.replace("127.0.0.1", "localhost"));
        browser.enter_frame(0);
    };
    show(&open);
    eventually("the stream's title", SOON, || (browser.text("title") == "Flip").then_some(()));
    assert_eq!(browser.run("return document.cookie + location.search"), json!(""));
    browser.click("start");
    browser.wait_for_state("live");
    show(&closed);
    let shown = browser.run("return document.getElementById('title') === null");
    assert_eq!(shown, json!(true), "--frame-ancestors is 'none' by default");
}
