//! A slot is for whoever uses it: what takes one, what does not, and how it comes back.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use reframe_tests::browser::Camera;
use reframe_tests::http::{Reply, post};
use reframe_tests::netem::{Conditions, Network};
use reframe_tests::peer::{Media, offer_sdp};
use reframe_tests::source::{Format, Video};
use reframe_worker::{Frame, Handler, HandlerError, Output, Session, Stream, VideoStreamHandler};
use serde_json::json;

use super::browser::start;
use super::*;

/// From a first check until a session without DTLS ends, and the rest is for the machine.
const NO_DTLS: Duration = Duration::from_secs(30);
/// A client that sends no video has twenty seconds; as above.
const NO_VIDEO: Duration = Duration::from_secs(60);

/// Counts the sessions that it was started for.
struct Counting(Arc<AtomicU32>);

impl Handler for Counting {
    fn start(&mut self, _: &Session) -> Result<(), HandlerError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn process(&mut self, frame: Frame, _: &Session) -> Result<Output, HandlerError> {
        Ok(frame.into())
    }
}

fn counting(limit: u32) -> (Stream, Arc<AtomicU32>) {
    let starts = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&starts);
    let handler = VideoStreamHandler::per_session(move || Counting(Arc::clone(&counter)));
    (Stream::builder(handler).concurrency_limit(limit).build(), starts)
}

fn offer(cluster: &Cluster, id: &str, sdp: &str) -> Reply {
    let body = json!({ "sdp": sdp, "type": "offer", "webrtc_id": id });
    post(&cluster.page("/webrtc/offer"), body.to_string()).expect("the gateway answers")
}

fn ended(cluster: &Cluster, reason: &str) -> f64 {
    cluster.metrics().sum("reframe_sessions_ended_total", &[("reason", reason)])
}

/// The value of a line of SDP.
fn line<'a>(sdp: &'a str, name: &str) -> &'a str {
    sdp.lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_else(|| panic!("no {name} in {sdp}"))
        .trim()
}

/// The first check of the client that made `offer` (RFC 8445, section 7.1.1), signed as the answer
/// says.
fn check(offer: &str, answer: &str) -> Vec<u8> {
    let user = format!("{}:{}", line(answer, "a=ice-ufrag:"), line(offer, "a=ice-ufrag:"));
    let mut message =
        vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let mut add = |kind: u16, value: &[u8]| {
        message.extend(kind.to_be_bytes());
        message.extend(u16::try_from(value.len()).expect("it is short").to_be_bytes());
        message.extend(value);
        message.resize(message.len().next_multiple_of(4), 0);
    };
    add(0x0006, user.as_bytes());
    add(0x0024, &0x6e00_01ff_u32.to_be_bytes());
    add(0x802a, &7_u64.to_be_bytes());
    // With the length as it is once the signature is there.
    let length = u16::try_from(message.len() - 20 + 24).expect("it is short");
    message[2..4].copy_from_slice(&length.to_be_bytes());
    let key = PKey::hmac(line(answer, "a=ice-pwd:").as_bytes()).expect("a key");
    let mut signer = Signer::new(MessageDigest::sha1(), &key).expect("a signer");
    let signature = signer.sign_oneshot_to_vec(&message).expect("a signature");
    message.extend([0, 8, 0, 20]);
    message.extend(signature);
    message
}

/// Sends the first check of a session whose browser is otherwise silent.
fn send_check(socket: &UdpSocket, offer: &str, answer: &str) {
    let candidate =
        answer.lines().find(|line| line.starts_with("a=candidate:")).expect("a candidate");
    let fields: Vec<_> = candidate.split_whitespace().collect();
    let to = format!("{}:{}", fields[4], fields[5]);
    socket.send_to(&check(offer, answer), to).expect("the loopback interface takes datagrams");
}

