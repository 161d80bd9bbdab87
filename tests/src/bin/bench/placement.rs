//! A thousand workers, a hundred gateways, fifty thousand sessions and one real Redis, on this
//! machine.
//!
//! The gateways are their placements alone, all in this process; so their work and Redis' share its
//! cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reframe_gateway::bench::{Held, SharedSlots, Workers, metrics};
use reframe_tests::figures::millis;
use reframe_tests::metrics::Metrics;
use reframe_tests::process::cpu_time;
use reframe_tests::redis::RedisServer;
use reframe_tests::wait::eventually;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::report::Report;
use super::{Plan, progress};

const NAME: &str = "placement";
const WORKERS: usize = 1_000;
const CAPACITY: u32 = 64;
const GATEWAYS: u16 = 100;
const SESSIONS: usize = 50_000;
const LEASE: Duration = Duration::from_secs(10);
/// Sessions that begin while there is room, of all gateways: everybody comes within half a minute.
const FILL_PER_SEC: u32 = 2_000;
/// Sessions that end, and as many that begin: a session lasts 100 s.
const CHURN_PER_SEC: u32 = 500;
/// Three renewals.
const IDLE: Duration = LEASE;
/// For what gateways tell Redis in the background.
const SETTLED: Duration = Duration::from_secs(30);

/// One gateway and its sessions.
struct Gateway {
    slots: SharedSlots,
    held: Vec<Held>,
}

pub(crate) fn simulate(report: &mut Report, plan: &Plan) {
    let metrics = metrics();
    let redis = RedisServer::start();
    let runtime = Runtime::new().expect("a runtime");
    let workers = runtime.block_on(async { Workers::new(WORKERS, CAPACITY) });
    let start = |n| Gateway {
        slots: SharedSlots::start(&redis.url(), n, LEASE, &workers),
        held: Vec::new(),
    };
    let gateways: Vec<_> = runtime.block_on(async { (0..GATEWAYS).map(start).collect() });
    eventually("every gateway is at Redis", SETTLED, || {
        let clients = redis.cli(&["CLIENT", "LIST", "TYPE", "normal"]).lines().count();
        (clients > usize::from(GATEWAYS)).then_some(())
    });
    // Connected is not yet told of what they hold, which is nothing. Not waited for by a condition:
    // no gateway here says when it is through, and one that is late shows as a command that Redis
    // did not do in time.
    runtime.block_on(async { sleep(Duration::from_secs(1)).await });

    progress("placement: filling");
    let ids = Arc::new(AtomicUsize::new(0));
    let (gateways, claims) = measured(report, &redis, "filling: Redis' CPU", || {
        runtime.block_on(fill(gateways, SESSIONS, &ids))
    });
    figures(report, ["filling: claim, p50", "filling: claim, p99"], claims);
    balance(
        report,
        ["filled: sessions of a worker, least", "filled: most", "filled: standard deviation"],
        &gateways,
    );
    eventually("Redis knows every slot", SETTLED, || (in_redis(&redis) == SESSIONS).then_some(()));

    progress("placement: renewing");
    measured(report, &redis, "renewing alone: Redis' CPU", || {
        runtime.block_on(async { sleep(IDLE).await })
    });

    progress("placement: churn");
    let (gateways, claims) = measured(report, &redis, "churn: Redis' CPU", || {
        runtime.block_on(churn(gateways, plan.churn_secs, &ids))
    });
    figures(report, ["churn: claim, p50", "churn: claim, p99"], claims);
    balance(
        report,
        ["churned: sessions of a worker, least", "churned: most", "churned: standard deviation"],
        &gateways,
    );

    progress("placement: to the last slot");
    let all = WORKERS * CAPACITY as usize;
    let (gateways, claims) = measured(report, &redis, "to the last slot: Redis' CPU", || {
        runtime.block_on(fill(gateways, all, &ids))
    });
    figures(report, ["to the last slot: claim, p50", "to the last slot: claim, p99"], claims);
    eventually("Redis knows every slot, and no more", SETTLED, || {
        (in_redis(&redis) == all).then_some(())
    });
    let refused = runtime.block_on(gateways[0].slots.claim("one more"));
    assert!(refused.is_none(), "there is no slot left");

    let errors = Metrics::parse(&metrics()).sum("reframe_placement_errors_total", &[]);
    report.add(NAME, "what Redis did not do in time", "", errors);
}

