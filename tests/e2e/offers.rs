//! How much an offer may hold: all that browsers offer, and little more.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use reframe_tests::browser::{Browser, Camera};
use reframe_tests::http::{Reply, post};
use reframe_tests::peer::{Media, offer_sdp};
use reframe_tests::source::{Format, Video};
use serde_json::json;

use super::*;

fn offer(cluster: &Cluster, id: &str, sdp: &str, renegotiate: bool) -> Reply {
    let body = json!({ "type": "offer", "sdp": sdp, "webrtc_id": id, "renegotiate": renegotiate });
    post(&cluster.page("/webrtc/offer"), body.to_string()).expect("an answer")
}

/// No bound refuses it. The stack refuses some: those that send layers in two sections, or only in
/// a later one.
#[track_caller]
fn assert_within_bounds(cluster: &Cluster, id: &str, sdp: &str) -> bool {
    let reply = offer(cluster, id, sdp, false);
    let body = reply.json();
    assert!(!reply.body.contains("at most"), "{id}: {reply:?}");
    reply.status == 200 && body["type"] == "answer"
}

/// Those of the corpus that the bounds are held to.
#[test]
fn what_browsers_offer_is_within_the_bounds() {
    let cluster = Cluster::launch_with("flip", &["--capacity", "64"]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/offers");
    let (mut count, mut answered) = (0, 0);
    for file in fs::read_dir(folder).expect("the corpus") {
        let path = file.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "sdp") {
            let name = path.file_stem().expect("a name").to_string_lossy();
            answered += usize::from(assert_within_bounds(
                &cluster,
                &name,
                &fs::read_to_string(&path).expect("an offer"),
            ));
            count += 1;
        }
    }
    assert!(count >= 10 && answered >= 7, "{count} offers, {answered} answered");
}

/// The corpus is of one day; this is the Chromium that is installed.
#[test]
fn this_browser_offers_less_than_half_of_what_is_taken() {
    let cluster = Cluster::launch("flip");
    let browser = Browser::start(Path::new(env!("CARGO_TARGET_TMPDIR")), "offers", Camera::Allowed);
    browser.open(&cluster.page("/"));
    let sdp = browser.run(
        "return (async () => {
             const pc = new RTCPeerConnection({ bundlePolicy: 'max-compat' });
             const layers = ['q', 'h', 'f'].map(rid => ({ rid }));
             const camera = await navigator.mediaDevices.getUserMedia({ video: true });
             const drawing = document.createElement('canvas');
             drawing.getContext('2d').fillRect(0, 0, 10, 10);
             pc.addTransceiver('audio');
             for (const stream of [camera, drawing.captureStream(5)])
                 pc.addTransceiver(stream.getVideoTracks()[0], { streams: [stream], sendEncodings: layers });
             pc.createDataChannel('text');
             const gathered = new Promise(resolve => {
                 pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && resolve();
                 setTimeout(resolve, 5000);
             });
             await pc.setLocalDescription();
             await gathered;
             return pc.localDescription.sdp;
         })()",
    );
    let sdp = sdp.as_str().expect("an offer");
    let sections = sdp.lines().filter(|line| line.starts_with("m=")).count();
    let formats = sdp
        .lines()
        .filter(|line| line.starts_with("m="))
        .map(|line| line.split(' ').count() - 3)
        .max();
    assert_eq!(sections, 4);
    assert!(
        2 * sdp.len() <= 64 * 1024 && 2 * sdp.lines().count() <= 2048,
        "{} bytes:\n{sdp}",
        sdp.len()
    );
    assert!(
        formats.is_some_and(|formats| (10..=64).contains(&formats)),
        "{formats:?} payload types:\n{sdp}"
    );
    assert_within_bounds(&cluster, "everything", sdp);
}

/// First offers and further ones alike, and the session whose they are said to be goes on.
#[test]
fn more_than_any_browser_offers_is_refused_and_named() {
    let cluster = Cluster::launch_with("flip", &["--capacity", "2"]);
    let mut peer = connect(&cluster, "runs", Video::Live(Format::SMALL));
    let good = offer_sdp(Media::default());
    let (head, section) = good.split_once("m=").expect("a section");
    let section = format!("m={section}");
    let repeated = |line: &str, count: usize| format!("{good}{}", line.repeat(count));
    let mut formats = format!("{head}m=video 9 UDP/TLS/RTP/SAVPF");
    for format in 0..200 {
        write!(formats, " {}", format % 128).expect("a text has room");
    }
    let candidate = "a=candidate:1 1 udp 2122260223 192.0.2.1 9 typ host\r\n";
    for (what, sdp) in [
        (
            "bytes",
            format!("{head}{}", section.repeat(2_400)).chars().take(100_000).collect::<String>(),
        ),
        ("sections", format!("{head}{}", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n".repeat(1_000))),
        ("lines", repeated("a=x\r\n", 5_000)),
        ("payload types", formats),
        ("bytes in one line", format!("{good}a={}\r\n", "x".repeat(5_000))),
        ("candidates", repeated(candidate, 500)),
        ("fingerprints", repeated("a=fingerprint:sha-256 00:11\r\n", 500)),
    ] {
        for (id, renegotiate) in [("new", false), ("runs", true)] {
            let reply = offer(&cluster, id, &sdp, renegotiate);
            let body = reply.json();
            assert_eq!(
                (reply.status, &body["meta"]["error"]),
                (400, &json!("invalid_offer")),
                "{what}: {reply:?}"
            );
            let message = body["meta"]["message"].as_str().unwrap_or_default();
            assert!(
                message.contains(what) && message.contains("at most") && message.len() < 200,
                "{what}: {message}"
            );
        }
    }
    // Not even read as JSON.
    let reply = offer(&cluster, "new", &format!("{head}{}", section.repeat(2_400)), false);
    assert_eq!(reply.status, 413, "{reply:?}");
    assert_eq!(cluster.sessions(), 1.0);
    let seen = peer.stats().received.len();
    peer.wait_received(seen + 10, PATIENCE);
    peer.close();
    assert_balanced(&cluster);
}
