//! Clients that others wrote, as `docs/clients.md` lists them: each offers to a real gateway, and
//! its picture comes back. `scripts/clients.sh test` installs the two that `make test` tries;
//! `make test-clients` installs all, and runs all.
#![expect(clippy::print_stderr, reason = "the times are to be read, and written down")]

use std::path::Path;

use reframe_tests::clients;
use serde_json::Value;

use super::*;

/// Well below what a client of DTLS waits before it repeats itself, one second; a picture takes a
/// tenth of that.
const AT_ONCE_MS: f64 = 700.0;
/// What is lost is sent again after a second: a first picture that comes before that has lost
/// nothing on its way. On a machine that has other work the best of some tries tells.
const NOTHING_LOST_MS: f64 = 1_000.0;
const TRIES: usize = 3;
/// Longer than a gateway waits for a client that does not answer its checks.
const STAYS_SECS: &str = "20";

fn aiortc(version: &str, args: &[&str]) -> Value {
    let python = clients::aiortc(version);
    let python = python.unwrap_or_else(|| {
        panic!("no aiortc {version}: run `scripts/clients.sh test`, or `all` for every version")
    });
    let said = clients::run(&python, "aiortc_client.py", args);
    eprintln!("aiortc {version} {args:?}: {said}");
    said
}

fn gstreamer(args: &[&str]) -> Value {
    let said = clients::run(Path::new("/usr/bin/python3"), "gstreamer_client.py", args);
    eprintln!("GStreamer {args:?}: {said}");
    said
}

/// The three older ones are the client of DTLS where they have a data channel: their first message
/// comes before our stack has a path.
#[test]
#[ignore = "needs clients of other projects: make test-clients"]
fn every_version_of_aiortc_has_its_picture_at_once() {
    let cluster = Cluster::launch("flip");
    let url = cluster.page("/webrtc/offer");
    for version in ["1.9.0", "1.10.1", "1.11.0", "1.16.0"] {
        for more in [&[][..], &["--data"], &["--audio"], &["--audio", "--data"]] {
            let said = aiortc(version, &[&["--url", url.as_str()], more].concat());
            let first = said["first_picture_ms"].as_f64();
            assert!(first.is_some_and(|first| first < AT_ONCE_MS), "{version} {more:?}: {said}");
            let texts = said["texts"].as_array().expect("a list");
            assert_eq!(more.contains(&"--data"), !texts.is_empty(), "{version} {more:?}: {said}");
        }
    }
}

/// It looks for our candidates in the last section of a bundle.
#[test]
#[ignore = "needs clients of other projects: make test-clients"]
fn aiortc_connects_whatever_it_bundles() {
    let cluster = Cluster::launch("flip");
    let url = cluster.page("/webrtc/offer");
    let all = ["--audio", "--data", "--videos", "2"];
    for bundle in ["max-bundle", "balanced", "max-compat"] {
        for more in [&[][..], &all[..1], &all[1..2], &all[2..], &all] {
            let offer = ["--url", url.as_str(), "--bundle", bundle];
            let said = aiortc("1.16.0", &[&offer[..], more].concat());
            assert!(said["first_picture_ms"].is_number(), "{bundle} {more:?}: {said}");
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

#[test]
#[ignore = "needs clients of other projects: make test-clients"]
fn webrtcbin_has_its_picture_whatever_it_bundles() {
    let cluster = Cluster::launch("flip");
    let url = cluster.page("/webrtc/offer");
    for bundle in ["none", "balanced", "max-compat", "max-bundle"] {
        for codec in ["VP8", "H264"] {
            for audio in [&[][..], &["--audio"]] {
                let args = ["--url", url.as_str(), "--bundle", bundle, "--codec", codec];
                let said = gstreamer(&[&args[..], audio].concat());
                assert!(said["first_picture_ms"].is_number(), "{bundle} {codec} {audio:?}: {said}");
            }
        }
    }
}

/// It answers checks, and asks by itself only with what is not signed.
#[test]
#[ignore = "needs clients of other projects: make test-clients"]
fn webrtcbin_stays() {
    let cluster = Cluster::launch("flip");
    let url = cluster.page("/webrtc/offer");
    let said = gstreamer(&["--url", &url, "--seconds", STAYS_SECS]);
    assert_eq!(said["state"], "connected", "{said}");
    let last = said["last_picture_s"].as_f64();
    assert!(last.is_some_and(|last| last >= 20.0), "pictures to the end: {said}");
}

/// What `make test` tries of other people's clients: the newest, whose first check nominates, and
/// one whose bundle has ICE credentials for each section and a pre-RFC 8841 data section.
#[test]
fn two_versions_of_aiortc_show_their_picture() {
    let cluster = Cluster::launch("flip");
    let url = cluster.page("/webrtc/offer");
    for version in ["1.10.1", "1.16.0"] {
        for more in [&[][..], &["--audio", "--data"]] {
            let picture = || {
                let said = aiortc(version, &[&["--url", url.as_str()], more].concat());
                let texts = said["texts"].as_array().expect("a list");
                assert_eq!(texts.is_empty(), more.is_empty(), "aiortc {version} {more:?}: {said}");
                let first = said["first_picture_ms"].as_f64();
                first.unwrap_or_else(|| panic!("aiortc {version} {more:?}: {said}"))
            };
            let best = (0..TRIES).map(|_| picture()).min_by(f64::total_cmp).expect("some tries");
            assert!(best < NOTHING_LOST_MS, "aiortc {version} {more:?}: {best} ms at best");
        }
    }
}

/// That its data channel does not open is its way of SCTP: `docs/clients.md`.
#[test]
#[ignore = "needs clients of other projects: make test-clients"]
fn werift_shows_its_picture() {
    let cluster = Cluster::launch("flip");
    let url = cluster.page("/webrtc/offer");
    let more = ["--audio", "--data"];
    for (bundle, more) in [
        ("disable", &[][..]),
        ("max-compat", &[]),
        ("max-bundle", &[]),
        ("max-compat", &more),
        ("max-bundle", &more),
    ] {
        let args = ["--url", url.as_str(), "--bundle", bundle];
        let said = clients::run(Path::new("node"), "werift_client.mjs", &[&args, more].concat());
        eprintln!("werift {bundle} {more:?}: {said}");
        assert!(said["pictures"].as_u64() >= Some(30), "{bundle} {more:?}: {said}");
    }
}
