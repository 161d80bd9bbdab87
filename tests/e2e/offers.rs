//! What offers are answered, and how much they may hold: all that clients offer, and little more.

use std::fmt::Write as _;
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reframe_gateway::fuzz::mutate;
use reframe_tests::browser::{Browser, Camera};
use reframe_tests::http::{Reply, post, send};
use reframe_tests::offers::{corpus, expected};
use reframe_tests::peer::{Media, offer_sdp};
use reframe_tests::source::{Format, Video};
use serde_json::json;

use super::*;

/// An offer whose client never comes is given up after half a minute at most.
const GIVEN_UP: Duration = Duration::from_secs(60);

fn offer(cluster: &Cluster, id: &str, sdp: &str, renegotiate: bool) -> Reply {
    let body = json!({ "type": "offer", "sdp": sdp, "webrtc_id": id, "renegotiate": renegotiate });
    post(&cluster.page("/webrtc/offer"), body.to_string()).expect("an answer")
}

/// Every network has so many new sessions a second: each of these is of another.
fn offer_of(cluster: &Cluster, client: usize, id: &str, sdp: &str) -> Reply {
    let body = json!({ "type": "offer", "sdp": sdp, "webrtc_id": id }).to_string();
    let address = format!("10.{}.{}.7", client / 256, client % 256);
    let headers = [("content-type", "application/json"), ("x-forwarded-for", address.as_str())];
    send("POST", &cluster.page("/webrtc/offer"), &headers, &body)
}

/// A gateway behind a proxy, which is these tests.
fn behind_a_proxy() -> Cluster {
    Cluster::launch_with("flip", &["--capacity", "4", "--trusted-proxies", "127.0.0.1"])
}

/// Slots that workers have given away: an offer takes none.
fn slots(cluster: &Cluster) -> f64 {
    cluster.metrics().sum("reframe_worker_sessions", &[])
}

/// Those of the corpus that can be made to this stream: answered or refused as the table says.
#[test]
fn real_clients_offers_are_answered_or_told_why_not() {
    let (cluster, offers, expected) = (behind_a_proxy(), corpus(), expected());
    let asked = expected.iter().filter(|line| line.mode == "send-receive");
    for (client, line) in asked.enumerate() {
        let reply = offer_of(&cluster, client, &line.offer, &offers[&line.offer]);
        let body = reply.json();
        assert_eq!(reply.status, line.status, "{}: {reply:?}", line.offer);
        if line.status == 200 {
            assert_eq!(body["type"], "answer", "{}: {reply:?}", line.offer);
        } else {
            let told = (&body["meta"]["error"], &body["meta"]["message"]);
            assert_eq!(told, (&json!("invalid_offer"), &json!(line.answer)), "{}", line.offer);
        }
    }
    assert_eq!(slots(&cluster), 0.0);
    cluster.wait_for_sessions(0, GIVEN_UP);
}

/// Whoever wrote the client reads it in the reply, and whoever runs the gateway in its log.
#[test]
fn a_refusal_names_what_was_wrong_to_the_client_and_once_in_the_log() {
    let (offers, expected) = (corpus(), expected());
    let refused = expected.iter().filter(|line| line.status == 400 && line.mode == "send-receive");
    let mut refused: Vec<(String, &str, &str)> = refused
        .map(|line| (line.offer.clone(), offers[&line.offer].as_str(), line.answer.as_str()))
        .collect();
    let good = offer_sdp(Media::default());
    let long = good.replace("a=ice-ufrag:", "a=ice-ufrag:0123456789abcdef0123456789abcdef");
    let fingerprint = good.lines().find(|line| line.starts_with("a=fingerprint:"));
    let unknown = good.replace(fingerprint.expect("it has one"), "a=fingerprint:none");
    let many = format!("{good}{}", "a=rid:x send\r\n".repeat(50));
    refused.push(("long-name".to_owned(), &long, "`a=ice-ufrag` in `sdp` is longer than 32 bytes"));
    refused.push(("many-layers".to_owned(), &many, "`sdp` has 50 layers (`a=rid`) in one section"));
    refused.push(("not-a-fingerprint".to_owned(), &unknown, "`a=fingerprint` in `sdp` must be"));
    assert!(refused.len() >= 10, "{refused:?}");
    // Of one kind of line a stranger can have five written at once.
    for some in refused.chunks(4) {
        let cluster = behind_a_proxy();
        for (client, (id, sdp, reason)) in some.iter().enumerate() {
            let reply = offer_of(&cluster, client, id, sdp);
            let message = reply.json()["meta"]["message"].as_str().unwrap_or_default().to_owned();
            assert_eq!(reply.status, 400, "{id}: {reply:?}");
            assert!(message.starts_with(reason), "{id}: {message}");
            let told = |line: &&str| {
                line.contains(&format!("session=\"{id}\"")) && line.contains(&message)
            };
            let log = cluster.gateway.log();
            let lines: Vec<&str> = log.lines().filter(told).collect();
            assert!(lines.len() == 1 && lines[0].contains(" INFO "), "{id}: {lines:?}\n{log}");
        }
        assert_eq!((cluster.sessions(), slots(&cluster)), (0.0, 0.0));
    }
}

