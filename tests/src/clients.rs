//! Clients of other projects, whose scripts are in `tests/clients/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The interpreter with that version of aiortc; `None` where `scripts/clients.sh` has not installed
/// it.
#[must_use]
pub fn aiortc(version: &str) -> Option<PathBuf> {
    let python = root().join(format!("target/clients/aiortc-{version}/bin/python"));
    python.exists().then_some(python)
}

/// Runs a script and returns what it says, one line of JSON.
///
/// # Panics
/// It says nothing of the kind.
#[must_use]
#[track_caller]
pub fn run(python: &Path, script: &str, args: &[&str]) -> Value {
    let output = Command::new(python)
        .arg(root().join("tests/clients").join(script))
        .args(args)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|error| {
        panic!("{script} {args:?}: {error}\n{text}\n{}", String::from_utf8_lossy(&output.stderr))
    })
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
