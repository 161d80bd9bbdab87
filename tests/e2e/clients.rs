//! Clients that others wrote, as `docs/clients.md` lists them: each offers to a real gateway, and
//! its picture comes back. `make test-clients` installs them and runs this.
#![expect(clippy::print_stderr, reason = "the times are to be read, and written down")]

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use super::*;

/// What the client said, one line of JSON.
#[track_caller]
fn said(client: &str, output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| {
        panic!("{client}: {error}\n{text}\n{}", String::from_utf8_lossy(&output.stderr))
    })
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The client's script, by the interpreter of its environment.
fn aiortc(version: &str, args: &[&str]) -> Value {
    let python = root().join(format!("target/clients/aiortc-{version}/bin/python"));
    assert!(python.exists(), "{} is missing: run `make test-clients`", python.display());
    let script = root().join("tests/clients/aiortc_client.py");
    let output = Command::new(python).arg(script).args(args).output().expect("it runs");
    said(&format!("aiortc {version} {args:?}"), &output)
}

fn gstreamer(args: &[&str]) -> Value {
    let script = root().join("tests/clients/gstreamer_client.py");
    let output = Command::new("/usr/bin/python3").arg(script).args(args).output().expect("it runs");
    said(&format!("GStreamer {args:?}"), &output)
}

#[test]
#[ignore = "needs clients of other projects: make test-clients"]
fn every_version_of_aiortc_shows_its_picture() {
    let cluster = Cluster::launch("flip");
    let url = cluster.page("/webrtc/offer");
    for version in ["1.9.0", "1.10.1", "1.11.0", "1.16.0"] {
        for more in [&[][..], &["--data"], &["--audio"], &["--audio", "--data"]] {
            let said = aiortc(version, &[&["--url", url.as_str()], more].concat());
            eprintln!("aiortc {version} {more:?}: {said}");
            assert!(said["first_picture_ms"].is_number(), "aiortc {version} {more:?}: {said}");
            let texts = said["texts"].as_array().expect("a list");
            assert_eq!(more.contains(&"--data"), !texts.is_empty(), "{version} {more:?}: {said}");
        }
    }
}

/// The client's own set-up, against itself, is what nobody can take from it.
#[test]
#[ignore = "needs clients of other projects: make test-clients"]
fn aiortc_has_its_first_picture_as_soon_as_against_itself() {
    let cluster = Cluster::launch("flip");
    let url = cluster.page("/webrtc/offer");
    let median = |args: &[&str]| {
        let mut times: Vec<f64> = (0..7)
            .map(|_| aiortc("1.16.0", args)["first_picture_ms"].as_f64().expect("a picture"))
            .collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (alone, ours) = (median(&[]), median(&["--url", &url]));
    eprintln!("aiortc 1.16.0, offer to first picture: {alone} ms against itself, {ours} ms here");
    // Half a second is what a check that is repeated costs.
    assert!(ours < alone + 300.0, "{ours} ms, and {alone} ms against itself");
}

/// That it shows what comes back it does not, and why is not understood: `docs/clients.md`.
#[test]
#[ignore = "needs clients of other projects: make test-clients"]
fn webrtcbin_connects_whatever_it_bundles() {
    let cluster = Cluster::launch("flip");
    let url = cluster.page("/webrtc/offer");
    for bundle in ["none", "balanced", "max-compat", "max-bundle"] {
        for codec in ["VP8", "H264"] {
            for audio in [&[][..], &["--audio"]] {
                let args = ["--url", url.as_str(), "--bundle", bundle, "--codec", codec];
                let said = gstreamer(&[&args[..], audio].concat());
                eprintln!("GStreamer {bundle} {codec} {audio:?}: {said}");
                assert_eq!(said["state"], "connected", "{bundle} {codec} {audio:?}: {said}");
            }
        }
    }
}

/// What `make test` tries of other people's clients: the newest, whose first check nominates, and
/// one whose bundle has an ICE user for each section and a data section of old.
#[test]
fn two_versions_of_aiortc_show_their_picture() {
    let cluster = Cluster::launch("flip");
    let url = cluster.page("/webrtc/offer");
    for version in ["1.10.1", "1.16.0"] {
        for more in [&[][..], &["--audio", "--data"]] {
            let said = aiortc(version, &[&["--url", url.as_str()], more].concat());
            assert!(said["first_picture_ms"].is_number(), "aiortc {version} {more:?}: {said}");
            let texts = said["texts"].as_array().expect("a list");
            assert_eq!(texts.is_empty(), more.is_empty(), "aiortc {version} {more:?}: {said}");
        }
    }
}

/// That its data channel does not open is its way of SCTP: `docs/clients.md`.
#[test]
#[ignore = "needs clients of other projects: make test-clients"]
fn werift_shows_its_picture() {
    let cluster = Cluster::launch("flip");
    let url = cluster.page("/webrtc/offer");
    let script = root().join("tests/clients/werift_client.mjs");
    let more = ["--audio", "--data"];
    for (bundle, more) in [
        ("disable", &[][..]),
        ("max-compat", &[]),
        ("max-bundle", &[]),
        ("max-compat", &more),
        ("max-bundle", &more),
    ] {
        let args = ["--url", url.as_str(), "--bundle", bundle];
        let output = Command::new("node").arg(&script).args(args).args(more).output();
        let said = said("werift", &output.expect("Node.js"));
        eprintln!("werift {bundle} {more:?}: {said}");
        assert!(said["pictures"].as_u64() >= Some(30), "{bundle} {more:?}: {said}");
    }
}