/// Of each offer.
const MUTATIONS: usize = 4;

/// Offers of the corpus, changed at random: each costs an answer or a reason, and nothing stays.
#[test]
fn mutated_offers_are_answered_or_refused_and_leave_nothing() {
    let mut cluster = behind_a_proxy();
    let mut random = SmallRng::seed_from_u64(25);
    let (mut answered, mut refused) = (0, 0);
    for (name, sdp) in corpus() {
        for _ in 0..MUTATIONS {
            let mut bytes = sdp.clone().into_bytes();
            for _ in 0..random.random_range(1..8) {
                mutate(&mut random, &mut bytes);
            }
            let sdp = String::from_utf8_lossy(&bytes);
            let client = answered + refused;
            let reply = offer_of(&cluster, client, &format!("mutation-{client}"), &sdp);
            let body = reply.json();
            match (reply.status, &body["type"], &body["meta"]["error"]) {
                (200, Value::String(answer), _) if answer == "answer" => answered += 1,
                (400, _, Value::String(error)) if error == "invalid_offer" => {
                    let message = body["meta"]["message"].as_str().unwrap_or_default();
                    assert!((20..300).contains(&message.len()), "{name}: {reply:?}");
                    refused += 1;
                }
                _ => panic!("{name}: {reply:?}\n{sdp}"),
            }
        }
    }
    assert!(answered > 20 && refused > 20, "{answered} answered, {refused} refused");
    assert_eq!(slots(&cluster), 0.0);
    assert!(cluster.gateway.alive());
    cluster.wait_for_sessions(0, GIVEN_UP);
    // It serves as before.
    let mut peer = connect(&cluster, "honest", Video::Live(Format::SMALL));
    peer.wait_received(5, PATIENCE);
    peer.close();
    assert_balanced(&cluster);
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
                 const stream = await navigator.mediaDevices.getUserMedia({{ audio: true, video: true }});
                 stream.getTracks().forEach(track => pc.addTrack(track, stream));
                 const shown = new Promise(resolve => {{
                     pc.ontrack = ({{ track }}) => {{
                         if (track.kind !== 'video') return;
                         const video = document.createElement('video');
                         Object.assign(video, {{ muted: true, autoplay: true, srcObject: new MediaStream([track]) }});
                         document.body.append(video);
                         video.requestVideoFrameCallback(() => resolve('shown'));
                     }};
                     setTimeout(() => resolve(`nothing is shown: ${{pc.connectionState}}`), 20000);
                 }});
                 const gathered = new Promise(resolve => {{
                     pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && resolve();
                     setTimeout(resolve, 5000);
                 }});
                 await pc.setLocalDescription();
                 await gathered;
                 const sdp = pc.localDescription.sdp;
                 if (!sdp.includes('m=audio')) return 'no microphone';
                 const body = JSON.stringify({{ type: 'offer', sdp: {change}, webrtc_id: crypto.randomUUID() }});
                 const headers = {{ 'content-type': 'application/json' }};
                 const answer = await (await fetch('webrtc/offer', {{ method: 'POST', headers, body }})).json();
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
