//! Workers whose declaration has changed: two generations of a stream side by side, sessions that
//! move from one to the other, and which worker is ready.
//!
//! The demo `echo-inputs` has a slider whose bound and value are options; its output `seen` is all
//! inputs as the handler saw them.

use std::sync::Arc;

use reframe_proto::v1::DescribeRequest;
use reframe_tests::browser::Camera;
use reframe_tests::cluster::Worker;
use reframe_tests::health::{is_ready, serves, tell};
use reframe_tests::http::get;
use reframe_tests::source::{Clip, Format};
use reframe_worker::{Frame, Stream, VideoStreamHandler};
use serde_json::json;

use super::browser::{SOON, start};
use super::pool::Gateway;
use super::*;

const DEMO: &str = "echo-inputs";
const ANY_PORT: &str = "127.0.0.1:0";

/// A worker that is ready; by then it has begun, so the next one is younger.
#[track_caller]
fn ready(demo: &str, address: &str, options: &[&str]) -> Worker {
    let worker = Worker::serve_with(demo, address, options);
    eventually("it is ready", PATIENCE, || (is_ready(&worker.url) == Some(true)).then_some(()));
    worker
}

fn address(worker: &Worker) -> String {
    worker.url.trim_start_matches("http://").to_owned()
}

/// As an orchestrator does: the process ends by itself when its sessions have gone.
#[track_caller]
fn stop(worker: &mut Worker) {
    worker.process.terminate();
    let status = worker.process.exit(PATIENCE);
    assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", worker.process.log());
}

/// A gateway and `workers`, and the address of a further one that it knows.
fn with_spare(mut workers: Vec<Worker>, demo: &str) -> (Cluster, String) {
    workers.push(Worker::serve(demo));
    let mut cluster = Cluster::of(workers);
    let mut spare = cluster.workers.pop().expect("it was pushed");
    stop(&mut spare);
    let left = cluster.workers.len() as f64;
    eventually("it is gone", PATIENCE, || (cluster.serving() == left).then_some(()));
    (cluster, address(&spare))
}

/// The slider that pages show, by its upper bound.
fn shown_bound(cluster: &Cluster) -> Value {
    bound_at(cluster, "/api/streams")
}

fn bound_at(cluster: &Cluster, path: &str) -> Value {
    let reply = get(&cluster.page(path)).expect("the gateway answers").json();
    let inputs = reply["streams"][0]["inputs"].as_array().cloned().unwrap_or_default();
    inputs
        .iter()
        .find(|input| input["name"] == "slider")
        .map_or(Value::Null, |slider| slider["maximum"].clone())
}

fn declared(stats: &Stats, input: &str) -> Option<Value> {
    let declaration = stats.message("declaration")?;
    let inputs = declaration["data"]["inputs"].as_array()?;
    inputs.iter().find(|one| one["name"] == input).cloned()
}

