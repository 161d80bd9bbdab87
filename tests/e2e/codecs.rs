//! Each codec both ways: with the independent client, in a real Chromium, and how good the picture
//! is that comes back.

use std::process::Command;

use reframe_gateway::codec::{Codec, Picture};
use reframe_tests::browser::Camera;
use reframe_tests::pattern::{self, psnr};
use reframe_tests::peer::Media;
use reframe_tests::source::{Format, Video};

use super::browser::start;
use super::*;

#[test]
fn frames_come_back_in_every_codec() {
    for codec in Codec::ALL {
        let cluster = Cluster::launch("flip");
        let mut peer =
            connect(&cluster, codec.name(), Video::Live(Format { codec, ..Format::VGA }));
        // Three seconds: across the wrap of the client's RTP timestamp.
        peer.wait_received(90, PATIENCE);
        let (stats, metrics) = settle_books(&cluster, &peer);
        assert_flipped_in_order(&stats);
        assert!(
            stats.received.iter().all(|frame| (frame.width, frame.height) == (640, 480)),
            "{codec}"
        );
        assert_eq!(metrics.sum("reframe_sessions_total", &[("codec", codec.name())]), 1.0);
        peer.close();
        assert_balanced(&cluster);
    }
}

/// Packetization mode 0 in each profile, which browsers offer behind mode 1; main and high profile
/// alone, as hardware that has no baseline would.
#[test]
fn every_kind_of_h264_comes_back() {
    let cluster = Cluster::launch("flip");
    for (id, fragments, profile) in [
        ("single-nal", false, 0x42_e0_1f),
        ("baseline-single-nal", false, 0x42_00_1f),
        ("main", true, 0x4d_00_1f),
        ("main-single-nal", false, 0x4d_00_1f),
        ("high", true, 0x64_00_1f),
    ] {
        let mut options =
            Options::camera(id, Video::Live(Format { codec: Codec::H264, ..Format::VGA }));
        options.media = Media { h264: Some((fragments, profile)), ..options.media };
        let mut peer = connect_with(&cluster, options);
        peer.wait_received(60, PATIENCE);
        let stats = peer.stats();
        assert_flipped_in_order(&stats);
        assert!(
            stats.received.iter().all(|frame| (frame.width, frame.height) == (640, 480)),
            "{id}"
        );
        peer.close();
        cluster.wait_for_sessions(0, CLOSED);
    }
    assert_balanced(&cluster);
    assert_eq!(cluster.metrics().sum("reframe_sessions_total", &[("codec", "h264")]), 5.0);
}

#[test]
fn a_codec_that_is_not_spoken_is_refused_in_words() {
    let cluster = Cluster::launch_with("flip", &["--codecs", "h264,vp9"]);
    let options = Options::camera("vp8", Video::Live(Format::SMALL));
    let reply = Peer::connect(&cluster.page(""), options).expect_err("VP8 is not spoken");
    assert_eq!(reply.status, 400);
    assert!(
        reply.json()["meta"]["message"]
            .as_str()
            .is_some_and(|text| text.ends_with("speaks H264, VP9")),
        "{reply:?}"
    );
    let mut peer =
        connect(&cluster, "vp9", Video::Live(Format { codec: Codec::Vp9, ..Format::SMALL }));
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
    let (_, first) =
        browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    browser.wait_for_picture("output", "another picture", |code| {
        code.flipped && code.number != first.number
    });
    eventually("both ways' figures", PATIENCE, || {
        let text = browser.text("stats");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        // One name: the same codec both ways.
        let flows =
            ["sent", "shown"].iter().all(|flow| lines.iter().any(|line| line.starts_with(flow)));
        (flows && text.contains(codec.sdp_name()) && !text.contains(" / ")).then_some(())
    });
    browser.click("start");
    browser.wait_for_state("idle");
    assert_eq!(cluster.metrics().sum("reframe_sessions_total", &[("codec", codec.name())]), 1.0);
    assert_eq!(browser.console_errors(), Vec::<String>::new());
}

