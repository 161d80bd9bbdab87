//! Workers that die, hang, or are missing: sessions go on elsewhere.

use reframe_tests::balancer::Balancer;
use reframe_tests::cluster::Worker;
use reframe_tests::http::get;
use reframe_tests::source::Format;
use serde_json::json;
use tokio::time::Instant;

use super::*;

/// A second is the aim; the rest is for a busy machine. `make bench` has the figure.
const RECOVERED: Duration = Duration::from_secs(8);

fn cameras(cluster: &Cluster, count: usize) -> Vec<Peer> {
    let peers: Vec<_> = (0..count)
        .map(|n| connect(cluster, &format!("camera-{n}"), Video::Live(Format::SMALL)))
        .collect();
    peers.iter().for_each(|peer| peer.wait_received(15, PATIENCE));
    peers
}

/// It shows a number that was sent after `since`.
#[track_caller]
fn wait_for_new(peer: &Peer, since: std::time::Instant, within: Duration) {
    peer.wait_until("a picture of now", within, |stats| {
        let number = stats.received.last()?.code?.number;
        (stats.sent_at(number)? > since).then_some(())
    });
}

fn by_worker(cluster: &Cluster) -> Vec<f64> {
    let mut counts: Vec<_> =
        cluster.metrics().by("reframe_worker_sessions", "worker").into_values().collect();
    counts.sort_by(f64::total_cmp);
    counts
}

fn updates(stats: &Stats) -> Vec<Value> {
    let messages = stats.messages.iter().filter(|message| message["type"] == "update_connection");
    messages.map(|message| message["data"].clone()).collect()
}

#[test]
fn sessions_of_a_killed_worker_go_on_at_another() {
    let mut cluster = Cluster::separate("flip", 2);
    let mut peers = cameras(&cluster, 4);
    assert_eq!(by_worker(&cluster), [2.0, 2.0]);
    let killed = Instant::now().into_std();
    cluster.workers[0].process.kill9();
    for peer in &peers {
        wait_for_new(peer, killed, RECOVERED);
    }
    assert_eq!(cluster.sessions(), 4.0);
    assert_eq!(by_worker(&cluster), [0.0, 4.0]);
    let all: Vec<_> = peers.iter().map(Peer::stats).collect();
    let warned = all
        .iter()
        .filter(|stats| told(stats, "warning").iter().any(|text| text.contains("went away")))
        .count();
    assert_eq!(warned, 2, "those who lost their worker, and no other");
    for stats in &all {
        assert_flipped_in_order(stats);
        assert!(stats.message("end_stream").is_none());
    }
    assert_eq!(failovers(&cluster), [0.0, 2.0, 0.0]);

    // New sessions go to the worker that is left. Without workers there are no new sessions.
    connect(&cluster, "new", Video::Live(Format::SMALL)).close();
    cluster.workers[1].process.kill9();
    eventually("no worker is left", PATIENCE, || (cluster.serving() == 0.0).then_some(()));
    // The page is served, says so and waits.
    assert_eq!(get(&cluster.admin("/readyz")).expect("the admin port answers").status, 200);
    let refused =
        Peer::connect(&cluster.page(""), Options::camera("late", Video::Live(Format::SMALL)));
    let reply = refused.expect_err("there is no worker");
    assert_eq!((reply.status, &reply.json()["meta"]["error"]), (503, &json!("no_worker")));
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
}

