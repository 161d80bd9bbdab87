//! Clients that send what no input takes: each is refused by name, answered or counted, and nobody
//! else notices.

use reframe_tests::http::{Reply, delete, get, post};
use reframe_tests::peer::{Media, offer_sdp};
use reframe_tests::source::{Format, Video};
use serde_json::json;

use super::inputs::{Declared, hook, wait_seen};
use super::*;

/// What is refused, by the type of the input.
fn refused() -> Vec<(&'static str, Value)> {
    let mut refused = vec![
        ("slider", json!(1e9)),
        ("slider", json!(-1e9)),
        ("number", json!("7")),
        ("checkbox", json!(1)),
        ("checkbox", json!("true")),
        ("textbox", json!(5)),
        ("textbox", json!("x".repeat(5_000))),
        ("dropdown", json!("no such choice")),
        ("dropdown", json!(0)),
        ("color_picker", json!("red")),
        ("color_picker", json!("#12345")),
    ];
    for kind in ["slider", "number", "checkbox", "textbox", "dropdown", "color_picker"] {
        refused.extend([json!(null), json!([1]), json!({ "value": 1 })].map(|value| (kind, value)));
    }
    refused
}

#[test]
fn what_is_refused_names_its_field_and_changes_nothing() {
    let cluster = Cluster::launch_with("echo-inputs", &["--capacity", "1"]);
    let declared = Declared::of(&cluster);
    let cases = refused().into_iter().map(|(kind, value)| (declared.names[kind].clone(), value));
    let cases: Vec<_> = cases.chain([("nonsense".to_owned(), json!(1))]).collect();
    let bodies = cases.iter().map(|(name, value)| {
        // Something good beside it, which must not be applied either.
        let other = if *name == declared.names["checkbox"] {
            ("slider", json!(0.5))
        } else {
            ("checkbox", json!(true))
        };
        let mut body = declared.values([other]);
        body[name.as_str()] = value.clone();
        (name, body)
    });
    let bodies: Vec<_> = bodies.collect();
    let assert_refused = |reply: &Reply, name: &str| {
        let body = reply.json();
        assert_eq!((reply.status, &body["status"]), (422, &json!("failed")), "{name}: {reply:?}");
        assert_eq!(body["meta"]["error"], "invalid_input", "{name}: {reply:?}");
        assert_eq!(body["meta"]["field"], name, "{reply:?}");
        assert!(
            body["meta"]["message"].as_str().is_some_and(|text| text.len() > 10),
            "{name}: {reply:?}"
        );
    };

    for (name, body) in &bodies {
        let offer = json!({ "sdp": offer_sdp(Media::default()), "type": "offer", "webrtc_id": "bad", "inputs": body });
        assert_refused(
            &post(&cluster.page("/webrtc/offer"), offer.to_string()).expect("an answer"),
            name,
        );
    }
    assert_eq!(cluster.sessions(), 0.0, "none of them took the one slot");

    let mut peer = connect(&cluster, "good", Video::Live(Format::SMALL));
    wait_seen(&peer, &declared.defaults);
    for (name, body) in &bodies {
        assert_refused(&hook(&cluster, "good", body), name);
    }
    for (n, (name, body)) in bodies.iter().enumerate() {
        peer.set_inputs(body);
        peer.wait_until("a refusal", PATIENCE, |stats| {
            (told(stats, "error").len() > n).then_some(())
        });
        let error = told(&peer.stats(), "error").pop().expect("one was waited for");
        assert!(error.contains(name.as_str()) && error.len() > name.len() + 10, "{body}: {error}");
    }
    let unknown = hook(&cluster, "nobody", &declared.values([("checkbox", json!(true))]));
    let body = json!({ "status": "failed", "meta": { "error": "unknown_connection" } });
    assert_eq!((unknown.status, unknown.json()), (404, body));

    // A change that is seen after all of them: had one been applied, it would be seen before or
    // with it.
    let good = declared.values([("number", json!(3))]);
    peer.set_inputs(&good);
    wait_seen(&peer, &declared.with(&good));
    let seen = peer.stats().outputs("seen").len();
    assert_eq!(seen, 2, "{:?}", peer.stats().outputs("seen"));
    peer.close();
    assert_balanced(&cluster);
}

