//! The table of docs/security.md for the ports inside the cluster.

use reframe_tests::caller::{Caller, peer_address};
use reframe_tests::certificates::{Ca, Certificates, GOOD};
use reframe_tests::cluster::Worker;
use reframe_tests::redis::RedisServer;

use super::super::inside::{all as required, shared};
use super::*;

/// A row is who calls, a column is a port: of the session's gateway, of another one, of the worker.
const TABLE: &str = "
                                    peer      other-peer  worker
nobody, without TLS                 ended     ended       ended
nobody, by TLS                      ended     ended       ended
a gateway of another CA             ended     ended       ended
a gateway whose time is over        ended     ended       ended
a worker                            ended     ended       ended
a stranger of our CA                ended     ended       ended
a gateway                           answered  answered    answered
";

/// Of everybody who calls.
struct All {
    worker: Certificates,
    gateway: Certificates,
    stranger: Certificates,
    foreign: Certificates,
    expired: Certificates,
}

impl All {
    fn new(ca: &Ca) -> Self {
        Self {
            worker: ca.issue("reframe-worker", GOOD),
            gateway: ca.issue("reframe-gateway", GOOD),
            stranger: ca.issue("stranger", GOOD),
            foreign: Ca::new("another", GOOD).issue("reframe-gateway", GOOD),
            expired: ca.issue("reframe-gateway", (-600, -60)),
        }
    }

    fn caller(&self, who: &str) -> Caller<'_> {
        match who {
            "nobody, without TLS" => Caller::Plain,
            "nobody, by TLS" => Caller::Nameless,
            "a gateway of another CA" => Caller::With(&self.foreign),
            "a gateway whose time is over" => Caller::With(&self.expired),
            "a worker" => Caller::With(&self.worker),
            "a stranger of our CA" => Caller::With(&self.stranger),
            "a gateway" => Caller::With(&self.gateway),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn inside_the_cluster_gateways_are_answered_and_nobody_else() {
    let ca = Ca::new("ours", GOOD);
    let all = All::new(&ca);
    let [theirs, ours] = [&all.worker, &all.gateway].map(|files| required(files, "required"));
    let worker = Worker::serve_with("flip", "127.0.0.1:0", &theirs);
    let redis = RedisServer::start();
    let [a, b] = [(); 2].map(|()| shared(&worker, &redis, &ours));
    let options = Options::camera("here", Video::Live(Format::SMALL));
    let mut peer = Peer::connect(&a.1, options).unwrap_or_else(|reply| panic!("{reply:?}"));
    peer.wait_connected(PATIENCE);

    let [at_a, at_b] = [&a.0, &b.0].map(peer_address);
    let at_worker = worker.url.trim_start_matches("http://");
    let session = "/api/sessions/here";
    // What is passed on says so, and is not passed on again.
    let passed_on = "x-reframe-forwarded: 1\r\n";
    let status = |caller: &Caller<'_>, at: &str| caller.status(at, "GET", session, passed_on);
    let answers = |caller: &Caller<'_>, port: &str| match port {
        "peer" => status(caller, &at_a) == Some(200),
        "other-peer" => status(caller, &at_b) == Some(404),
        "worker" => caller.is_taken_by_grpc(at_worker),
        other => panic!("{other}"),
    };
    let mut lines = TABLE.trim().lines();
    let ports: Vec<&str> = lines.next().expect("the columns").split_whitespace().collect();
    for line in lines {
        let words: Vec<&str> =
            line.split("  ").map(str::trim).filter(|at| !at.is_empty()).collect();
        let (who, expected) = words.split_first().expect("who calls");
        let answer =
            |port: &&str| if answers(&all.caller(who), port) { "answered" } else { "ended" };
        assert_eq!(ports.iter().map(answer).collect::<Vec<_>>(), expected, "{who}: {ports:?}");
    }

    // What a gateway asks for: its clients' requests and their sessions, and nothing else.
    let gateway = all.caller("a gateway");
    for (method, path, headers, status) in [
        ("GET", session, passed_on, 200),
        ("GET", "/api/sessions", "", 404),
        ("GET", "/metrics", "", 404),
        ("GET", "/healthz", "", 404),
        ("GET", "/", "", 404),
        ("GET", "/api/streams", "", 404),
        // A browser that was given the certificate of a gateway.
        ("GET", session, "Origin: http://127.0.0.1\r\n", 403),
        ("GET", session, "Sec-Fetch-Site: same-origin\r\n", 403),
    ] {
        let answered = gateway.status(&at_a, method, path, headers);
        assert_eq!(answered, Some(status), "{method} {path} {headers}");
    }
    peer.close();
}
