//! A stream's declaration as text, with a hash: to see in a review that it has changed.

use reframe_proto::location::Location;
use reframe_proto::v1::{self, StreamSpec, input, output};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::convert::{self, Process};
use crate::stream::Stream;

/// The declaration as JSON, and the SHA-256 of that on one line.
///
/// It holds what is the same in all workers of the stream: neither their capacity nor the version
/// of the protocol.
pub(crate) fn text(stream: &Stream) -> String {
    let process =
        Process { instance: String::new(), started_unix_ms: 0, location: Location::default() };
    let declared = value(&convert::spec(stream, 0, &process));
    let hash = digest(&SHA256, declared.to_string().as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}: declares {declared:#}\n{}: declaration {hash}\n", stream.name, stream.name)
}

fn value(spec: &StreamSpec) -> Value {
    let mode = spec.mode().as_str_name();
    // Without `..`, so that no new field is forgotten.
    let StreamSpec {
        protocol_version: _,
        name,
        title,
        subtitle,
        mode: _,
        fps,
        skip_frames,
        capacity: _,
        inputs,
        outputs,
        concurrency_limit,
        time_limit_ms,
        instance: _,
        bitrate_start_kbps,
        bitrate_min_kbps,
        bitrate_max_kbps,
        keep_rotation,
        host: _,
        zone: _,
        movable,
        broadcast,
        started_unix_ms: _,
    } = spec;
    json!({
        "name": name,
        "title": title,
        "subtitle": subtitle,
        "mode": mode,
        "fps": fps,
        "skip_frames": skip_frames,
        "keep_rotation": keep_rotation,
        "concurrency_limit": concurrency_limit,
        "time_limit_ms": time_limit_ms,
        "bitrate_kbps": [bitrate_min_kbps, bitrate_start_kbps, bitrate_max_kbps],
        "movable": movable,
        "broadcast": broadcast,
        "inputs": inputs.iter().map(input).collect::<Vec<_>>(),
        "outputs": outputs.iter().map(output).collect::<Vec<_>>(),
    })
}

fn input(v1::Input { name, label, info, kind }: &v1::Input) -> Value {
    use input::Kind;
    let (kind, settings) = match kind {
        Some(Kind::Slider(it)) => (
            "slider",
            json!({
                "minimum": it.minimum, "maximum": it.maximum, "step": it.step, "value": it.value,
            }),
        ),
        Some(Kind::Number(it)) => (
            "number",
            json!({
                "minimum": it.minimum, "maximum": it.maximum, "step": it.step, "value": it.value,
            }),
        ),
        Some(Kind::Checkbox(it)) => ("checkbox", json!({ "value": it.value })),
        Some(Kind::Textbox(it)) => (
            "textbox",
            json!({
                "value": it.value, "max_length": it.max_length, "lines": it.lines,
                "placeholder": it.placeholder,
            }),
        ),
        Some(Kind::Dropdown(it)) => {
            ("dropdown", json!({ "choices": it.choices, "value": it.value }))
        }
        Some(Kind::ColorPicker(it)) => ("color_picker", json!({ "value": it.value })),
        None => ("", Value::Null),
    };
    let mut all = Map::new();
    all.extend(
        [("name", name), ("label", label), ("info", info)]
            .map(|(key, text)| (key.to_owned(), Value::from(text.as_str()))),
    );
    all.insert("kind".into(), kind.into());
    all.extend(settings.as_object().cloned().unwrap_or_default());
    Value::Object(all)
}

fn output(output: &v1::Output) -> Value {
    let kind: output::Kind = output.kind();
    let mut all = json!({ "name": output.name, "label": output.label, "kind": kind.as_str_name() });
    if kind == output::Kind::LinePlot {
        all["points"] = output.points.into();
    }
    all
}
