//! Two zones with a gateway and a worker each, in real processes: sessions stay in their zone while
//! there is room, and come back to it.

use reframe_tests::cluster::Worker;
use reframe_tests::redis::RedisServer;
use reframe_tests::source::Format;

use super::*;

/// Of each worker.
const ROOM: usize = 3;

fn worker(zone: &str, address: &str) -> Worker {
    let room = ROOM.to_string();
    Worker::serve_with("flip", address, &["--zone", zone, "--capacity", &room])
}

/// The sessions of a gateway by how near their workers are: (on this host, in another zone).
fn placed(gateway: &Cluster) -> (f64, f64) {
    let counts = gateway.metrics().by("reframe_sessions_by_locality", "locality");
    let count = |locality: &str| counts.get(locality).copied().unwrap_or_default();
    assert_eq!(count("zone") + count("unknown"), 0.0, "all of this machine, or of another zone");
    (count("host"), count("other_zone"))
}

#[track_caller]
fn wait_placed(gateway: &Cluster, expected: (f64, f64)) {
    try_eventually(PATIENCE * 3, || (placed(gateway) == expected).then_some(())).unwrap_or_else(
        || panic!("{:?}, not {expected:?}\n{}", placed(gateway), gateway.gateway.log()),
    );
}

fn cameras(gateway: &Cluster, name: &str, count: usize) -> Vec<Peer> {
    let camera = |n| connect(gateway, &format!("{name}-{n}"), Video::Live(Format::SMALL));
    (0..count).map(camera).collect()
}

/// The bound on time is for a busy machine: a session looks for a nearer worker every 15 to 25 s.
#[test]
fn sessions_stay_in_their_zone_leave_it_with_its_workers_and_come_home() {
    let redis = RedisServer::start();
    let workers = vec![worker("a", "127.0.0.1:0"), worker("b", "127.0.0.1:0")];
    let url = redis.url();
    let mut a = Cluster::of_with(workers, &["--redis", &url, "--zone", "a"]);
    let b = Cluster::beside(&a, &["--redis", &url, "--zone", "b"]);
    for gateway in [&a, &b] {
        eventually("it has Redis and both workers", PATIENCE, || {
            let counts = gateway.metrics();
            let ready = counts.sum("reframe_placement_up", &[]) == 1.0;
            (ready && gateway.serving() == 2.0).then_some(())
        });
    }

    // All of the gateway's own zone, although the least loaded worker would be the other one.
    let mut at_a = cameras(&a, "a", 2);
    assert_eq!(placed(&a), (2.0, 0.0));
    let mut at_b = cameras(&b, "b", 1);
    assert_eq!(placed(&b), (1.0, 0.0));

    // Its zone has no worker any more: they go on in the other one, which has room for both.
    let address = a.workers[0].url.trim_start_matches("http://").to_owned();
    a.workers[0].process.kill9();
    wait_placed(&a, (0.0, 2.0));
    at_a.iter().for_each(wait_for_more);
    assert_eq!(failovers(&a), [0.0, 2.0, 0.0]);

    // It is back. New sessions are near at once, and those that run move.
    a.workers[0] = worker("a", &address);
    eventually("both workers serve", PATIENCE, || (a.serving() == 2.0).then_some(()));
    at_a.extend(cameras(&a, "new", 1));
    wait_placed(&a, (3.0, 0.0));
    let nearer = a.metrics().sum("reframe_failovers_total", &[("outcome", "nearer")]);
    assert_eq!((nearer, failovers(&a)), (2.0, [0.0, 2.0, 0.0]));
    at_a.iter().for_each(wait_for_more);

    // There is no room in the zone: one more than it has goes to the other.
    at_a.extend(cameras(&a, "more", 1));
    assert_eq!(placed(&a), (3.0, 1.0));
    assert_eq!(placed(&b), (1.0, 0.0), "the other zone's own session was left where it is");

    for peer in at_a.iter_mut().chain(&mut at_b) {
        assert!(peer.stats().message("end_stream").is_none());
        peer.close();
    }
    assert_balanced(&a);
    assert_balanced(&b);
}
