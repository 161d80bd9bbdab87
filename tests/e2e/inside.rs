//! Gateways and workers that must know each other: certificates, who is refused, and how a
//! deployment begins to use them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Output;

use reframe_tests::caller::peer_address;
use reframe_tests::certificates::{Ca, Certificates, GOOD};
use reframe_tests::cluster::Worker;
use reframe_tests::http::{get, post};
use reframe_tests::process::{Process, run};
use reframe_tests::redis::RedisServer;
use reframe_tests::source::Format;
use serde_json::json;

use super::pool::Gateway;
use super::*;

const DAY: i64 = 86_400;

/// A worker with these certificates, in this mode.
fn worker(files: &Certificates, mode: &str, listen: &str) -> Worker {
    Worker::serve_with("flip", listen, &all(files, mode))
}

/// The options of a process with these certificates.
pub(super) fn all<'a>(files: &'a Certificates, mode: &'a str) -> Vec<&'a str> {
    let options = files.options();
    options.into_iter().chain(["--cluster-tls", mode]).collect()
}

fn gateway(files: &Certificates, workers: &[&Worker], mode: &str) -> Gateway {
    let urls: Vec<_> = workers.iter().map(|worker| worker.url.as_str()).collect();
    Gateway::start(&[&["--workers", &urls.join(",")][..], &all(files, mode)].concat())
}

fn plain(metrics: &Metrics) -> f64 {
    metrics.sum("reframe_plain_connections", &[("peer", "worker")])
}

#[track_caller]
fn assert_says(output: &Output, status: i32, told: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{text}");
    for told in told {
        assert!(text.contains(told), "{text:?} does not say {told:?}");
    }
}

#[test]
fn without_certificates_only_this_host_is_taken() {
    let cure = ["--cluster-tls: ", "--cluster-tls-ca", "cluster-init", "--cluster-tls mesh"];
    let worker = run("reframe-worker", &["serve", "--demo", "flip", "--listen", "0.0.0.0:0"]);
    assert_says(&worker, 64, &[&cure[..], &["--listen 0.0.0.0:0"]].concat());
    let workers = ["--workers", "http://10.0.0.7:50051,dns://worker:50051"];
    let gateway = run("reframe-gateway", &workers);
    assert_says(
        &gateway,
        64,
        &[&cure[..], &["--workers http://10.0.0.7:50051", "dns://worker:50051"]].concat(),
    );
    let shared = ["--redis", "redis://127.0.0.1:1", "--peer", "10.0.0.7:9092"];
    assert_says(&run("reframe-gateway", &shared), 64, &["--peer 10.0.0.7:9092"]);
    // Something else protects it.
    for mode in ["off", "mesh"] {
        drop(Worker::serve_with("flip", "0.0.0.0:0", &["--cluster-tls", mode]));
    }
}

#[test]
fn what_cluster_init_makes_is_all_that_is_needed() {
    let folder = std::env::temp_dir().join(format!("reframe-made-{}", std::process::id()));
    let path = folder.to_str().expect("a UTF-8 path").to_owned();
    let made = run("reframe-gateway", &["cluster-init", &path]);
    assert!(made.status.success(), "{made:?}");
    let files = String::from_utf8_lossy(&made.stdout).lines().count();
    assert_eq!(files, 13, "{made:?}");
    assert_says(&run("reframe-gateway", &["cluster-init", &path]), 1, &["is there already"]);
    let options = |role: &str| {
        [
            ("--cluster-tls-ca", "ca.pem".to_owned()),
            ("--cluster-tls-cert", format!("{role}.pem")),
            ("--cluster-tls-key", format!("{role}-key.pem")),
        ]
        .into_iter()
        .flat_map(|(flag, file)| [flag.to_owned(), format!("{path}/{file}")])
        .collect::<Vec<_>>()
    };
    let (ours, theirs) = (options("gateway"), options("worker"));
    let [ours, theirs] =
        [&ours, &theirs].map(|options| options.iter().map(String::as_str).collect::<Vec<_>>());
    // With them any address may be used.
    drop(Worker::serve_with("flip", "0.0.0.0:0", &theirs));
    let worker = Worker::serve_with("flip", "127.0.0.1:0", &theirs);
    let cluster = Cluster::of_with(vec![worker], &ours);
    let mut peer = connect(&cluster, "by-tls", Video::Live(Format::HD));
    peer.wait_received(60, PATIENCE);
    assert_flipped_in_order(&peer.stats());
    peer.close();
    let metrics = cluster.metrics();
    assert_eq!(metrics.sum("reframe_plain_connections_total", &[]), 0.0);
    let expiry = "reframe_tls_certificate_expiry_timestamp_seconds";
    assert!(metrics.sum(expiry, &[("certificate", "cluster")]) > 2e9);
    std::fs::remove_dir_all(folder).expect("it was made");
}