#[test]
fn offers_take_nothing_and_checks_a_quarter() {
    const OFFERS: usize = 20;
    const CHECKED: usize = 8;
    // Of sixteen slots.
    const QUARTER: u32 = 4;
    let (stream, starts) = counting(16);
    let cluster = Cluster::local([stream]);
    let offers: Vec<_> = (0..OFFERS).map(|_| offer_sdp(Media::default())).collect();
    let answer = |(n, sdp): (usize, &String)| {
        let reply = offer(&cluster, &format!("half-{n}"), sdp).json();
        reply["sdp"].as_str().unwrap_or_else(|| panic!("no answer: {reply}")).to_owned()
    };
    let answers: Vec<_> = offers.iter().enumerate().map(answer).collect();
    assert_eq!(
        (cluster.sessions(), starts.load(Ordering::Relaxed)),
        (0.0, 0),
        "an offer takes nothing"
    );

    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    for (offer, answer) in offers.iter().zip(&answers).take(CHECKED) {
        send_check(&socket, offer, answer);
    }
    cluster.wait_for_sessions(QUARTER as usize, PATIENCE);
    let mut honest = connect(&cluster, "honest", Video::Live(Format::SMALL));
    honest.wait_received(30, PATIENCE);
    eventually("those without DTLS end", NO_DTLS, || {
        (ended(&cluster, "no_dtls") == CHECKED as f64).then_some(())
    });
    cluster.wait_for_sessions(1, PATIENCE);
    assert_eq!(starts.load(Ordering::Relaxed), QUARTER + 1, "the handler never started for more");
    wait_for_more(&honest);
    honest.close();
    assert_balanced(&cluster);
}

/// Both were told that there is room, and there was.
#[test]
fn of_two_offers_for_one_slot_one_is_told_on_its_connection() {
    let (stream, starts) = counting(1);
    let cluster = Cluster::local([stream]);
    let silence = Network::both(1, Conditions { blackout: true, ..Conditions::default() });
    let camera = |id: &str| Options::camera(id, Video::Live(Format::SMALL)).with_network(silence);
    let mut peers =
        ["a", "b"].map(|id| Peer::connect(&cluster.page(""), camera(id)).expect("there is room"));
    assert_eq!(cluster.sessions(), 0.0);
    peers.iter().for_each(|peer| peer.set_network(Network::default()));

    eventually("one of them is told", PATIENCE, || {
        peers.iter().any(|peer| peer.stats().message("end_stream").is_some()).then_some(())
    });
    peers.sort_by_key(|peer| peer.stats().message("end_stream").is_some());
    let [winner, loser] = &mut peers;
    winner.wait_received(10, PATIENCE);
    let told = loser.stats().messages;
    let [error, end] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&error["type"], &end["type"]), (&json!("error"), &json!("end_stream")));
    // As the HTTP answer says it.
    let reply = Peer::connect(&cluster.page(""), camera("c")).expect_err("it is taken");
    assert_eq!(error["meta"], reply.json()["meta"]);
    assert_eq!(error["meta"], json!({ "error": "concurrency_limit_reached", "limit": 1 }));
    assert_eq!((ended(&cluster, "refused"), starts.load(Ordering::Relaxed)), (1.0, 1));
    assert_eq!(cluster.sessions(), 1.0);
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
}

/// The page has its answer, and takes so long to use it that somebody else is sooner.
#[test]
fn a_page_that_comes_too_late_says_what_a_refused_offer_does() {
    let cluster = Cluster::launch_with("flip", &["--capacity", "1"]);
    let browser = start("too-late", Camera::Allowed);
    browser.open(&cluster.page("/"));
    browser.run(
        "const { setRemoteDescription } = RTCPeerConnection.prototype;
         const gate = new Promise((open) => { window.openGate = open; });
         RTCPeerConnection.prototype.setRemoteDescription = async function (description) {
           await gate;
           return setRemoteDescription.call(this, description);
         };",
    );
    browser.click("start");
    eventually("the page's offer is answered", PATIENCE, || {
        (cluster.metrics().sum("reframe_offers_total", &[("outcome", "answered")]) == 1.0)
            .then_some(())
    });
    let mut sooner = connect(&cluster, "sooner", Video::Live(Format::SMALL));
    browser.run("window.openGate()");
    browser.wait_for_state("failed");
    let told = "Every place is taken\nThis server runs one stream at once. Press Start again when \
                someone has left.";
    assert_eq!(browser.text("outcome"), told);
    assert_eq!(browser.console_errors(), Vec::<String>::new());
    sooner.wait_received(10, PATIENCE);
    sooner.close();
    cluster.wait_for_sessions(0, CLOSED);
    browser.click("start");
    browser.wait_for_state("live");
}

