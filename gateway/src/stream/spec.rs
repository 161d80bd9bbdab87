//! A stream's declaration: all that the gateway knows of it, from its workers' `Describe`. Wire
//! types are used nowhere above.

use std::time::Duration;

use reframe_proto::location::{Location, is_host_name, is_zone_name};
use reframe_proto::v1::{self, StreamSpec, output};
use reframe_proto::{
    FRAME_RATES, MAX_COMPONENTS, MAX_INPUT_CHARS, PROTOCOL_VERSION, is_component_name,
    is_stream_name,
};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::media::limits::{BITRATES, BitrateOverrides};
use crate::stream::inputs::{Input, Kind};

/// Enough to tell the declarations of a stream apart: 64 bits.
const DIGEST_BYTES: usize = 8;

/// The direction of video, from the browser's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Frames to the handler, and its pictures back.
    SendReceive,
    /// Pictures from a generator.
    Receive,
    /// Frames to the handler; only outputs come back.
    Send,
}

/// A stream's declaration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    /// The worker process; not part of the declaration.
    pub(crate) instance: String,
    /// Where that process runs, as it says.
    pub(crate) location: Location,
    /// When that began to serve, in milliseconds since 1970; 0: unknown, and older than any other.
    pub(crate) started: u64,
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) mode: Mode,
    pub(crate) fps: f64,
    pub(crate) skip_frames: bool,
    /// Frames go to the handler as the camera sent them, with their rotation as a field.
    pub(crate) keep_rotation: bool,
    /// Sessions that this worker accepts at once.
    pub(crate) capacity: u32,
    /// The limit of sessions of the stream at once, whatever the capacity of the workers.
    pub(crate) concurrency_limit: Option<u32>,
    /// Counted from the connection.
    pub(crate) time_limit: Option<Duration>,
    /// A session that runs may be moved to a nearer worker.
    pub(crate) movable: bool,
    /// All its clients watch one session.
    pub(crate) broadcast: bool,
    pub(crate) bitrates: BitrateOverrides,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<Output>,
}

/// A display of the page.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Output {
    pub(crate) name: String,
    label: String,
    kind: &'static str,
    points: u32,
}

/// Why a declaration is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    #[error("it speaks protocol version {0}, this gateway {PROTOCOL_VERSION}")]
    Version(u32),
    #[error("it declares {0}")]
    Declaration(&'static str),
    #[error("it declares the component `{name}` with {problem}")]
    Component { name: String, problem: &'static str },
}

impl Mode {
    /// As the API writes it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::SendReceive => "send-receive",
            Self::Receive => "receive",
            Self::Send => "send",
        }
    }
}

