//! Inputs: what holds from the first frame, both ways to set them, and that the last value wins.
//!
//! The demo `echo-inputs` has one input of each kind; its output `seen` is all of them as the
//! handler saw them, once with the first frame and once for each change.

use std::collections::BTreeMap;

use reframe_tests::http::{Reply, get, post};
use reframe_tests::source::{Format, Video};
use serde_json::{Map, json};

use super::*;

/// Changes in a row, each way.
const CHANGES: u32 = 1_000;

/// The names of the inputs by their type, and what each is declared to be.
pub(super) struct Declared {
    pub(super) names: BTreeMap<String, String>,
    pub(super) defaults: Value,
}

impl Declared {
    pub(super) fn of(cluster: &Cluster) -> Self {
        let reply = get(&cluster.page("/api/streams")).expect("the gateway answers");
        let inputs =
            reply.json()["streams"][0]["inputs"].as_array().expect("a list of inputs").clone();
        let text = |input: &Value, field: &str| input[field].as_str().expect("a string").to_owned();
        let names: BTreeMap<_, _> =
            inputs.iter().map(|input| (text(input, "type"), text(input, "name"))).collect();
        let kinds = ["checkbox", "color_picker", "dropdown", "number", "slider", "textbox"];
        assert_eq!(names.keys().collect::<Vec<_>>(), kinds, "one input of each kind");
        let defaults = inputs
            .iter()
            .map(|input| (text(input, "name"), input["value"].clone()))
            .collect::<Map<_, _>>();
        Self { names, defaults: defaults.into() }
    }

    /// An object of values by name, from values by type.
    pub(super) fn values<const N: usize>(&self, values: [(&str, Value); N]) -> Value {
        values
            .map(|(kind, value)| (self.names[kind].clone(), value))
            .into_iter()
            .collect::<Map<_, _>>()
            .into()
    }

    /// What the handler sees when `values` are set and nothing else.
    pub(super) fn with(&self, values: &Value) -> Value {
        let mut seen = self.defaults.clone();
        for (name, value) in values.as_object().expect("an object") {
            seen[name] = value.clone();
        }
        seen
    }
}

pub(super) fn hook(cluster: &Cluster, id: &str, values: &Value) -> Reply {
    let mut body = json!({ "webrtc_id": id });
    for (name, value) in values.as_object().expect("an object") {
        body[name] = value.clone();
    }
    post(&cluster.page("/input_hook"), body.to_string()).expect("the gateway answers")
}

/// Numbers compare as numbers: 1 is 1.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_object(), b.as_object()) {
        (Some(a), Some(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, value)| b.get(name).is_some_and(|b| same(value, b)))
        }
        _ => a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a == b),
    }
}

#[track_caller]
pub(super) fn wait_seen(peer: &Peer, expected: &Value) {
    peer.wait_output("seen", PATIENCE, |seen| same(seen, expected));
}

#[test]
fn they_hold_from_the_first_frame() {
    let cluster = Cluster::launch("echo-inputs");
    let declared = Declared::of(&cluster);
    let set =
        declared.values([("checkbox", json!(true)), ("textbox", json!("grüße \" \u{1F3A5}"))]);
    for (id, inputs) in [("defaults", Value::Null), ("empty", json!({})), ("offered", set)] {
        let expected =
            if inputs.is_null() { declared.defaults.clone() } else { declared.with(&inputs) };
        let options = Options::camera(id, Video::Live(Format::SMALL)).with_inputs(inputs);
        let mut peer = connect_with(&cluster, options);
        peer.wait_received(15, PATIENCE);
        let stats = peer.stats();
        // The first and, as nothing has changed since, the only one.
        let seen = stats.outputs("seen");
        assert!(seen.len() == 1 && same(seen[0], &expected), "{id}: {seen:?}, not {expected}");
        peer.close();
    }
    assert_balanced(&cluster);
}

#[test]
fn both_ways_to_set_them_reach_the_handler() {
    let cluster = Cluster::launch("echo-inputs");
    let declared = Declared::of(&cluster);
    let mut peer = connect(&cluster, "set", Video::Live(Format::SMALL));
    let mut other = connect(&cluster, "other", Video::Live(Format::SMALL));
    wait_seen(&peer, &declared.defaults);
    let slider = declared.values([("slider", json!(0.75))]);
    let reply = hook(&cluster, "set", &slider);
    assert_eq!((reply.status, reply.json()), (200, json!({ "status": "ok" })));
    wait_seen(&peer, &declared.with(&slider));

    let all = [
        ("checkbox", json!(true)),
        ("slider", json!(0)),
        ("number", json!(7)),
        ("textbox", json!("x")),
    ];
    let all = declared.values(all);
    peer.set_inputs(&all);
    wait_seen(&peer, &declared.with(&all));
    let nothing = hook(&cluster, "set", &json!({}));
    assert_eq!((nothing.status, nothing.json()), (200, json!({ "status": "ok" })));

    // The other session's are its own; and what is set by whatever way replaces only what it names.
    let text = declared.values([("textbox", json!("y"))]);
    assert_eq!(hook(&cluster, "set", &text).status, 200);
    let mut expected = declared.with(&all);
    expected[declared.names["textbox"].as_str()] = json!("y");
    wait_seen(&peer, &expected);
    let seen = other.stats().outputs("seen").len();
    assert_eq!(seen, 1, "{:?}", other.stats().outputs("seen"));
    peer.close();
    other.close();
    assert_balanced(&cluster);
}

/// The slider by messages and the number by requests, both as fast as they go: what the handler
/// sees of each never goes back, and ends at what was set last.
#[test]
fn the_last_of_many_fast_changes_wins() {
    let cluster = Cluster::launch("echo-inputs");
    let declared = Declared::of(&cluster);
    let mut peer = connect(&cluster, "fast", Video::Live(Format::SMALL));
    wait_seen(&peer, &declared.defaults);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=CHANGES {
                let reply = hook(
                    &cluster,
                    "fast",
                    &declared.values([("number", json!(f64::from(n) / 100.0))]),
                );
                assert_eq!(reply.status, 200, "{reply:?}");
            }
        });
        for n in 1..=CHANGES {
            peer.set_inputs(
                &declared.values([("slider", json!(f64::from(n) / f64::from(CHANGES)))]),
            );
            // In step with the peer's own thread, whose queue of orders is bounded.
            if n.is_multiple_of(100) {
                let seen = peer.stats().received.len();
                peer.wait_received(seen + 1, PATIENCE);
            }
        }
    });
    let last = declared.values([("number", json!(10)), ("slider", json!(1))]);
    wait_seen(&peer, &declared.with(&last));
    let stats = peer.stats();
    for kind in ["number", "slider"] {
        let name = declared.names[kind].as_str();
        let values: Vec<_> =
            stats.outputs("seen")[1..].iter().filter_map(|seen| seen[name].as_f64()).collect();
        let start = declared.defaults[name].as_f64().expect("a number");
        let changed: Vec<_> = values.iter().skip_while(|value| **value == start).collect();
        assert!(changed.is_sorted() && changed.len() > 2, "{kind}: {values:?}");
    }
    peer.close();
    assert_balanced(&cluster);
}
