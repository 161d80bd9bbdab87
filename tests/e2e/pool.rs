//! Which workers a gateway uses, of those that it is told of.

use reframe_tests::health::is_ready;
use reframe_tests::http::get;
use reframe_tests::local::LocalWorker;
use reframe_tests::process::Process;
use reframe_worker::{Frame, Stream, VideoStreamHandler};

use super::*;

/// A gateway that need not find a worker.
pub(super) struct Gateway {
    process: Process,
    page: String,
    pub(super) admin: String,
}

impl Gateway {
    #[track_caller]
    pub(super) fn start(options: &[&str]) -> Self {
        let ports = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut process = Process::start("reframe-gateway", &[&ports, options].concat());
        let page = process.announced("page ").trim_end_matches('/').to_owned();
        let admin = process.announced("admin ").trim_end_matches('/').to_owned();
        Self { process, page, admin }
    }

    #[track_caller]
    pub(super) fn of(workers: &[&str]) -> Self {
        Self::start(&["--workers", &workers.join(","), "--cluster-tls", "off"])
    }

    pub(super) fn metrics(&self) -> Metrics {
        Metrics::parse(
            &get(&format!("{}/metrics", self.admin)).expect("the admin port answers").body,
        )
    }

    /// Waits until exactly those are up, of all that it knows.
    #[track_caller]
    pub(super) fn wait_up(&self, expected: &[&str]) {
        eventually(&format!("{expected:?} are up"), PATIENCE, || {
            let metrics = self.metrics().by("reframe_worker_up", "worker");
            let up: Vec<_> = metrics
                .iter()
                .filter(|(_, up)| **up == 1.0)
                .map(|(worker, _)| worker.as_str())
                .collect();
            (up == expected).then_some(())
        });
    }

    /// Waits for a line of the log that has all of `parts`.
    #[track_caller]
    pub(super) fn wait_line(&self, parts: &[&str]) {
        eventually(&format!("a line with {parts:?}"), PATIENCE, || {
            (self.lines(parts) > 0).then_some(())
        });
    }

    fn lines(&self, parts: &[&str]) -> usize {
        self.process
            .log()
            .lines()
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .count()
    }
}

fn worker(title: &str) -> LocalWorker {
    let stream =
        Stream::builder(VideoStreamHandler::new(|frame: Frame| Ok(frame))).title(title).build();
    LocalWorker::serve(stream, 1)
}

#[test]
fn a_changed_declaration_is_served_beside_the_old_one_and_shown() {
    let old = worker("old");
    // Then it has begun, and the next one is younger.
    eventually("it serves", PATIENCE, || is_ready(old.url()));
    let new = worker("new");
    let (old_url, new_url) = (old.url().to_owned(), new.url().to_owned());
    let gateway = Gateway::of(&[&old_url, &new_url]);
    eventually("both take sessions", PATIENCE, || {
        (gateway.metrics().sum("reframe_worker_up", &[]) == 2.0).then_some(())
    });
    let shown =
        || get(&format!("{}/api/streams", gateway.page)).unwrap().json()["streams"][0].clone();
    let stream = shown();
    assert_eq!((&stream["title"], &stream["concurrency_limit"]), (&"new".into(), &2.into()));
    drop(new);
    gateway.wait_up(&[&old_url]);
    assert_eq!(shown()["title"], "old");
    drop(old);
    gateway.wait_up(&[]);
    assert_eq!(gateway.metrics().sum("reframe_workers_refused_total", &[]), 0.0);
}

#[test]
fn a_worker_that_drains_is_out_and_its_successor_at_the_same_address_is_in() {
    let mut worker = reframe_tests::cluster::Worker::serve("flip");
    let gateway = Gateway::of(&[&worker.url]);
    gateway.wait_up(&[&worker.url]);
    worker.process.terminate();
    assert!(worker.process.exit(PATIENCE).is_some_and(|status| status.success()));
    gateway.wait_up(&[]);
    let address = worker.url.strip_prefix("http://").unwrap();
    let _successor =
        Process::start("reframe-worker", &["serve", "--demo", "flip", "--listen", address]);
    gateway.wait_up(&[&worker.url]);
    assert_eq!(gateway.metrics().sum("reframe_workers_refused_total", &[]), 0.0);
}

#[test]
fn what_is_no_worker_is_named_in_the_log_and_the_others_serve() {
    // Ports of HTTP/1 and of TLS; one that accepts and says nothing, one that nobody has.
    let other = Gateway::start(&["--tls", "self-signed", "--workers", "http://127.0.0.1:1"]);
    let tls = other.page.replace("https://", "http://");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let good = worker("good");
    let name = "dns://no-such-name.invalid:50051";
    let mut gateway =
        Gateway::of(&[&other.admin, &tls, &silent_url, "http://127.0.0.1:1", name, good.url()]);
    gateway.wait_up(&[good.url()]);
    for url in [&other.admin, &tls, &silent_url, "http://127.0.0.1:1"] {
        gateway.wait_line(&[
            &format!("worker={url} "),
            "worker not available",
            "no worker answers there",
        ]);
    }
    gateway.wait_line(&["name=no-such-name.invalid", "name not found"]);
    eventually("the lookups are counted", PATIENCE, || {
        (gateway.metrics().sum("reframe_discovery_errors_total", &[]) >= 2.0).then_some(())
    });
    assert!(gateway.process.alive());
    assert_eq!(gateway.lines(&["name not found"]), 1);
}

#[test]
fn each_address_of_a_name_is_a_worker_and_a_worker_with_two_addresses_is_one() {
    let worker = worker("one");
    let port = worker.url().rsplit_once(':').unwrap().1;
    let (name, url) = (format!("dns://localhost:{port}"), format!("http://localhost:{port}"));
    let found = Gateway::of(&[&name]);
    found.wait_up(&[worker.url()]);

    // The same address, by its name and by itself; and another, which is the same process.
    let gateway = Gateway::of(&[&name, worker.url(), &url]);
    gateway.wait_line(&["the same worker as another"]);
    let up = || gateway.metrics().sum("reframe_worker_up", &[]);
    eventually("it is used", PATIENCE, || (up() == 1.0).then_some(()));
    assert_eq!(gateway.lines(&["the same worker as another"]), 1);
    assert_eq!(gateway.metrics().sum("reframe_workers_refused_total", &[]), 0.0);
}