/// No slot, and a line that says what to do.
#[test]
fn a_worker_that_is_none_of_the_cluster_is_refused_and_told_why() {
    let (ca, foreign) = (Ca::new("ours", GOOD), Ca::new("another", GOOD));
    let ours = ca.issue("reframe-gateway", GOOD);
    for (files, told) in [
        (foreign.issue("reframe-worker", GOOD), &["another CA", "of one CA"][..]),
        // Of a machine whose clock is two minutes ahead.
        (ca.issue("reframe-worker", (120, DAY)), &["not valid for another", "clocks", "NTP"]),
    ] {
        let other = worker(&files, "required", "127.0.0.1:0");
        let gateway = gateway(&ours, &[&other], "required");
        gateway.wait_line(&[&["worker not available", &other.url][..], told].concat());
        let metrics = gateway.metrics();
        assert_eq!(metrics.sum("reframe_workers_serving", &[]), 0.0);
        assert_eq!(metrics.sum("reframe_worker_up", &[]), 0.0);
        eventually("the worker tells it too", PATIENCE, || {
            other.process.log().contains("refuses this process' certificate").then_some(())
        });
    }
}

#[test]
fn a_gateway_that_is_none_of_the_cluster_gets_no_slot() {
    let (ca, foreign) = (Ca::new("ours", GOOD), Ca::new("another", GOOD));
    let other = worker(&ca.issue("reframe-worker", GOOD), "required", "127.0.0.1:0");
    // Another CA; a worker's name; and no TLS at all.
    let stranger = foreign.issue("reframe-gateway", GOOD);
    let refused = gateway(&stranger, &[&other], "required");
    refused.wait_line(&["worker not available", "another CA"]);
    let plain = Gateway::start(&["--workers", &other.url]);
    plain.wait_line(&["worker not available"]);
    eventually("the worker says whom it refuses", PATIENCE, || {
        other.process.log().contains("does not speak TLS").then_some(())
    });
    for gateway in [refused, plain] {
        assert_eq!(gateway.metrics().sum("reframe_workers_serving", &[]), 0.0);
    }
    let mistaken = ca.issue("reframe-worker", GOOD);
    let options = [&["--workers", &other.url][..], &all(&mistaken, "required")].concat();
    assert_says(
        &run("reframe-gateway", &options),
        64,
        &["--cluster-tls-cert: ", "`reframe-gateway`"],
    );
}

#[test]
fn an_expired_ca_is_refused_at_the_start() {
    let ca = Ca::new("the-old-ca", (-30 * DAY, -60));
    let files = ca.issue("reframe-worker", (-30 * DAY, DAY));
    let serve = ["serve", "--demo", "flip", "--listen", "127.0.0.1:0"];
    let output = run("reframe-worker", &[&serve[..], &all(&files, "required")].concat());
    assert_says(
        &output,
        64,
        &["--cluster-tls-cert: ", "the-old-ca", "has expired", "make another"],
    );
}

#[test]
fn renewed_files_hold_from_the_next_connection_on() {
    let (old, new) = (Ca::new("old", GOOD), Ca::new("new", GOOD));
    let (ours, theirs) = (old.issue("reframe-gateway", GOOD), old.issue("reframe-worker", GOOD));
    let other = worker(&theirs, "required", "127.0.0.1:0");
    let gateway = gateway(&ours, &[&other], "required");
    gateway.wait_up(&[&other.url]);
    new.renew(&ours, "reframe-gateway", GOOD);
    new.renew(&theirs, "reframe-worker", GOOD);
    gateway.wait_line(&["another version was read"]);
    let address = other.url.trim_start_matches("http://").to_owned();
    gateway.wait_up(&[&other.url]);
    drop(other);
    gateway.wait_up(&[]);
    let successor = worker(&theirs, "required", &address);
    gateway.wait_up(&[&successor.url]);
}

