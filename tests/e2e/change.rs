//! What a browser may change while its session runs: tracks, directions, its network. The session,
//! and with it the handler, goes on.
//!
//! A client of a dozen lines instead of the page, since the page does less than a browser can.

use reframe_tests::browser::{Browser, Camera};
use serde_json::json;

use super::browser::{SOON, start};
use super::*;

/// Offers the camera as the page does, and shows what comes back in `#mine`; `negotiate` offers
/// again.
const CLIENT: &str = "
    const video = document.createElement('video');
    Object.assign(video, { id: 'mine', autoplay: true, muted: true });
    document.body.append(video);
    window.pc = new RTCPeerConnection();
    const id = crypto.randomUUID();
    window.post = async (body) => {
        const headers = { 'content-type': 'application/json' };
        body = JSON.stringify({ webrtc_id: id, ...body });
        return (await fetch('webrtc/offer', { method: 'POST', headers, body })).json();
    };
    window.negotiate = async (more) => {
        await pc.setLocalDescription();
        const answer = await post({ type: 'offer', sdp: pc.localDescription.sdp, ...more });
        if (answer.type !== 'answer') throw new Error(JSON.stringify(answer));
        await pc.setRemoteDescription(answer);
    };
    window.camera = async (width, height) => {
        const camera = await navigator.mediaDevices.getUserMedia({ video: { width, height } });
        return camera.getVideoTracks()[0];
    };
    pc.onicecandidate = ({ candidate }) =>
        candidate?.candidate && post({ type: 'ice-candidate', candidate: candidate.toJSON() });
    // By itself it plays only where it is seen.
    pc.ontrack = ({ track }) => { video.srcObject = new MediaStream([track]); video.play(); };
    pc.createDataChannel('text');
    const sendEncodings = ENCODINGS;
    const direction = 'sendrecv';
    window.way = pc.addTransceiver(await camera(640, 480), { direction, sendEncodings });
    await negotiate();
    // The longest time without a new picture.
    window.gap = 0;
    let last = null;
    const shown = (now) => {
        if (last !== null) window.gap = Math.max(window.gap, now - last);
        last = now;
        video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback(shown);
";

fn connected(cluster: &Cluster, name: &str, encodings: &str) -> Browser {
    let browser = start(name, Camera::Allowed);
    browser.open(&cluster.page("/"));
    browser.run(&asynchronous(&CLIENT.replace("ENCODINGS", encodings)));
    new_pictures(&browser);
    browser
}

/// WebDriver waits for the promise that a script returns.
fn asynchronous(script: &str) -> String {
    format!("return (async () => {{ {script} }})()")
}

/// Two different ones, the camera's upside down.
#[track_caller]
fn new_pictures(browser: &Browser) {
    let (_, first) =
        browser.wait_for_picture("mine", "the camera upside down", |code| code.flipped);
    browser.wait_for_picture("mine", "another picture", |code| {
        code.flipped && code.number != first.number
    });
}

/// One session from the first offer on, with one worker.
fn assert_one_session(cluster: &Cluster) {
    let metrics = cluster.metrics();
    assert_eq!(metrics.sum("reframe_offers_total", &[("outcome", "answered")]), 1.0);
    assert_eq!(metrics.sum("reframe_failovers_total", &[]), 0.0);
    assert_eq!(cluster.sessions(), 1.0);
}

#[test]
fn a_camera_goes_off_and_another_comes() {
    let cluster = Cluster::launch("flip");
    let browser = connected(&cluster, "off-on", "[{}]");
    browser.run(&asynchronous("await way.sender.replaceTrack(null)"));
    // What was shown last stays there, sent again and again.
    let repeated = || cluster.metrics().sum("reframe_frames_repeated_total", &[]);
    let before = repeated();
    eventually("re-emissions", SOON, || (repeated() >= before + 60.0).then_some(()));
    browser.run(&asynchronous("await way.sender.replaceTrack(await camera(320, 240))"));
    new_pictures(&browser);
    eventually("the other camera's size", SOON, || {
        (browser.run("return document.getElementById('mine').videoWidth") == json!(320))
            .then_some(())
    });
    assert_one_session(&cluster);
}

/// Browsers slow the timers of a tab that nobody sees, and show nothing of it.
#[test]
fn a_tab_in_the_background_keeps_its_session() {
    let cluster = Cluster::launch("flip");
    let browser = start("background", Camera::Allowed);
    browser.open(&cluster.page("/"));
    browser.click("start");
    browser.wait_for_state("live");
    browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    browser.run(
        "window.seen = []; document.addEventListener('visibilitychange', () => \
         window.seen.push(document.hidden))",
    );
    browser.open_tab("about:blank");
    let emitted = || cluster.metrics().sum("reframe_frames_emitted_total", &[]);
    let before = emitted();
    // Several times the silence after which the page looks for another server.
    eventually("ten seconds of video", SOON, || (emitted() >= before + 300.0).then_some(()));
    browser.close_tab();
    assert_eq!(browser.run("return window.seen"), json!([true, false]), "hidden, and seen again");
    browser.wait_for_state("live");
    let (_, first) =
        browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    browser.wait_for_picture("output", "another picture", |code| code.number != first.number);
    assert_one_session(&cluster);
    assert_eq!(cluster.metrics().sum("reframe_offers_total", &[("outcome", "renegotiated")]), 0.0);
}

/// To another camera in a section of its own, and back to the first.
#[test]
fn another_track_takes_the_cameras_place() {
    let cluster = Cluster::launch("flip");
    let browser = connected(&cluster, "replaced", "[{}]");
    let shown = |width: u32| {
        eventually("the track's size", SOON, || {
            (browser.run("return document.getElementById('mine').videoWidth") == json!(width))
                .then_some(())
        });
        new_pictures(&browser);
    };
    browser.run(&asynchronous(
        "await way.sender.replaceTrack(null);
         window.other = pc.addTransceiver(await camera(320, 240), { direction: 'sendonly' });
         await negotiate({ renegotiate: true })",
    ));
    shown(320);
    browser.run(&asynchronous(
        "other.direction = 'inactive'; await other.sender.replaceTrack(null);
         await way.sender.replaceTrack(await camera(640, 480));
         await negotiate({ renegotiate: true })",
    ));
    shown(640);
    assert_one_session(&cluster);
}

#[test]
fn directions_and_sections_change_in_mid_stream() {
    let cluster = Cluster::launch("flip");
    let browser = connected(&cluster, "renegotiated", "[{}]");
    browser
        .run(&asynchronous("way.direction = 'inactive'; await negotiate({ renegotiate: true })"));
    browser.run(&asynchronous("pc.addTransceiver('audio'); await negotiate()"));
    browser
        .run(&asynchronous("way.direction = 'sendrecv'; await negotiate({ renegotiate: true })"));
    new_pictures(&browser);
    assert_one_session(&cluster);
    assert_eq!(cluster.metrics().sum("reframe_offers_total", &[("outcome", "renegotiated")]), 3.0);

    // The same id, but another connection: somebody else's browser, or a session that has ended.
    let refused = |more: &str| {
        let script = format!(
            "const other = new RTCPeerConnection(); other.addTransceiver('video');
             await other.setLocalDescription();
             const {{ sdp }} = other.localDescription;
             const refused = await post({{ type: 'offer', sdp, {more} }});
             other.close(); return refused.meta.error"
        );
        browser.run(&asynchronous(&script))
    };
    assert_eq!(refused(""), json!("connection_already_exists"));
    assert_eq!(refused("renegotiate: true"), json!("unknown_connection"));
    assert_eq!(refused("renegotiate: true, webrtc_id: 'nobody'"), json!("unknown_connection"));
    new_pictures(&browser);
    assert_one_session(&cluster);
}

/// A browser may get it wrong and then right.
#[test]
fn an_unanswerable_offer_changes_nothing() {
    let cluster = Cluster::launch("flip");
    let browser = connected(&cluster, "unanswerable", "[{}]");
    let refused = browser.run(&asynchronous(
        "await pc.setLocalDescription();
         const sdp = pc.localDescription.sdp.replaceAll(/a=fingerprint:.*\\r\\n/g, (line) =>
           line + 'a=ice-pwd:' + 'x'.repeat(65) + '\\r\\n')
           .replaceAll(/ice-ufrag:.*/g, 'ice-ufrag:another');
         return (await post({ type: 'offer', sdp, renegotiate: true })).meta.error",
    ));
    assert_eq!(refused, json!("invalid_offer"));
    new_pictures(&browser);
    browser
        .run(&asynchronous("pc.addTransceiver('audio'); await negotiate({ renegotiate: true })"));
    new_pictures(&browser);
    assert_one_session(&cluster);
}

#[test]
fn after_an_ice_restart_the_session_goes_on() {
    let cluster = Cluster::launch("flip");
    let browser = connected(&cluster, "restart", "[{}]");
    let ufrag = "return pc.remoteDescription.sdp.match(/ice-ufrag:(.*)/)[1]";
    for _ in 0..3 {
        let before = browser.run(ufrag);
        browser.run("window.gap = 0");
        browser.run(&asynchronous("pc.restartIce(); await negotiate({ renegotiate: true })"));
        assert_ne!(browser.run(ufrag), before, "no restart");
        eventually("the restarted path", SOON, || {
            (browser.run("return pc.iceConnectionState") == json!("connected")).then_some(())
        });
        new_pictures(&browser);
        let gap = browser.run("return window.gap").as_f64().expect("a number");
        assert!(gap < 3_000.0, "{gap} ms without a picture");
    }
    assert_one_session(&cluster);
}

#[test]
fn a_simulcast_offer_gets_one_layer() {
    let cluster = Cluster::launch("flip");
    // The first is what is left.
    let layers = "[{ rid: 'f' }, { rid: 'h', scaleResolutionDownBy: 2 }, \
                  { rid: 'q', scaleResolutionDownBy: 4 }]";
    let browser = connected(&cluster, "simulcast", layers);
    assert_one_session(&cluster);
    let sent = "return [...(await pc.getStats()).values()].filter((s) => s.type === \
                'outbound-rtp' && s.framesSent > 0).length";
    assert_eq!(browser.run(&asynchronous(sent)), json!(1));
}
