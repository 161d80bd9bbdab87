//! The video follows what the network carries, without a new encoder for it, and begins sharp.

use reframe_tests::browser::Camera;
use reframe_tests::netem::{Bottleneck, Conditions, Network};
use reframe_tests::peer::{Media, Received, offer_sdp};
use reframe_tests::source::{Format, Video};
use reframe_worker::{Bitrate, Frame, Stream, VideoStreamHandler};
use serde_json::json;

use super::browser;
use super::*;

/// Too little for the picture below, by far.
const NARROW_KBPS: u32 = 160;
/// For an estimate to find a limit, or to find that it is gone: several times what the simulations
/// need.
const ADAPTED: Duration = Duration::from_secs(90);

fn narrow() -> Network {
    // Half a second of it.
    let bottleneck = Some(Bottleneck { kbps: NARROW_KBPS, queue_bytes: 10_000 });
    Network {
        seed: 1,
        down: Conditions { bottleneck, ..Conditions::default() },
        ..Network::default()
    }
}

#[test]
fn a_narrow_network_costs_pictures_and_pixels_and_gives_them_back() {
    let cluster = Cluster::launch_with("flip", &["--bitrate-min", "100"]);
    let mut peer = connect(&cluster, "narrow", Video::Live(Format::VGA));
    // The estimate rises from the start to the maximum meanwhile.
    peer.wait_received(150, PATIENCE);
    let stats = peer.stats();
    assert!(stats.received.iter().all(|frame| frame.height == 480));
    assert_eq!(keyframes(&stats.received), 1, "a new bitrate needs no keyframe");

    peer.set_network(narrow());
    wait_for_height(&peer, "fewer pixels", |height| (1..480).contains(&height));
    // It goes on as it is: pictures that are new, within what is left. Their numbers can hardly be
    // read any more.
    let emitted = || cluster.metrics().sum("reframe_frames_emitted_total", &[]);
    let (from, before) = (peer.stats().received.len(), emitted());
    peer.wait_received(from + 60, ADAPTED);
    let new = emitted() - before;
    assert!(new > 20.0, "{new} new pictures of 60");
    assert!(
        cluster.metrics().sum("reframe_frames_dropped_total", &[("reason", "congested")]) > 0.0
    );

    peer.set_network(Network::default());
    wait_for_height(&peer, "all pixels again", |height| height == 480);
    peer.wait_until("all pictures again", ADAPTED, |stats| {
        let last = &stats.received[stats.received.len().saturating_sub(60)..];
        (Stats::fps(last) > 22.0 && last.iter().all(|frame| frame.height == 480)).then_some(())
    });
    peer.stop_camera();
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn remb_is_told_and_obeyed_where_there_is_nothing_better() {
    let cluster = Cluster::launch_with("flip", &["--bitrate-min", "100"]);
    let options = Options { remb_only: true, ..Options::camera("remb", Video::Live(Format::VGA)) };
    let mut peer = connect_with(&cluster, options);
    let told = peer.wait_until("three REMBs", PATIENCE, |stats| {
        (stats.rembs.len() >= 3).then(|| stats.rembs.clone())
    });
    assert!(told.iter().all(|kbps| (100..=2_000).contains(kbps)), "{told:?}");
    peer.wait_received(30, PATIENCE);
    peer.send_remb(120);
    wait_for_height(&peer, "fewer pixels", |height| (1..480).contains(&height));
    peer.send_remb(2_000);
    wait_for_height(&peer, "all pixels again", |height| height == 480);
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn the_answer_asks_for_what_options_and_stream_say() {
    let ask = |options: &[&str], stream: Stream| {
        let cluster = Cluster::local_with([stream], options);
        let body =
            json!({ "sdp": offer_sdp(Media::default()), "type": "offer", "webrtc_id": "asks" });
        let reply = reframe_tests::http::post(
            &format!("{}/webrtc/offer", cluster.page("")),
            body.to_string(),
        );
        reply.expect("an answer").json()["sdp"].as_str().expect("an answer").to_owned()
    };
    let stream = || Stream::builder(VideoStreamHandler::new(|frame: Frame| frame));
    let plain = ask(&[], stream().build());
    assert!(
        plain.contains("b=TIAS:2000000\r\n") && plain.contains("x-google-start-bitrate=1500\r\n"),
        "{plain}"
    );
    assert!(plain.contains("transport-cc"), "{plain}");
    let options = ["--bitrate", "3000", "--bitrate-start", "900", "--bitrate-min", "100"];
    let kbps = Bitrate::from_kbps;
    let own = ask(&options, stream().bitrate(kbps(200)..=kbps(9_000)).build());
    assert!(
        own.contains("b=TIAS:3000000\r\n") && own.contains("x-google-start-bitrate=900\r\n"),
        "{own}"
    );
    let less =
        ask(&options, stream().bitrate(kbps(200)..=kbps(700)).start_bitrate(kbps(600)).build());
    assert!(
        less.contains("b=TIAS:700000\r\n") && less.contains("x-google-start-bitrate=600\r\n"),
        "{less}"
    );
}

/// Chromium by itself begins with a quarter of the pixels and needs half a minute for all.
#[test]
fn chromium_sends_720p_soon() {
    let cluster = Cluster::launch("flip");
    let browser = browser::start("hd", Camera::AllowedHd);
    browser.open(&cluster.page("/"));
    browser.watch_flows();
    browser.click("start");
    browser.wait_for_state("live");
    let full = eventually("720p both ways", PATIENCE, || {
        browser.flows().into_iter().find(|flows| flows.heights == [720, 720]).map(|flows| flows.ms)
    });
    // 0.7 s were seen; how soon it is at 30 fps is a matter of the machine: `make bench
    // BENCH="--only quality"`.
    assert!(full < 10_000.0, "{full:.0} ms after connected");
}

fn keyframes(frames: &[Received]) -> usize {
    frames.iter().filter(|frame| frame.keyframe).count()
}

#[track_caller]
fn wait_for_height(peer: &Peer, what: &str, accept: impl Fn(u32) -> bool) {
    peer.wait_until(what, ADAPTED, |stats| {
        stats.received.last().filter(|frame| accept(frame.height)).map(drop)
    });
}
