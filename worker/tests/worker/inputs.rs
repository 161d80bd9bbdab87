//! What the client sets, on its way to the handler; and what the handler tells the client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc as blocking};

use reframe_proto::v1::from_worker::Message;
use reframe_proto::v1::notice::Level;
use reframe_proto::v1::{Notice, Value, value};
use reframe_worker::{
    AdditionalOutputs, Frame, HandlerError, Number, Session as Handled, Slider, Stream,
    VideoStreamHandler,
};
use tonic::Code;

use crate::client::{PATIENCE, Session, Worker, numbers, soon};

/// Answers each frame with the value of its input.
fn echo() -> Stream {
    let handler = VideoStreamHandler::new(|frame: Frame, session: &Handled| {
        let gain: f64 = session.inputs().get("gain")?;
        Ok((frame, AdditionalOutputs::new([gain])))
    });
    Stream::builder(handler)
        .additional_inputs([Slider::new("gain", 0.0..=1000.0).value(0.5)])
        .additional_outputs([Number::new("gain")])
        .build()
}

#[tokio::test]
async fn inputs_hold_from_the_first_frame_and_the_last_wins() {
    let worker = Worker::start(echo(), 2);
    let client = worker.client().await;
    let mut untouched = Session::open(&client).await.unwrap();
    assert_eq!(untouched.ask(0).await.outputs_json, "[0.5]");

    let mut session =
        Session::open_with(&client, numbers(&[("gain", 2.0), ("unknown", 1.0)])).await.unwrap();
    assert_eq!(session.ask(0).await.outputs_json, "[2.0]");
    for value in 3..=500 {
        session.set(numbers(&[("gain", f64::from(value))])).await;
    }
    assert_eq!(session.ask(1).await.outputs_json, "[500.0]");
    // All that is set comes each time, so an empty message sets nothing any more.
    session.set(HashMap::new()).await;
    assert_eq!(session.ask(2).await.outputs_json, "[0.5]");
    assert_eq!(untouched.ask(1).await.outputs_json, "[0.5]");
}

#[tokio::test]
async fn a_generator_sees_them_with_its_next_item() {
    let generator = VideoStreamHandler::generator(|session: Handled| {
        let item = move |_| -> Result<AdditionalOutputs, HandlerError> {
            Ok(AdditionalOutputs::new([session.inputs().get::<f64>("gain")?]))
        };
        Ok((0..).map(item))
    });
    let stream = Stream::builder(generator)
        .additional_inputs([Slider::new("gain", 0.0..=9.0)])
        .additional_outputs([Number::new("gain")]);
    let worker = Worker::start(stream.build(), 1);
    let mut session = Session::open(&worker.client().await).await.unwrap();
    for seq in 0..9_u32 {
        session.pull(seq.into()).await;
        assert_eq!(session.answer().await.outputs_json, format!("[{seq}.0]"));
        session.set(numbers(&[("gain", f64::from(seq + 1))])).await;
    }
}

#[tokio::test]
async fn a_value_of_another_type_ends_its_session_only() {
    let worker = Worker::start(echo(), 3);
    let client = worker.client().await;
    let mut other = Session::open(&client).await.unwrap();
    let text = HashMap::from([(
        "gain".to_owned(),
        Value { kind: Some(value::Kind::Text("much".into())) },
    )]);
    let refused = Session::open_with(&client, text.clone()).await.err().expect("refused");
    let expected = (Code::InvalidArgument, "inputs.gain: a value of another type than declared");
    assert_eq!((refused.code(), refused.message()), expected);

    let mut session = Session::open(&client).await.unwrap();
    session.set(text).await;
    let status = session.status().await;
    assert_eq!((status.code(), status.message()), expected);
    assert_eq!(other.ask(0).await.outputs_json, "[0.5]");
}

#[tokio::test]
async fn a_mistake_with_inputs_or_outputs_costs_a_frame() {
    let handler = VideoStreamHandler::new(|frame: Frame, session: &Handled| {
        let inputs = session.inputs();
        let values = match frame.seq() {
            0 => inputs.get::<f64>("gian").map(|gain| vec![gain])?,
            1 => vec![f64::from(u8::from(inputs.get::<bool>("gain")?))],
            2 => vec![1.0, 2.0],
            3 => vec![f64::NAN],
            _ => vec![1.0],
        };
        Ok((frame, AdditionalOutputs::new(values)))
    });
    let stream = Stream::builder(handler)
        .additional_inputs([Slider::new("gain", 0.0..=1.0).value(0.5)])
        .additional_outputs([Number::new("n")]);
    let worker = Worker::start(stream.build(), 1);
    let mut session = Session::open(&worker.client().await).await.unwrap();
    for (seq, error) in [
        (0, "the stream has no input \"gian\""),
        (1, "the input \"gain\" is 0.5, which is no bool"),
        (2, "2 additional outputs, but the stream declares 1"),
        (3, "output \"n\": null (or NaN) is not a number"),
    ] {
        let answer = session.ask(seq).await;
        assert_eq!((answer.outcome, answer.outputs_json), (Err(error.into()), String::new()));
    }
    assert_eq!(session.ask(4).await.outputs_json, "[1.0]");
}

#[tokio::test]
async fn notices_come_before_the_frame_that_they_are_about() {
    let handler = VideoStreamHandler::new(|frame: Frame, session: &Handled| {
        session.log("a log");
        session.warning(format_args!("frame {}", frame.seq()));
        session.error("x".repeat(5000));
        frame
    });
    let worker = Worker::start(Stream::builder(handler).build(), 1);
    let mut session = Session::open(&worker.client().await).await.unwrap();
    session.send(crate::client::grey(7, 4, 2)).await;
    for (level, message) in [
        (Level::Log, "a log".to_owned()),
        (Level::Warning, "frame 7".to_owned()),
        (Level::Error, "x".repeat(1024)),
    ] {
        let expected = Message::Notice(Notice { level: level.into(), message });
        assert_eq!(session.next().await.unwrap(), Some(expected));
    }
    assert_eq!(session.answer().await.seq, 7);
}

#[tokio::test]
async fn a_blocked_handler_sees_what_is_set_meanwhile() {
    let (entered, entries) = blocking::channel();
    let (seen, sights) = blocking::channel();
    let (release, gate) = blocking::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let handler = VideoStreamHandler::new(move |frame: Frame, session: &Handled| {
        let before = session.inputs();
        entered.send(())?;
        gate.lock().map_err(|_| "poisoned")?.recv_timeout(PATIENCE)?;
        while session.inputs() == before && !session.is_closed() {
            std::thread::yield_now();
        }
        // A snapshot stays what it was.
        seen.send((before.get::<u32>("gain")?, session.inputs().get::<u32>("gain")?))?;
        Ok(frame)
    });
    let stream =
        Stream::builder(handler).additional_inputs([Slider::new("gain", 0.0..=9.0)]).build();
    let worker = Worker::start(stream, 1);
    let mut session = Session::open(&worker.client().await).await.unwrap();
    session.send(crate::client::grey(0, 4, 2)).await;
    soon(tokio::task::spawn_blocking(move || entries.recv_timeout(PATIENCE)))
        .await
        .unwrap()
        .unwrap();
    session.set(numbers(&[("gain", 9.0)])).await;
    release.send(()).unwrap();
    assert_eq!(session.answer().await.outcome.map(|picture| picture.is_some()), Ok(true));
    assert_eq!(sights.try_recv(), Ok((0, 9)));
}
