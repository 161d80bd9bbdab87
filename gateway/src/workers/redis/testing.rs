//! Gateways around a real Redis.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Redis;
use super::server::RedisServer;
use crate::config::redis::RedisStore;
use crate::stream::spec::Spec;
use crate::workers::placement::gauges::Gauges;
use crate::workers::pool::WorkerHandle;
use crate::workers::pool::testing::serving;

/// Long enough that nothing ends by itself in a test that is not about that.
pub(super) const LONG: Duration = Duration::from_secs(120);
const SETTLED: Duration = Duration::from_secs(30);

/// A Redis and its only gateway.
pub(in crate::workers) struct Alone {
    pub(in crate::workers) gateway: Redis,
    _server: RedisServer,
}

impl Alone {
    pub(in crate::workers) async fn start() -> Self {
        let server = RedisServer::start();
        Self { gateway: gateway(&server, 1, LONG, &[]).await, _server: server }
    }
}

/// Another gateway at `server`, which knows it.
pub(super) async fn gateway(
    server: &RedisServer,
    number: u32,
    lease: Duration,
    workers: &[WorkerHandle],
) -> Redis {
    let gateway = unconnected(&server.url(), number, lease, workers);
    until("the gateway is connected", || gateway.store.ready().is_some()).await;
    gateway
}

pub(super) fn unconnected(
    url: &str,
    number: u32,
    lease: Duration,
    workers: &[WorkerHandle],
) -> Redis {
    let client = ::redis::Client::open(url).unwrap();
    let workers = workers.to_vec();
    let redis = RedisStore { client, password_file: None };
    let us = ([10, 0, 0, u8::try_from(number).unwrap()], 9090).into();
    Redis::start(redis, us, lease, Gauges::new(Box::new(move || workers.clone())))
}

/// Waits for a condition that cannot wake us.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SETTLED;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {SETTLED:?}: {what}");
        // Between two looks; see above.
        sleep(Duration::from_millis(5)).await;
    }
}

/// `count` workers of stream `s`, named and known by their number, without a channel each.
pub(in crate::workers) fn workers(count: usize, capacity: u32) -> Vec<WorkerHandle> {
    let one = serving("0", "s", capacity);
    let number = |n: usize| {
        let spec = Spec { instance: n.to_string(), ..(*one.spec).clone() };
        WorkerHandle { name: n.to_string(), spec: Arc::new(spec), ..one.clone() }
    };
    (0..count).map(number).collect()
}

/// Members of a set of stream `s`: `sessions`, or `worker:` and an instance.
pub(super) fn members(server: &RedisServer, set: &str) -> Vec<String> {
    let mut connection = ::redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    ::redis::cmd("ZRANGE")
        .arg(format!("reframe:{{s}}:{set}"))
        .arg(0)
        .arg(-1)
        .query(&mut connection)
        .unwrap()
}
