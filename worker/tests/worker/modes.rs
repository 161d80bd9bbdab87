//! Modes, forms of output, sizes and pixel formats.

use std::time::Duration;

use reframe_proto::{PROTOCOL_VERSION, i420_len, v1};
use reframe_worker::{
    AdditionalOutputs, Bitrate, Checkbox, CloseStream, ColorPicker, Dropdown, Frame, HandlerError,
    InputComponent, Json, Label, LinePlot, Mode, Number, Output, OutputComponent, PixelFormat,
    Slider, Stream, Text, Textbox, VideoStreamHandler,
};
use tonic::Code;

use crate::client::{Answer, Session, Worker, grey};

const FORMATS: [PixelFormat; 4] =
    [PixelFormat::Rgb24, PixelFormat::Bgr24, PixelFormat::I420, PixelFormat::Gray8];

#[tokio::test]
async fn describes_its_stream() {
    let inputs: [InputComponent; 6] = [
        Slider::new("conf", 0.0..=1.0)
            .step(0.01)
            .value(0.3)
            .label("Confidence")
            .info("how sure")
            .into(),
        Number::new("every").minimum(1.0).step(1.0).into(),
        Checkbox::new("grey").value(true).into(),
        Textbox::new("text").value("hi").max_length(9).lines(2).placeholder("say").into(),
        Dropdown::new("style", ["edges", "blur"]).into(),
        ColorPicker::new("ink").value("#ff0000").into(),
    ];
    let outputs: [OutputComponent; 5] = [
        Number::new("count").label("Count").into(),
        Text::new("word").into(),
        Label::new("class").into(),
        Json::new("boxes").into(),
        LinePlot::new("curve").points(50).into(),
    ];
    let stream =
        Stream::builder(VideoStreamHandler::new(|_: Frame| ()).fps(29.97).skip_frames(true))
            .name("faces")
            .title("Faces")
            .subtitle("Who is there?")
            .mode(Mode::Send)
            .additional_inputs(inputs)
            .additional_outputs(outputs)
            .concurrency_limit(10)
            .time_limit(Duration::from_secs(90))
            .movable(true)
            .bitrate(Bitrate::from_kbps(200)..=Bitrate::from_kbps(3_000))
            .start_bitrate(Bitrate::from_kbps(900));
    let worker = Worker::start(stream.build(), 3);
    let spec =
        worker.client().await.describe(v1::DescribeRequest::default()).await.unwrap().into_inner();

    let input = |name: &str, kind| v1::Input {
        name: name.into(),
        label: name.into(),
        info: String::new(),
        kind: Some(kind),
    };
    let output = |name: &str, kind: v1::output::Kind| v1::Output {
        name: name.into(),
        label: name.into(),
        kind: kind.into(),
        points: 0,
    };
    use v1::input::{self, Kind};
    let slider = Kind::Slider(input::Slider { minimum: 0.0, maximum: 1.0, step: 0.01, value: 0.3 });
    let number = Kind::Number(input::Number {
        minimum: Some(1.0),
        maximum: None,
        step: Some(1.0),
        value: 1.0,
    });
    let textbox =
        input::Textbox { value: "hi".into(), max_length: 9, lines: 2, placeholder: "say".into() };
    let dropdown =
        input::Dropdown { choices: vec!["edges".into(), "blur".into()], value: "edges".into() };
    let expected = v1::StreamSpec {
        protocol_version: PROTOCOL_VERSION,
        name: "faces".into(),
        title: "Faces".into(),
        subtitle: "Who is there?".into(),
        mode: v1::Mode::Send.into(),
        fps: 29.97,
        skip_frames: true,
        keep_rotation: false,
        capacity: 3,
        inputs: vec![
            v1::Input {
                label: "Confidence".into(),
                info: "how sure".into(),
                ..input("conf", slider)
            },
            input("every", number),
            input("grey", Kind::Checkbox(input::Checkbox { value: true })),
            input("text", Kind::Textbox(textbox)),
            input("style", Kind::Dropdown(dropdown)),
            input("ink", Kind::ColorPicker(input::ColorPicker { value: "#ff0000".into() })),
        ],
        outputs: vec![
            v1::Output { label: "Count".into(), ..output("count", v1::output::Kind::Number) },
            output("word", v1::output::Kind::Text),
            output("class", v1::output::Kind::Label),
            output("boxes", v1::output::Kind::Json),
            v1::Output { points: 50, ..output("curve", v1::output::Kind::LinePlot) },
        ],
        concurrency_limit: 10,
        time_limit_ms: 90_000,
        // Any, and a process keeps its own.
        instance: spec.instance.clone(),
        bitrate_start_kbps: 900,
        bitrate_min_kbps: 200,
        bitrate_max_kbps: 3_000,
        movable: true,
        broadcast: false,
        zone: String::new(),
        // Whatever this machine and its clock say.
        host: spec.host.clone(),
        started_unix_ms: spec.started_unix_ms,
    };
    assert!(!spec.instance.is_empty() && spec.started_unix_ms > 0);
    assert_eq!(spec.host, reframe_proto::location::Location::here("").host);
    assert_eq!(spec, expected);
}

