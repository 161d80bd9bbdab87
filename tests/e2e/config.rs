//! The command lines: what they explain, and what they refuse.

use reframe_tests::process::{run, run_in};

const USAGE: Option<i32> = Some(64);

#[track_caller]
fn assert_refused(binary: &str, args: &[&str], named: &[&str]) {
    let output = run(binary, args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), USAGE, "{binary} {args:?}: {text}");
    for name in named {
        assert!(text.contains(name), "{binary} {args:?} does not name {name:?}:\n{text}");
    }
    assert!(output.stdout.is_empty(), "{binary} {args:?} wrote to standard output");
}

#[test]
fn every_problem_is_listed_at_once() {
    assert_refused(
        "reframe-worker",
        &["launch", "--demo", "nonsense", "--http", "here", "--admin", "70000", "--capacity", "0"],
        &[
            "--demo",
            "nonsense",
            "flip",
            "skip-frames",
            "--http",
            "here",
            "--admin",
            "70000",
            "--capacity",
        ],
    );
    assert_refused(
        "reframe-worker",
        &["serve", "--demo", "nonsense", "--listen", "nowhere", "--capacity", "many"],
        &["--demo", "nonsense", "--listen", "nowhere", "--capacity", "many"],
    );
    assert_refused(
        "reframe-gateway",
        &["--http", "here", "--admin", "there", "--workers", "ftp://example.invalid,not a url"],
        &["--http", "here", "--admin", "there", "--workers", "ftp://example.invalid", "not a url"],
    );
}

#[test]
fn unknown_options_and_commands_are_refused() {
    assert_refused("reframe-gateway", &["--no-such-option"], &["--no-such-option"]);
    assert_refused("reframe-gateway", &["--workers", ""], &["--workers"]);
    assert_refused("reframe-worker", &["serve", "--no-such-option"], &["--no-such-option"]);
    assert_refused("reframe-worker", &[], &["launch", "serve"]);
}

#[test]
fn help_says_defaults_units_and_environment() {
    let helps: [(&str, &[&str], &[&str]); 3] = [
        (
            "reframe-worker",
            &["launch", "--help"],
            &["--demo", "--http", "--admin", "--capacity", "127.0.0.1:8080"],
        ),
        (
            "reframe-worker",
            &["serve", "--help"],
            &["--demo", "--listen", "127.0.0.1:50051", "--capacity", "1 to 1024"],
        ),
        (
            "reframe-gateway",
            &["--help"],
            &["--http", "--admin", "--workers", "127.0.0.1:8080", "127.0.0.1:9090"],
        ),
    ];
    for (binary, args, named) in helps {
        let output = run(binary, args);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{binary} {args:?}");
        for name in named.iter().chain(&["default", "REFRAME_"]) {
            assert!(text.contains(name), "{binary} {args:?} does not say {name:?}:\n{text}");
        }
    }
}

#[test]
fn help_shows_no_secret_of_the_environment() {
    let secrets = [
        ("REFRAME_REDIS", "redis://user:hunter2@redis:6379"),
        ("REFRAME_TURN_SECRET", "hunter2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2"),
    ];
    for (binary, args) in [
        ("reframe-gateway", &["--help"][..]),
        ("reframe-worker", &["launch", "--help"]),
        ("reframe-worker", &["serve", "--help"]),
    ] {
        let output = run_in(&secrets, binary, args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("--log"), "{binary} {args:?}: {text}");
        assert!(!text.contains("hunter2"), "{binary} {args:?} shows a secret:\n{text}");
    }
    // Nor what is refused.
    let output =
        run_in(&[("REFRAME_REDIS", "redis://user:hunter2@redis:port")], "reframe-gateway", &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), USAGE, "{text}");
    assert!(text.contains("--redis: ") && !text.contains("hunter2"), "{text}");
}
