//! The declaration of a stream, for the wire.

use reframe_proto::PROTOCOL_VERSION;
use reframe_proto::location::Location;
use reframe_proto::v1::{self, StreamSpec, input, output};

use crate::components::{About, InputComponent, OutputComponent};
use crate::mode::Mode;
use crate::stream::{Bitrate, Stream};

/// A worker process.
pub(crate) struct Process {
    /// Its name, which no other ever had.
    pub(crate) instance: String,
    /// When it began to serve, in milliseconds since 1970.
    pub(crate) started_unix_ms: u64,
    pub(crate) location: Location,
}

pub(crate) fn spec(stream: &Stream, capacity: u32, process: &Process) -> StreamSpec {
    let mode = match stream.mode {
        Mode::SendReceive => v1::Mode::SendReceive,
        Mode::Receive => v1::Mode::Receive,
        Mode::Send => v1::Mode::Send,
    };
    StreamSpec {
        protocol_version: PROTOCOL_VERSION,
        name: stream.name.clone(),
        title: stream.title.clone(),
        subtitle: stream.subtitle.clone(),
        mode: mode.into(),
        fps: stream.handler.rate(),
        skip_frames: stream.handler.skips(),
        keep_rotation: stream.handler.keeps_rotation(),
        capacity,
        inputs: stream.inputs.iter().map(input).collect(),
        outputs: stream.outputs.iter().map(output).collect(),
        concurrency_limit: stream.concurrency_limit.unwrap_or(0),
        time_limit_ms: stream
            .time_limit
            .map_or(0, |limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
        instance: process.instance.clone(),
        bitrate_start_kbps: stream.start_bitrate.map_or(0, Bitrate::kbps),
        bitrate_min_kbps: stream.bitrate.as_ref().map_or(0, |rates| rates.start().kbps()),
        bitrate_max_kbps: stream.bitrate.as_ref().map_or(0, |rates| rates.end().kbps()),
        host: process.location.host.clone(),
        zone: process.location.zone.clone(),
        movable: stream.movable,
        broadcast: stream.broadcast,
        started_unix_ms: process.started_unix_ms,
    }
}

fn input(component: &InputComponent) -> v1::Input {
    let kind = match component {
        InputComponent::Slider(slider) => input::Kind::Slider(input::Slider {
            minimum: slider.minimum,
            maximum: slider.maximum,
            step: slider.step,
            value: slider.value,
        }),
        InputComponent::Number(number) => input::Kind::Number(input::Number {
            minimum: number.minimum,
            maximum: number.maximum,
            step: number.step,
            value: number.first(),
        }),
        InputComponent::Checkbox(checkbox) => {
            input::Kind::Checkbox(input::Checkbox { value: checkbox.value })
        }
        InputComponent::Textbox(textbox) => input::Kind::Textbox(input::Textbox {
            value: textbox.value.clone(),
            max_length: textbox.max_length,
            lines: textbox.lines,
            placeholder: textbox.placeholder.clone(),
        }),
        InputComponent::Dropdown(dropdown) => input::Kind::Dropdown(input::Dropdown {
            choices: dropdown.choices.clone(),
            value: dropdown.first().to_owned(),
        }),
        InputComponent::ColorPicker(picker) => {
            input::Kind::ColorPicker(input::ColorPicker { value: picker.value.clone() })
        }
    };
    let About { name, label, info } = component.about().clone();
    v1::Input { name, label, info, kind: Some(kind) }
}

fn output(component: &OutputComponent) -> v1::Output {
    let (kind, points) = match component {
        OutputComponent::Number(_) => (output::Kind::Number, 0),
        OutputComponent::Text(_) => (output::Kind::Text, 0),
        OutputComponent::Label(_) => (output::Kind::Label, 0),
        OutputComponent::Json(_) => (output::Kind::Json, 0),
        OutputComponent::LinePlot(plot) => (output::Kind::LinePlot, plot.points),
    };
    let About { name, label, info: _ } = component.about().clone();
    v1::Output { name, label, kind: kind.into(), points }
}