/// Nothing of this is an input; none of it may cost more than an answer.
#[test]
fn hostile_texts_are_answered_or_counted() {
    let mut cluster = Cluster::launch("echo-inputs");
    let declared = Declared::of(&cluster);
    let mut peer = connect(&cluster, "hostile", Video::Live(Format::SMALL));
    wait_seen(&peer, &declared.defaults);
    let slider = &declared.names["slider"];
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_object = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let long = "x".repeat(1 << 20);

    for (what, status, body) in [
        ("nested arrays", 422, format!("{{\"webrtc_id\":\"hostile\",\"{slider}\":{deep}}}")),
        (
            "nested objects",
            422,
            format!("{{\"webrtc_id\":\"hostile\",\"{slider}\":{deep_object}}}"),
        ),
        ("nothing but nesting", 422, deep.clone()),
        ("a string of 1 MB", 413, format!("{{\"webrtc_id\":\"hostile\",\"{slider}\":\"{long}\"}}")),
        ("NaN", 422, format!("{{\"webrtc_id\":\"hostile\",\"{slider}\":NaN}}")),
        ("beyond any number", 422, format!("{{\"webrtc_id\":\"hostile\",\"{slider}\":1e999}}")),
        ("an array", 422, "[\"hostile\", 1]".to_owned()),
        ("no id", 422, format!("{{\"{slider}\":0.5}}")),
        ("a number for the id", 422, format!("{{\"webrtc_id\":7,\"{slider}\":0.5}}")),
        ("nothing", 422, String::new()),
    ] {
        let reply = post(&cluster.page("/input_hook"), body).expect("an answer");
        assert_eq!(reply.status, status, "{what}: {reply:?}");
    }

    let ignored = || cluster.metrics().sum("reframe_messages_ignored_total", &[]);
    let before = ignored();
    let unknown = [
        json!({ "type": "nonsense" }),
        json!({ "type": "offer", "sdp": "" }),
        json!({ "type": 7 }),
        json!({ "type": null, "data": {} }),
        json!({ "type": "end_stream" }),
    ];
    unknown.iter().for_each(|message| peer.send_text(message.to_string()));
    eventually("each unknown message is counted", PATIENCE, || {
        (ignored() - before == unknown.len() as f64).then_some(())
    });

    // Each of these is told an error, is counted, or comes back as a plain text does.
    let set = |data: &str| format!("{{\"type\":\"set_input\",\"data\":{data}}}");
    for text in [
        deep.clone(),
        set(&deep),
        set(&format!("{{\"{slider}\":{deep}}}")),
        set(&format!("{{\"{slider}\":\"{}\"}}", "x".repeat(60_000))),
        set(&format!("{{\"{slider}\":NaN}}")),
        set("[1, 2]"),
        set("null"),
        json!({ "type": "set_input" }).to_string(),
        "[1, 2]".to_owned(),
        "y".repeat(60_000),
    ] {
        let (messages, counted) = (peer.stats().messages.len(), ignored());
        peer.send_text(text.as_str());
        let head: String = text.chars().take(60).collect();
        eventually(&format!("{head} has a consequence"), PATIENCE, || {
            (peer.stats().messages.len() > messages || ignored() > counted).then_some(())
        });
    }
    let largest = peer.stats().messages.iter().map(|message| message.to_string().len()).max();
    assert!(
        largest.is_some_and(|bytes| bytes < 64 * 1024),
        "{largest:?} bytes in one message back"
    );

    // All is well after that.
    assert_eq!(peer.stats().outputs("seen").len(), 1, "nothing was applied");
    let good = declared.values([("slider", json!(0.25))]);
    peer.set_inputs(&good);
    wait_seen(&peer, &declared.with(&good));
    assert!(cluster.gateway.alive() && peer.stats().failed.is_none(), "{}", peer.stats().summary());
    peer.close();
    assert_balanced(&cluster);
}

