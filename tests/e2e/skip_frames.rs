//! A handler that takes 200 ms a frame with `skip_frames`: it always gets the newest frame, and the
//! rest is counted.

use reframe_tests::peer::{Received, Stats};
use reframe_tests::source::{Format, Video};
use tokio::time::Instant;

use super::*;

#[test]
fn the_newest_frame_wins_and_the_browser_still_sees_thirty_a_second() {
    let cluster = Cluster::launch("skip-frames");
    let mut peer = connect(&cluster, "skip", Video::Live(Format::VGA));
    // Nine seconds of camera.
    peer.wait_until("270 frames sent", PATIENCE, |stats| (stats.sent.len() >= 270).then_some(()));
    let (stats, metrics) = settle_books(&cluster, &peer);
    assert_flipped_in_order(&stats);

    // 200 ms a frame is five a second; half of that is for the machine.
    let shown = stats.numbers().len();
    let [first, .., last] = &stats.sent[..] else { panic!("nothing was sent") };
    let most = last.at.duration_since(first.at).as_millis() / 200 + 2;
    assert!(
        (most / 2..=most).contains(&(shown as u128)),
        "{shown} processed frames, {most} are possible"
    );
    let skipped =
        metrics.sum("reframe_frames_dropped_total", &[("hop", "session"), ("reason", "skipped")]);
    assert!(skipped * 2.0 > stats.sent.len() as f64, "{skipped} of {} skipped", stats.sent.len());

    // The page is told once a second: how many were skipped so far, and how long a frame takes from
    // packet to packet.
    let told = &stats.server_stats.as_ref().expect("the server's figures")["data"];
    assert!(
        told["skipped"].as_f64().is_some_and(|told| (1.0..=skipped).contains(&told)),
        "{told}, {skipped} skipped"
    );
    assert!(told["server_ms"].as_f64().is_some_and(|ms| (200.0..5_000.0).contains(&ms)), "{told}");

    // Between results the last one is shown again, up to the target rate; without that this would
    // be five.
    let fps = Stats::fps(&stats.received[30..]);
    assert!((15.0..33.0).contains(&fps), "{fps:.1} fps");
    let repeated = metrics.sum("reframe_frames_repeated_total", &[]);
    assert!(repeated > shown as f64, "{repeated} repeated");

    // Age when first shown: the work, and at most one camera interval of waiting for it. A queue
    // would add 800 ms with every second that passes.
    let ages: Vec<_> = first_shown(&stats).filter_map(|frame| frame.age).collect();
    let (early, late) = ages.split_at(ages.len() / 2);
    let (early, late) = (median(early.to_vec()), median(late.to_vec()));
    assert!(early >= Duration::from_millis(200), "{early:?} is less than the handler takes");
    assert!(
        early < Duration::from_millis(600) && late < Duration::from_millis(600),
        "{early:?}, then {late:?}"
    );
    assert!(late < early + Duration::from_millis(200), "the delay grows: {early:?}, then {late:?}");

    peer.close();
    assert_balanced(&cluster);
}

/// What the handler is given is what was newest when it became free: nothing older was waiting for
/// it.
#[test]
fn frames_in_between_are_skipped_not_queued() {
    let cluster = Cluster::launch("skip-frames");
    let mut peer = connect(&cluster, "gaps", Video::Live(Format::SMALL));
    peer.wait_until("15 different frames", PATIENCE, |stats| {
        (stats.numbers().len() >= 15).then_some(())
    });
    let stats = peer.stats();
    let taken: Vec<_> =
        stats.numbers().iter().filter_map(|number| stats.sent_at(*number)).collect();
    // As the handler takes 200 ms, the frames it is given were taken 200 ms apart; a queue would
    // hand it neighbours.
    let steps: Vec<_> = taken[3..].windows(2).map(|pair| pair[1].duration_since(pair[0])).collect();
    assert!(
        steps.iter().filter(|step| **step < Duration::from_millis(120)).count() <= 1,
        "{steps:?}"
    );
    peer.close();
    assert_balanced(&cluster);
}

/// Side by side, not one after the other: three handlers of 200 ms each still show five frames a
/// second apiece.
#[test]
fn slow_handlers_do_not_wait_for_each_other() {
    let cluster = Cluster::launch("skip-frames");
    let mut peers: Vec<_> = (0..3)
        .map(|n| connect(&cluster, &format!("slow-{n}"), Video::Live(Format::SMALL)))
        .collect();
    let seen: Vec<_> = peers.iter().map(|peer| peer.stats().numbers().len()).collect();
    let start = Instant::now();
    for (peer, seen) in peers.iter().zip(seen) {
        let what = "twenty more different frames";
        peer.wait_until(what, PATIENCE, |stats| (stats.numbers().len() >= seen + 20).then_some(()));
    }
    // Sixty frames of 200 ms are twelve seconds of work.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
}

fn first_shown(stats: &Stats) -> impl Iterator<Item = &Received> {
    let mut last = None;
    stats
        .received
        .iter()
        .filter(move |frame| std::mem::replace(&mut last, frame.code) != frame.code)
}
