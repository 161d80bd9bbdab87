//! Separate processes: one gateway, several workers, sessions shared out among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use reframe_tests::source::{Clip, Format, Video};

use super::*;

#[test]
fn four_sessions_on_two_workers_are_two_and_two() {
    let cluster = Cluster::separate("flip", 2);
    let clip = Arc::new(Clip::encode(Format::SMALL, 900, 60).expect("the encoder works"));
    let mut peers: Vec<_> = (0..4)
        .map(|n| connect(&cluster, &format!("{n}"), Video::Clip(Arc::clone(&clip))))
        .collect();
    assert_eq!(cluster.sessions(), 4.0);
    let placed = || {
        cluster.metrics().by("reframe_worker_sessions", "worker").into_values().collect::<Vec<_>>()
    };
    assert_eq!(placed(), [2.0, 2.0]);
    for peer in &peers {
        peer.wait_received(60, PATIENCE);
        assert_flipped_in_order(&peer.stats());
    }
    for process in cluster.workers.iter().map(|worker| &worker.process).chain([&cluster.gateway]) {
        assert!(
            process.rss_bytes() > 1 << 20 && process.cpu_time() > Duration::ZERO,
            "{process:?}"
        );
    }
    // The next one goes where room was made.
    peers[0].close();
    cluster.wait_for_sessions(3, CLOSED);
    peers[0] = connect(&cluster, "new", Video::Clip(clip));
    assert_eq!(placed(), [2.0, 2.0]);
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
    assert_eq!(placed(), [0.0, 0.0]);
}

#[test]
fn a_worker_says_where_it_is_known() {
    let cluster = Cluster::separate("flip", 2);
    let up = cluster.metrics().by("reframe_worker_up", "worker");
    let named: BTreeMap<_, _> =
        up.iter().map(|(url, up)| (url.trim_end_matches('/'), *up)).collect();
    let workers: BTreeMap<_, _> =
        cluster.workers.iter().map(|worker| (worker.url.as_str(), 1.0)).collect();
    assert_eq!(named, workers);
}
