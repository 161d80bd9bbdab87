use tonic::Code;

use super::*;
use crate::components::{Checkbox, Number};
use crate::frame::Frame;
use crate::handler::VideoStreamHandler;

fn wire(message: to_worker::Message) -> ToWorker {
    ToWorker { message: Some(message) }
}

fn picture(width: u32, height: u32, bytes: usize) -> ToWorker {
    let frame = v1::Frame {
        seq: 1,
        capture_time_us: 2,
        width,
        height,
        data: vec![0; bytes].into(),
        ..Default::default()
    };
    wire(to_worker::Message::Frame(frame))
}

fn pull() -> ToWorker {
    wire(to_worker::Message::Pull(v1::Pull { seq: 5, ..Default::default() }))
}

#[test]
fn odd_sizes_are_sizes() {
    match message(picture(3, 5, 15 + 6 + 6), Mode::Send, None) {
        Ok(Message::Job(Job::Frame { seq: 1, capture_time, picture, traceparent: _ })) => {
            assert_eq!(capture_time, Duration::from_micros(2));
            assert_eq!((picture.width, picture.height), (3, 5));
        }
        other => panic!("became {other:?}"),
    }
}

#[test]
fn with_an_exchange_pictures_may_be_in_there() {
    let exchange = Exchange::open();
    let slot = exchange.frames.give(vec![7; 6].into()).unwrap();
    let frame = || {
        let frame =
            v1::Frame { seq: 1, width: 2, height: 2, slot: Some(slot), ..Default::default() };
        wire(to_worker::Message::Frame(frame))
    };
    match message(frame(), Mode::SendReceive, Some(&exchange)) {
        Ok(Message::Job(Job::Frame { picture, .. })) => assert_eq!(picture.data[..], [7; 6]),
        other => panic!("became {other:?}"),
    }
    let status = message(frame(), Mode::SendReceive, Some(&exchange)).unwrap_err();
    assert!(status.message().starts_with("frame.data: "), "taken before: {status}");
    assert!(
        message(picture(2, 2, 6), Mode::SendReceive, Some(&exchange)).is_ok(),
        "for which there was no room"
    );

    let picture =
        I420 { width: 2, height: 2, data: vec![9; 6].into(), rotation: Rotation::Upright };
    let result = Reply::Result {
        seq: 1,
        times: Times::default(),
        outcome: Ok(Some(picture)),
        outputs: Vec::new(),
        more_credits: 0,
    };
    let Some(from_worker::Message::Result(sent)) = reply(result, Some(&exchange)).message else {
        panic!("a result is a result")
    };
    let Some(result::Outcome::Picture(Picture { width: 2, data, slot: Some(slot), .. })) =
        sent.outcome
    else {
        panic!("a picture in the exchange is one")
    };
    assert!(data.is_empty());
    assert_eq!(exchange.results.take(slot, 6).as_deref(), Some(&[9; 6][..]));
}

#[test]
fn a_refusal_names_its_field() {
    for (wire, field) in [
        (picture(0, 2, 0), "frame.width"),
        (picture(2, 0, 0), "frame.height"),
        (picture(MAX_DIMENSION + 1, 2, 0), "frame.width"),
        (picture(2, u32::MAX, 0), "frame.height"),
        (picture(2, 2, 5), "frame.data"),
        (picture(2, 2, 7), "frame.data"),
        (wire(to_worker::Message::Open(v1::Open::default())), "message"),
        (ToWorker { message: None }, "message"),
    ] {
        let status = message(wire, Mode::SendReceive, None).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(&format!("{field}: ")), "{status}");
    }
}

#[test]
fn each_mode_has_its_jobs() {
    for (wire, mode, refused) in [
        (picture(2, 2, 6), Mode::SendReceive, None),
        (picture(2, 2, 6), Mode::Send, None),
        (picture(2, 2, 6), Mode::Receive, Some("message: a stream of mode receive has no frame")),
        (pull(), Mode::SendReceive, Some("message: a stream of mode send-receive has no pull")),
        (pull(), Mode::Send, Some("message: a stream of mode send has no pull")),
        (pull(), Mode::Receive, None),
    ] {
        let status = message(wire, mode, None).err();
        assert_eq!(status.as_ref().map(Status::message), refused);
    }
}

#[test]
fn only_open_opens() {
    let status = open(Some(picture(2, 2, 6))).unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "message: another came before open")
    );
    assert_eq!(open(None).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn inputs_are_those_declared_and_of_their_types() {
    let stream = Stream::builder(VideoStreamHandler::new(|frame: Frame| Ok(frame)))
        .additional_inputs([Number::new("gain").value(1.0)])
        .additional_inputs([Checkbox::new("grey")])
        .build();
    let set = |name: &str, kind| HashMap::from([(name.to_owned(), v1::Value { kind })]);

    let values = inputs(&stream, set("gain", Some(value::Kind::Number(2.5)))).unwrap();
    assert_eq!((values.get("gain"), values.get("grey")), (Ok(2.5), Ok(false)));
    // All that is set comes each time: what is missing is as declared again.
    let values = inputs(&stream, set("grey", Some(value::Kind::Flag(true)))).unwrap();
    assert_eq!((values.get("gain"), values.get("grey")), (Ok(1.0), Ok(true)));
    let values = inputs(&stream, set("unknown", Some(value::Kind::Flag(true)))).unwrap();
    assert!(values.value("unknown").is_none());
    for kind in [None, Some(value::Kind::Flag(true)), Some(value::Kind::Text("2.5".into()))] {
        let status = inputs(&stream, set("gain", kind)).unwrap_err();
        assert_eq!(status.message(), "inputs.gain: a value of another type than declared");
    }
}