/// Three workers, full to three quarters, are replaced one after the other by others with another
/// slider, as a Deployment with `maxSurge: 1` and `maxUnavailable: 0` does it.
#[test]
fn a_rolling_restart_with_a_changed_slider_loses_no_session() {
    const OLD: [&str; 2] = ["--capacity", "4"];
    const NEW: [&str; 4] = ["--capacity", "4", "--slider-max", "0.5"];
    const WORKERS: usize = 3;
    // Of twelve slots.
    const SESSIONS: usize = 9;
    let old = (0..WORKERS).map(|_| Worker::serve_with(DEMO, ANY_PORT, &OLD)).collect();
    let (mut cluster, mut free) = with_spare(old, DEMO);
    let clip = Arc::new(Clip::encode(Format::SMALL, 900, 60).expect("the encoder works"));
    let camera = |id: String| Options {
        decode: false,
        ..Options::camera(id, Video::Clip(Arc::clone(&clip)))
    };
    let set = json!({ "slider": 0.9, "number": 7 });
    let mut peers: Vec<_> = (0..SESSIONS)
        .map(|n| connect_with(&cluster, camera(n.to_string()).with_inputs(set.clone())))
        .collect();
    let seen = |slider: f64| move |seen: &Value| seen["slider"] == slider && seen["number"] == 7.0;
    peers.iter().for_each(|peer| drop(peer.wait_output("seen", PATIENCE, seen(0.9))));
    assert_eq!(shown_bound(&cluster), 1.0);

    for index in 0..WORKERS {
        let new = ready(DEMO, &free, &NEW);
        // For which an orchestrator is told to wait (`minReadySeconds`).
        eventually("the gateway knows it", PATIENCE, || (cluster.serving() == 4.0).then_some(()));
        free = address(&cluster.workers[index]);
        stop(&mut cluster.workers[index]);
        cluster.workers[index] = new;
        eventually("new sessions see the new slider", PATIENCE, || {
            (shown_bound(&cluster) == 0.5).then_some(())
        });
        assert_eq!(cluster.sessions(), SESSIONS as f64, "none was lost");
        let id = format!("new{index}");
        let mut new = connect_with(&cluster, camera(id).with_inputs(json!({ "number": 7 })));
        new.wait_output("seen", PATIENCE, seen(0.15));
        assert_eq!(new.stats().message("declaration"), None, "it was made for this one");
        new.close();
        cluster.wait_for_sessions(SESSIONS, CLOSED);
    }
    for peer in &peers {
        peer.wait_output("seen", PATIENCE, seen(0.15));
        let seen = peer.stats().received.len();
        peer.wait_received(seen + 15, PATIENCE);
        let stats = peer.stats();
        assert!(stats.message("end_stream").is_none() && stats.failed.is_none());
        assert_eq!(stats.message("update_connection"), None, "there was always a worker");
    }
    let moved: Vec<_> = peers.iter().map(Peer::stats).collect();
    let told: Vec<_> = moved.iter().filter_map(|stats| declared(stats, "slider")).collect();
    assert_eq!(told.len(), SESSIONS);
    for slider in told {
        assert_eq!((&slider["maximum"], &slider["value"]), (&json!(0.5), &json!(0.15)));
    }
    let numbers = moved.iter().filter_map(|stats| declared(stats, "number"));
    assert!(numbers.into_iter().all(|number| number["value"] == 7.0), "it still holds");
    // What no longer fits is refused now, and what fits is taken.
    let peer = &peers[0];
    peer.set_inputs(&json!({ "slider": 0.9 }));
    let refused = peer.wait_message("error", PATIENCE);
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("at most 0.5")));
    peer.set_inputs(&json!({ "slider": 0.4 }));
    peer.wait_output("seen", PATIENCE, seen(0.4));
    let [moved, recovered, lost] = failovers(&cluster);
    assert!(moved >= SESSIONS as f64, "{moved}");
    assert_eq!([recovered, lost], [0.0, 0.0]);
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
}

#[test]
fn older_workers_take_new_sessions_while_the_newest_are_full() {
    let old = ready(DEMO, ANY_PORT, &["--capacity", "1"]);
    let new = ready(DEMO, ANY_PORT, &["--capacity", "1", "--slider-max", "0.5"]);
    let cluster = Cluster::of(vec![old, new]);
    assert_eq!(shown_bound(&cluster), 0.5);
    let camera = |id: &str| Options::camera(id, Video::Live(Format::SMALL));
    let mut first = connect_with(&cluster, camera("first"));
    first.wait_output("seen", PATIENCE, |seen| seen["slider"] == 0.15);
    let mut second = connect_with(&cluster, camera("second").with_inputs(json!({ "number": 7 })));
    second.wait_output("seen", PATIENCE, |seen| seen["slider"] == 0.3 && seen["number"] == 7.0);
    let stats = second.stats();
    assert_eq!(declared(&stats, "slider").expect("it is told")["maximum"], 1.0);
    let digest = stats.message("declaration").expect("it is told")["data"]["declaration"].clone();
    let digest = digest.as_str().expect("a text");
    for (asked, bound) in [(digest, 1.0), ("0123456789abcdef", 0.5)] {
        assert_eq!(bound_at(&cluster, &format!("/api/streams?declaration={asked}")), bound);
    }
    second.set_inputs(&json!({ "slider": 0.9 }));
    second.wait_output("seen", PATIENCE, |seen| seen["slider"] == 0.9);
    assert_eq!(first.stats().message("declaration"), None);
    [&mut first, &mut second].into_iter().for_each(Peer::close);
    assert_balanced(&cluster);
}

