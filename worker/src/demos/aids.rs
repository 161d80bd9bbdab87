//! Aids for tests that are too small for files of their own.

use reframe_worker::{
    AdditionalOutputs, Checkbox, ColorPicker, Dropdown, Frame, HandlerError, InputComponent,
    InputError, Inputs, Json, Number, Output, Session, Slider, Stream, StreamBuilder, Textbox,
    Value, VideoStreamHandler, json,
};

/// Counts within its session, so a test knows which frame faults.
pub(super) fn faulty() -> impl FnMut(Frame) -> Result<Frame, HandlerError> {
    let mut count = 0;
    move |frame| {
        count += 1;
        match count {
            100 => panic!("the 100th frame"),
            n if n % 10 == 0 => Err(format!("frame {n} failed, as every 10th does").into()),
            _ => Ok(frame.flip_vertical()),
        }
    }
}

/// Tells each frame's rotation and size.
pub(super) fn keep_rotation() -> StreamBuilder {
    let handler = VideoStreamHandler::new(|frame: Frame| {
        let seen = json!({ "rotation": frame.rotation().degrees(), "width": frame.width(), "height": frame.height() });
        (frame, AdditionalOutputs::new([seen]))
    });
    Stream::builder(handler.keep_rotation(true)).additional_outputs([Json::new("seen")])
}

/// One input of each kind, named after it.
pub(super) fn echo_inputs(slider_max: f64) -> StreamBuilder {
    let inputs: [InputComponent; 6] = [
        Slider::new("slider", 0.0..=slider_max).step(0.01).value(0.3 * slider_max).into(),
        Number::new("number").minimum(-10.0).maximum(10.0).value(1.0).into(),
        Checkbox::new("checkbox").into(),
        Textbox::new("textbox").value("hello").max_length(20).into(),
        Dropdown::new("dropdown", ["red", "green", "blue"]).value("green").into(),
        ColorPicker::new("color_picker").value("#336699").into(),
    ];
    Stream::builder(VideoStreamHandler::per_session(echo))
        .additional_inputs(inputs)
        .additional_outputs([Json::new("seen")])
}

/// Tells the inputs with its first frame and with the first after each change.
fn echo() -> impl FnMut(Frame, &Session) -> Result<Output, HandlerError> {
    let mut last_told = None;
    move |frame, session| {
        let inputs = session.inputs();
        if last_told.as_ref() == Some(&inputs) {
            return Ok(frame.into());
        }
        let seen = AdditionalOutputs::new([seen(&inputs)?]);
        last_told = Some(inputs);
        Ok((frame, seen).into())
    }
}

fn seen(inputs: &Inputs) -> Result<Value, InputError> {
    Ok(json!({
        "slider": inputs.get::<f64>("slider")?,
        "number": inputs.get::<f64>("number")?,
        "checkbox": inputs.get::<bool>("checkbox")?,
        "textbox": inputs.get::<String>("textbox")?,
        "dropdown": inputs.get::<String>("dropdown")?,
        "color_picker": inputs.get::<String>("color_picker")?,
    }))
}