/// Whose frames were in it, or waited for it, lose those and nothing else.
#[test]
fn sessions_of_a_worker_that_is_killed_within_a_batch_go_on_at_another() {
    let mut cluster = Cluster::separate("detect-objects", 2);
    let mut peers = cameras(&cluster, 6);
    assert_eq!(by_worker(&cluster), [3.0, 3.0]);
    let worker = &mut cluster.workers[0].process;
    // A batch takes some milliseconds: it is stopped until that is within one.
    eventually("its model works", PATIENCE, || {
        worker.freeze();
        let works = worker.is_computing("rten-0");
        if !works {
            worker.thaw();
        }
        works.then_some(())
    });
    let killed = Instant::now().into_std();
    worker.kill9();
    for peer in &peers {
        wait_for_new(peer, killed, RECOVERED);
        let numbers = peer.stats().numbers();
        assert!(numbers.is_sorted_by(|a, b| a < b), "out of order, or again later: {numbers:?}");
        // By the other's model.
        let told = peer.stats().outputs("objects").len();
        peer.wait_until("what the model finds", PATIENCE, |stats| {
            (stats.outputs("objects").len() > told).then_some(())
        });
    }
    assert_eq!(by_worker(&cluster), [0.0, 6.0]);
    assert_eq!(failovers(&cluster), [0.0, 3.0, 0.0]);
    let metrics = cluster.metrics();
    let lost = metrics.sum("reframe_frames_dropped_total", &[("reason", "worker_lost")]);
    // Of each session at most as many as its credits.
    assert!((1.0..=9.0).contains(&lost), "{lost} frames");
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
}

