//! What stood still goes on, and all of its video comes back: we, the browser, or the way from it.

use reframe_tests::netem::{Conditions, Network};
use reframe_tests::peer::Received;
use reframe_tests::source::{Format, Video};
use reframe_tests::wait::for_time;
use tokio::time::Instant;

use super::*;

/// In the simulations it is four seconds. Only for ever is wrong here: these machines are busy.
const BACK: Duration = Duration::from_secs(20);

/// Waits for a second of new pictures, with all their pixels, after `from`: repetitions, which are
/// shown while nothing comes, do not count.
#[track_caller]
fn wait_until_back(peer: &Peer, what: &str, from: Instant) {
    peer.wait_until(what, BACK, |stats| {
        let after = stats.received.iter().rposition(|frame| frame.complete < from.into_std());
        let frames: &[Received] = &stats.received[after.map_or(0, |last| last + 1)..];
        let last = &frames[frames.len().saturating_sub(30)..];
        let numbers: HashSet<_> = last.iter().filter_map(|frame| frame.code).collect();
        let full = last.len() == 30 && last.iter().all(|frame| frame.height == 480);
        (full && Stats::fps(last) > 25.0 && numbers.len() > 20).then_some(())
    });
}

fn live(cluster: &Cluster, id: &str) -> Peer {
    let peer = connect(cluster, id, Video::Live(Format::VGA));
    wait_until_back(&peer, "a second of all pictures", Instant::now());
    peer
}

#[test]
fn a_server_that_stood_still_for_ten_seconds_blames_no_browser() {
    let cluster = Cluster::launch("flip");
    let peer = live(&cluster, "server");
    cluster.gateway.freeze();
    for_time(Duration::from_secs(10));
    cluster.gateway.thaw();
    wait_until_back(&peer, "all pictures after the server's standstill", Instant::now());
    assert!(!peer.stats().closed_by_server);
    assert_eq!(cluster.sessions(), 1.0);
    assert_eq!(cluster.metrics().sum("reframe_connection_failures_total", &[]), 0.0);
}

#[test]
fn a_browser_that_stood_still_for_ten_seconds_has_all_of_its_video_back() {
    let cluster = Cluster::launch("flip");
    let peer = live(&cluster, "client");
    let stood = Duration::from_secs(10);
    let until = Instant::now() + stood;
    peer.stall(stood);
    peer.wait_until("it goes on", stood + PATIENCE, |_| (Instant::now() > until).then_some(()));
    wait_until_back(&peer, "all pictures after the browser's standstill", until);
    assert!(!peer.stats().closed_by_server);
}

#[test]
fn a_way_back_that_is_cut_for_ten_seconds_costs_no_session() {
    let cluster = Cluster::launch("flip");
    let peer = live(&cluster, "feedback");
    let cut = Conditions { blackout: true, ..Conditions::default() };
    peer.set_network(Network { up: cut, ..Network::default() });
    for_time(Duration::from_secs(10));
    peer.set_network(Network::default());
    wait_until_back(&peer, "all pictures after the way back was cut", Instant::now());
    assert!(!peer.stats().closed_by_server);
}
