//! `--auth proxy`: a proxy in front names the person.

use reframe_tests::browser::Camera;
use reframe_tests::http::send;

use super::super::browser::{SOON, start};
use super::reverse_proxy::reverse_proxy;
use super::*;

#[test]
fn a_proxy_names_the_person() {
    let options = ["--auth", "proxy", "--auth-header", "X-User", "--trusted-proxies", "127.0.0.1"];
    let cluster = Cluster::local_with([counting()], &options);
    let ask = |headers: &[(&str, &str)]| {
        let reply = send("GET", &cluster.page("/api/token"), headers, "");
        (reply.status, reply.json()["subject"].clone())
    };
    assert_eq!(ask(&[("x-user", "ada@example.com")]), (200, json!("ada@example.com")));
    assert_eq!(ask(&[]).0, 401);
    assert_eq!(ask(&[("x-user", "ada"), ("x-user", "eve")]).0, 401);
    let far = ["--auth", "proxy", "--trusted-proxies", "192.0.2.1"];
    let far = Cluster::local_with([counting()], &far);
    let named = [("x-forwarded-user", "eve")];
    assert_eq!(send("GET", &far.page("/api/token"), &named, "").status, 403, "not a proxy of ours");
}

/// The page asks nobody for a token: the proxy says who it is, with each request.
#[test]
fn the_page_works_behind_a_proxy_that_names_the_person() {
    let options = ["--auth", "proxy", "--auth-header", "X-User", "--trusted-proxies", "127.0.0.1"];
    let cluster = Cluster::launch_with("flip", &options);
    let browser = start("proxied", Camera::Allowed);
    browser.open(&cluster.page("/"));
    eventually("it says that nobody is named", SOON, || {
        browser.text("outcome").contains("the proxy names nobody").then_some(())
    });
    let proxy = reverse_proxy(&cluster.page(""), "X-User", "ada@example.com");
    browser.open(&format!("{proxy}/"));
    eventually("the stream's title", SOON, || (browser.text("title") == "Flip").then_some(()));
    browser.click("start");
    browser.wait_for_state("live");
    browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    let log = cluster.gateway.log();
    assert!(log.contains("opened") && log.contains("ada@example.com"), "{log}");
    assert_only_refused(&browser);
}
