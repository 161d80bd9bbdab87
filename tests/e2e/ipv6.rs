//! Nothing but IPv6 inside: the worker, Redis, and the ports of the gateways.

use std::net::{Ipv6Addr, TcpListener};

use reframe_tests::cluster::Worker;
use reframe_tests::http::get;
use reframe_tests::peer::Place;
use reframe_tests::process::Process;
use reframe_tests::redis::RedisServer;
use reframe_tests::source::Format;

use super::*;

struct Gateway {
    _process: Process,
    page: String,
    admin: String,
}

fn gateway(worker: &str, redis: &str, peer: &[&str]) -> Gateway {
    let ports = ["--http", "[::1]:0", "--admin", "[::1]:0", "--media", "::1"];
    let shared = ["--workers", worker, "--redis", redis];
    let calm = ["--bitrate-min", "1000", "--max-load", "100"];
    let mut process =
        Process::start("reframe-gateway", &[&ports[..], &shared, peer, &calm].concat());
    let page = process.announced("page ").trim_end_matches('/').to_owned();
    let admin = process.announced("admin ").trim_end_matches('/').to_owned();
    eventually("a gateway that has its worker and its Redis", PATIENCE, || {
        let metrics = Metrics::parse(&get(&format!("{admin}/metrics")).ok()?.body);
        let is_one = |gauge| metrics.sum(gauge, &[]) == 1.0;
        (is_one("reframe_workers_serving") && is_one("reframe_placement_up")).then_some(())
    });
    Gateway { _process: process, page, admin }
}

#[test]
fn a_cluster_of_ipv6_alone_serves_and_forwards() {
    let worker = Worker::serve_with("flip", "[::1]:0", &[]);
    assert!(worker.url.starts_with("http://[::1]:"), "{}", worker.url);
    let redis = RedisServer::start();
    assert_eq!(redis.cli(&["CONFIG", "SET", "bind", "127.0.0.1 ::1"]), "OK");
    let redis_url = redis.url().replace("127.0.0.1", "[::1]");
    let free = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).expect("a free port");
    let peer = free.local_addr().expect("its address").to_string();
    drop(free);
    // As Kubernetes writes the addresses of a pod: without brackets, and without a port.
    let advertised = ["--peer", &peer, "--advertise", "192.0.2.7,::1"];
    let owner = gateway(&worker.url, &redis_url, &advertised);
    let other = gateway(&worker.url, &redis_url, &["--peer", "[::1]:0"]);
    assert!(owner.page.starts_with("http://[::1]:"), "{}", owner.page);

    let place = Place { local: Ipv6Addr::LOCALHOST.into(), through: None };
    let options = Options { place, ..Options::camera("six", Video::Live(Format::SMALL)) };
    let mut peer = Peer::connect(&owner.page, options).expect("an answer");
    peer.wait_received(15, PATIENCE);
    assert_flipped_in_order(&peer.stats());
    let session =
        |gateway: &Gateway| get(&format!("{}/api/sessions/six", gateway.admin)).expect("an answer");
    eventually("the other gateway finds the session", PATIENCE, || {
        (session(&other).status == 200).then_some(())
    });
    let (here, there) = (session(&owner).json(), session(&other).json());
    assert_eq!((&here["worker"], &there["worker"]), (&worker.url.clone().into(), &here["worker"]));
    let forwarded = get(&format!("{}/metrics", other.admin)).expect("an answer").body;
    let forwarded = Metrics::parse(&forwarded).by("reframe_forwarded_total", "outcome");
    assert!(forwarded["ok"] >= 1.0, "{forwarded:?}");
    peer.close();
}
