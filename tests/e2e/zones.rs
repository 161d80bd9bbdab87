//! Two zones with a gateway and two workers each, in real processes: sessions stay in their zone
//! while there is room, and come back to it. Two more workers serve a second stream, whose
//! declaration changes and whose sessions may not be moved.

use reframe_tests::cluster::Worker;
use reframe_tests::redis::RedisServer;
use reframe_tests::source::Format;

use super::*;

/// Of each worker.
const ROOM: usize = 2;
/// Its sessions may be moved.
const MOVABLE: &str = "flip";
/// Its sessions may not, and it has a bound that is an option.
const FIXED: &str = "echo-inputs";
const CHANGED: [&str; 2] = ["--slider-max", "0.5"];
const ANY_PORT: &str = "127.0.0.1:0";

/// The gateway's workers in its own zone: two of one stream, then one of the other.
const NEAR: [usize; 3] = [0, 1, 2];

fn worker(stream: &str, zone: &str, address: &str, options: &[&str]) -> Worker {
    let room = ROOM.to_string();
    let placed = ["--zone", zone, "--capacity", &room];
    Worker::serve_with(stream, address, &[&placed, options].concat())
}

/// The sessions of a stream at a gateway by how near their workers are: (on this host, in another
/// zone).
fn placed(gateway: &Cluster, stream: &str) -> (f64, f64) {
    let counts = gateway.metrics();
    let [host, zone, other_zone, unknown] =
        ["host", "zone", "other_zone", "unknown"].map(|locality| {
            let labels = [("stream", stream), ("locality", locality)];
            counts.sum("reframe_sessions_by_locality", &labels)
        });
    assert_eq!(zone + unknown, 0.0, "all of this machine, or of another zone");
    (host, other_zone)
}

#[track_caller]
fn wait_placed(gateway: &Cluster, expected: (f64, f64)) {
    let found = || (placed(gateway, MOVABLE) == expected).then_some(());
    try_eventually(PATIENCE * 3, found).unwrap_or_else(|| {
        panic!("{:?}, not {expected:?}\n{}", placed(gateway, MOVABLE), gateway.gateway.log())
    });
}

#[track_caller]
fn wait_serving(gateway: &Cluster, workers: f64) {
    eventually("the gateway knows which serve", PATIENCE, || {
        (gateway.serving() == workers).then_some(())
    });
}

fn cameras(gateway: &Cluster, stream: &str, name: &str, count: usize) -> Vec<Peer> {
    let path = format!("/{stream}");
    let camera = |n| Options::camera(format!("{name}-{n}"), Video::Live(Format::SMALL));
    (0..count).map(|n| connect_at(gateway, &path, camera(n))).collect()
}

/// Starts the gateway's worker of this index again, at its address.
fn again(gateway: &mut Cluster, index: usize, stream: &str, options: &[&str]) {
    let address = gateway.workers[index].url.trim_start_matches("http://").to_owned();
    gateway.workers[index] = worker(stream, "a", &address, options);
}

/// The bound on time is for a busy machine: a session looks for a nearer worker every 15 to 25 s.
#[test]
fn sessions_stay_in_their_zone_leave_it_with_its_workers_and_come_home() {
    let redis = RedisServer::start();
    // One after the other, so that the last one's declaration is the newest.
    let workers = vec![
        worker(MOVABLE, "a", ANY_PORT, &[]),
        worker(MOVABLE, "a", ANY_PORT, &[]),
        worker(FIXED, "a", ANY_PORT, &[]),
        worker(MOVABLE, "b", ANY_PORT, &[]),
        worker(MOVABLE, "b", ANY_PORT, &[]),
        worker(FIXED, "b", ANY_PORT, &CHANGED),
    ];
    let url = redis.url();
    let mut a = Cluster::of_with(workers, &["--redis", &url, "--zone", "a"]);
    let b = Cluster::beside(&a, &["--redis", &url, "--zone", "b"]);
    for gateway in [&a, &b] {
        eventually("it has Redis", PATIENCE, || {
            (gateway.metrics().sum("reframe_placement_up", &[]) == 1.0).then_some(())
        });
        wait_serving(gateway, 6.0);
    }

    // All of the gateway's own zone, although the least loaded workers would be the other ones.
    let mut at_a = cameras(&a, MOVABLE, "a", 2);
    assert_eq!(placed(&a, MOVABLE), (2.0, 0.0));
    let mut at_b = cameras(&b, MOVABLE, "b", 1);
    assert_eq!(placed(&b, MOVABLE), (1.0, 0.0));
    // The newest declaration comes first, far or near.
    let mut fixed = cameras(&a, FIXED, "fixed", 1);
    assert_eq!(placed(&a, FIXED), (0.0, 1.0));

    // One worker of the zone dies: the other one of the zone has room.
    a.workers[0].process.kill9();
    eventually("its session went on", PATIENCE, || {
        (failovers(&a) == [0.0, 1.0, 0.0]).then_some(())
    });
    assert_eq!(placed(&a, MOVABLE), (2.0, 0.0));
    again(&mut a, 0, MOVABLE, &[]);
    wait_serving(&a, 6.0);
    at_a.extend(cameras(&a, MOVABLE, "third", 1));
    assert_eq!(placed(&a, MOVABLE), (3.0, 0.0));

    // The zone has no worker any more: all go on in the other one, which has just room for them.
    for near in NEAR {
        a.workers[near].process.kill9();
    }
    wait_placed(&a, (0.0, 3.0));
    at_a.iter().for_each(wait_for_more);
    assert_eq!(failovers(&a), [0.0, 4.0, 0.0]);

    // They are back. New sessions are near at once, and those that run and may be moved follow.
    again(&mut a, 0, MOVABLE, &[]);
    again(&mut a, 1, MOVABLE, &[]);
    again(&mut a, 2, FIXED, &CHANGED);
    wait_serving(&a, 6.0);
    at_a.extend(cameras(&a, MOVABLE, "new", 1));
    assert!(placed(&a, MOVABLE).0 >= 1.0);
    fixed.extend(cameras(&a, FIXED, "new-fixed", 1));
    assert_eq!(placed(&a, FIXED), (1.0, 1.0));
    wait_placed(&a, (4.0, 0.0));
    let nearer = a.metrics().sum("reframe_failovers_total", &[("outcome", "nearer")]);
    assert_eq!((nearer, failovers(&a)), (3.0, [0.0, 4.0, 0.0]));
    at_a.iter().for_each(wait_for_more);

    // There is no room in the zone: one more than it has goes to the other.
    at_a.extend(cameras(&a, MOVABLE, "more", 1));
    assert_eq!(placed(&a, MOVABLE), (4.0, 1.0));
    assert_eq!(placed(&b, MOVABLE), (1.0, 0.0), "the other zone's own session stayed");
    assert_eq!(placed(&a, FIXED), (1.0, 1.0), "what may not be moved stayed");

    for peer in at_a.iter_mut().chain(&mut at_b).chain(&mut fixed) {
        assert!(peer.stats().message("end_stream").is_none());
        peer.close();
    }
    assert_balanced(&a);
    assert_balanced(&b);
}