#[test]
fn a_camera_that_stopped_keeps_its_slot_until_the_idle_limit() {
    let cluster = Cluster::launch_with("flip", &["--idle-limit", "3"]);
    let mut idle = connect(&cluster, "idle", Video::Live(Format::SMALL));
    let mut other = connect(&cluster, "other", Video::Live(Format::SMALL));
    idle.wait_received(10, PATIENCE);
    idle.stop_camera();
    let end = idle.wait_message("end_stream", PATIENCE);
    assert!(end["data"].as_str().is_some_and(|text| text.contains("3s")), "{end}");
    cluster.wait_for_sessions(1, CLOSED);
    assert_eq!(ended(&cluster, "idle"), 1.0);
    wait_for_more(&other);
    other.close();
    idle.close();
    assert_balanced(&cluster);
}

/// Both take twenty seconds, so they go side by side.
#[test]
fn who_sends_no_video_gives_its_slot_back() {
    let (stream, _) = counting(1);
    let (never, stopped) = (Cluster::launch("flip"), Cluster::local([stream]));
    let silent = Options { video: None, ..Options::camera("silent", Video::Live(Format::SMALL)) };
    let mut silent = connect_with(&never, silent);
    let mut first = connect(&stopped, "first", Video::Live(Format::SMALL));
    first.wait_received(10, PATIENCE);
    first.stop_camera();

    let second =
        || Peer::connect(&stopped.page(""), Options::camera("second", Video::Live(Format::SMALL)));
    let refused = second().expect_err("it is taken, and not idle for long");
    assert_eq!(refused.json()["meta"]["error"], "concurrency_limit_reached");
    let mut second = eventually("the idle session makes room", NO_VIDEO, || second().ok());
    second.wait_received(10, PATIENCE);
    let end = first.wait_message("end_stream", PATIENCE);
    assert!(end["data"].as_str().is_some_and(|text| text.contains("somebody else")), "{end}");
    assert_eq!((ended(&stopped, "displaced"), stopped.sessions()), (1.0, 1.0));

    let end = silent.wait_message("end_stream", NO_VIDEO);
    assert!(end["data"].as_str().is_some_and(|text| text.contains("No video came")), "{end}");
    assert_eq!(ended(&never, "no_video"), 1.0);
    never.wait_for_sessions(0, CLOSED);
    for peer in [&mut silent, &mut first, &mut second] {
        peer.close();
    }
    assert_balanced(&stopped);
}

/// A viewer sends nothing, and is not to.
#[test]
fn a_viewer_is_not_idle() {
    let cluster = Cluster::launch_with("ticker", &["--idle-limit", "2"]);
    let mut viewer = connect_with(&cluster, Options::viewer("viewer"));
    let began = viewer.stats().connected.expect("it is connected");
    viewer.wait_until("pictures for three times the limit", PATIENCE, |stats| {
        stats
            .received
            .last()
            .filter(|last| last.arrived > began + Duration::from_secs(6))
            .map(|_| ())
    });
    viewer.close();
    assert_balanced(&cluster);
}

/// Nobody knows whether there is a browser at all.
#[test]
fn a_session_without_a_browser_is_answered_a_few_times() {
    const BURST: usize = 4;
    let cluster = Cluster::launch("flip");
    let sdp = offer_sdp(Media::default());
    let replies: Vec<_> = (0..10).map(|_| offer(&cluster, "again", &sdp)).collect();
    let (answered, refused) = replies.split_at(1 + BURST);
    for reply in answered {
        assert_eq!((reply.status, &reply.json()["type"]), (200, &json!("answer")), "{reply:?}");
    }
    for reply in refused {
        assert_eq!(
            (reply.status, &reply.json()["meta"]["error"]),
            (503, &json!("busy")),
            "{reply:?}"
        );
        assert!(reply.retry_after.is_some(), "{reply:?}");
    }
    assert_eq!(cluster.sessions(), 0.0);
}