/// The five forms, and an error: one for each frame.
fn form(frame: Frame) -> Result<Output, HandlerError> {
    let outputs = AdditionalOutputs::new([frame.seq()]);
    match frame.seq() {
        0 => Ok(frame.into()),
        1 => Ok((frame, outputs).into()),
        2 => Ok(outputs.into()),
        3 => Err("on purpose".into()),
        4 => Ok((Frame::filled(6, 4, [0; 3])?, CloseStream::new("that was all")).into()),
        _ => Ok(CloseStream::default().into()),
    }
}

#[tokio::test]
async fn every_form_of_output_arrives() {
    let stream =
        Stream::builder(VideoStreamHandler::new(form)).additional_outputs([Number::new("seq")]);
    let worker = Worker::start(stream.build(), 1);
    let client = worker.client().await;
    let mut session = Session::open(&client).await.unwrap();
    let shape = |answer: Answer| {
        let picture =
            answer.outcome.map(|picture| picture.map(|picture| (picture.width, picture.height)));
        (picture, answer.outputs_json)
    };
    assert_eq!(shape(session.ask(0).await), (Ok(Some((4, 2))), String::new()));
    assert_eq!(shape(session.ask(1).await), (Ok(Some((4, 2))), "[1]".into()));
    assert_eq!(shape(session.ask(2).await), (Ok(None), "[2]".into()));
    assert_eq!(shape(session.ask(3).await), (Err("on purpose".into()), String::new()));
    // The last picture comes before the end.
    assert_eq!(shape(session.ask(4).await), (Ok(Some((6, 4))), String::new()));
    assert_eq!(session.end().await, ("that was all".into(), false));

    let mut session = Session::open(&client).await.expect("the slot is free");
    assert_eq!(shape(session.ask(5).await), (Ok(None), String::new()));
    assert_eq!(session.end().await, ("Stream closed".into(), false));
}

#[tokio::test]
async fn every_size_in_every_format_comes_back() {
    for format in FORMATS {
        let handler = VideoStreamHandler::new(move |frame: Frame| {
            assert_eq!(frame.format(), format);
            Ok(frame.flip_vertical())
        });
        let worker = Worker::start(Stream::builder(handler.pixel_format(format)).build(), 1);
        let mut session = Session::open(&worker.client().await).await.unwrap();
        // From frame to frame another size: buffers are used again.
        let sizes = [(16, 16), (1920, 1080), (17, 16), (639, 479), (1, 1), (33, 17), (1280, 720)];
        for (seq, (width, height)) in (0..).zip(sizes) {
            let sent = grey(seq, width, height);
            session.send(sent.clone()).await;
            let picture = session.result().await.1.unwrap();
            assert_eq!((picture.width, picture.height), (width, height));
            assert_eq!(picture.data.len(), i420_len(width, height));
            let (row, luma) = (width as usize, width as usize * height as usize);
            let upright = sent.data[..luma].chunks_exact(row).rev();
            for (expected, got) in upright.zip(picture.data[..luma].chunks_exact(row)) {
                let worst = expected.iter().zip(got).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(worst <= Some(2), "{format} {width}x{height} is off by {worst:?}");
            }
            let colour = picture.data[luma..].iter().map(|byte| byte.abs_diff(128)).max();
            assert!(colour <= Some(2), "{format} {width}x{height} is coloured by {colour:?}");
        }
    }
}

