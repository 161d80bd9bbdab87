//! Whoever reaches the ports between gateways and workers, and is neither: every door stays shut.

use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _};

use super::{PATIENCE, unique};
use crate::attacker::arena::Arena;
use crate::caller::{Caller, peer_address};
use crate::certificates::{Ca, Certificates, GOOD};
use crate::cluster::Worker;
use crate::http::get;
use crate::metrics::Metrics;
use crate::peer::{Media, offer_sdp};
use crate::process::Process;
use crate::redis::RedisServer;
use crate::wait::{eventually, try_eventually};

/// Of each caller at each port.
const TRIES: usize = 12;
/// Lines of log of the gateway and the worker in all.
const LINES: usize = 60;

/// Plain requests at ports that want TLS, TLS without a certificate, and certificates of others:
/// of another CA, of a worker, of a name that is no role. None gets a byte of an answer. A gateway
/// still does, and the worker's slots are there.
pub(super) fn inner_doors(_: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let (ca, other) = (Ca::new("ours", GOOD), Ca::new("another", GOOD));
    let [ours, theirs] = ["reframe-gateway", "reframe-worker"].map(|name| ca.issue(name, GOOD));
    let worker = Worker::serve_with("flip", "127.0.0.1:0", &required(&theirs));
    let redis = RedisServer::start();
    let ports = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--peer", "127.0.0.1:0"];
    let own = ["--workers", &worker.url, "--redis", &redis.url()];
    let options = [&ports[..], &own, &required(&ours)].concat();
    let mut gateway = Process::start("reframe-gateway", &options);
    let admin = gateway.announced("admin ").trim_end_matches('/').to_owned();
    let serves = || {
        let metrics = get(&format!("{admin}/metrics")).ok()?;
        let serving = Metrics::parse(&metrics.body).sum("reframe_workers_serving", &[]);
        (serving == 1.0).then_some(())
    };
    eventually("the gateway has its worker", PATIENCE, serves);
    let peer = peer_address(&gateway);
    let doors = [peer.as_str(), worker.url.trim_start_matches("http://")];

    let lines = || gateway.log().lines().count() + worker.process.log().lines().count();
    let before = lines();
    let foreign = ["reframe-gateway", "reframe-worker"].map(|name| other.issue(name, GOOD));
    let nobody = ca.issue("reframe-gateway.example.com", GOOD);
    let shown = foreign.iter().chain([&theirs, &nobody]).map(Caller::With);
    let mut asked = 0_usize;
    for caller in [Caller::Plain, Caller::Nameless].into_iter().chain(shown) {
        for door in doors {
            for _ in 0..TRIES {
                asked += 1;
                let request = request(door, random);
                let answer = caller.ask(door, &request);
                // An alert of TLS tells a plain caller nothing but that this is TLS.
                let is_alert = matches!(caller, Caller::Plain) && answer.first() == Some(&21);
                if !answer.is_empty() && !is_alert {
                    let answer = String::from_utf8_lossy(&answer).into_owned();
                    return Err(format!("{caller:?} at {door} is answered: {answer}"));
                }
            }
        }
    }
    let gateways = Caller::With(&ours);
    if gateways.status(doors[0], "GET", "/api/sessions/nobody", "") != Some(404) {
        return Err("a gateway is refused by another".to_owned());
    }
    if !gateways.is_taken_by_grpc(doors[1]) {
        return Err("a gateway is refused by the worker".to_owned());
    }
    try_eventually(PATIENCE, serves).ok_or("the gateway lost its worker")?;
    match lines() - before {
        ..=LINES => Ok(format!("{asked} calls, none answered")),
        lines => Err(format!("{lines} lines of log")),
    }
}

fn required(files: &Certificates) -> Vec<&str> {
    [&files.options()[..], &["--cluster-tls", "required"]].concat()
}

/// What these ports are for, and what they are not.
fn request(door: &str, random: &mut SmallRng) -> Vec<u8> {
    let id = unique("door");
    let http = |line: &str, more: &str| {
        format!("{line} HTTP/1.1\r\nHost: {door}\r\n{more}\r\n").into_bytes()
    };
    match random.random_range(0..6) {
        0 => http("GET /api/sessions/honest-0", "x-reframe-forwarded: 1\r\n"),
        1 => http("DELETE /api/sessions/honest-0", "Authorization: Bearer a.b.c\r\n"),
        2 => {
            let sdp = offer_sdp(Media::default());
            let body = serde_json::json!({ "type": "offer", "sdp": sdp, "webrtc_id": id });
            let (body, kind) = (body.to_string(), "Content-Type: application/json\r\n");
            let head = format!("{kind}Content-Length: {}\r\n", body.len());
            [http("POST /webrtc/offer", &head), body.into_bytes()].concat()
        }
        // As a browser's page would.
        3 => http("GET /updates?webrtc_id=honest-0", "Origin: http://localhost\r\n"),
        4 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        _ => {
            let mut bytes = vec![0; random.random_range(1..4_000)];
            random.fill_bytes(&mut bytes);
            // Not the first byte of TLS: an announced record that never comes is waited for.
            bytes[0] = b'G';
            bytes
        }
    }
}
