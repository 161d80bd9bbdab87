//! A bad network between browser and gateway: what is lost is asked for again, and every frame is
//! in the books once.
//!
//! How many frames come through in a second is the load generator's business (`reframe-bench --only
//! loss`); here it is that they do, in order, whole, and that none is forgotten.

use std::time::Duration;

use reframe_tests::cluster::Cluster;
use reframe_tests::netem::{Conditions, Loss, Network};
use reframe_tests::peer::{Options, Peer, Stats};
use reframe_tests::source::{Format, Video};
use reframe_tests::wait::eventually;

use crate::{Books, PATIENCE, assert_flipped_in_order, connect_with};

const SEED: u64 = 20;
const DELAY: Duration = Duration::from_millis(25);

fn camera(cluster: &Cluster, network: Network) -> Peer {
    connect_with(cluster, Options::camera("loss", Video::Live(Format::SMALL)).with_network(network))
}

/// `count` more pictures, each new.
#[track_caller]
fn wait_for_new(peer: &Peer, count: usize) {
    let seen = peer.stats().numbers().len();
    peer.wait_until("new pictures", PATIENCE * 2, |stats| {
        (stats.numbers().len() >= seen + count).then_some(())
    });
}

/// Lets the network be good, so that nothing of ours is lost on the way, ends the video and looks
/// at the books.
#[track_caller]
fn settle(cluster: &Cluster, peer: &mut Peer) -> (Stats, Books) {
    peer.set_network(Network::default());
    wait_for_new(peer, 5);
    peer.stop_camera();
    let (stats, books) = eventually("every frame that came in has an end", PATIENCE, || {
        let books = Books::read(&cluster.metrics());
        let stats = peer.stats();
        let shown = stats.numbers().last().copied();
        (books.balanced() && shown == stats.sent.last().map(|sent| sent.number))
            .then_some((stats, books))
    });
    let sent = stats.sent.len() as f64;
    let shown = stats.numbers().len() as f64;
    assert!(
        books.received <= sent && shown <= books.emitted,
        "{sent} sent, {shown} shown, {books}"
    );
    assert!(!stats.closed_by_server && cluster.sessions() == 1.0, "{}", stats.summary());
    peer.close();
    (stats, books)
}

fn lossy(loss: Loss) -> (Stats, Books) {
    let cluster = Cluster::launch("flip");
    let network = Network::both(SEED, Conditions { delay: DELAY, loss, ..Conditions::default() });
    let mut peer = camera(&cluster, network);
    wait_for_new(&peer, 120);
    let (stats, books) = settle(&cluster, &mut peer);
    let [up, down] = stats.network;
    assert!(
        up.lost > 0 && down.lost > 0 && stats.resent > 0,
        "{up:?}, {down:?}, {} sent again",
        stats.resent
    );
    // Each lost packet is asked for once or a few times, none for ever.
    assert!(stats.resent < 4 * up.lost, "{up:?}, {} sent again", stats.resent);
    (stats, books)
}

#[test]
fn what_is_lost_at_random_is_sent_again() {
    let (stats, books) = lossy(Loss::Random(0.05));
    // A frame is given up when four requests in a row, or their answers, are lost.
    assert!(books.dropped < 0.5 * books.received, "{books}");
    assert!(stats.undecodable <= 60, "{}", stats.summary());
}

#[test]
fn what_is_lost_in_bursts_is_sent_again() {
    lossy(Loss::Bursts { share: 0.05, length: 4.0 });
}

#[test]
fn reordering_and_doubles_cost_nothing() {
    let cluster = Cluster::launch("flip");
    let conditions = Conditions {
        delay: DELAY,
        jitter: DELAY / 5,
        overtaking: 0.05,
        doubled: 0.05,
        ..Conditions::default()
    };
    // A stream whose first packet is overtaken begins with the second, and lacks it: not what this
    // is about.
    let mut peer = camera(&cluster, Network::default());
    wait_for_new(&peer, 5);
    peer.set_network(Network::both(SEED, conditions));
    wait_for_new(&peer, 120);
    let (stats, books) = settle(&cluster, &mut peer);
    assert!(
        stats.network.iter().all(|counts| counts.doubled > 0 && counts.lost == 0),
        "{:?}",
        stats.network
    );
    // The first frame may come before the connection has its keys, on a good network too.
    let sent = stats.sent.len() as f64;
    assert!((sent - 1.0..=sent).contains(&books.received), "{sent} sent: {books}");
    assert_flipped_in_order(&stats);
}

#[test]
fn after_a_blackout_the_picture_is_back() {
    let cluster = Cluster::launch("flip");
    let open = Conditions { delay: DELAY, ..Conditions::default() };
    let mut peer = camera(&cluster, Network::both(SEED, open));
    wait_for_new(&peer, 30);
    for _ in 0..2 {
        let sent = peer.stats().sent.len();
        peer.set_network(Network::both(SEED, Conditions { blackout: true, ..open }));
        peer.wait_until("two seconds of video", PATIENCE, |stats| {
            (stats.sent.len() >= sent + 60).then_some(())
        });
        let dark = peer.stats().numbers().len();
        peer.set_network(Network::both(SEED, open));
        let lit = peer.stats().sent.len();
        wait_for_new(&peer, 30);
        let stats = peer.stats();
        let first = stats.numbers()[dark];
        let behind =
            stats.sent.iter().take_while(|frame| frame.number < first).count().saturating_sub(lit);
        // A second is 30; the rest is for the machine.
        assert!(behind < 90, "{behind} frames were sent before one was shown: {}", stats.summary());
    }
    let (stats, _) = settle(&cluster, &mut peer);
    assert!(stats.keyframe_requests > 1, "{}", stats.summary());
}

#[test]
fn who_has_no_pli_is_asked_for_keyframes_by_fir() {
    let cluster = Cluster::launch("flip");
    let options = Options { fir_only: true, ..Options::camera("fir", Video::Live(Format::VGA)) };
    let mut peer = connect_with(&cluster, options);
    wait_for_new(&peer, 5);
    let asked = || {
        let stats = peer.stats();
        (stats.firs, stats.keyframe_requests)
    };
    for _ in 0..2 {
        let before = asked();
        let sent = peer.stats().sent.len();
        peer.set_network(Network::both(
            SEED,
            Conditions { blackout: true, ..Conditions::default() },
        ));
        // More packets than are asked for again.
        peer.wait_until("two seconds of video", PATIENCE, |stats| {
            (stats.sent.len() >= sent + 60).then_some(())
        });
        peer.set_network(Network::default());
        wait_for_new(&peer, 5);
        let after = asked();
        assert!(after.0 > before.0 && after.0 == after.1, "{after:?}");
    }
    peer.close();
}
