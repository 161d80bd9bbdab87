//! Each codec both ways: with the independent client, in a real Chromium, and how good the picture is that comes back.

use reframe_gateway::codec::{Codec, Picture};
use reframe_tests::browser::Camera;
use reframe_tests::pattern::{self, psnr};
use reframe_tests::source::{Format, Video};

use super::browser::start;
use super::*;

#[test]
fn frames_come_back_in_every_codec() {
    for codec in Codec::ALL {
        let cluster = Cluster::launch("flip");
        let mut peer = connect(&cluster, codec.name(), Video::Live(Format { codec, ..Format::VGA }));
        // Three seconds: across the wrap of the client's RTP timestamp.
        peer.wait_received(90, PATIENCE);
        let (stats, metrics) = settle_books(&cluster, &peer);
        assert_flipped_in_order(&stats);
        assert!(stats.received.iter().all(|frame| (frame.width, frame.height) == (640, 480)), "{codec}");
        assert_eq!(metrics.sum("reframe_sessions_total", &[("codec", codec.name())]), 1.0);
        peer.close();
        assert_balanced(&cluster);
    }
}

#[test]
fn a_codec_that_is_not_spoken_is_refused_in_words() {
    let cluster = Cluster::launch_with("flip", &["--codecs", "h264,vp9"]);
    let options = Options::camera("vp8", Video::Live(Format::SMALL));
    let reply = Peer::connect(&cluster.page(""), options).expect_err("VP8 is not spoken");
    assert_eq!(reply.status, 400);
    assert!(
        reply.json()["meta"]["message"].as_str().is_some_and(|text| text.ends_with("speaks H264, VP9")),
        "{reply:?}"
    );
    let mut peer = connect(&cluster, "vp9", Video::Live(Format { codec: Codec::Vp9, ..Format::SMALL }));
    peer.wait_received(10, PATIENCE);
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn chromium_speaks_vp8() {
    in_chromium(Codec::Vp8);
}

#[test]
fn chromium_speaks_vp9() {
    in_chromium(Codec::Vp9);
}

#[test]
fn chromium_speaks_h264() {
    in_chromium(Codec::H264);
}

/// The page's figures are `getStats`' own.
fn in_chromium(codec: Codec) {
    let cluster = Cluster::launch_with("flip", &["--codecs", codec.name()]);
    let browser = start(codec.name(), Camera::Allowed);
    browser.open(&cluster.page("/"));
    browser.click("start");
    browser.wait_for_state("live");
    browser.wait_for_picture("preview", "the camera", |code| !code.flipped);
    let (_, first) = browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    browser.wait_for_picture("output", "another picture", |code| code.flipped && code.number != first.number);
    eventually("both ways' figures", PATIENCE, || {
        let text = browser.text("stats");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        // One name: the same codec both ways.
        let flows = ["sent", "shown"].iter().all(|flow| lines.iter().any(|line| line.starts_with(flow)));
        (flows && text.ends_with(codec.sdp_name()) && !text.contains(" / ")).then_some(())
    });
    browser.click("start");
    browser.wait_for_state("idle");
    assert_eq!(cluster.metrics().sum("reframe_sessions_total", &[("codec", codec.name())]), 1.0);
    assert_eq!(browser.console_errors(), Vec::<String>::new());
}

/// Of what a person sees who sends 720p at 2 Mbit/s and gets it back at 2 Mbit/s: coded twice. In dB, of luma.
const CONFORMANCE: f64 = 35.0;

#[test]
#[expect(clippy::print_stderr, reason = "the figures, for docs/limits.md")]
fn the_returned_picture_is_as_good_as_it_should_be() {
    for codec in Codec::ALL {
        let camera = pattern::Camera::new(1280, 720);
        let luma = 1280 * 720;
        let (mut browser_encoder, mut encoder) = (codec.encoder(2_000, 30.0), codec.encoder(2_000, 30.0));
        let (mut decoder, mut browser_decoder) = (codec.decoder().unwrap(), codec.decoder().unwrap());
        let (mut sent_bytes, mut returned_bytes, mut sent, mut returned) = (0, 0, Vec::new(), Vec::new());
        for number in 0..90_u32 {
            let original = camera.frame(number);
            let picture = Picture { width: 1280, height: 720, data: original.clone().into() };
            let pts = u64::from(number) * 3_000;
            let Some(unit) = browser_encoder.encode(&picture, pts, false).unwrap() else { continue };
            let arrived = decoder.decode(&unit.data).unwrap().expect("every unit shows a picture");
            let Some(back) = encoder.encode(&arrived, pts, false).unwrap() else { continue };
            let shown = browser_decoder.decode(&back.data).unwrap().expect("every unit shows a picture");
            // Rate control has settled.
            if number >= 30 {
                sent_bytes += unit.data.len();
                returned_bytes += back.data.len();
                sent.push(psnr(&original[..luma], &arrived.data[..luma]));
                returned.push(psnr(&original[..luma], &shown.data[..luma]));
            }
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let kbps = |bytes: usize| bytes as f64 * 8.0 / 2_000.0;
        let (sent_db, returned_db) = (mean(&sent), mean(&returned));
        eprintln!(
            "{codec}: sent {sent_db:.1} dB at {:.0} kbit/s, returned {returned_db:.1} dB at {:.0} kbit/s, {} of 60",
            kbps(sent_bytes),
            kbps(returned_bytes),
            returned.len()
        );
        assert!(returned_db >= CONFORMANCE, "{codec}: {returned_db:.1} dB");
        assert!(returned.len() >= 54, "{codec}: rate control left out {}", 60 - returned.len());
        assert!(kbps(sent_bytes) < 2_400.0 && kbps(returned_bytes) < 2_400.0, "{codec}: above its bitrate");
    }
}
