//! The load tool itself, against a real installation.

use std::path::{Path, PathBuf};
use std::process::Output;

use reframe_tests::process::{self, Process};

use super::*;

/// Two streams of small pictures.
fn load(url: &str, more: &[&str]) -> Output {
    let short = [url, "--streams", "2", "--size", "320x240"];
    process::run("reframe-loadtest", &[&short[..], more].concat())
}

/// A file for this test alone.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}

/// The report in `file`, which is removed.
fn report(file: &Path) -> Value {
    let report = serde_json::from_slice(&std::fs::read(file).expect("written")).expect("JSON");
    std::fs::remove_file(file).expect("it was read");
    report
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_load_of_two_streams_comes_back_in_order() {
    let cluster = Cluster::launch("flip");
    let [json, svg] = ["load.json", "load.svg"].map(file);
    let pid = cluster.gateway.id().to_string();
    let files = [
        "--json",
        json.to_str().expect("UTF-8"),
        "--svg",
        svg.to_str().expect("UTF-8"),
        "--pid",
        &pid,
        "--duration",
        "3",
    ];
    let output = load(&cluster.page("/"), &files);
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{table}{}", text(&output.stderr));
    assert!(table.contains("2 of 2 served, 0 refused, 0 silent"), "{table}");

    let report = report(&json);
    let total = &report["total"];
    let counts = ["planned", "offered", "served", "refused", "silent", "sampled", "out_of_order"];
    assert_eq!(counts.map(|name| total[name].as_u64().unwrap()), [2, 2, 2, 0, 0, 1, 0], "{total}");
    for (stream, sampled) in [(0, true), (1, false)] {
        let row = &report["streams"][stream];
        assert_eq!(
            (&row["outcome"], &row["sampled"]),
            (&Value::from("served"), &Value::from(sampled)),
            "{row}"
        );
        let [received, measured, decoded, undecodable, new] =
            ["received", "measured_frames", "decoded", "undecodable", "new_pictures"]
                .map(|name| row[name].as_u64().unwrap());
        assert!(received > 0 && measured > 0, "{row}");
        // Every frame of the one went to the decoder, and none of the other.
        assert_eq!(decoded + undecodable, if sampled { received } else { 0 }, "{row}");
        assert_eq!((new > 0, row["latency_ms"].is_object()), (sampled, sampled), "{row}");
    }
    assert!(report["servers"]["cpu_ms_per_frame"].as_f64() > Some(0.0), "{report}");
    assert!(report["servers"]["peak_rss_mb"].as_f64() > Some(1.0), "{report}");
    assert!(std::fs::read_to_string(&svg).expect("written").starts_with("<svg "));
    std::fs::remove_file(svg).expect("it was read");
    cluster.wait_for_sessions(0, CLOSED);
}

#[test]
fn a_load_tells_who_was_refused_and_why() {
    let cluster = Cluster::launch_with("flip", &["--capacity", "1"]);
    let output = load(&cluster.page(""), &["--ramp", "1", "--duration", "3"]);
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{table}{}", text(&output.stderr));
    assert!(table.contains("1 of 2 served, 1 refused, 0 silent"), "{table}");
    assert!(table.contains("1 x concurrency_limit_reached"), "{table}");
}

#[test]
fn an_interrupted_load_reports_what_there_was() {
    let cluster = Cluster::launch("flip");
    let json = file("interrupted.json");
    // The second of two streams would be offered after five minutes.
    let plan = [
        "--streams",
        "2",
        "--ramp",
        "600",
        "--size",
        "320x240",
        "--json",
        json.to_str().expect("UTF-8"),
    ];
    let mut tool =
        Process::start("reframe-loadtest", &[&[cluster.page("").as_str()], &plan[..]].concat());
    eventually("pictures come back", PATIENCE, || {
        (cluster.metrics().sum("reframe_frames_emitted_total", &[]) > 30.0).then_some(())
    });
    tool.interrupt();
    let status = tool.exit(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", tool.log());
    let report = report(&json);
    let counts = ["planned", "offered", "served", "refused", "silent"];
    assert_eq!(
        counts.map(|name| report["total"][name].as_u64().unwrap()),
        [2, 1, 1, 0, 0],
        "{report}"
    );
    assert_eq!(report["measured"], Value::Null);
    cluster.wait_for_sessions(0, CLOSED);
}

#[test]
fn a_load_on_nobody_is_refused_in_words() {
    let output = load("http://127.0.0.1:1", &["--duration", "1"]);
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(
        table.contains("0 of 2 served, 2 refused, 0 silent") && table.contains("2 x unreachable: "),
        "{table}"
    );
}

#[test]
fn a_bad_option_of_a_load_is_named() {
    for (bad, named) in [
        (&["--streams", "none"][..], "--streams"),
        (&["--sample", "3"], "--sample"),
        (&["--json", "/nowhere/report.json"], "--json"),
    ] {
        let output = process::run("reframe-loadtest", &[&["http://127.0.0.1:1"], bad].concat());
        assert_eq!(output.status.code(), Some(64), "{bad:?}");
        let told = text(&output.stderr);
        assert!(told.lines().next().is_some_and(|line| line.contains(named)), "{told}");
    }
}