#[test]
fn inputs_are_set_again_at_the_next_worker() {
    let mut cluster = Cluster::separate("echo-inputs", 2);
    let mut peer = connect(&cluster, "inputs", Video::Live(Format::SMALL));
    peer.set_inputs(&json!({ "number": 7, "textbox": "kept" }));
    let kept = |seen: &Value| seen["number"] == 7.0 && seen["textbox"] == "kept";
    peer.wait_output("seen", PATIENCE, kept);
    let before = peer.stats().outputs("seen").len();
    let busy = cluster.busy_worker().expect("one has it");
    cluster.workers[busy].process.kill9();
    peer.wait_until("the next handler's first look at its inputs", RECOVERED, |stats| {
        stats
            .outputs("seen")
            .get(before)
            .map(|seen| assert!(kept(seen), "from the first frame on: {seen}"))
    });
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn a_worker_that_hangs_is_left() {
    let cluster = Cluster::separate("flip", 2);
    let mut peers = cameras(&cluster, 2);
    let frozen = Instant::now().into_std();
    cluster.workers[0].process.freeze();
    for peer in &peers {
        wait_for_new(peer, frozen, RECOVERED);
    }
    for stats in peers.iter().map(Peer::stats) {
        assert_flipped_in_order(&stats);
        // The last picture is shown on meanwhile.
        assert!(
            stats.longest_gap(frozen) < Duration::from_secs(1),
            "{:?}",
            stats.longest_gap(frozen)
        );
    }
    assert_eq!(by_worker(&cluster), [0.0, 2.0]);
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
}

/// The machine that is cut off: no end of a connection comes through, from either side.
#[test]
fn sessions_of_a_worker_that_is_cut_off_go_on_at_another_and_it_frees_their_slots() {
    let mut workers = [Worker::serve("flip"), Worker::serve("flip")];
    let network = Balancer::start(std::slice::from_ref(&workers[0].url));
    workers[0].url = network.page("");
    let cluster = Cluster::of(workers.into());
    let mut peers = cameras(&cluster, 2);
    assert_eq!(by_worker(&cluster), [1.0, 1.0]);
    let cut = Instant::now().into_std();
    network.cut();
    for peer in &peers {
        wait_for_new(peer, cut, RECOVERED);
        assert_flipped_in_order(&peer.stats());
    }
    assert_eq!(by_worker(&cluster), [0.0, 2.0]);
    eventually("the worker notices by itself", PATIENCE, || {
        cluster.workers[0].process.log().contains("session ended").then_some(())
    });
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
}

#[test]
fn a_session_waits_for_a_worker_with_room() {
    let mut cluster = Cluster::separate("flip", 1);
    let mut peers = cameras(&cluster, 2);
    let address = cluster.workers[0].url.trim_start_matches("http://").to_owned();
    cluster.workers[0].process.kill9();
    for peer in &peers {
        peer.wait_message("update_connection", PATIENCE);
    }
    let listed = get(&cluster.admin("/api/sessions")).expect("the admin port answers").json();
    let states: Vec<_> = listed["sessions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["state"].clone())
        .collect();
    assert_eq!(states, ["reconnecting", "reconnecting"]);
    // The last picture is shown on.
    let seen = peers[0].stats().received.len();
    peers[0].wait_received(seen + 15, PATIENCE);

    let back = Instant::now().into_std();
    cluster.workers[0] = Worker::serve_with("flip", &address, &[]);
    for peer in &peers {
        wait_for_new(peer, back, PATIENCE);
        let stats = peer.stats();
        assert_eq!(updates(&stats), ["reconnecting", "connected"]);
        assert_eq!(told(&stats, "warning").len(), 1);
    }
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
}

#[test]
fn a_session_without_a_worker_ends_at_the_limit() {
    let mut cluster = Cluster::of_with(vec![Worker::serve("flip")], &["--reconnect-limit", "2"]);
    let mut peers = cameras(&cluster, 1);
    cluster.workers[0].process.kill9();
    let end = peers[0].wait_message("end_stream", PATIENCE);
    assert!(end["data"].as_str().is_some_and(|text| text.contains("no other has room")), "{end}");
    let stats = peers[0].stats();
    let kinds: Vec<_> = stats.messages.iter().map(|message| message["type"].clone()).collect();
    assert_eq!(kinds, ["update_connection", "error", "end_stream"]);
    cluster.wait_for_sessions(0, CLOSED);
    assert_eq!(failovers(&cluster), [0.0, 0.0, 1.0]);
    assert_eq!(
        cluster.metrics().by("reframe_sessions_ended_total", "reason"),
        [("worker_lost".to_owned(), 1.0)].into()
    );
    peers[0].close();
    assert_balanced(&cluster);
}

/// A frame that makes its handler's process crash would go on to do that to the next, and to all
/// sessions there.
#[test]
fn a_session_whose_workers_die_one_after_the_other_does_not_take_all_of_them() {
    let mut cluster = Cluster::separate("flip", 5);
    let mut peer = connect(&cluster, "poison", Video::Live(Format::SMALL));
    peer.wait_received(5, PATIENCE);
    let mut dead = Vec::new();
    for _ in 0..4 {
        let busy = eventually("another worker has it", PATIENCE, || {
            cluster.busy_worker().filter(|busy| !dead.contains(busy))
        });
        let seen = peer.stats().numbers().len();
        peer.wait_until("new pictures of it", PATIENCE, |stats| {
            (stats.numbers().len() > seen).then_some(())
        });
        cluster.workers[busy].process.kill9();
        dead.push(busy);
    }
    peer.wait_message("end_stream", PATIENCE);
    assert_eq!(failovers(&cluster), [0.0, 3.0, 1.0]);
    eventually("one worker is left", PATIENCE, || (cluster.serving() == 1.0).then_some(()));
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn a_generator_begins_again_at_another_worker() {
    let mut cluster = Cluster::separate("ticker", 2);
    let mut peer = connect_with(&cluster, Options::viewer("viewer"));
    peer.wait_received(30, PATIENCE);
    let busy = cluster.busy_worker().expect("one has it");
    cluster.workers[busy].process.kill9();
    let killed = Instant::now().into_std();
    peer.wait_until("the first number again, and more", RECOVERED, |stats| {
        let numbers: Vec<_> = stats
            .received
            .iter()
            .filter(|frame| frame.complete > killed)
            .filter_map(|frame| frame.code)
            .collect();
        (numbers.iter().any(|code| code.number < 5) && numbers.last()?.number > 20).then_some(())
    });
    let stats = peer.stats();
    let off_grid = stats
        .received
        .windows(2)
        .filter(|pair| (pair[1].rtp_time - pair[0].rtp_time) % 3_000 != 0)
        .count();
    assert_eq!(off_grid, 0, "the metronome does not notice");
    peer.close();
    assert_balanced(&cluster);
}