impl Spec {
    /// Checks what a worker answered.
    pub(crate) fn from_wire(spec: StreamSpec) -> Result<Self, SpecError> {
        if spec.protocol_version != PROTOCOL_VERSION {
            return Err(SpecError::Version(spec.protocol_version));
        }
        let mode = match spec.mode() {
            v1::Mode::SendReceive => Mode::SendReceive,
            v1::Mode::Receive => Mode::Receive,
            v1::Mode::Send => Mode::Send,
            v1::Mode::Unspecified => {
                return Err(SpecError::Declaration("no mode that this gateway knows"));
            }
        };
        let said = |kbps: u32| (kbps > 0).then_some(kbps);
        let bitrates =
            [spec.bitrate_start_kbps, spec.bitrate_min_kbps, spec.bitrate_max_kbps].map(said);
        let refusals = [
            (!is_stream_name(&spec.name), "a name that no URL could carry"),
            (!FRAME_RATES.contains(&spec.fps), "a frame rate outside 1 to 240"),
            (spec.capacity == 0, "no capacity"),
            (!is_instance(&spec.instance), "no instance that a key could carry"),
            (!spec.host.is_empty() && !is_host_name(&spec.host), "a host's name that is none"),
            (!spec.zone.is_empty() && !is_zone_name(&spec.zone), "a zone's name that is none"),
            (
                spec.broadcast && (mode != Mode::Receive || !spec.inputs.is_empty()),
                "a broadcast with inputs, or in another mode than receive",
            ),
            (
                !bitrates.into_iter().flatten().all(|kbps| BITRATES.contains(&kbps)),
                "a bitrate outside 100 to 20000",
            ),
            (
                spec.inputs.len().max(spec.outputs.len()) > MAX_COMPONENTS,
                "too many inputs or outputs",
            ),
        ];
        if let Some((_, what)) = refusals.into_iter().find(|(refused, _)| *refused) {
            return Err(SpecError::Declaration(what));
        }
        let inputs = spec.inputs.into_iter().map(input).collect::<Result<Vec<_>, _>>()?;
        let outputs = spec.outputs.into_iter().map(output).collect::<Result<Vec<_>, _>>()?;
        unique(inputs.iter().map(|input| input.name.as_str()))?;
        unique(outputs.iter().map(|output| output.name.as_str()))?;
        Ok(Self {
            instance: spec.instance,
            location: Location { host: spec.host, zone: spec.zone },
            started: spec.started_unix_ms,
            name: spec.name,
            title: spec.title,
            subtitle: spec.subtitle,
            mode,
            fps: spec.fps,
            skip_frames: spec.skip_frames,
            keep_rotation: spec.keep_rotation,
            capacity: spec.capacity,
            concurrency_limit: (spec.concurrency_limit > 0).then_some(spec.concurrency_limit),
            time_limit: (spec.time_limit_ms > 0).then(|| Duration::from_millis(spec.time_limit_ms)),
            movable: spec.movable,
            broadcast: spec.broadcast,
            bitrates: BitrateOverrides { start: bitrates[0], min: bitrates[1], max: bitrates[2] },
            inputs,
            outputs,
        })
    }