#[test]
fn a_client_that_was_made_for_another_declaration_begins_and_is_told() {
    let cluster = Cluster::launch_with(DEMO, &["--slider-max", "0.5"]);
    let reply = get(&cluster.page("/api/streams")).expect("the gateway answers").json();
    let newest = reply["streams"][0]["declaration"].as_str().expect("a text").to_owned();
    let camera = |id: &str, declaration: Option<String>| Options {
        declaration,
        ..Options::camera(id, Video::Live(Format::SMALL))
            .with_inputs(json!({ "slider": 0.9, "number": 7, "gone": true }))
    };
    for declaration in [None, Some(newest)] {
        let refused = Peer::connect(&cluster.page(""), camera("strict", declaration));
        let reply = refused.expect_err("its inputs do not fit");
        assert_eq!((reply.status, &reply.json()["meta"]["error"]), (422, &json!("invalid_input")));
    }
    let mut peer = connect_with(&cluster, camera("old", Some("0123456789abcdef".to_owned())));
    peer.wait_output("seen", PATIENCE, |seen| seen["slider"] == 0.15 && seen["number"] == 7.0);
    assert_eq!(declared(&peer.stats(), "number").expect("it is told")["value"], 7.0);
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn a_session_that_cannot_go_on_under_the_new_declaration_ends_with_that_reason() {
    let old = ready("ticker", ANY_PORT, &["--grace", "1"]);
    let (mut cluster, free) = with_spare(vec![old], "ticker");
    let mut peer = connect_with(&cluster, Options::viewer("viewer"));
    peer.wait_received(15, PATIENCE);
    let new = ready("ticker", &free, &["--fps", "15"]);
    eventually("the gateway knows it", PATIENCE, || (cluster.serving() == 2.0).then_some(()));
    // It stays while its worker does.
    wait_for_more(&peer);
    stop(&mut cluster.workers[0]);
    let end = peer.wait_message("end_stream", PATIENCE);
    assert!(end["data"].as_str().is_some_and(|text| text.contains("changed")), "{end}");
    let stats = peer.stats();
    let update = stats.messages.iter().rfind(|message| message["type"] == "update_connection");
    assert_eq!(update.map(|update| &update["data"]), Some(&json!("changed")));
    let ended = cluster.metrics().counted("reframe_sessions_ended_total", "reason");
    assert_eq!(ended, [("changed".to_owned(), 1.0)].into());
    peer.close();
    connect_with(&cluster, Options::viewer("next")).close();
    assert_balanced(&cluster);
    drop(new);
}

#[test]
fn a_worker_that_gateways_refuse_is_not_ready() {
    let bounds = ["1", "2", "3", "4", "5"];
    let mut workers = bounds.map(|bound| ready(DEMO, ANY_PORT, &["--slider-max", bound]));
    let urls = workers.each_ref().map(|worker| worker.url.as_str());
    let gateway = Gateway::of(&urls);
    let last = &workers[4];
    eventually("the fifth is not ready", PATIENCE, || {
        (is_ready(&last.url) == Some(false)).then_some(())
    });
    assert_eq!(serves(&last.url, ""), Some(true), "gateways may still use it");
    assert!(last.process.log().contains("4 older declarations"), "{}", last.process.log());
    gateway.wait_line(&[&last.url, "worker refused", "differs=inputs"]);
    for used in &workers[..4] {
        assert_eq!(is_ready(&used.url), Some(true));
    }
    let [first, .., last] = &mut workers;
    stop(first);
    eventually("it is ready", PATIENCE, || (is_ready(&last.url) == Some(true)).then_some(()));
}

/// What gateways of another version say of it (`gateway/src/workers/pool/tests.rs` has that they
/// do).
#[test]
fn a_worker_of_another_version_is_ready_when_one_gateway_takes_it() {
    let worker = ready(DEMO, ANY_PORT, &[]);
    let refused = "it speaks protocol version 4, this gateway 5".to_owned();
    tell(&worker.url, DescribeRequest { refused, accepted: false });
    let becomes = |expected: bool| {
        eventually(&format!("readiness is {expected}"), PATIENCE, || {
            (is_ready(&worker.url) == Some(expected)).then_some(())
        });
    };
    becomes(false);
    assert_eq!(serves(&worker.url, ""), Some(true));
    let log = worker.process.log();
    assert!(log.contains("not ready") && log.contains("this gateway 5"), "{log}");
    tell(&worker.url, DescribeRequest { refused: String::new(), accepted: true });
    becomes(true);
}

/// The page shows the new slider at its own value, and keeps what the person has set elsewhere.
#[test]
fn a_page_follows_a_changed_declaration() {
    let (mut cluster, free) = with_spare(vec![ready(DEMO, ANY_PORT, &[])], DEMO);
    let browser = start("rolling", Camera::Allowed);
    browser.open(&cluster.page("/"));
    browser.click("start");
    browser.wait_for_state("live");
    browser.run(
        "for (const [name, value] of [['slider', '0.9'], ['number', '7']]) {
           const control = document.getElementById(`input-${name}`);
           control.value = value;
           control.dispatchEvent(new Event('input'));
         }
         document.getElementById('input-textbox').focus();",
    );
    let shows = |slider: f64| {
        eventually(&format!("the handler sees {slider}"), SOON, || {
            let seen = browser.output("seen");
            (seen["slider"] == slider && seen["number"] == 7.0).then_some(())
        });
    };
    shows(0.9);
    let new = ready(DEMO, &free, &["--slider-max", "0.5"]);
    stop(&mut cluster.workers[0]);
    shows(0.15);
    let controls = "const slider = document.getElementById('input-slider');
        return [slider.max, slider.value, document.getElementById('input-number').value,
            document.querySelectorAll('#inputs .field').length, document.activeElement.id,
            document.body.dataset.state]";
    let expected = json!(["0.5", "0.15", "7", 6, "input-textbox", "live"]);
    eventually("the new controls", SOON, || (browser.run(controls) == expected).then_some(()));
    // They work.
    browser.run(
        "const slider = document.getElementById('input-slider');
         slider.value = '0.4';
         slider.dispatchEvent(new Event('input'));",
    );
    shows(0.4);
    assert_eq!(browser.console_errors(), Vec::<String>::new());
    drop(new);
}