/// Every gateway claims, at [`FILL_PER_SEC`] all together, until they hold `sessions`.
async fn fill(
    gateways: Vec<Gateway>,
    sessions: usize,
    ids: &Arc<AtomicUsize>,
) -> (Vec<Gateway>, Vec<Duration>) {
    let held: usize = gateways.iter().map(|gateway| gateway.held.len()).sum();
    let count = (sessions - held) / usize::from(GATEWAYS);
    let (began, apart) = (Instant::now(), Duration::from_secs(GATEWAYS.into()) / FILL_PER_SEC);
    each(gateways, |mut gateway| {
        let (ids, first) = (Arc::clone(ids), began + apart.mul_f64(rand::random()));
        async move {
            let mut claims = Vec::new();
            for n in 0..count {
                sleep_until(first + apart.mul_f64(n as f64)).await;
                claims.push(gateway.claim(&ids).await);
            }
            (gateway, claims)
        }
    })
    .await
}

/// Sessions end and others begin, at a fixed rate: a slow Redis makes claims late, not rare.
async fn churn(
    gateways: Vec<Gateway>,
    seconds: u32,
    ids: &Arc<AtomicUsize>,
) -> (Vec<Gateway>, Vec<Duration>) {
    let (count, period) =
        (CHURN_PER_SEC * seconds / u32::from(GATEWAYS), Duration::from_secs(seconds.into()));
    let began = Instant::now();
    each(gateways, |mut gateway| {
        let ids = Arc::clone(ids);
        async move {
            let mut times: Vec<_> =
                (0..count).map(|_| began + period.mul_f64(rand::random())).collect();
            times.sort();
            let mut claims = Vec::new();
            for due in times {
                sleep_until(due).await;
                drop(gateway.held.swap_remove(rand::random_range(0..gateway.held.len())));
                claims.push(gateway.claim(&ids).await);
            }
            (gateway, claims)
        }
    })
    .await
}

/// Runs `work` for every gateway at once; all claims' times.
async fn each<W>(
    gateways: Vec<Gateway>,
    work: impl Fn(Gateway) -> W,
) -> (Vec<Gateway>, Vec<Duration>)
where
    W: Future<Output = (Gateway, Vec<Duration>)> + Send + 'static,
{
    let tasks: JoinSet<_> = gateways.into_iter().map(work).collect();
    let (gateways, claims): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().unzip();
    (gateways, claims.concat())
}

impl Gateway {
    async fn claim(&mut self, ids: &AtomicUsize) -> Duration {
        let id = format!("session-{:020}", ids.fetch_add(1, Ordering::Relaxed));
        let began = Instant::now();
        let held = self.slots.claim(&id).await;
        let took = began.elapsed();
        self.held.push(held.expect("there is a slot"));
        took
    }
}

/// Adds how busy Redis was meanwhile.
fn measured<T>(
    report: &mut Report,
    redis: &RedisServer,
    metric: &'static str,
    work: impl FnOnce() -> T,
) -> T {
    let (began, used) = (Instant::now(), cpu_time(redis.id()));
    let done = work();
    let share = (cpu_time(redis.id()) - used).as_secs_f64() / began.elapsed().as_secs_f64();
    report.add(NAME, metric, "% of a core", share * 100.0);
    done
}

fn figures(report: &mut Report, [p50, p99]: [&'static str; 2], mut claims: Vec<Duration>) {
    claims.sort();
    let at = |percent: usize| millis(claims[(claims.len() - 1) * percent / 100]);
    report.add(NAME, p50, "ms", at(50));
    report.add(NAME, p99, "ms", at(99));
}

fn balance(report: &mut Report, [least, most, deviation]: [&'static str; 3], gateways: &[Gateway]) {
    let mut sessions = vec![0_u32; WORKERS];
    for held in gateways.iter().flat_map(|gateway| &gateway.held) {
        sessions[held.worker()] += 1;
    }
    let mean = f64::from(sessions.iter().sum::<u32>()) / WORKERS as f64;
    let variance =
        sessions.iter().map(|n| (f64::from(*n) - mean).powi(2)).sum::<f64>() / WORKERS as f64;
    report.add(NAME, least, "sessions", sessions.iter().copied().min().unwrap_or_default().into());
    report.add(NAME, most, "sessions", sessions.iter().copied().max().unwrap_or_default().into());
    report.add(NAME, deviation, "sessions", variance.sqrt());
}

/// Slots that are taken, as Redis knows.
fn in_redis(redis: &RedisServer) -> usize {
    let sum = "local n = 0 \
               for _, key in ipairs(redis.call('KEYS', 'reframe:*:worker:*')) do n = n + redis.call('ZCARD', key) end \
               return n";
    redis.cli(&["EVAL", sum, "0"]).trim_start_matches("(integer) ").parse().expect("a number")
}
