use super::*;
use crate::components::{Checkbox, ColorPicker, Dropdown, LinePlot, Number, Slider, Text, Textbox};
use crate::error::HandlerError;
use crate::frame::Frame;

fn handler() -> VideoStreamHandler {
    VideoStreamHandler::new(|frame: Frame| Ok(frame))
}

fn generator() -> VideoStreamHandler {
    VideoStreamHandler::generator(|| Ok(std::iter::empty::<Result<Frame, HandlerError>>()))
}

#[test]
fn defaults_are_those_documented() {
    let stream = Stream::builder(handler()).build();
    assert_eq!(
        (stream.name(), stream.handler.rate(), stream.handler.skips()),
        ("default", 30.0, false)
    );
    assert_eq!(
        (stream.mode, stream.concurrency_limit, stream.time_limit),
        (Mode::SendReceive, None, None)
    );
    assert_eq!(Stream::builder(generator()).build().mode, Mode::Receive);
}

#[test]
fn components_are_appended() {
    let stream = Stream::builder(handler())
        .additional_inputs([Slider::new("a", 0.0..=1.0), Slider::new("b", 0.0..=1.0)])
        .additional_inputs([Checkbox::new("c")])
        .additional_outputs([Text::new("d")])
        .additional_outputs([Number::new("a")])
        .build();
    assert_eq!(
        stream.inputs.iter().map(|input| input.about().name.as_str()).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    assert_eq!(
        stream.outputs.iter().map(|output| output.about().name.as_str()).collect::<Vec<_>>(),
        ["d", "a"]
    );
    assert_eq!(stream.inputs[0].about().label, "a");
}

/// What `build` says of a wrong declaration.
fn refusal(builder: StreamBuilder) -> String {
    match builder.0.check() {
        Err(problem) => problem,
        Ok(()) => panic!("{builder:?} was accepted"),
    }
}

#[test]
fn a_mode_fits_its_handler() {
    for (handler, mode, text) in [
        (
            generator(),
            Mode::SendReceive,
            "a generator is given no frames: mode send-receive needs a function over frames",
        ),
        (
            generator(),
            Mode::Send,
            "a generator is given no frames: mode send needs a function over frames",
        ),
        (
            handler(),
            Mode::Receive,
            "mode receive has no frames to give: use VideoStreamHandler::generator",
        ),
    ] {
        assert_eq!(refusal(Stream::builder(handler).mode(mode)), text);
    }
    assert_eq!(Stream::builder(handler()).mode(Mode::Send).build().mode, Mode::Send);
}

#[test]
fn a_wrong_input_is_named() {
    let inputs: [(InputComponent, &str); 18] = [
        (Slider::new("a", 1.0..=0.0).into(), "1 to 0 is no range"),
        (Slider::new("a", 0.0..=0.0).into(), "0 to 0 is no range"),
        (Slider::new("a", f64::NAN..=1.0).into(), "NaN to 1 is no range"),
        (Slider::new("a", 0.0..=f64::INFINITY).into(), "0 to inf is no range"),
        (Slider::new("a", 0.0..=1.0).step(0.0).into(), "its step 0 is not a positive number"),
        (Slider::new("a", 0.0..=1.0).value(1.1).into(), "its value 1.1 is not 0 to 1"),
        (Slider::new("a", 0.0..=1.0).value(f64::NAN).into(), "its value NaN is not 0 to 1"),
        (Number::new("a").minimum(f64::NEG_INFINITY).into(), "-inf is no bound"),
        (Number::new("a").step(-1.0).into(), "its step -1 is not a positive number"),
        (Number::new("a").minimum(2.0).maximum(1.0).into(), "its value 1 is not 2 to 1"),
        (Textbox::new("a").max_length(0).into(), "max_length 0 is not 1 to 4096 characters"),
        (Textbox::new("a").max_length(4097).into(), "max_length 4097 is not 1 to 4096 characters"),
        (
            Textbox::new("a").value("éé").max_length(1).into(),
            "its value has 2 characters, over its max_length 1",
        ),
        (Textbox::new("a").lines(0).into(), "it needs a line at least"),
        (Dropdown::new("a", [""; 0]).into(), "it has no choices"),
        (Dropdown::new("a", ["x", "x"]).into(), "the choice \"x\" is there twice"),
        (Dropdown::new("a", ["x"]).value("y").into(), "its value \"y\" is none of its choices"),
        (ColorPicker::new("a").value("#12345é").into(), "its value \"#12345é\" is not #rrggbb"),
    ];
    for (input, text) in inputs {
        assert_eq!(
            refusal(Stream::builder(handler()).additional_inputs([input])),
            format!("input \"a\": {text}")
        );
    }
}

#[test]
fn wrong_names_and_numbers_of_components_are_told() {
    let twice =
        Stream::builder(handler()).additional_inputs([Checkbox::new("a"), Checkbox::new("a")]);
    assert_eq!(refusal(twice), "input \"a\" is declared twice");
    let reserved = refusal(Stream::builder(handler()).additional_outputs([Text::new("webrtc_id")]));
    assert!(reserved.starts_with("output \"webrtc_id\": a name is a letter"), "{reserved}");
    let many = |count| {
        Stream::builder(handler())
            .additional_outputs((0..count).map(|n| Text::new(format!("t{n}"))))
    };
    assert_eq!(many(64).build().outputs.len(), 64);
    assert_eq!(refusal(many(65)), "65 outputs are declared, 64 at most may be");
    let plot = Stream::builder(handler()).additional_outputs([LinePlot::new("p").points(0)]);
    assert_eq!(refusal(plot), "output \"p\": it shows no points");
}

#[test]
fn a_number_starts_at_the_allowed_one_nearest_to_zero() {
    let number = || Number::new("n");
    let starts = [
        number(),
        number().minimum(3.0),
        number().maximum(-3.0),
        number().minimum(-1.0).maximum(1.0),
    ];
    assert_eq!(starts.map(|number| number.first()), [0.0, 3.0, -3.0, 0.0]);
}

#[test]
#[should_panic(expected = r#"stream "faces": input "a" is declared twice"#)]
fn a_wrong_declaration_panics_at_build() {
    let inputs = [Checkbox::new("a"), Checkbox::new("a")];
    drop(Stream::builder(handler()).name("faces").additional_inputs(inputs).build());
}

#[test]
fn settings_out_of_range_are_told_by_name() {
    let kbps = Bitrate::from_kbps;
    let stream = || Stream::builder(handler());
    for (builder, text) in [
        (Stream::builder(handler().fps(f64::NAN)), "fps must be from 1 to 240, not NaN"),
        (Stream::builder(handler().fps(0.0)), "fps must be from 1 to 240, not 0"),
        (stream().concurrency_limit(0), "concurrency_limit must be at least 1"),
        (
            stream().time_limit(Duration::from_micros(999)),
            "time_limit must be at least a millisecond, not 999µs",
        ),
        (
            stream().bitrate(kbps(99)..=kbps(200)),
            "bitrate must go up, within 100 to 20000 kbit/s, not from 99 kbit/s to 200 kbit/s",
        ),
        (
            stream().bitrate(kbps(300)..=kbps(200)),
            "bitrate must go up, within 100 to 20000 kbit/s, not from 300 kbit/s to 200 kbit/s",
        ),
        (
            stream().start_bitrate(kbps(1)),
            "start_bitrate must be within 100 to 20000 kbit/s, not 1 kbit/s",
        ),
    ] {
        assert_eq!(refusal(builder), text);
    }
    for name in ["Face Swap", "", "api"] {
        let error = stream().name(name).try_build().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("stream {name:?}: a stream's name has 1 to 64")),
            "{error}"
        );
    }
}

#[test]
fn a_broadcast_is_of_a_generator_that_nobody_sets() {
    assert!(Stream::builder(generator()).broadcast(true).build().broadcast);
    let refused = refusal(Stream::builder(handler()).broadcast(true));
    assert!(refused.starts_with("broadcast is for mode receive"), "{refused}");
    let inputs = [Checkbox::new("a")];
    let refused = refusal(Stream::builder(generator()).broadcast(true).additional_inputs(inputs));
    assert!(refused.starts_with("broadcast goes without inputs"), "{refused}");
}
