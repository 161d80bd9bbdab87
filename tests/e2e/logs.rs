//! What strangers can make a gateway write and remember: a few lines, and no series that stays.

use std::process::Command;

use reframe_tests::cluster::Worker;
use reframe_tests::http::{get, post};
use reframe_tests::peer::{Media, offer_sdp};
use reframe_tests::process::digest;
use reframe_tests::source::Format;
use serde_json::json;

use super::pool::Gateway;
use super::*;

/// Offers whose browser never connects.
const OFFERS: usize = 100;
/// Of both halves together; each kind of line has five, and one more in ten seconds.
const LINES: usize = 20;
/// An offer is given up after thirty seconds at most.
const GIVEN_UP: Duration = Duration::from_secs(60);

#[test]
fn offers_that_never_connect_cost_a_handful_of_lines() {
    let mut cluster = Cluster::launch_with("flip", &["--capacity", "128"]);
    let before = cluster.gateway.log().lines().count();
    for n in 0..OFFERS {
        let offer = json!({ "sdp": offer_sdp(Media::default()), "type": "offer", "webrtc_id": format!("never-{n}") });
        post(&cluster.page("/webrtc/offer"), offer.to_string()).expect("the gateway answers");
    }
    cluster.wait_for_sessions(0, GIVEN_UP);
    let log = cluster.gateway.log();
    let lines = log.lines().count() - before;
    assert!(lines <= LINES, "{lines} lines for {OFFERS} offers:\n{log}");

    // One that does connect is told, with its address, whatever came before it.
    let mut peer = connect(&cluster, "honest", Video::Live(Format::SMALL));
    peer.wait_received(5, PATIENCE);
    peer.close();
    cluster.wait_for_sessions(0, CLOSED);
    let log = cluster.gateway.log();
    let session = format!("session=\"{}\"", digest("honest"));
    assert!(!log.contains("honest"), "an id may be all that its client has to show: {log}");
    for line in ["connected", "session ended reason=\"client_closed\""] {
        let told = |text: &&str| {
            [session.as_str(), "client=127.0.0.1", line].into_iter().all(|part| text.contains(part))
        };
        assert_eq!(log.lines().filter(told).count(), 1, "{line}: {log}");
    }
    assert!(cluster.gateway.alive());
}

/// Set for the process that sees another `/etc/hosts`.
const HOSTS: &str = "REFRAME_TESTS_HOSTS";
const NAME: &str = "logs::workers_that_come_and_go_leave_no_series";
/// In turn, and so many at a time.
const ROUNDS: u8 = 5;
const AT_A_TIME: u8 = 4;

/// Workers at ever new addresses, as pods have them.
#[test]
#[ignore = "needs root: scripts/privileged.sh"]
fn workers_that_come_and_go_leave_no_series() {
    if let Some(hosts) = std::env::var_os(HOSTS) {
        return come_and_go(hosts.as_ref());
    }
    let hosts = std::env::temp_dir().join(format!("reframe-hosts-{}", std::process::id()));
    std::fs::write(&hosts, "127.0.0.1 localhost\n").expect("a file");
    let inside = |script: &str| {
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "sh",
            "-c",
            &format!("mount --bind \"$1\" /etc/hosts && {script}"),
            "sh",
        ]);
        command
            .arg(&hosts)
            .arg(std::env::current_exe().expect("this program"))
            .env(HOSTS, &hosts)
            .output()
    };
    let output = inside(&format!("exec \"$2\" --exact {NAME} --include-ignored --nocapture"));
    let output = output.expect("a mount namespace");
    let text = [output.stdout, output.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    std::fs::remove_file(&hosts).ok();
}

fn come_and_go(hosts: &std::path::Path) {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a free port");
    let port = free.port();
    let gateway = Gateway::start(&[
        "--workers",
        &format!("dns://workers.test:{port}"),
        "--cluster-tls",
        "off",
    ]);
    let mut last = Vec::new();
    for round in 0..ROUNDS {
        let addresses: Vec<_> =
            (0..AT_A_TIME).map(|n| format!("127.0.{}.{}", round + 1, n + 1)).collect();
        let workers: Vec<_> = addresses
            .iter()
            .map(|address| Worker::serve_with("flip", &format!("{address}:{port}"), &[]))
            .collect();
        let names: String =
            addresses.iter().map(|address| format!("{address} workers.test\n")).collect();
        std::fs::write(hosts, format!("127.0.0.1 localhost\n{names}")).expect("the file");
        // Those of the round before are stopped when the new ones are there.
        let urls: Vec<_> = workers.iter().map(|worker| worker.url.as_str()).collect();
        eventually("the new workers serve", PATIENCE, || {
            let up = gateway.metrics().by("reframe_worker_up", "worker");
            urls.iter().all(|url| up.get(*url) == Some(&1.0)).then_some(())
        });
        last = workers;
    }
    let urls: Vec<_> = last.iter().map(|worker| worker.url.clone()).collect();
    eventually("the others are forgotten", PATIENCE, || {
        let up = gateway.metrics().by("reframe_worker_up", "worker");
        (up.keys().eq(urls.iter())).then_some(())
    });
    let text = get(&format!("{}/metrics", gateway.admin)).expect("the admin port answers").body;
    assert_eq!(text.matches("worker=\"").count(), urls.len(), "{text}");
    assert_eq!(gateway.metrics().sum("reframe_workers_serving", &[]), f64::from(AT_A_TIME));
}
