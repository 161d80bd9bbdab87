//! The commands `launch` and `serve`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use pyo3::prelude::*;
use reframe_worker::cli;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::overdue;
use crate::stream::Stream;

/// Ends a [`run`] from another thread.
#[pyclass(frozen, module = "reframe._core")]
pub(crate) struct Stop(CancellationToken);

#[pymethods]
impl Stop {
    #[new]
    fn new() -> Self {
        Self(CancellationToken::new())
    }

    /// Ends it as Ctrl-C would. Again: nothing.
    fn set(&self) {
        self.0.cancel();
    }
}

/// Runs streams as a command line says (`["launch", "--http", …]`) until Ctrl-C, SIGTERM or `stop`,
/// and returns the exit code: 0 when it was ended, 64 when the command line or the configuration is
/// wrong, 1 for every other failure. Problems are printed.
///
/// Python's lock is not held meanwhile. On the main thread Ctrl-C ends it and raises nothing.
#[pyfunction]
#[pyo3(signature = (streams, argv, stop=None))]
pub(crate) fn run(
    py: Python<'_>,
    streams: Vec<PyRef<'_, Stream>>,
    argv: Vec<OsString>,
    stop: Option<PyRef<'_, Stop>>,
) -> PyResult<u8> {
    let streams: Vec<reframe_worker::Stream> =
        streams.iter().map(|stream| stream.0.clone()).collect();
    until_ended(py, argv, stop, |arguments, stop| {
        cli::run_from(arguments, stop, |_: cli::NoOptions| Ok(streams))
    })
}

fn until_ended(
    py: Python<'_>,
    argv: Vec<OsString>,
    stop: Option<PyRef<'_, Stop>>,
    command: impl FnOnce(Vec<OsString>, WaitForCancellationFutureOwned) -> u8 + Send,
) -> PyResult<u8> {
    let stop = stop.map_or_else(CancellationToken::new, |stop| stop.0.clone());
    let arguments = [OsString::from("reframe")].into_iter().chain(argv).collect();
    overdue::register(py)?;
    let code = py.detach(|| {
        let code = command(arguments, stop.cancelled_owned());
        overdue::end_if_locked(code);
        code
    });
    // The signal that ended it has been left for Python too, and would be raised as soon as this
    // returns: there is nothing left to interrupt.
    py.check_signals().ok();
    Ok(code)
}

/// Runs the gateway of `launch` alone, in front of workers at the sockets of other processes; else
/// as [`run`].
#[pyfunction]
#[pyo3(signature = (argv, sockets, stop=None))]
pub(crate) fn front(
    py: Python<'_>,
    argv: Vec<OsString>,
    sockets: Vec<PathBuf>,
    stop: Option<PyRef<'_, Stop>>,
) -> PyResult<u8> {
    until_ended(py, argv, stop, |arguments, stop| cli::front_from(arguments, stop, sockets))
}

/// Has the kernel kill this process when the thread that has started it ends. If its parent is
/// another than `parent` by now, it ends at once, with a line that says so.
#[pyfunction]
pub(crate) fn end_with_parent(parent: i32) {
    let killed = set_parent_process_death_signal(Some(Signal::KILL));
    let is_orphan = getppid().is_none_or(|now| now.as_raw_nonzero().get() != parent);
    if killed.is_err() || is_orphan {
        // Nobody may be left to read it.
        writeln!(io::stderr(), "error: process {parent}, which started this one, has ended").ok();
        std::process::exit(1);
    }
}
