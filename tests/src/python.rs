//! Programs in Python that use the package `reframe`, as `scripts/python.sh` has put it together.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::clients::root;
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

/// A script of the tests: `tests/clients/NAME`.
#[must_use]
pub fn script(name: &str) -> PathBuf {
    root().join("tests/clients").join(name)
}

/// The processes that `parent` has started.
#[must_use]
pub fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc");
    let ids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

/// True while the process runs.
#[must_use]
pub fn is_alive(id: u32) -> bool {
    parent_of(id).is_some()
}

/// Sends SIGKILL.
///
/// # Panics
/// When the process is gone.
pub fn kill(id: u32) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(id, Signal::KILL).expect("the process is there");
}

/// `None` when it has ended.
fn parent_of(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold anything; state and parent follow it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    (fields.next()? != "Z").then(|| fields.next()?.parse().ok())?
}