/// The page asks for what is longer than a message, and says so where it gets no answer.
#[test]
fn a_page_loads_a_declaration_that_no_message_holds() {
    let handler = VideoStreamHandler::new(|frame: Frame| Ok(frame));
    let long = "Long. ".repeat(12_000);
    let stream = Stream::builder(handler).title("As it is now").subtitle(long).build();
    let cluster = Cluster::local([stream]);
    let browser = start("rolling-long", Camera::Allowed);
    browser.open(&cluster.page("/"));
    eventually("the page", SOON, || (browser.text("title") == "As it is now").then_some(()));
    // As if it had been opened before a change, by a server that does not answer now.
    browser.run(
        r#"const real = window.fetch;
        window.away = true;
        window.fetch = (url, options) => {
          if (window.away && String(url).includes("declaration=")) return Promise.reject(new TypeError());
          const before = '"declaration":"0123456789abcdef"';
          const body = options?.body?.replace(/"declaration":"[0-9a-f]+"/, before);
          return real(url, body ? { ...options, body } : options);
        };
        document.getElementById("title").textContent = "As it was";"#,
    );
    browser.click("start");
    browser.wait_for_state("live");
    eventually("the page says that it has no answer", SOON, || {
        let shown = browser.text("messages");
        shown.contains("could not be loaded: the server does not answer").then_some(())
    });
    assert_eq!(browser.text("title"), "As it was");
    browser.run("window.away = false");
    eventually("the page has it", SOON, || (browser.text("title") == "As it is now").then_some(()));
    assert_eq!(browser.text("messages"), "", "there is nothing more to say");
    assert_eq!(browser.console_errors(), Vec::<String>::new());
}

/// The rate has changed, for which a new session is needed.
#[test]
fn a_page_starts_a_new_session_where_the_old_one_cannot_go_on() {
    let old = ready("ticker", ANY_PORT, &["--grace", "1"]);
    let (mut cluster, free) = with_spare(vec![old], "ticker");
    let browser = start("rolling-rate", Camera::Allowed);
    browser.open(&cluster.page("/"));
    browser.click("start");
    browser.wait_for_state("live");
    let new = ready("ticker", &free, &["--fps", "15"]);
    stop(&mut cluster.workers[0]);
    eventually("the old session has ended", SOON, || {
        let ended = [("reason", "changed")];
        (cluster.metrics().sum("reframe_sessions_ended_total", &ended) == 1.0).then_some(())
    });
    cluster.wait_for_sessions(1, SOON);
    browser.wait_for_state("live");
    assert_eq!(browser.console_errors(), Vec::<String>::new());
    drop(new);
}