    /// The fields in which two declarations of one stream differ. Instance, location, start and
    /// capacity are each worker's own.
    pub(crate) fn differences(&self, other: &Self) -> Vec<&'static str> {
        // Without `..`, so that no new field is forgotten.
        let Self {
            instance: _,
            location: _,
            started: _,
            name: _,
            title,
            subtitle,
            mode,
            fps,
            skip_frames,
            keep_rotation,
            capacity: _,
            concurrency_limit,
            time_limit,
            movable,
            broadcast,
            bitrates,
            inputs,
            outputs,
        } = self;
        let fields = [
            ("title", *title != other.title),
            ("subtitle", *subtitle != other.subtitle),
            ("mode", *mode != other.mode),
            ("fps", *fps != other.fps),
            ("skip_frames", *skip_frames != other.skip_frames),
            ("keep_rotation", *keep_rotation != other.keep_rotation),
            ("concurrency_limit", *concurrency_limit != other.concurrency_limit),
            ("time_limit", *time_limit != other.time_limit),
            ("movable", *movable != other.movable),
            ("broadcast", *broadcast != other.broadcast),
            ("bitrate", *bitrates != other.bitrates),
            ("inputs", *inputs != other.inputs),
            ("outputs", *outputs != other.outputs),
        ];
        fields.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect()
    }

    /// Whether a worker with this declaration can take over a session that began with `other`: what
    /// cannot change while it runs is the same. The mode is agreed on with the browser, and encoder
    /// and pacer are made for the frame rate. All else changes with the worker.
    pub(crate) fn takes_over(&self, other: &Self) -> bool {
        self.name == other.name
            && self.mode == other.mode
            && self.fps == other.fps
            && self.broadcast == other.broadcast
    }

    /// A short name of all that a client sees of the declaration: the same at every gateway.
    pub(crate) fn digest(&self) -> String {
        let hash = digest(&SHA256, self.declaration().to_string().as_bytes());
        hash.as_ref()[..DIGEST_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// For `GET /api/streams`; `limit` is the current limit of the stream's sessions.
    pub(crate) fn to_json(&self, limit: u32) -> Value {
        let mut stream = self.declaration();
        stream["declaration"] = self.digest().into();
        stream["concurrency_limit"] = limit.into();
        stream
    }

    fn declaration(&self) -> Value {
        let outputs: Vec<Value> = self.outputs.iter().map(Output::to_json).collect();
        json!({
            "name": self.name,
            "title": self.title,
            "subtitle": self.subtitle,
            "mode": self.mode.label(),
            "fps": self.fps,
            "skip_frames": self.skip_frames,
            "broadcast": self.broadcast,
            "time_limit": self.time_limit.map(|limit| limit.as_secs_f64()),
            "inputs": self.inputs.iter().map(Input::to_json).collect::<Vec<_>>(),
            "outputs": outputs,
        })
    }
}

impl Output {
    fn to_json(&self) -> Value {
        let mut output = json!({ "name": self.name, "label": self.label, "type": self.kind });
        if self.kind == "line_plot" {
            output["points"] = self.points.into();
        }
        output
    }
}

fn output(output: v1::Output) -> Result<Output, SpecError> {
    let kind = match output.kind() {
        output::Kind::Number => "number",
        output::Kind::Text => "text",
        output::Kind::Label => "label",
        output::Kind::Json => "json",
        output::Kind::LinePlot => "line_plot",
        output::Kind::Unspecified => {
            return refuse(output.name, "a kind that this gateway does not know");
        }
    };
    if !is_component_name(&output.name) {
        return refuse(output.name, "a name that is no identifier");
    }
    Ok(Output { name: output.name, label: output.label, kind, points: output.points })
}

fn input(input: v1::Input) -> Result<Input, SpecError> {
    use v1::input::{Kind as Wire, Number, Slider, Textbox};
    let v1::Input { name, label, info, kind } = input;
    if !is_component_name(&name) {
        return refuse(name, "a name that is no identifier");
    }
    let kind = match kind {
        Some(Wire::Slider(Slider { minimum, maximum, step, value })) => {
            Kind::Slider { minimum, maximum, step, value }
        }
        Some(Wire::Number(Number { minimum, maximum, step, value })) => {
            Kind::Number { minimum, maximum, step, value }
        }
        Some(Wire::Checkbox(checkbox)) => Kind::Checkbox { value: checkbox.value },
        Some(Wire::Textbox(Textbox { value, max_length, lines, placeholder })) => {
            let max_length = (max_length as usize).min(MAX_INPUT_CHARS);
            Kind::Textbox { value, max_length, lines, placeholder }
        }
        Some(Wire::Dropdown(dropdown)) => {
            Kind::Dropdown { choices: dropdown.choices, value: dropdown.value }
        }
        Some(Wire::ColorPicker(picker)) => Kind::ColorPicker { value: picker.value },
        None => return refuse(name, "a kind that this gateway does not know"),
    };
    let input = Input { name, label, info, kind };
    if input.accept(&input.default_value()).is_err() {
        return refuse(input.name, "a value outside its own bounds");
    }
    Ok(input)
}

/// The name goes into keys and logs.
fn is_instance(instance: &str) -> bool {
    (1..=64).contains(&instance.len()) && instance.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn refuse<T>(name: String, problem: &'static str) -> Result<T, SpecError> {
    Err(SpecError::Component { name, problem })
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), SpecError> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return refuse(name.to_owned(), "a name that is taken");
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A stream of nothing special.
    pub(crate) fn spec(name: &str, capacity: u32) -> Spec {
        Spec::from_wire(wire(name, capacity)).unwrap()
    }

    /// What its worker would answer.
    pub(crate) fn wire(name: &str, capacity: u32) -> StreamSpec {
        StreamSpec {
            protocol_version: PROTOCOL_VERSION,
            instance: "i1".into(),
            name: name.into(),
            fps: 30.0,
            capacity,
            mode: v1::Mode::SendReceive.into(),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use v1::input::{Kind as Wire, Slider};

    use super::testing::wire;
    use super::*;

    fn slider(name: &str, value: f64) -> v1::Input {
        let kind = Wire::Slider(Slider { minimum: 0.0, maximum: 1.0, step: 0.1, value });
        v1::Input { name: name.into(), label: "L".into(), info: String::new(), kind: Some(kind) }
    }

    #[test]
    fn declarations_that_contradict_themselves_are_refused() {
        assert!(Spec::from_wire(wire("default", 1)).is_ok());
        let with = |change: fn(&mut StreamSpec)| {
            let mut spec = wire("default", 1);
            change(&mut spec);
            Spec::from_wire(spec).unwrap_err().to_string()
        };
        assert!(with(|spec| spec.protocol_version = 1).contains("protocol version 1"));
        assert!(with(|spec| spec.mode = 9).contains("no mode"));
        assert!(with(|spec| spec.name = "a/b".into()).contains("name"));
        assert!(with(|spec| spec.name = "api".into()).contains("name"));
        assert!(with(|spec| spec.fps = f64::NAN).contains("frame rate"));
        assert!(with(|spec| spec.capacity = 0).contains("capacity"));
        assert!(with(|spec| spec.host = "a host".into()).contains("host"));
        assert!(with(|spec| spec.zone = "-a".into()).contains("zone"));
        assert!(with(|spec| spec.bitrate_max_kbps = 99).contains("bitrate"));
        assert!(with(|spec| spec.broadcast = true).contains("broadcast"));
        assert!(
            with(|spec| spec.inputs = vec![slider("a", 0.5); 2])
                .contains("`a` with a name that is taken")
        );
        assert!(
            with(|spec| spec.inputs = vec![slider("a", 1.5)]).contains("`a` with a value outside")
        );
        assert!(with(|spec| spec.inputs = vec![slider("a b", 0.5)]).contains("identifier"));
        assert!(
            with(|spec| spec.inputs = (0..65).map(|n| slider(&format!("n{n}"), 0.5)).collect())
                .contains("many")
        );
        assert!(with(|spec| spec.outputs = vec![v1::Output::default()]).contains("kind"));
    }

    #[test]
    fn the_api_has_the_fields_of_each_kind() {
        let mut spec = wire("default", 1);
        spec.inputs = vec![slider("conf", 0.5)];
        spec.outputs = vec![v1::Output {
            name: "n".into(),
            label: "N".into(),
            kind: output::Kind::LinePlot.into(),
            points: 7,
        }];
        let json = Spec::from_wire(spec).unwrap().to_json(3);
        assert_eq!(
            json["inputs"][0],
            json!({
                "name": "conf", "label": "L", "info": "", "type": "slider",
                "minimum": 0.0, "maximum": 1.0, "step": 0.1, "value": 0.5,
            })
        );
        assert_eq!(
            json["outputs"][0],
            json!({ "name": "n", "label": "N", "type": "line_plot", "points": 7 })
        );
        assert_eq!((&json["concurrency_limit"], &json["time_limit"]), (&json!(3), &Value::Null));
    }

    #[test]
    fn a_digest_stands_for_what_clients_see() {
        let with = |change: fn(&mut StreamSpec)| {
            let mut spec = wire("default", 1);
            change(&mut spec);
            Spec::from_wire(spec).unwrap().digest()
        };
        let plain = with(|_| {});
        assert_eq!(plain.len(), 16);
        assert_eq!(with(|spec| (spec.capacity, spec.started_unix_ms) = (7, 9)), plain);
        assert_eq!(with(|spec| spec.instance = "i2".into()), plain);
        assert_ne!(with(|spec| spec.title = "t".into()), plain);
        assert_ne!(with(|spec| spec.inputs = vec![slider("a", 0.5)]), plain);
    }

    #[test]
    fn a_session_goes_on_under_any_declaration_of_its_mode_and_rate() {
        let old = testing::spec("default", 1);
        let with = |change: fn(&mut StreamSpec)| {
            let mut spec = wire("default", 1);
            change(&mut spec);
            Spec::from_wire(spec).unwrap().takes_over(&old)
        };
        assert!(with(|spec| spec.inputs = vec![slider("a", 0.5)]));
        assert!(with(|spec| (spec.skip_frames, spec.keep_rotation) = (true, true)));
        assert!(!with(|spec| spec.mode = v1::Mode::Send.into()));
        assert!(!with(|spec| spec.fps = 15.0));
        assert!(!with(|spec| spec.name = "other".into()));
    }
}
