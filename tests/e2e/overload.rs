//! A gateway that is busy takes no more sessions, and keeps those that it has; with too many of
//! them it does less for each.

use std::sync::Arc;

use reframe_tests::browser::Camera;
use reframe_tests::http::get;
use reframe_tests::source::{Clip, Format, Video};
use serde_json::json;

use super::browser::start;
use super::*;

/// Some six steps of 4 s, one after the other, and some that are tried in vain on a machine that
/// has other work.
const RELIEVED: Duration = Duration::from_secs(120);

#[test]
fn a_busy_gateway_keeps_its_sessions_and_takes_no_more() {
    // One session alone is more than that.
    let cluster = Cluster::launch_with("flip", &["--max-load", "1"]);
    let offer = |id: &str| {
        Peer::connect(&cluster.page(""), Options::camera(id, Video::Live(Format::SMALL)))
    };
    // Not a small one, which takes about as much of two threads as is asked for below.
    let mut first = connect(&cluster, "first", Video::Live(Format::VGA));
    // At once, when nothing was measured yet, and later.
    for _ in 0..2 {
        let reply = offer("second").expect_err("it is busy");
        assert_eq!(reply.status, 503);
        assert!(reply.retry_after.is_some_and(|wait| (1..=3).contains(&wait)), "{reply:?}");
        assert_eq!(reply.json()["meta"]["error"], json!("overloaded"), "{reply:?}");
        wait_for_more(&first);
    }
    let metrics = cluster.metrics();
    let offers = |outcome: &str| metrics.sum("reframe_offers_total", &[("outcome", outcome)]);
    assert_eq!((offers("answered"), offers("overloaded")), (1.0, 2.0));
    let load = metrics.sum("reframe_load_ratio", &[]);
    assert!(load > 0.01, "{load}");
    assert_eq!(
        cluster.gateway.log().matches("(--max-load)").count(),
        1,
        "told once: {}",
        cluster.gateway.log()
    );
    // It is for those that run.
    assert_eq!(get(&cluster.admin("/readyz")).expect("an answer").status, 200);

    first.close();
    cluster.wait_for_sessions(0, CLOSED);
    // Its load is still in the figure, but nobody is there to be harmed.
    let mut second = eventually("it is taken", PATIENCE, || offer("second").ok());
    second.wait_received(5, PATIENCE);
    second.close();
    assert_balanced(&cluster);
}

/// Some three times what one thread can do: also on a faster machine more than it can.
const TOO_MANY: usize = 10;

/// Nobody is to start anew what is only busy.
#[track_caller]
fn assert_healthy(cluster: &Cluster) {
    let reply = get(&cluster.admin("/healthz")).expect("the admin port answers");
    assert_eq!(reply.status, 200, "{}", reply.body);
}

fn stream(cluster: &Cluster, n: usize, clip: &Arc<Clip>) -> Peer {
    let options =
        Options { decode: n == 0, ..Options::camera(n.to_string(), Video::Clip(Arc::clone(clip))) };
    Peer::connect(&cluster.page(""), options)
        .unwrap_or_else(|reply| panic!("no answer but {reply:?}"))
}

#[test]
fn with_more_than_time_all_streams_get_smaller_and_whole_again() {
    let cluster = Cluster::launch_with("flip", &["--codec-threads", "1", "--max-load", "100"]);
    let clip = Arc::new(Clip::encode(Format::HD, 90, 90).expect("the encoder works"));
    let mut peers: Vec<_> = (0..TOO_MANY).map(|n| stream(&cluster, n, &clip)).collect();
    let height = |stats: &Stats| stats.received.last().map(|frame| frame.height);
    let smaller = |stats: &Stats| height(stats).filter(|height| (1..720).contains(height));
    peers[0].wait_until("a smaller picture", PATIENCE, smaller);
    let metrics = cluster.metrics();
    assert!(metrics.sum("reframe_relief_steps", &[]) > 0.0);
    assert_healthy(&cluster);
    peers.iter().for_each(|peer| {
        let seen = peer.stats().received.len();
        peer.wait_received(seen + 5, PATIENCE);
        assert_healthy(&cluster);
    });

    peers.drain(1..).for_each(|mut peer| peer.close());
    peers[0].wait_until("a whole picture", RELIEVED, |stats| {
        height(stats).filter(|height| *height == 720)
    });
    eventually("all of them", RELIEVED, || {
        (cluster.metrics().sum("reframe_relief_steps", &[]) == 0.0).then_some(())
    });
    // While it still had fewer, and time for all.
    assert!(cluster.metrics().sum("reframe_frames_dropped_total", &[("reason", "busy")]) > 0.0);
    assert!(cluster.gateway.log().contains("more to code than time"), "{}", cluster.gateway.log());
    peers[0].close();
    assert_balanced(&cluster);
}

#[test]
fn a_browser_is_asked_for_less_and_sends_less_until_there_is_time_again() {
    let cluster = Cluster::launch_with("flip", &["--codec-threads", "1", "--max-load", "100"]);
    let browser = start("less", Camera::Allowed);
    browser.open(&cluster.page("/"));
    browser.run(
        "window.limits = [];
         const { setParameters } = RTCRtpSender.prototype;
         RTCRtpSender.prototype.setParameters = async function (parameters) {
           window.limits.push(parameters.encodings[0].maxFramerate ?? 'none');
           await setParameters.call(this, parameters);
           window.limit = this.getParameters().encodings[0].maxFramerate ?? 'none';
         };",
    );
    browser.click("start");
    browser.wait_for_state("live");
    let clip = Arc::new(Clip::obedient(Format::HD, 90, 90).expect("the encoder works"));
    let mut peers: Vec<_> = (0..TOO_MANY).map(|n| stream(&cluster, n, &clip)).collect();
    let limits = || browser.run("return window.limits").as_array().cloned().expect("a list");
    let first = eventually("the page is asked", PATIENCE, || limits().first().cloned());
    // 20, or less where steps came faster than the session was told of them.
    assert!(first.as_f64().is_some_and(|fps| (7.5..=20.0).contains(&fps)), "{first}");
    for peer in &peers {
        // Of ten 14 at 20 fps; more than an encoder leaves out by itself.
        let fewer =
            |stats: &Stats| stats.sent.windows(10).any(|of| of[9].number >= of[0].number + 13);
        peer.wait_until("fewer pictures", PATIENCE, |stats| fewer(stats).then_some(()));
        assert_healthy(&cluster);
    }

    peers.iter_mut().for_each(Peer::close);
    eventually("the page is let off", RELIEVED, || {
        (browser.run("return window.limit") == "none").then_some(())
    });
    browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    assert_eq!(browser.console_errors(), Vec::<String>::new());
}