/// A thousand messages a second of every kind: the one who sends them may feel it, the other
/// session may not.
#[test]
fn a_flood_disturbs_no_other_session() {
    const ROUNDS: usize = 90;
    const EACH: usize = 33;
    let cluster = Cluster::launch("echo-inputs");
    let declared = Declared::of(&cluster);
    let mut flooder = connect(&cluster, "flood", Video::Live(Format::SMALL));
    let mut other = connect(&cluster, "other", Video::Live(Format::SMALL));
    wait_seen(&flooder, &declared.defaults);
    wait_seen(&other, &declared.defaults);
    let memory = cluster.gateway.rss_bytes();
    let seen = other.stats().received.len();
    let lines = cluster.gateway.log().lines().count();
    for round in 0..ROUNDS {
        // Thirty rounds a second, by the other one's camera.
        let sent = other.stats().sent.len();
        other.wait_until("its camera goes on", PATIENCE, |stats| {
            (stats.sent.len() > sent).then_some(())
        });
        for n in 0..EACH {
            flooder.send_text(match n % 4 {
                0 => json!({ "type": "set_input", "data": declared.values([("number", json!(round as f64 / 10.0))]) })
                    .to_string(),
                1 => json!({ "type": "set_input", "data": { "nonsense": n } }).to_string(),
                2 => json!({ "type": "nonsense", "data": n }).to_string(),
                _ => format!("text {n}"),
            });
        }
    }
    let stats = other.stats();
    let during = &stats.received[seen..];
    let fps = Stats::fps(during);
    assert!(fps > 20.0, "{fps:.1} fps");
    let age = median(during.iter().filter_map(|frame| frame.age).collect());
    assert!(age < Duration::from_millis(250), "{age:?}");
    assert_eq!((stats.undecodable, stats.messages.len()), (0, 2), "{}", stats.summary());
    // The flooder's last word is obeyed all the same.
    wait_seen(
        &flooder,
        &declared.with(&declared.values([("number", json!((ROUNDS - 1) as f64 / 10.0))])),
    );
    let grown = cluster.gateway.rss_bytes().saturating_sub(memory);
    assert!(grown < 64 << 20, "{} kB more", grown >> 10);
    let lines = cluster.gateway.log().lines().count() - lines;
    assert!(lines < 20, "{lines} lines of log:\n{}", cluster.gateway.log());
    flooder.close();
    other.close();
    assert_balanced(&cluster);
}

/// Whichever way it comes in. It is told to the client alone: not to the log, and to no placement
/// store.
#[test]
fn what_cannot_be_an_id_is_refused() {
    let cluster = Cluster::launch("echo-inputs");
    let long = "x".repeat(10_000);
    // As it is, and as a URL has it.
    let mut ids = vec![
        (long.clone(), long.clone()),
        ("x".repeat(129), "x".repeat(129)),
        ("a b".into(), "a%20b".into()),
        ("a\nb".into(), "a%0Ab".into()),
        ("\u{0}".into(), "%00".into()),
        ("\u{1b}[31m".into(), "%1B%5B31m".into()),
        ("\u{7f}".into(), "%7F".into()),
        ("é".into(), "%C3%A9".into()),
    ];
    let assert_refused = |what: &str, id: &str, reply: Reply| {
        let body = reply.json();
        assert_eq!(
            (reply.status, &body["meta"]["error"]),
            (422, &json!("invalid_request")),
            "{what} {id:?}: {body}"
        );
        let message = body["meta"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("`webrtc_id`") && message.len() < 200, "{what} {id:?}: {message}");
    };
    for (id, encoded) in &ids {
        let path = cluster.admin(&format!("/api/sessions/{encoded}"));
        assert_refused("GET", id, get(&path).expect("an answer"));
        assert_refused("DELETE", id, delete(&path).expect("an answer"));
    }
    // A path without an id is another path.
    ids.extend([(String::new(), String::new()), ("a/b".into(), "a/b".into())]);
    let candidate = json!({ "candidate": "candidate:1 1 udp 2122260223 127.0.0.1 9 typ host" });
    for (id, encoded) in &ids {
        let updates = cluster.page(&format!("/updates?webrtc_id={encoded}"));
        assert_refused("updates", id, get(&updates).expect("an answer"));
        for (what, path, body) in [
            ("input_hook", "/input_hook", json!({ "webrtc_id": id })),
            (
                "offer",
                "/webrtc/offer",
                json!({ "type": "offer", "sdp": offer_sdp(Media::default()), "webrtc_id": id }),
            ),
            (
                "candidate",
                "/webrtc/offer",
                json!({ "type": "ice-candidate", "candidate": candidate, "webrtc_id": id }),
            ),
        ] {
            assert_refused(
                what,
                id,
                post(&cluster.page(path), body.to_string()).expect("an answer"),
            );
        }
    }
    let log = cluster.gateway.log();
    assert!(!log.contains("xxxx") && !log.contains('\u{0}') && !log.contains("[31m"), "{log}");
}
