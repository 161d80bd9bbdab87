//! What `Stream(…)` declares in Python, as a stream of `reframe_worker`.
//!
//! The declaration comes as JSON, with every field: the Python half fills in what its author left
//! out. What is wrong with a value is found where every stream is checked, by
//! `StreamBuilder::try_build`.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use reframe_worker::{
    Bitrate, Checkbox, ColorPicker, Dropdown, InputComponent, Json, Label, LinePlot, Mode, Number,
    OutputComponent, PixelFormat, Slider, Text, Textbox, VideoStreamHandler,
};
use serde::Deserialize;

use crate::handler::{Author, attached, generator, handler};
use crate::overdue;
use crate::session::Kind;

/// A stream, ready to run.
#[pyclass(frozen, module = "reframe._core")]
pub(crate) struct Stream(pub(crate) reframe_worker::Stream);

#[pymethods]
impl Stream {
    /// `factory(session)` makes the object that works for one session, on that session's thread.
    /// # Errors
    ///
    /// The declaration is wrong: `ValueError`, which says where.
    #[new]
    fn new(declaration: &str, factory: Py<PyAny>) -> PyResult<Self> {
        let declaration: Declaration = serde_json::from_str(declaration)
            .map_err(|error| PyValueError::new_err(format!("the declaration: {error}")))?;
        let declared = declaration.inputs.iter().map(Input::kind).collect();
        let author = Author { factory: Arc::new(factory), declared };
        declaration.build(author).map(Self).map_err(PyValueError::new_err)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    name: String,
    title: String,
    subtitle: String,
    mode: Direction,
    fps: f64,
    skip_frames: bool,
    keep_rotation: bool,
    pixel_format: Format,
    /// One call of the stream's objects at a time.
    serialized: bool,
    call_limit_s: Option<f64>,
    concurrency_limit: Option<u32>,
    time_limit_s: Option<f64>,
    movable: bool,
    broadcast: bool,
    bitrate_kbps: Option<(u32, u32)>,
    start_bitrate_kbps: Option<u32>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Direction {
    SendReceive,
    Receive,
    Send,
}

/// The names of the pixel formats in Python.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Rgb24,
    Bgr24,
    Gray8,
    I420,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    label: String,
    #[serde(default)]
    info: String,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Input {
    Slider {
        #[serde(flatten)]
        about: Described,
        minimum: f64,
        maximum: f64,
        step: f64,
        value: f64,
    },
    Number {
        #[serde(flatten)]
        about: Described,
        minimum: Option<f64>,
        maximum: Option<f64>,
        step: Option<f64>,
        value: Option<f64>,
    },
    Checkbox {
        #[serde(flatten)]
        about: Described,
        value: bool,
    },
    Textbox {
        #[serde(flatten)]
        about: Described,
        value: String,
        max_length: Option<u32>,
        lines: Option<u32>,
        placeholder: Option<String>,
    },
    Dropdown {
        #[serde(flatten)]
        about: Described,
        choices: Vec<String>,
        value: String,
    },
    ColorPicker {
        #[serde(flatten)]
        about: Described,
        value: String,
    },
}

#[derive(Deserialize)]
struct Output {
    kind: Shown,
    name: String,
    label: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Shown {
    Number,
    Text,
    Label,
    Json,
    LinePlot,
}

impl Declaration {
    fn build(self, author: Author) -> Result<reframe_worker::Stream, String> {
        let mode = match self.mode {
            Direction::SendReceive => Mode::SendReceive,
            Direction::Receive => Mode::Receive,
            Direction::Send => Mode::Send,
        };
        let made: VideoStreamHandler =
            if mode == Mode::Receive { generator(author) } else { handler(author) };
        let mut made = made
            .fps(self.fps)
            .skip_frames(self.skip_frames)
            .keep_rotation(self.keep_rotation)
            .pixel_format(self.pixel_format.into())
            .serialized(self.serialized);
        if let Some(seconds) = self.call_limit_s {
            made = made.call_limit(duration("call_limit", seconds)?);
        }
        let mut builder = reframe_worker::Stream::builder(made)
            .name(self.name)
            .title(self.title)
            .subtitle(self.subtitle)
            .mode(mode)
            .thread_wrapper(attached)
            .overdue_hook(overdue::show_stack)
            .movable(self.movable)
            .broadcast(self.broadcast)
            .additional_inputs(self.inputs.into_iter().map(Input::component))
            .additional_outputs(self.outputs.into_iter().map(Output::component));
        if let Some(sessions) = self.concurrency_limit {
            builder = builder.concurrency_limit(sessions);
        }
        if let Some(seconds) = self.time_limit_s {
            builder = builder.time_limit(duration("time_limit", seconds)?);
        }
        let kbps = Bitrate::from_kbps;
        if let Some((low, high)) = self.bitrate_kbps {
            builder = builder.bitrate(kbps(low)..=kbps(high));
        }
        if let Some(rate) = self.start_bitrate_kbps {
            builder = builder.start_bitrate(kbps(rate));
        }
        builder.try_build().map_err(|error| error.to_string())
    }
}

fn duration(what: &str, seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| format!("{what} is a number of seconds, not {seconds}"))
}

impl From<Format> for PixelFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Rgb24 => Self::Rgb24,
            Format::Bgr24 => Self::Bgr24,
            Format::Gray8 => Self::Gray8,
            Format::I420 => Self::I420,
        }
    }
}

