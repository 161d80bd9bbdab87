//! The stack of a call that does not return.
//!
//! The call may hold Python's lock, so nothing here asks for it: Python's `faulthandler` writes a
//! thread's stack to stderr when that thread gets a signal.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use reframe_worker::Session;

/// How long Python's lock is waited for at the end.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The threads of the sessions, by the session's id. As many as the worker has slots.
static THREADS: Mutex<BTreeMap<String, Thread>> = Mutex::new(BTreeMap::new());

#[derive(Clone, Copy)]
struct Thread(libc::pthread_t);

/// A session's thread is known while this lives. It is made and dropped on that thread.
pub(crate) struct OnThread(String);

/// A real-time signal, which nothing else has a meaning for.
fn signal() -> libc::c_int {
    libc::SIGRTMIN() + 7
}

/// From now on a thread that gets the signal writes its stack.
pub(crate) fn register(py: Python<'_>) -> PyResult<()> {
    let options = PyDict::new(py);
    // A notebook's `sys.stderr` is no file.
    options.set_item("file", 2)?;
    options.set_item("all_threads", false)?;
    py.import("faulthandler")?.call_method("register", (signal(),), Some(&options))?;
    Ok(())
}

impl OnThread {
    #[allow(unsafe_code, reason = "the standard library does not name threads for signals")]
    pub(crate) fn new(session: &str) -> Self {
        // SAFETY: it has no preconditions.
        let thread = Thread(unsafe { libc::pthread_self() });
        THREADS.lock().insert(session.to_owned(), thread);
        Self(session.to_owned())
    }
}

impl Drop for OnThread {
    fn drop(&mut self) {
        THREADS.lock().remove(&self.0);
    }
}

/// Has the session's thread write its stack.
#[allow(unsafe_code, reason = "the standard library sends no signals")]
pub(crate) fn show_stack(session: &Session) {
    let threads = THREADS.lock();
    if let Some(Thread(thread)) = threads.get(session.id()) {
        // SAFETY: the thread lives as long as its entry, which cannot go while `threads` is locked;
        // the signal has a handler since `register`.
        unsafe { libc::pthread_kill(*thread, signal()) };
    }
}

/// Ends the process at once if a call holds Python's lock and does not return: without the lock
/// nothing of Python's can be ended in an orderly way, and the process would never end.
#[allow(unsafe_code, reason = "the standard library's exit runs what others have registered")]
pub(crate) fn end_if_locked(code: u8) {
    let (got, gets) = mpsc::channel();
    let asking = thread::Builder::new().name("lock".into()).spawn(move || {
        Python::try_attach(|_| ());
        got.send(()).ok();
    });
    if asking.is_ok() && gets.recv_timeout(LOCK_WAIT) == Err(mpsc::RecvTimeoutError::Timeout) {
        let why = "a call holds Python's lock and does not return; this process ends now";
        // Nobody may be left to read it.
        writeln!(io::stderr(), "error: {why}").ok();
        // SAFETY: it does not return, and runs nothing of this process.
        unsafe { libc::_exit(code.max(1).into()) };
    }
}
