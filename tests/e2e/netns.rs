//! A Chromium and a gateway in a network namespace whose loopback interface loses packets: the
//! kernel's `netem` beside our own emulation, which no browser can be put behind.
//!
//! Needs root and a kernel with `sch_netem`: `scripts/privileged.sh` says whether it can run.

use std::process::{Command, Output};

use reframe_tests::browser::Camera;
use reframe_tests::cluster::Cluster;

use crate::browser::{SOON, start};

/// Set for the process within the namespace.
const INSIDE: &str = "REFRAME_TESTS_IN_NAMESPACE";
/// Each way, as loopback's packets go out by it and never in. The other interface leads nowhere: a
/// Chromium with only loopback gathers no candidates.
const NETWORK: &str = "ip link set lo up && ip link add outer type veth peer name inner \
                       && ip address add 10.77.0.1/24 dev outer && ip link set outer up && ip link set inner up \
                       && ip route add default via 10.77.0.2 && tc qdisc add dev lo root netem delay 25ms loss 5%";

/// Runs `test`, whose name is `name`, in a network namespace of its own that `network` has set up.
pub(super) fn in_namespace(name: &str, network: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let script = format!("{network} && exec \"$1\" --exact {name} --include-ignored --nocapture");
    let output = run(&script).expect("a network namespace");
    let text = [output.stdout, output.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Runs `script` in a network namespace of its own.
fn run(script: &str) -> std::io::Result<Output> {
    Command::new("unshare")
        .args(["--net", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe()?)
        .env(INSIDE, "1")
        .output()
}

#[test]
#[ignore = "needs root and sch_netem: scripts/privileged.sh"]
fn the_picture_comes_back_through_a_lossy_loopback() {
    in_namespace("netns::the_picture_comes_back_through_a_lossy_loopback", NETWORK, inside);
}

fn inside() {
    let cluster = Cluster::launch("flip");
    let browser = start("netns", Camera::Allowed);
    browser.open(&cluster.page("/"));
    browser.click("start");
    browser.wait_for_state("live");
    let (_, mut last) =
        browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    for _ in 0..20 {
        (_, last) = browser
            .wait_for_picture("output", "another picture", |code| code.number != last.number);
    }
    let requested = || cluster.metrics().sum("reframe_packets_requested_total", &[]);
    reframe_tests::wait::eventually("lost packets are asked for", SOON, || {
        (requested() > 0.0).then_some(())
    });
    assert_eq!(cluster.sessions(), 1.0);
}