/// The pixel format that a handler's result names.
pub(crate) fn pixel_format(name: &str) -> Option<PixelFormat> {
    serde_json::from_value::<Format>(name.into()).ok().map(Into::into)
}

impl Input {
    fn kind(&self) -> (String, Kind) {
        let (about, kind) = match self {
            Self::Slider { about, .. } | Self::Number { about, .. } => (about, Kind::Number),
            Self::Checkbox { about, .. } => (about, Kind::Flag),
            Self::Textbox { about, .. }
            | Self::Dropdown { about, .. }
            | Self::ColorPicker { about, .. } => (about, Kind::Text),
        };
        (about.name.clone(), kind)
    }

    fn component(self) -> InputComponent {
        match self {
            Self::Slider {
                about: Described { name, label, info },
                minimum,
                maximum,
                step,
                value,
            } => {
                let slider = Slider::new(name, minimum..=maximum).step(step).value(value);
                slider.label(label).info(info).into()
            }
            Self::Number {
                about: Described { name, label, info },
                minimum,
                maximum,
                step,
                value,
            } => {
                let mut number = Number::new(name).label(label).info(info);
                if let Some(minimum) = minimum {
                    number = number.minimum(minimum);
                }
                if let Some(maximum) = maximum {
                    number = number.maximum(maximum);
                }
                if let Some(step) = step {
                    number = number.step(step);
                }
                if let Some(value) = value {
                    number = number.value(value);
                }
                number.into()
            }
            Self::Checkbox { about: Described { name, label, info }, value } => {
                Checkbox::new(name).value(value).label(label).info(info).into()
            }
            Self::Textbox {
                about: Described { name, label, info },
                value,
                max_length,
                lines,
                placeholder,
            } => {
                let mut text = Textbox::new(name).value(value).label(label).info(info);
                if let Some(characters) = max_length {
                    text = text.max_length(characters);
                }
                if let Some(lines) = lines {
                    text = text.lines(lines);
                }
                text.placeholder(placeholder.unwrap_or_default()).into()
            }
            Self::Dropdown { about: Described { name, label, info }, choices, value } => {
                Dropdown::new(name, choices).value(value).label(label).info(info).into()
            }
            Self::ColorPicker { about: Described { name, label, info }, value } => {
                ColorPicker::new(name).value(value).label(label).info(info).into()
            }
        }
    }
}

impl Output {
    fn component(self) -> OutputComponent {
        let Self { kind, name, label } = self;
        match kind {
            Shown::Number => Number::new(name).label(label).into(),
            Shown::Text => Text::new(name).label(label).into(),
            Shown::Label => Label::new(name).label(label).into(),
            Shown::Json => Json::new(name).label(label).into(),
            Shown::LinePlot => LinePlot::new(name).label(label).into(),
        }
    }
}
