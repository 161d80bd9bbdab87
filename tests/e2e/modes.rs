//! The three modes, every form of output, and pictures of every size.

use reframe_tests::http::post;
use reframe_tests::pattern::{Camera, flip_vertical, psnr};
use reframe_tests::peer::{Media, offer_sdp};
use reframe_tests::source::{Format, Video};
use reframe_worker::{Frame, HandlerError, Mode, Stream, VideoStreamHandler};
use serde_json::json;
use str0m::media::Direction;

use super::*;

/// The demo `forms`: the n-th frame, from 0, has the form n mod 10, and the 200th is its last.
const LAST_FORM: f64 = 200.0;

/// Its sizes in their order, for a camera of 640x480; the same size again is seen once.
const FORM_SIZES: [(u32, u32); 5] = [(640, 480), (320, 240), (33, 17), (16, 16), (1920, 1080)];

#[test]
fn every_form_of_output_has_its_own_end() {
    let cluster = Cluster::launch("forms");
    let mut peer = connect(&cluster, "forms", Video::Live(Format::VGA));
    let end = peer.wait_message("end_stream", PATIENCE);
    assert_eq!(end["data"], "done");
    cluster.wait_for_sessions(0, CLOSED);
    let stats = peer.stats();
    assert_eq!((stats.undecodable, &stats.failed), (0, &None));

    // Twenty rounds of ten, and the last.
    let rounds = LAST_FORM / 10.0;
    let books = assert_balanced(&cluster);
    let metrics = cluster.metrics();
    assert_eq!(books.consumed, rounds, "outputs without a picture: {books}");
    assert_eq!(metrics.sum("reframe_setup_seconds_count", &[]), 1.0);
    let failed = metrics.sum("reframe_frames_dropped_total", &[("reason", "handler_error")]);
    assert_eq!(failed, rounds, "{books}");
    let handled = metrics.sum("reframe_handler_seconds_count", &[]);
    assert_eq!(handled, LAST_FORM + 1.0, "{books}");
    // Every tenth, from `first` on, as the handler numbers them.
    let numbered = |what: &str, first: u32| {
        (0..20).map(|n| format!("{what}{}", first + 10 * n)).collect::<Vec<_>>()
    };
    let texts = |kind: &str, start: &str| {
        let texts = stats.messages.iter().filter(|message| message["type"] == kind);
        let texts = texts.map(|message| message["data"].as_str().unwrap_or_default().to_owned());
        texts.filter(|text| text.starts_with(start)).collect::<Vec<_>>()
    };
    for kind in ["log", "warning", "error"] {
        assert_eq!(texts(kind, kind), numbered(&format!("{kind} "), 8));
    }
    let errors: Vec<_> =
        numbered("frame ", 7).into_iter().map(|text| format!("{text} fails on purpose")).collect();
    assert_eq!(texts("error", "frame"), errors);
    let outputs: Vec<_> = (0..20).flat_map(|n| [json!(10 * n + 1), json!(10 * n + 2)]).collect();
    assert_eq!(stats.outputs("frame"), outputs.iter().collect::<Vec<_>>());
    assert_eq!(stats.messages.last().map(|message| &message["type"]), Some(&json!("end_stream")));

    // A busy machine may leave out a picture; it may not show one out of turn.
    let mut sizes: Vec<_> =
        stats.received.iter().map(|frame| (frame.width, frame.height)).collect();
    sizes.dedup();
    let mut turn = FORM_SIZES.iter().cycle().take(FORM_SIZES.len() * 21);
    assert!(sizes.iter().all(|size| turn.any(|expected| expected == size)), "{sizes:?}");
    assert!(FORM_SIZES.iter().all(|size| sizes.contains(size)), "{sizes:?}");
    peer.close();
}

#[test]
fn a_send_stream_gives_outputs_and_no_picture() {
    let cluster = Cluster::launch("sink");
    let mut sessions = 0.0;
    // As the page offers it, and as a client that knows one kind of offer does.
    for options in [
        Options::sender("send", Video::Live(Format::SMALL)),
        Options::camera("both", Video::Live(Format::SMALL)),
    ] {
        let before = Books::read(&cluster.metrics());
        let mut peer = connect_with(&cluster, options);
        let what = "thirty values";
        peer.wait_until(what, PATIENCE, |stats| {
            (stats.outputs("brightness").len() >= 30).then_some(())
        });
        peer.stop_camera();
        let sent = peer.stats().sent.len() as f64;
        let books = eventually("every frame sent is in the books", PATIENCE, || {
            let books = Books::read(&cluster.metrics());
            (books.received - before.received == sent && books.balanced()).then_some(books)
        });
        let consumed = books.consumed - before.consumed;
        peer.wait_until("one value for each frame", PATIENCE, |stats| {
            (stats.outputs("brightness").len() as f64 == consumed).then_some(())
        });
        let stats = peer.stats();
        for value in stats.outputs("brightness") {
            // A scene that is neither black nor white.
            assert!(value.as_f64().is_some_and(|mean| (30.0..220.0).contains(&mean)), "{value}");
        }
        assert_eq!((stats.received.len(), books.emitted), (0, 0.0));
        assert!(consumed >= sent * 0.8, "{books}");
        sessions += 1.0;
        let set_up = cluster.metrics().sum("reframe_setup_seconds_count", &[]);
        assert_eq!(set_up, sessions, "the first frame consumed ends the setup");
        peer.close();
        assert_balanced(&cluster);
    }
}

