//! Without `--auth`: which starts are refused, and who may not be passed on.

use reframe_tests::http::{get, send};
use reframe_tests::process::Process;

use super::*;

#[test]
fn a_port_that_others_reach_needs_a_decision() {
    let options =
        ["--http", "0.0.0.0:0", "--admin", "127.0.0.1:0", "--workers", "http://127.0.0.1:1"];
    let output = run("reframe-gateway", &options);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(told.contains("--auth: needed") && told.contains("--auth-key-file"), "{told}");
    let mut gateway =
        Process::start("reframe-gateway", &[&options[..], &["--auth", "none"]].concat());
    gateway.announced("page ");
}

/// A proxy on this machine would make everybody a neighbour.
#[test]
fn on_loopback_nobody_may_be_passed_on() {
    let cluster = Cluster::launch("flip");
    for header in ["forwarded", "x-forwarded-for", "X-Forwarded-Proto", "via"] {
        let reply = send("GET", &cluster.page("/api/streams"), &[(header, "1.1 proxy")], "");
        let told = reply.json()["meta"]["message"].to_string();
        assert_eq!(reply.status, 403, "{header}: {reply:?}");
        assert!(told.contains("--auth") && told.contains("--trusted-proxies"), "{told}");
    }
    assert_eq!(get(&cluster.page("/api/streams")).expect("an answer").status, 200);
}
