//! A real browser as a client of WHIP, without a data channel: it trickles, and restarts ICE.

use reframe_tests::browser::{Browser, Camera};

use super::super::browser::start;
use super::*;

/// Posts an offer of the camera; candidates follow. `restart` restarts ICE.
const CLIENT: &str = "
    window.pc = new RTCPeerConnection();
    const video = { width: 320, height: 240 };
    const camera = await navigator.mediaDevices.getUserMedia({ video });
    pc.addTransceiver(camera.getVideoTracks()[0], { direction: 'sendonly' });
    let candidates = [];
    pc.onicecandidate = ({ candidate }) => candidates.push(candidate);
    await pc.setLocalDescription();
    const headers = { 'content-type': 'application/sdp' };
    const body = pc.localDescription.sdp;
    const created = await fetch('sent/whip', { method: 'POST', headers, body });
    if (created.status !== 201) throw new Error(await created.text());
    window.resource = created.headers.get('location');
    window.tag = created.headers.get('etag');
    const answer = await created.text();
    await pc.setRemoteDescription({ type: 'answer', sdp: answer });
    const value = (sdp, name) => sdp.match(new RegExp(`^a=${name}:(.*)$`, 'm'))[1].trim();
    const patch = async (condition, more) => {
        const sdp = pc.localDescription.sdp;
        const ours = ['ice-ufrag', 'ice-pwd'].map((name) => `a=${name}:${value(sdp, name)}`);
        const media = ['m=video 9 UDP/TLS/RTP/SAVPF 0', 'a=mid:0'];
        const body = [...ours, ...media, ...more, ''].join('\\r\\n');
        const type = 'application/trickle-ice-sdpfrag';
        const headers = { 'content-type': type, 'if-match': condition };
        return fetch(window.resource, { method: 'PATCH', headers, body });
    };
    window.trickle = async () => {
        const lines = candidates.filter((one) => one?.candidate).map((one) => `a=${one.candidate}`);
        return (await patch(window.tag, [...lines, 'a=end-of-candidates'])).status;
    };
    window.restart = async () => {
        candidates = [];
        pc.restartIce();
        await pc.setLocalDescription();
        const restarted = await patch('*', []);
        if (restarted.status !== 200) throw new Error(await restarted.text());
        window.tag = restarted.headers.get('etag');
        const fragment = await restarted.text();
        // All else is as it was.
        let sdp = answer.replace(/^a=(candidate|end-of-candidates).*\\r\\n/gm, '');
        for (const name of ['ice-ufrag', 'ice-pwd']) {
            const line = `a=${name}:${value(fragment, name)}`;
            sdp = sdp.replace(new RegExp(`^a=${name}:.*$`, 'gm'), line);
        }
        const lines = fragment.split('\\r\\n').filter((line) => line.startsWith('a=candidate'));
        sdp += lines.map((line) => `${line}\\r\\n`).join('');
        await pc.setRemoteDescription({ type: 'answer', sdp });
        return value(fragment, 'ice-ufrag');
    };
";

fn run(browser: &Browser, script: &str) -> Value {
    browser.run(&format!("return (async () => {{ {script} }})()"))
}

#[test]
fn a_browser_trickles_and_restarts_ice_and_its_frames_go_on() {
    let cluster = Cluster::local(streams());
    let browser = start("whip", Camera::Allowed);
    browser.open(&cluster.page("/"));
    run(&browser, CLIENT);
    let consumed = || cluster.metrics().sum("reframe_frames_consumed_total", &[]);
    eventually("frames come", PATIENCE, || (consumed() > 10.0).then_some(()));
    assert_eq!(run(&browser, "return trickle()"), 204);
    let ufrag = run(&browser, "return restart()");
    assert!(ufrag.as_str().is_some_and(|ufrag| !ufrag.is_empty()), "{ufrag}");
    // Longer than a connection lives whose credentials are those of before.
    let selected = "
        const stats = await pc.getStats();
        const transport = [...stats.values()].find((one) => one.type === 'transport');
        const pair = stats.get(transport.selectedCandidatePairId);
        return { state: pc.iceConnectionState, bytes: pair?.bytesSent ?? 0 };";
    for _ in 0..3 {
        let (before, bytes) = (consumed(), run(&browser, selected)["bytes"].as_u64());
        eventually("frames still come", PATIENCE, || (consumed() > before + 60.0).then_some(()));
        let now = run(&browser, selected);
        assert!(["connected", "completed"].contains(&now["state"].as_str().unwrap_or_default()));
        assert!(now["bytes"].as_u64() > bytes, "{now}");
    }
    assert_eq!(run(&browser, "return trickle()"), 204, "with the new entity tag");
    assert_eq!(cluster.metrics().sum("reframe_sessions_active", &[]), 1.0);
    let deleted = run(&browser, "return (await fetch(resource, { method: 'DELETE' })).status");
    assert_eq!(deleted, 200);
    cluster.wait_for_sessions(0, CLOSED);
    // Nothing was to be told on a data channel that it has not.
    assert_eq!(cluster.metrics().sum("reframe_messages_dropped_total", &[]), 0.0);
    assert_eq!(browser.console_errors(), Vec::<String>::new());
}