/// Plain handlers of each mode, under names that sort otherwise.
fn one_of_each_mode() -> [Stream; 3] {
    let echo = || VideoStreamHandler::new(|frame: Frame| Ok::<_, HandlerError>(frame));
    let still = || Frame::filled(320, 240, [90, 120, 150]).map_err(HandlerError::from);
    let stills = move || Ok::<_, HandlerError>(std::iter::repeat_with(still));
    [
        Stream::builder(echo()).name("there-and-back").build(),
        Stream::builder(VideoStreamHandler::generator(stills)).name("from").build(),
        Stream::builder(VideoStreamHandler::new(|_: Frame| ())).name("to").mode(Mode::Send).build(),
    ]
}

#[test]
fn an_offer_must_fit_the_streams_mode() {
    let cluster = Cluster::local(one_of_each_mode());
    for (stream, direction, answer) in [
        ("there-and-back", Direction::SendRecv, Some("a=sendrecv")),
        ("there-and-back", Direction::SendOnly, None),
        ("there-and-back", Direction::RecvOnly, None),
        ("from", Direction::RecvOnly, Some("a=sendonly")),
        // Nor is it asked to; what such a client sends all the same is ignored
        // (`receive::a_camera_that_nobody_asked_for_is_ignored`).
        ("from", Direction::SendRecv, Some("a=sendonly")),
        ("from", Direction::SendOnly, None),
        ("to", Direction::SendOnly, Some("a=recvonly")),
        ("to", Direction::SendRecv, Some("a=recvonly")),
        ("to", Direction::RecvOnly, None),
        ("from", Direction::Inactive, None),
    ] {
        let what = format!("{direction:?}-to-{stream}");
        let sdp = offer_sdp(Media::video(direction));
        let body = json!({ "sdp": sdp, "type": "offer", "webrtc_id": what });
        let reply = post(&cluster.page(&format!("/{stream}/webrtc/offer")), body.to_string())
            .expect("an answer");
        if let Some(expected) = answer {
            let section = reply.json()["sdp"]
                .as_str()
                .and_then(|sdp| Some(sdp.split_once("m=video")?.1.to_owned()));
            let section = section.unwrap_or_else(|| panic!("{what}: {reply:?}"));
            let section = section.split("m=").next().unwrap_or_default();
            assert!(section.contains(expected), "{what}: {section}");
        } else {
            assert_eq!(
                (reply.status, &reply.json()["meta"]["error"]),
                (400, &json!("invalid_offer")),
                "{what}: {reply:?}"
            );
        }
        assert_eq!(cluster.sessions(), 0.0, "{what}: an offer takes nothing");
    }
}

/// From the least that a codec takes to full HD, even and odd: colours and rows stay where they
/// are.
#[test]
fn pictures_of_any_size_come_back() {
    let cluster = Cluster::launch("flip");
    for (width, height) in [(16, 16), (17, 31), (161, 129), (641, 359), (1279, 719), (1920, 1080)] {
        let format = Format { width, height, fps: 10.0, bitrate_kbps: 3_000, ..Format::HD };
        let mut peer = connect(&cluster, &format!("{width}x{height}"), Video::Live(format));
        peer.wait_received(6, PATIENCE);
        let stats = peer.stats();
        assert_eq!((stats.undecodable, &stats.failed), (0, &None), "{width}x{height}");
        assert!(
            stats.received.iter().all(|frame| (frame.width, frame.height) == (width, height)),
            "{width}x{height}"
        );
        // The smallest carry no number: it is whichever of those sent it is most like.
        let picture = stats.picture.expect("a decoded picture");
        let camera = Camera::new(width, height);
        let likeness =
            |number| psnr(&picture.data, &flip_vertical(width, height, &camera.frame(number)));
        let newest = stats.sent.iter().rev().take(8).map(|sent| likeness(sent.number));
        let psnr = newest.fold(0.0, f64::max);
        assert!(psnr > 24.0, "{width}x{height}: {psnr:.1} dB");
        peer.close();
        cluster.wait_for_sessions(0, CLOSED);
    }
    assert_balanced(&cluster);
}
