//! What offers are answered, and how much they may hold: all that clients offer, and little more.

use std::fmt::Write as _;
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
                 pc.addTransceiver(
                     stream.getVideoTracks()[0], { streams: [stream], sendEncodings: layers });
             pc.createDataChannel('text');
             const gathered = new Promise(resolve => {
                 pc.onicegatheringstatechange =
                     () => pc.iceGatheringState === 'complete' && resolve();
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
    let reply = offer(&cluster, "everything", sdp, false);
    assert_eq!((reply.status, &reply.json()["type"]), (200, &json!("answer")), "{reply:?}");
}

/// With a microphone beside its camera, whatever the browser bundles; and with what other clients
/// leave out or say oddly, put into its offer.
#[test]
fn a_browsers_picture_comes_back_whatever_its_offer_says_beside_the_video() {
    let cluster = Cluster::launch_with("flip", &["--capacity", "8"]);
    let browser = Browser::start(Path::new(env!("CARGO_TARGET_TMPDIR")), "shapes", Camera::Allowed);
    browser.open(&cluster.page("/"));
    let odd = [
        "1 1 ssltcp 9 192.0.2.1 443 typ host",
        "2 1 udp 9 192.0.2.1 9 typ other",
        "3 1 udp 42949672960 192.0.2.1 9 typ host",
        "4 1 udp 9 fe80::1%eth0 9 typ host",
        "5 1 udp 9 192.0.2.1 9 typ srflx raddr 10.0.0.1",
    ];
    let odd = odd.map(|candidate| format!("a=candidate:{candidate}\\r\\n")).concat();
    for (policy, change) in [
        ("balanced", "sdp"),
        ("max-compat", "sdp"),
        ("max-bundle", "sdp"),
        // Without a bundle each section has a transport, and only the video's is taken.
        ("max-compat", "sdp.replace(/a=group:BUNDLE.*\\r\\n/, '')"),
        ("max-bundle", "sdp.replace(/a=sendrecv\\r\\n/g, '')"),
        ("max-bundle", "sdp.replace(/a=setup:actpass/g, 'a=setup:active')"),
        ("max-bundle", "sdp.replace(/a=setup:actpass/g, 'a=setup:passive')"),
        ("max-bundle", &format!("sdp.replace(/a=mid:0\\r\\n/, line => line + '{odd}')")),
    ] {
        let outcome = browser.run(&format!(
            "return (async () => {{
                 const pc = new RTCPeerConnection({{ bundlePolicy: '{policy}' }});
                 const devices = navigator.mediaDevices;
                 const stream = await devices.getUserMedia({{ audio: true, video: true }});
                 stream.getTracks().forEach(track => pc.addTrack(track, stream));
                 const shown = new Promise(resolve => {{
                     pc.ontrack = ({{ track }}) => {{
                         if (track.kind !== 'video') return;
                         const video = document.createElement('video');
                         const srcObject = new MediaStream([track]);
                         Object.assign(video, {{ muted: true, autoplay: true, srcObject }});
                         document.body.append(video);
                         video.requestVideoFrameCallback(() => resolve('shown'));
                     }};
                     setTimeout(() => resolve(`nothing is shown: ${{pc.connectionState}}`), 20000);
                 }});
                 const gathered = new Promise(resolve => {{
                     pc.onicegatheringstatechange =
                         () => pc.iceGatheringState === 'complete' && resolve();
                     setTimeout(resolve, 5000);
                 }});
                 await pc.setLocalDescription();
                 await gathered;
                 const sdp = pc.localDescription.sdp;
                 if (!sdp.includes('m=audio')) return 'no microphone';
                 const offer = {{ type: 'offer', sdp: {change}, webrtc_id: crypto.randomUUID() }};
                 const headers = {{ 'content-type': 'application/json' }};
                 const body = JSON.stringify(offer);
                 const reply = await fetch('webrtc/offer', {{ method: 'POST', headers, body }});
                 const answer = await reply.json();
                 let outcome = JSON.stringify(answer);
                 try {{
                     if (answer.type === 'answer') {{
                         await pc.setRemoteDescription(answer);
                         outcome = await shown;
                     }}
                 }} catch (error) {{
                     outcome = `${{error}}: ${{answer.sdp}}`;
                 }}
                 stream.getTracks().forEach(track => track.stop());
                 pc.close();
                 return outcome;
             }})()"
        ));
        assert_eq!(outcome, json!("shown"), "{policy}, {change}");
    }
    cluster.wait_for_sessions(0, PATIENCE);
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
