//! Several streams behind one gateway: an index of them, and each under its name.

use reframe_tests::http::get;
use reframe_tests::source::{Format, Video};
use serde_json::json;

use super::*;

const DEMOS: [&str; 7] =
    ["detect-objects", "detection", "flip", "generation", "output-fps", "sink", "skip-frames"];

fn names(reply: &Value) -> Vec<String> {
    let streams = reply["streams"].as_array().expect("a list of streams");
    let mut names: Vec<_> =
        streams.iter().map(|stream| stream["name"].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}

#[test]
fn every_demo_is_served_under_its_name() {
    let cluster = Cluster::launch_all();
    let get = |path: &str| get(&cluster.page(path)).expect("the gateway answers");
    assert_eq!(names(&get("/api/streams").json()), DEMOS);
    let index = get("/");
    assert!(index.status == 200 && !index.body.contains("<video"), "{index:?}");
    for name in DEMOS {
        let page = get(&format!("/{name}/"));
        assert!(page.status == 200 && page.body.contains("<video"), "{name}: {page:?}");
        assert_eq!(names(&get(&format!("/{name}/api/streams")).json()), [name]);
    }
    assert_eq!(get("/nowhere/api/streams").json(), json!({ "streams": [] }));
    for path in ["/nowhere/", "/nowhere", "/faulty/", "/flip/nowhere", "/flip/flip/"] {
        assert_eq!(get(path).status, 404, "{path}");
    }
}

#[test]
fn sessions_of_different_streams_run_side_by_side() {
    let cluster = Cluster::launch_all();
    let small = || Video::Live(Format::SMALL);
    let mut flip = connect_at(&cluster, "/flip", Options::camera("a", small()));
    let mut sink = connect_at(&cluster, "/sink", Options::sender("b", small()));
    let mut fps = connect_at(&cluster, "/output-fps", Options::viewer("c"));
    flip.wait_received(30, PATIENCE);
    assert_flipped_in_order(&flip.stats());
    sink.wait_output("brightness", PATIENCE, Value::is_number);
    // Counted by the handler once a second: the stream's 60, or what the machine makes of it.
    let measured = fps.wait_output("fps", PATIENCE, Value::is_number).as_f64().expect("a number");
    assert!((20.0..66.0).contains(&measured), "{measured} fps");
    assert!(fps.stats().received.iter().all(|frame| (frame.width, frame.height) == (640, 360)));
    assert_eq!(cluster.sessions(), 3.0);

    // A session belongs to its stream, and its id to the gateway.
    let nowhere = Peer::connect(&cluster.page("/nowhere"), Options::camera("d", small()))
        .expect_err("there is no such");
    assert_eq!((nowhere.status, &nowhere.json()["meta"]["error"]), (404, &json!("unknown_stream")));
    let several = Peer::connect(&cluster.page(""), Options::camera("d", small()))
        .expect_err("there are several");
    assert_eq!((several.status, &several.json()["meta"]["error"]), (404, &json!("unknown_stream")));
    let again = Peer::connect(&cluster.page("/sink"), Options::sender("a", small()))
        .expect_err("the id is taken");
    assert_eq!(again.json()["meta"]["error"], "connection_already_exists");
    [&mut flip, &mut sink, &mut fps].into_iter().for_each(Peer::close);
    assert_balanced(&cluster);
}
