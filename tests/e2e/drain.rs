//! Processes that are asked to stop: their sessions move first.

use std::sync::Arc;

use reframe_tests::cluster::Worker;
use reframe_tests::http::get;
use reframe_tests::source::{Clip, Format};
use serde_json::json;
use tokio::time::Instant;

use super::*;

/// Re-emission fills any gap; this is for a machine that is busy with eight streams and two process
/// starts.
const NO_GAP: Duration = Duration::from_secs(2);

#[test]
fn a_rolling_restart_of_all_workers_drops_no_session() {
    let workers = (0..3).map(|_| Worker::serve("flip")).collect();
    let mut cluster = Cluster::of(workers);
    let clip = Arc::new(Clip::encode(Format::SMALL, 900, 60).expect("the encoder works"));
    let camera = |n: usize| Options {
        decode: n == 0,
        ..Options::camera(format!("{n}"), Video::Clip(Arc::clone(&clip)))
    };
    let mut peers: Vec<_> = (0..8).map(|n| connect_with(&cluster, camera(n))).collect();
    peers.iter().for_each(|peer| peer.wait_received(15, PATIENCE));
    let began = Instant::now().into_std();
    for index in 0..3 {
        let worker = &mut cluster.workers[index];
        let address = worker.url.trim_start_matches("http://").to_owned();
        worker.process.terminate();
        // Its sessions have somewhere to go, so it does not wait for its grace.
        let status = worker.process.exit(PATIENCE);
        assert!(
            status.is_some_and(|status| status.success()),
            "{status:?}\n{}",
            worker.process.log()
        );
        *worker = Worker::serve_with("flip", &address, &[]);
        eventually("the gateway knows the new worker", PATIENCE, || {
            (cluster.metrics().sum("reframe_worker_up", &[]) == 3.0).then_some(())
        });
        assert_eq!(cluster.sessions(), 8.0);
    }
    for peer in &peers {
        let seen = peer.stats().received.len();
        peer.wait_received(seen + 15, PATIENCE);
        let stats = peer.stats();
        assert!(stats.message("end_stream").is_none() && stats.failed.is_none());
        assert_eq!(stats.message("update_connection"), None, "there was always a worker");
        let gap = stats.longest_gap(began);
        assert!(gap < NO_GAP, "{gap:?}");
    }
    let [moved, recovered, lost] = failovers(&cluster);
    assert!(moved >= 8.0, "each was on a worker that restarted: {moved}");
    assert_eq!([recovered, lost], [0.0, 0.0], "none was without a worker on the way");
    assert_flipped_in_order(&peers[0].stats());
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
}

#[test]
fn a_worker_whose_sessions_have_nowhere_to_go_keeps_them_for_its_grace() {
    let worker = Worker::serve_with("flip", "127.0.0.1:0", &["--grace", "2"]);
    let mut cluster = Cluster::of_with(vec![worker], &["--reconnect-limit", "1"]);
    let mut peer = connect(&cluster, "last", Video::Live(Format::SMALL));
    peer.wait_received(15, PATIENCE);
    cluster.workers[0].process.terminate();
    eventually("it takes no more sessions", PATIENCE, || (cluster.serving() == 0.0).then_some(()));
    // It goes on meanwhile.
    wait_for_more(&peer);
    assert!(cluster.workers[0].process.alive());
    peer.wait_message("end_stream", PATIENCE);
    let status = cluster.workers[0].process.exit(PATIENCE);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn a_gateway_that_drains_sends_its_sessions_elsewhere() {
    let mut cluster = Cluster::of_with(vec![Worker::serve("flip")], &["--grace", "60"]);
    let mut peer = connect(&cluster, "here", Video::Live(Format::SMALL));
    peer.wait_received(15, PATIENCE);
    cluster.gateway.terminate();
    let told = peer.wait_message("update_connection", PATIENCE);
    assert_eq!(told["data"], "reconnect");
    assert_eq!(get(&cluster.admin("/readyz")).expect("the admin port answers").status, 503);
    let refused =
        Peer::connect(&cluster.page(""), Options::camera("late", Video::Live(Format::SMALL)));
    let reply = refused.expect_err("it is stopping");
    assert_eq!((reply.status, &reply.json()["meta"]["error"]), (503, &json!("draining")));
    assert!(reply.retry_after.is_some());
    // The session itself goes on until its client leaves.
    wait_for_more(&peer);
    assert!(cluster.gateway.alive());
    peer.close();
    let status = cluster.gateway.exit(PATIENCE);
    assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", cluster.gateway.log());
}

#[test]
fn a_gateways_grace_is_a_deadline_and_a_second_signal_ends_it_at_once() {
    for (grace, again) in [("1", false), ("3600", true)] {
        let mut cluster = Cluster::of_with(vec![Worker::serve("flip")], &["--grace", grace]);
        let peer = connect(&cluster, "stays", Video::Live(Format::SMALL));
        peer.wait_received(15, PATIENCE);
        cluster.gateway.terminate();
        peer.wait_message("update_connection", PATIENCE);
        if again {
            cluster.gateway.terminate();
        } else {
            peer.wait_until("closed", PATIENCE, |stats| stats.closed_by_server.then_some(()));
            let stats = peer.stats();
            assert_eq!(
                stats.messages.last().map(|message| &message["data"]),
                Some(&json!("closed"))
            );
            assert_eq!(
                stats.message("end_stream"),
                None,
                "its client may still be on its way to another gateway"
            );
        }
        let status = cluster.gateway.exit(PATIENCE);
        assert!(
            status.is_some_and(|status| status.success()),
            "{status:?}\n{}",
            cluster.gateway.log()
        );
    }
}
