//! Programs in Python that use the package `reframe`, as `scripts/python.sh` has put it together.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;

/// The interpreter of an environment of `worker/python/tests/NAME.txt`, with the package.
///
/// # Panics
/// `scripts/python.sh` has not made it.
#[must_use]
pub fn command(environment: &str) -> Command {
    let made = root().join("target/python");
    let python = made.join(environment).join("bin/python");
    let module = made.join("package/reframe/_core.abi3.so");
    for needed in [&python, &module] {
        assert!(
            needed.exists(),
            "{} is missing: run `scripts/python.sh install`, `cargo build -p reframe-python` and \
             `scripts/python.sh package`",
            needed.display()
        );
    }
    let mut command = process::own(Command::new(python));
    command.env("PYTHONPATH", made.join("package")).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A program that comes with the package: `worker/python/examples/NAME`.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    root().join("worker/python/examples").join(name)
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
