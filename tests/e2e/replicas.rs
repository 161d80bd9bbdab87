//! Gateways that share their slots through Redis, and what is left behind after many sessions.

use std::thread;

use reframe_tests::cluster::Worker;
use reframe_tests::redis::RedisServer;
use reframe_tests::source::Format;

use super::*;

/// Of one batch; each is a browser that comes and leaves.
const AT_ONCE: usize = 10;
const BATCHES: usize = 50;

fn gateway(redis: &RedisServer, workers: Vec<Worker>) -> Cluster {
    let cluster = Cluster::of_with(workers, &["--redis", &redis.url()]);
    wait_for_redis(&cluster);
    cluster
}

fn wait_for_redis(cluster: &Cluster) {
    eventually("the gateway has its Redis", PATIENCE, || {
        (cluster.metrics().sum("reframe_placement_up", &[]) == 1.0).then_some(())
    });
}

/// What Redis holds: (sessions, leases).
fn held(redis: &RedisServer) -> (usize, usize) {
    let count = |key: &str| redis.cli(&["ZCARD", key]).trim().parse::<usize>().expect("a number");
    let keys = redis.cli(&["KEYS", "reframe:{flip}:worker:*"]);
    (count("reframe:{flip}:sessions"), keys.lines().filter(|key| !key.is_empty()).map(count).sum())
}

#[track_caller]
fn wait_held(redis: &RedisServer, sessions: usize) {
    eventually(&format!("Redis knows {sessions} sessions"), PATIENCE, || {
        (held(redis) == (sessions, sessions)).then_some(())
    });
}

#[test]
fn running_sessions_do_not_notice_that_redis_was_killed_and_came_back_empty() {
    let mut redis = RedisServer::start();
    let first = gateway(&redis, vec![Worker::serve("flip"), Worker::serve("flip")]);
    let second = Cluster::beside(&first, &["--redis", &redis.url()]);
    wait_for_redis(&second);
    let camera = |gateway: &Cluster, id: &str| connect(gateway, id, Video::Live(Format::SMALL));
    let mut peers = vec![camera(&first, "a"), camera(&second, "b")];
    peers.iter().for_each(|peer| peer.wait_received(10, PATIENCE));
    wait_held(&redis, 2);
    let by_worker = |gateway: &Cluster| gateway.metrics().by("reframe_worker_sessions", "worker");
    let mut together = by_worker(&first);
    for (worker, sessions) in by_worker(&second) {
        *together.entry(worker).or_default() += sessions;
    }
    let together: Vec<_> = together.into_values().collect();
    assert_eq!(together, [1.0, 1.0], "the second gateway chose what the first had left free");

    redis.kill9();
    peers.iter().for_each(wait_for_more);
    // New sessions are placed by what each gateway knows itself.
    peers.push(camera(&first, "c"));
    peers.push(camera(&second, "d"));
    eventually("both gateways say so", PATIENCE, || {
        [&first, &second]
            .iter()
            .all(|one| one.metrics().sum("reframe_placement_up", &[]) == 0.0)
            .then_some(())
    });

    redis.restart();
    [&first, &second].into_iter().for_each(wait_for_redis);
    wait_held(&redis, 4);
    for peer in &peers {
        wait_for_more(peer);
        let stats = peer.stats();
        assert!(stats.messages.is_empty(), "nobody was told anything: {:?}", stats.messages);
        assert_flipped_in_order(&stats);
    }
    peers.iter_mut().for_each(Peer::close);
    wait_held(&redis, 0);
    assert_balanced(&first);
    assert_balanced(&second);
}

/// Redis' MISCONF: it answers, and takes no writes. The log says so once, with cause and cure, and
/// once that it is over.
#[test]
fn a_redis_that_cannot_save_is_told_once_and_sessions_begin_all_the_same() {
    let redis = RedisServer::start();
    let cluster = gateway(&redis, vec![Worker::serve("flip")]);
    let camera = |id: &str| connect(&cluster, id, Video::Live(Format::SMALL));
    let mut peers = vec![camera("before")];
    wait_held(&redis, 1);
    redis.stop_saving();
    eventually("the gateway has noticed", PATIENCE, || {
        (cluster.metrics().sum("reframe_placement_up", &[]) == 0.0).then_some(())
    });
    let known = held(&redis);
    peers.push(camera("during"));
    peers[1].wait_received(5, PATIENCE);
    wait_for_more(&peers[0]);
    let errors = || cluster.metrics().sum("reframe_placement_errors_total", &[]);
    let so_far = errors();
    eventually("several renewals have failed", PATIENCE, || {
        (errors() >= so_far + 6.0).then_some(())
    });
    assert_eq!(cluster.metrics().sum("reframe_placement_up", &[]), 0.0, "it stays so");
    assert!(held(&redis) <= known, "nothing was written");
    redis.save_nothing();
    wait_for_redis(&cluster);
    wait_held(&redis, 2);
    let log = cluster.gateway.log();
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines("it takes no writes, because it cannot save its data"), 1, "{log}");
    assert_eq!(lines("free its disk, or switch saving off"), 1, "{log}");
    assert_eq!(lines("Redis shares sessions and slots again"), 1, "{log}");
    peers.iter_mut().for_each(Peer::close);
    wait_held(&redis, 0);
    assert_balanced(&cluster);
}

#[test]
fn five_hundred_sessions_leave_nothing_behind() {
    let redis = RedisServer::start();
    let cluster = gateway(&redis, vec![Worker::serve("flip"), Worker::serve("flip")]);
    let batch = |number: usize| {
        thread::scope(|scope| {
            for n in 0..AT_ONCE {
                let cluster = &cluster;
                scope.spawn(move || {
                    let id = format!("{number}-{n}");
                    let camera = Options {
                        decode: false,
                        ..Options::camera(id, Video::Live(Format::SMALL))
                    };
                    let mut peer = connect_with(cluster, camera);
                    peer.wait_received(1, PATIENCE);
                    peer.close();
                });
            }
        });
        cluster.wait_for_sessions(0, PATIENCE);
    };
    let processes =
        || cluster.workers.iter().map(|worker| &worker.process).chain([&cluster.gateway]);
    let open = || {
        processes().map(|process| (process.descriptors(), process.threads())).collect::<Vec<_>>()
    };
    // Pools and lazily made things are there after the first few.
    (0..3).for_each(batch);
    wait_held(&redis, 0);
    let mut before = open();
    eventually("the first sessions are cleaned up", PATIENCE, || {
        let now = open();
        let still = now == before;
        before = now;
        still.then_some(())
    });
    (3..BATCHES).for_each(batch);
    wait_held(&redis, 0);
    assert_eq!(redis.cli(&["KEYS", "*:session:*"]).trim(), "", "no session is known");
    eventually("as many file descriptors and threads as before", PATIENCE, || {
        let grown = open()
            .into_iter()
            .zip(&before)
            .any(|(now, before)| now.0 > before.0 || now.1 > before.1);
        (!grown).then_some(())
    });
    let ended = cluster.metrics().counted("reframe_sessions_ended_total", "reason");
    assert_eq!(ended, [("client_closed".to_owned(), (AT_ONCE * BATCHES) as f64)].into());
    assert_balanced(&cluster);
}