#[tokio::test]
async fn what_is_returned_may_have_any_size_and_format() {
    let handler = VideoStreamHandler::new(|frame: Frame| {
        let (format, side) =
            (FORMATS[usize::try_from(frame.seq() % 4)?], u32::try_from(frame.seq() * 7 + 1)?);
        Ok(Frame::filled(side, side + 1, [255; 3])?.to_format(format))
    });
    let worker = Worker::start(Stream::builder(handler).build(), 1);
    let mut session = Session::open(&worker.client().await).await.unwrap();
    for seq in 0..40 {
        let picture = session.process(seq).await.unwrap();
        let side = u32::try_from(seq * 7 + 1).unwrap();
        assert_eq!((picture.width, picture.height), (side, side + 1));
        let white =
            picture.data[..(side * side) as usize].iter().all(|luma| luma.abs_diff(235) <= 1);
        assert!(white, "frame {seq}");
    }
}

#[tokio::test]
async fn a_generator_is_pulled_to_its_end() {
    let generator = VideoStreamHandler::generator(|| {
        Ok((0..5_u8).map(|n| -> Result<Output, HandlerError> {
            match n {
                2 => Ok(AdditionalOutputs::new([n]).into()),
                3 => Err("a bad item".into()),
                _ => Ok(Frame::filled(4, 2, [n; 3])?.into()),
            }
        }))
    });
    let stream =
        Stream::builder(generator.fps(60.0)).additional_outputs([Number::new("n")]).build();
    let worker = Worker::start(stream, 2);
    let client = worker.client().await;
    // Two at once: each has a generator of its own.
    for mut session in
        [Session::open(&client).await.unwrap(), Session::open(&client).await.unwrap()]
    {
        assert_eq!(session.credits, 3);
        for seq in 0..3 {
            session.pull(seq).await;
        }
        for seq in 0..5 {
            let Answer { seq: answered, outcome, outputs_json } = session.answer().await;
            assert_eq!(answered, seq);
            assert_eq!(outputs_json, if seq == 2 { "[2]" } else { "" });
            match seq {
                2 => assert_eq!(outcome, Ok(None)),
                3 => assert_eq!(outcome, Err("a bad item".into())),
                _ => assert!(matches!(outcome, Ok(Some(_))), "{outcome:?}"),
            }
            // One more than there are items, which has no result.
            if seq < 3 {
                session.pull(seq + 3).await;
            }
        }
        assert_eq!(session.end().await, ("The stream has ended".into(), false));
    }
}

#[tokio::test]
async fn a_session_has_the_messages_of_its_mode() {
    let generator = VideoStreamHandler::generator(|| Ok(std::iter::empty::<Frame>()));
    let worker = Worker::start(Stream::builder(generator).build(), 1);
    let mut session = Session::open(&worker.client().await).await.unwrap();
    session.send(grey(0, 4, 2)).await;
    let status = session.status().await;
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "message: a stream of mode receive has no frame")
    );

    let worker = Worker::start(
        Stream::builder(VideoStreamHandler::new(|_: Frame| ())).mode(Mode::Send).build(),
        1,
    );
    let mut session = Session::open(&worker.client().await).await.unwrap();
    assert_eq!(
        session.ask(0).await,
        Answer { seq: 0, outcome: Ok(None), outputs_json: String::new() }
    );
    session.pull(1).await;
    assert_eq!(session.status().await.message(), "message: a stream of mode send has no pull");
}
