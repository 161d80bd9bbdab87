//! What can go wrong before the first picture: the client is told, and nothing hangs.

use reframe_tests::source::{Format, Video};
use reframe_worker::{
    AdditionalOutputs, Frame, Handler, HandlerError, Number, Output, Session, Stream,
    VideoStreamHandler,
};
use serde_json::json;

use super::*;

/// Does not start: by an error, or by a panic.
struct Stillborn {
    panics: bool,
}

impl Handler for Stillborn {
    fn start(&mut self, _: &Session) -> Result<(), HandlerError> {
        assert!(!self.panics, "not today");
        Err("the model is missing".into())
    }

    fn process(&mut self, frame: Frame, _: &Session) -> Result<Output, HandlerError> {
        Ok(frame.into())
    }
}

/// It fails long before the browser is connected; the reason waits for the data channel.
#[test]
fn a_handler_that_does_not_start_is_told() {
    let stillborn = |name: &str, panics| {
        let handler = VideoStreamHandler::per_session(move || Stillborn { panics });
        Stream::builder(handler).name(name).concurrency_limit(1).build()
    };
    let cluster = Cluster::local([stillborn("fails", false), stillborn("panics", true)]);
    for (stream, error, end) in [
        ("/fails", "the model is missing", "the handler could not start"),
        ("/panics", "the handler crashed", "the stream ended because its handler crashed"),
    ] {
        for round in 0..2 {
            let options = Options::camera(format!("{round}"), Video::Live(Format::SMALL));
            let mut peer =
                Peer::connect(&cluster.page(stream), options).expect("the place is free");
            assert_eq!(
                peer.wait_message("end_stream", PATIENCE),
                json!({ "type": "end_stream", "data": end })
            );
            assert_eq!(peer.stats().messages[0]["message"], json!(error));
            peer.close();
            cluster.wait_for_sessions(0, CLOSED);
        }
    }
}

/// It is connected, and nothing is shown of it: it is told so after seconds, with what came
/// instead. The session goes on. What each fault is called: `gateway/src/session/watch.rs`.
#[test]
fn a_session_of_which_nothing_is_shown_is_told_why() {
    let cluster = Cluster::launch("flip");
    let silent = Options { video: None, ..Options::camera("silent", Video::Live(Format::SMALL)) };
    let mut peer = connect_with(&cluster, silent);
    let warning = peer.wait_message("warning", PATIENCE);
    let text = warning["message"].as_str().unwrap_or_default();
    assert!(text.contains("No video has come from this browser so far"), "{warning}");
    let faults = cluster.metrics().by("reframe_nothing_shown_total", "fault");
    assert_eq!(faults.get("nothing_came"), Some(&1.0), "{faults:?}");
    assert_eq!(cluster.sessions(), 1.0);
    peer.close();
    cluster.wait_for_sessions(0, CLOSED);
}

/// Items without a picture, and errors, cost a generator nothing but themselves.
#[test]
fn a_generator_may_come_to_its_pictures_late() {
    const EACH: usize = 5;
    let handler = VideoStreamHandler::generator(|| {
        let tells = (0..EACH).map(|n| Ok(Output::from(AdditionalOutputs::new([n]))));
        let fails = (0..EACH).map(|n| Err(HandlerError::from(format!("not yet: {n}"))));
        let shows = (0..EACH).map(|_| Ok(Frame::filled(64, 48, [9; 3])?.into()));
        Ok(tells.chain(fails).chain(shows))
    });
    let stream = Stream::builder(handler).additional_outputs([Number::new("step")]).build();
    let cluster = Cluster::local([stream, Stream::builder(nothing()).name("nothing").build()]);
    let mut peer = connect_with(&cluster, Options::viewer("late"));
    peer.wait_message("end_stream", PATIENCE);
    let stats = peer.stats();
    let steps: Vec<_> = stats.outputs("step").into_iter().cloned().collect();
    assert_eq!(steps, Vec::from_iter((0..EACH).map(|n| json!(n))));
    assert_eq!(told(&stats, "error"), Vec::from_iter((0..EACH).map(|n| format!("not yet: {n}"))));
    peer.close();
    let books = assert_balanced(&cluster);
    assert_eq!((books.emitted, books.consumed), (EACH as f64, EACH as f64), "{books}");

    let mut peer =
        Peer::connect(&cluster.page("/nothing"), Options::viewer("none")).expect("an answer");
    peer.wait_message("end_stream", PATIENCE);
    assert_eq!(peer.stats().received.len(), 0);
    peer.close();
    cluster.wait_for_sessions(0, CLOSED);
}

/// A generator that yields nothing.
fn nothing() -> VideoStreamHandler {
    VideoStreamHandler::generator(|| Ok(std::iter::empty::<Frame>()))
}
