//! What a browser says about its frames, beside their pixels, and what is taken of them.

use reframe_tests::pattern::{self, flip_vertical};
use reframe_tests::peer::{Peer, Stats, VideoOrientation, captured};
use reframe_tests::source::{Format, Video};
use serde_json::json;

use super::*;

/// A phone held on its side: all that it shows must be turned by a quarter, clockwise. The wire's
/// value for it is 1 (libwebrtc reads it so, TS 26.114 says it in prose); the test client calls
/// that after how the phone was turned.
fn phone(cluster: &Cluster, id: &str) -> Peer {
    let options = Options::camera(id, Video::Live(Format::VGA));
    let options = Options { orientation: Some(VideoOrientation::Deg270), ..options };
    Peer::connect(&cluster.page(""), options)
        .unwrap_or_else(|reply| panic!("no answer but {reply:?}"))
}

/// The luma of what the phone's sensor saw, out of the upright picture of it; neutral chroma.
fn as_the_sensor_saw(stats: &Stats, flipped: bool) -> (u32, u32, Vec<u8>) {
    let picture = stats.picture.as_ref().expect("a picture");
    let (columns, rows) = (picture.width as usize, picture.height as usize);
    let upright = if flipped {
        flip_vertical(picture.width, picture.height, &picture.data)
    } else {
        picture.data.to_vec()
    };
    // Turned back: what is at the top left was at the bottom left.
    let luma = (0..columns).flat_map(|y| (0..rows).map(move |x| (x, y)));
    let mut sensor: Vec<u8> = luma.map(|(x, y)| upright[x * columns + (columns - 1 - y)]).collect();
    sensor.resize(upright.len(), 128);
    (picture.height, picture.width, sensor)
}

#[test]
fn a_handler_is_given_upright_pictures() {
    let cluster = Cluster::launch("flip");
    let mut peer = phone(&cluster, "upright");
    peer.wait_received(30, PATIENCE);
    let stats = peer.stats();
    assert!(
        stats.received.iter().all(|frame| (frame.width, frame.height) == (480, 640)),
        "not upright"
    );
    let (width, height, sensor) = as_the_sensor_saw(&stats, true);
    let code = pattern::read(width, height, &sensor).expect("a number, when it is turned back");
    assert!(!code.flipped && code.number < 10_000, "{code:?}");
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn a_handler_may_keep_their_rotation_and_the_result_is_upright_all_the_same() {
    let cluster = Cluster::launch("keep-rotation");
    let mut peer = phone(&cluster, "keep-rotation");
    let seen = peer.wait_output("seen", PATIENCE, |seen| !seen.is_null());
    assert_eq!(seen, json!({ "rotation": 90, "width": 640, "height": 480 }));
    peer.wait_received(30, PATIENCE);
    let stats = peer.stats();
    assert!(
        stats.received.iter().all(|frame| (frame.width, frame.height) == (480, 640)),
        "not upright"
    );
    let (width, height, sensor) = as_the_sensor_saw(&stats, false);
    assert!(pattern::read(width, height, &sensor).is_some_and(|code| !code.flipped));
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn results_say_when_their_frames_were_captured() {
    let cluster = Cluster::launch("flip");
    let mut peer = connect(&cluster, "stamps", Video::Live(Format::VGA));
    peer.wait_received(60, PATIENCE);
    let stats = peer.stats();
    let mut seen = None;
    for frame in &stats.received {
        let number = frame.code.expect("a number").number;
        // A re-emission is not captured anew.
        let expected = (seen.replace(number) != Some(number)).then(|| captured(number));
        let off = |said: std::time::SystemTime| {
            let expected = captured(number);
            said.duration_since(expected)
                .or_else(|_| expected.duration_since(said))
                .expect("one is later")
        };
        assert_eq!(frame.captured.is_some(), expected.is_some(), "frame {number}");
        // Time stamps of NTP are binary fractions.
        assert!(
            frame.captured.is_none_or(|said| off(said) < Duration::from_micros(1)),
            "{frame:?}"
        );
    }
    peer.close();
}

#[test]
fn a_camera_beyond_the_limits_is_scaled_and_thinned_out() {
    let cluster = Cluster::launch_with("flip", &["--max-resolution", "320x240", "--max-fps", "10"]);
    let mut peer = connect(&cluster, "beyond", Video::Live(Format::VGA));
    // The target of 30 fps is made up by re-emissions.
    peer.wait_received(150, PATIENCE);
    let (stats, metrics) = settle_books(&cluster, &peer);
    assert_flipped_in_order(&stats);
    assert!(
        stats.received.iter().all(|frame| (frame.width, frame.height) == (320, 240)),
        "not scaled"
    );
    let (sent, shown) = (stats.sent.len() as f64, stats.numbers().len() as f64);
    let left_out =
        metrics.sum("reframe_frames_dropped_total", &[("hop", "ingress"), ("reason", "rate")]);
    assert!((0.28..=0.36).contains(&((sent - left_out) / sent)), "{left_out} of {sent} left out");
    assert!(shown <= sent - left_out, "{shown} shown");
    peer.close();
    assert_balanced(&cluster);
}
