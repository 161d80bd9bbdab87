//! What orchestrators are told of a gateway: not well when one of its threads hangs, and well when
//! it only had no time.

use reframe_tests::cluster::Worker;
use reframe_tests::held::Held;
use reframe_tests::http::get;
use reframe_tests::process::Process;
use reframe_tests::source::Format;
use tokio::time::Instant;

use super::*;

/// It takes ten seconds to be unhealthy, and twelve to give up where a test says so.
const STUCK: Duration = Duration::from_secs(60);
/// What it says before it ends itself.
const LAST_LINE: &str = "this process ends itself, to be started again";

/// Status and body of a probe.
#[track_caller]
fn probe(cluster: &Cluster, path: &str) -> (u16, String) {
    let reply = get(&cluster.admin(path)).expect("the admin port answers");
    (reply.status, reply.body)
}

#[track_caller]
fn wait_status(cluster: &Cluster, path: &str, status: u16) -> String {
    eventually(&format!("{path} is {status}"), STUCK, || {
        let (answered, body) = probe(cluster, path);
        (answered == status).then_some(body)
    })
}

fn hold(process: &Process, thread: &str) -> Held {
    Held::hold(process.id(), thread).unwrap_or_else(|error| panic!("{thread}: {error}"))
}

fn lines(process: &Process, parts: &[&str]) -> usize {
    process.log().lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
}

#[test]
#[ignore = "needs ptrace: scripts/privileged.sh"]
fn a_thread_that_hangs_is_named_then_unhealthy_and_all_is_well_when_it_goes_on() {
    let cluster = Cluster::launch_with("flip", &["--codec-threads", "2", "--exit-when-stuck", "0"]);
    for thread in ["codec-1", "session", "worker"] {
        let held = hold(&cluster.gateway, thread);
        let told = wait_status(&cluster, "/readyz", 503);
        assert!(
            told.starts_with("stuck for ") && told.trim_end().ends_with(&format!(": {thread}")),
            "{told}"
        );
        let stuck = cluster.metrics().by("reframe_thread_stuck", "thread");
        assert!(
            stuck.len() > 8
                && stuck.iter().all(|(name, stuck)| *stuck == f64::from(name == thread)),
            "{stuck:?}"
        );
        let told = wait_status(&cluster, "/healthz", 503);
        assert!(told.trim_end().ends_with(&format!(": {thread}")), "{told}");
        drop(held);
        wait_status(&cluster, "/healthz", 200);
        wait_status(&cluster, "/readyz", 200);
        for line in ["stuck: no sign of life", "still stuck", "no longer stuck"] {
            let found = || {
                (lines(&cluster.gateway, &[&format!("thread=\"{thread}\""), line]) == 1)
                    .then_some(())
            };
            assert!(
                try_eventually(PATIENCE, found).is_some(),
                "once {line}: {}",
                cluster.gateway.log()
            );
        }
    }
    assert_eq!(cluster.metrics().sum("reframe_thread_stuck", &[]), 0.0);
    let mut peer = connect(&cluster, "after", Video::Live(Format::SMALL));
    peer.wait_received(10, PATIENCE);
    peer.close();
    assert_balanced(&cluster);
}

#[test]
#[ignore = "needs ptrace: scripts/privileged.sh"]
fn a_process_with_a_thread_that_hangs_for_long_ends_itself_with_a_line_that_says_why() {
    let mut cluster = Cluster::of_with(
        vec![Worker::serve_with("flip", "127.0.0.1:0", &["--exit-when-stuck", "12"])],
        &["--exit-when-stuck", "12"],
    );
    let held = hold(&cluster.gateway, "pacer");
    // Its only thread that moves frames is the main one.
    let held_too = hold(&cluster.workers[0].process, "reframe-worker");
    for (process, thread, held) in [
        (&mut cluster.gateway, "pacer", held),
        (&mut cluster.workers[0].process, "worker", held_too),
    ] {
        eventually("its last line", STUCK, || process.log().contains(LAST_LINE).then_some(()));
        drop(held);
        let status =
            process.exit(PATIENCE).unwrap_or_else(|| panic!("it goes on: {}", process.log()));
        assert_eq!(status.code(), Some(70), "{}", process.log());
        let log = process.log();
        let last = log.lines().last().unwrap_or_default();
        assert!(last.contains(LAST_LINE) && last.contains(thread) && last.contains("12s"), "{log}");
    }
}

#[test]
fn a_process_that_was_stopped_blames_nobody() {
    let cluster = Cluster::launch_with("flip", &["--exit-when-stuck", "10"]);
    cluster.gateway.freeze();
    // Longer than a thread may be stuck, and than this one waits before it ends itself.
    let until = Instant::now() + Duration::from_secs(13);
    eventually("thirteen seconds", STUCK, || (Instant::now() >= until).then_some(()));
    cluster.gateway.thaw();
    for _ in 0..50 {
        let (status, body) = probe(&cluster, "/healthz");
        assert_eq!(status, 200, "{body}");
    }
    assert_eq!(lines(&cluster.gateway, &["still stuck"]), 0, "{}", cluster.gateway.log());
    wait_status(&cluster, "/readyz", 200);
    let mut next = connect(&cluster, "next", Video::Live(Format::SMALL));
    next.wait_received(10, PATIENCE);
    next.close();
}

#[test]
fn a_gateway_without_a_worker_is_ready_and_its_page_says_that_it_waits() {
    let ports =
        ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "http://127.0.0.1:1"];
    let mut gateway = Process::start("reframe-gateway", &ports);
    let page = gateway.announced("page ");
    let admin = gateway.announced("admin ").trim_end_matches('/').to_owned();
    let reply = get(&format!("{admin}/readyz")).expect("the admin port answers");
    assert_eq!((reply.status, reply.body.as_str()), (200, "ready\n"));
    assert_eq!(get(&page).expect("the page is served").status, 200);
}
