//! One thread of another process, held still while the others run: what a deadlock or a blocking
//! call does to it. A signal stops a whole process; a debugger stops a thread.
#![expect(unsafe_code, reason = "rustix has no ptrace")]

use std::fs;
use std::io;
use std::marker::PhantomData;
use std::ptr;

/// A thread that is held; it goes on when this is dropped, at the latest when the thread that holds
/// it ends.
#[derive(Debug)]
pub struct Held {
    thread: libc::pid_t,
    /// It is the process' first, whose end is the process' and for others to see.
    is_process: bool,
    /// Only the thread that began with it may end it.
    _here: PhantomData<*const ()>,
}

impl Held {
    /// Holds the thread of `process`, a child of ours, that calls itself `name`.
    ///
    /// # Errors
    /// There is no such thread, or the system does not let us.
    pub fn hold(process: u32, name: &str) -> io::Result<Self> {
        let thread = thread(process, name)?;
        // SAFETY: seize reads no memory of ours: address and data are 0.
        check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, NULL, NULL) })?;
        let held =
            Self { thread, is_process: thread.cast_unsigned() == process, _here: PhantomData };
        // SAFETY: as above.
        check(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, NULL, NULL) })?;
        // SAFETY: no status is asked for. It returns when the thread has stopped, which takes no
        // more than its next entry into the kernel.
        check(unsafe { libc::waitpid(thread, ptr::null_mut(), libc::__WALL) }.into())?;
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: as above.
        let detached = unsafe { libc::ptrace(libc::PTRACE_DETACH, self.thread, NULL, NULL) };
        if detached == -1 && !self.is_process {
            // It has died with its process, which is not over before we have seen that.
            // SAFETY: no status is asked for.
            unsafe { libc::waitpid(self.thread, ptr::null_mut(), libc::__WALL) };
        }
    }
}

const NULL: *mut libc::c_void = ptr::null_mut();

fn check(result: libc::c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn thread(process: u32, name: &str) -> io::Result<libc::pid_t> {
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?;
        // An error is a thread that ended a moment ago.
        let called = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if let (true, Some(id)) = (called.trim_end() == name, task.file_name().to_str()) {
            return id.parse().map_err(io::Error::other);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("no thread is called {name}")))
}
