//! Slots: whoever only says that he comes has none, whoever stops halfway has it for seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use reframe_tests::attacker::attacks::offers::{ANSWERED, half_open};
use reframe_tests::attacker::attacks::paths::checks_alone;
use reframe_tests::source::{Format, Video};
use reframe_worker::{Frame, Stream, VideoStreamHandler};
use tokio::time::Instant;

use super::*;

/// `flip`, and how many handlers were started.
fn counted(starts: &Arc<AtomicU32>) -> Stream {
    let starts = Arc::clone(starts);
    let handler = VideoStreamHandler::per_session(move || {
        starts.fetch_add(1, Ordering::Relaxed);
        Frame::flip_vertical
    });
    Stream::builder(handler).build()
}

/// A newcomer is at once where he would be on an idle gateway.
#[track_caller]
fn newcomer(cluster: &Cluster, id: &str) {
    let mut peer = connect(cluster, id, Video::Live(Format::SMALL));
    peer.wait_received(10, PATIENCE);
    peer.close();
}

/// More of them than there are slots, and not a line of log for each.
#[test]
fn offers_that_nobody_follows_starve_nobody() {
    let starts = Arc::new(AtomicU32::new(0));
    let mut cluster = Cluster::local([counted(&starts)]);
    let judge = Judge::sit(&cluster);
    let page = cluster.page("");
    let mut newcomers = 0;
    let counts = std::thread::scope(|scope| {
        let flood = scope.spawn(|| half_open(&page, 4.0, Duration::from_secs(10)));
        while !flood.is_finished() {
            newcomer(&cluster, &format!("newcomer-{newcomers}"));
            newcomers += 1;
        }
        flood.join().expect("it does not panic")
    });
    assert!(counts.get(&ANSWERED).is_some_and(|answered| *answered >= 20), "{counts:?}");
    assert_eq!(starts.load(Ordering::Relaxed), 1 + newcomers, "the judge's, and each newcomer's");
    let lines = cluster.gateway.log().lines().filter(|line| line.contains("half-")).count();
    assert!(lines < 10, "{lines} lines of log:\n{}", cluster.gateway.log());
    conclude(&mut cluster, &judge);
}

/// Of sixteen slots they have four, and those for seconds.
#[test]
fn sessions_without_dtls_have_a_quarter_of_the_slots_and_lose_it() {
    let mut cluster = Cluster::launch_with("flip", &["--capacity", "16"]);
    let judge = Judge::sit(&cluster);
    let mut attackers = checks_alone(&cluster.page(""), 12);
    let mut most = cluster.sessions();
    newcomer(&cluster, "newcomer");
    // They go on for twice as long as they have.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        attackers.iter_mut().for_each(|attacker| attacker.stay(Duration::from_millis(50)));
        most = most.max(cluster.sessions());
    }
    assert!(most <= 5.0, "{most} of 16 slots, one of them honest");
    for attacker in attackers.iter_mut().take(4) {
        let answered = attacker.reach(Duration::from_millis(500));
        assert!(answered.is_err(), "it has its slot still: {:?}", attacker.seen);
    }
    conclude(&mut cluster, &judge);
}