/// Workers first: they then take both. Then the gateways, and at last the workers again. A session
/// goes on from the second step to the end.
#[test]
fn a_running_deployment_changes_over_to_tls() {
    let ca = Ca::new("ours", GOOD);
    let (ours, theirs) = (ca.issue("reframe-gateway", GOOD), ca.issue("reframe-worker", GOOD));
    let old = [(); 2].map(|()| Worker::serve("flip"));
    let [one, other] = old;
    let before = Gateway::start(&["--workers", &[&*one.url, &*other.url].join(",")]);
    let both = |first: &Worker, second: &Worker| {
        let mut urls = vec![first.url.clone(), second.url.clone()];
        urls.sort_unstable();
        urls
    };
    let urls = both(&one, &other);
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    before.wait_up(&urls);

    let replaced = |old: Worker, mode: &str| {
        let address = old.url.trim_start_matches("http://").to_owned();
        old.process.terminate();
        let mut old = old;
        assert!(old.process.exit(PATIENCE).is_some(), "its sessions have moved");
        drop(old);
        worker(&theirs, mode, &address)
    };
    let one = replaced(one, "prefer");
    before.wait_up(&urls);
    eventually("the worker says who is plain", PATIENCE, || {
        one.process.log().contains("connected without TLS").then_some(())
    });

    // One worker has them, the other not yet.
    let options = all(&ours, "prefer");
    let cluster = Cluster::of_with(vec![one, other], &options);
    assert_eq!(plain(&cluster.metrics()), 1.0);
    drop(before);
    let mut peer = connect(&cluster, "throughout", Video::Live(Format::SMALL));
    wait_for_more(&peer);
    let mut cluster = cluster;
    let other = replaced(cluster.workers.pop().expect("two"), "prefer");
    cluster.workers.push(other);
    eventually("all are by TLS", PATIENCE, || {
        (plain(&cluster.metrics()) == 0.0 && cluster.serving() == 2.0).then_some(())
    });
    wait_for_more(&peer);
    for _ in 0..2 {
        let strict = replaced(cluster.workers.remove(0), "required");
        cluster.workers.push(strict);
        eventually("it is back", PATIENCE, || (cluster.serving() == 2.0).then_some(()));
        wait_for_more(&peer);
    }
    let metrics = cluster.metrics();
    assert_eq!(plain(&metrics), 0.0);
    assert_eq!(metrics.sum("reframe_failovers_total", &[("outcome", "lost")]), 0.0);
    peer.close();
}

/// A gateway in the test's Redis, and the address that it tells others.
pub(super) fn shared(
    worker: &Worker,
    redis: &RedisServer,
    options: &[&str],
) -> (Process, String, String) {
    let ports = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--peer", "127.0.0.1:0"];
    let own = ["--workers", &worker.url, "--redis", &redis.url()];
    let mut process = Process::start("reframe-gateway", &[&ports[..], &own, options].concat());
    let page = process.announced("page ").trim_end_matches('/').to_owned();
    let admin = process.announced("admin ").trim_end_matches('/').to_owned();
    eventually("it has its worker and its Redis", PATIENCE, || {
        let metrics = Metrics::parse(&get(&format!("{admin}/metrics")).ok()?.body);
        let is_one = |gauge| metrics.sum(gauge, &[]) == 1.0;
        (is_one("reframe_workers_serving") && is_one("reframe_placement_up")).then_some(())
    });
    (process, page, admin)
}

#[test]
fn gateways_forward_to_each_other_by_tls_and_take_nobody_else() {
    let ca = Ca::new("ours", GOOD);
    let ours = ca.issue("reframe-gateway", GOOD);
    let other = worker(&ca.issue("reframe-worker", GOOD), "required", "127.0.0.1:0");
    let redis = RedisServer::start();
    let options = all(&ours, "required");
    let [a, b] = [(); 2].map(|()| shared(&other, &redis, &options));
    let options = Options::camera("here", Video::Live(Format::SMALL));
    let mut peer = Peer::connect(&a.1, options).unwrap_or_else(|reply| panic!("{reply:?}"));
    peer.wait_connected(PATIENCE);
    let session = eventually("the other gateway answers for it", PATIENCE, || {
        let reply = get(&format!("{}/api/sessions/here", b.2)).expect("an answer");
        (reply.status == 200).then(|| reply.json())
    });
    assert_eq!(session["id"], json!("here"));
    let hook = json!({ "webrtc_id": "here" }).to_string();
    assert_eq!(post(&format!("{}/input_hook", b.1), hook.clone()).expect("an answer").status, 200);

    // Whoever reaches that port without a certificate gets nothing.
    let address = peer_address(&a.0);
    let mut stranger = TcpStream::connect(&address).expect("it listens");
    stranger.set_read_timeout(Some(PATIENCE)).expect("a socket");
    write!(stranger, "GET /api/sessions/here HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    // Reset, where what it sent was not read.
    drop(stranger.read_to_end(&mut answer));
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    // And the admin port takes no client's requests any more.
    assert_eq!(post(&format!("{}/input_hook", a.2), hook).expect("an answer").status, 404);
    peer.close();
}