/// Of what a person sees who sends 720p at 2 Mbit/s and gets it back at 2 Mbit/s: coded twice. In
/// dB, of luma.
const CONFORMANCE: f64 = 35.0;
/// Of what is more than that bitrate carries.
const TOO_MUCH: f64 = 31.0;
/// One second in which rate control settles, two that are measured.
const SETTLING: usize = 30;
const MEASURED: usize = 60;
/// Bytes of 720p.
const LUMA: usize = 1280 * 720;
const I420: usize = LUMA * 3 / 2;

/// On the way to us, and back at the browser.
#[derive(Default)]
struct Coded {
    bytes: [usize; 2],
    db: [f64; 2],
    shown: usize,
}

fn coded_twice(codec: Codec, originals: &[Vec<u8>]) -> Coded {
    let (mut browser_encoder, mut encoder) =
        (codec.encoder(2_000, 30.0), codec.encoder(2_000, 30.0));
    let (mut decoder, mut browser_decoder) =
        (codec.decoder().expect("a decoder"), codec.decoder().expect("a decoder"));
    let mut coded = Coded::default();
    for (number, original) in originals.iter().enumerate() {
        let picture = Picture { width: 1280, height: 720, data: original.clone().into() };
        let pts = number as u64 * 3_000;
        let Some(unit) = browser_encoder.encode(&picture, pts, false).expect("encoded") else {
            continue;
        };
        let arrived =
            decoder.decode(&unit.data).expect("decoded").expect("every unit shows a picture");
        let Some(back) = encoder.encode(&arrived, pts, false).expect("encoded") else { continue };
        let shown = browser_decoder
            .decode(&back.data)
            .expect("decoded")
            .expect("every unit shows a picture");
        if number >= SETTLING {
            for (way, (unit, picture)) in [(unit, arrived), (back, shown)].into_iter().enumerate() {
                coded.bytes[way] += unit.data.len();
                coded.db[way] += psnr(&original[..LUMA], &picture.data[..LUMA]);
            }
            coded.shown += 1;
        }
    }
    coded.db = coded.db.map(|sum| sum / coded.shown as f64);
    coded
}

/// Pictures of 720p, 30 a second, that ffmpeg makes of `input`.
fn played(input: &[&str]) -> Vec<Vec<u8>> {
    let frames = (SETTLING + MEASURED).to_string();
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-loglevel", "error"]).args(input).args([
        "-vf",
        "scale=1280:720",
        "-frames:v",
        &frames,
    ]);
    let output = ffmpeg
        .args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "-"])
        .output()
        .expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.chunks_exact(I420).map(<[u8]>::to_vec).collect()
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures, for docs/limits.md")]
fn the_returned_picture_is_as_good_as_it_should_be() {
    let camera = pattern::Camera::new(1280, 720);
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../worker/assets/sample.mp4");
    // What ffmpeg makes it of; one at a time, 124 MB each.
    let sources: [(&str, f64, &[&str]); 4] = [
        ("camera", CONFORMANCE, &[]),
        ("sample clip", CONFORMANCE, &["-i", sample]),
        ("testsrc2", CONFORMANCE, &["-f", "lavfi", "-i", "testsrc2=rate=30"]),
        // All of it moves, in the finest detail.
        ("mandelbrot", TOO_MUCH, &["-f", "lavfi", "-i", "mandelbrot=size=1280x720:rate=30"]),
    ];
    for (name, aim, input) in sources {
        let originals = if input.is_empty() {
            (0..90).map(|number| camera.frame(number)).collect()
        } else {
            played(input)
        };
        assert_eq!(originals.len(), SETTLING + MEASURED, "{name}");
        for codec in Codec::ALL {
            let Coded { bytes, db: [sent, returned], shown } = coded_twice(codec, &originals);
            let [up, down] =
                bytes.map(|bytes| bytes as f64 * 8.0 / (MEASURED as f64 / 30.0) / 1_000.0);
            eprintln!(
                "{name}, {codec}: sent {sent:.1} dB at {up:.0} kbit/s, returned {returned:.1} dB at {down:.0} kbit/s, \
                 {shown} of {MEASURED}"
            );
            assert!(returned >= aim, "{name}, {codec}: {returned:.1} dB");
            assert!(
                shown >= MEASURED * 9 / 10,
                "{name}, {codec}: rate control left out {}",
                MEASURED - shown
            );
            assert!(up < 2_400.0 && down < 2_400.0, "{name}, {codec}: above its bitrate");
        }
    }
}
