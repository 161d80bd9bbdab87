//! Asks the scheduler for short time slices, so that a thread runs soon after it wakes.
//!
//! A thread that mostly sleeps until a timer fires gets no preference for that: when all cores are
//! busy, it runs milliseconds late. Linux (6.12 and later) schedules by deadlines. A thread with a
//! shorter slice than the usual 3 ms has an earlier deadline, for the same share of the CPU. That
//! needs no privilege (`docs/decisions/0015-slices.md`).
//!
//! For threads that serve timers and sockets. A codec thread would only be interrupted more often.
#![expect(unsafe_code, reason = "rustix has no call for it")]

use std::io;

use tracing::debug;

/// The shortest that Linux accepts.
const SLICE_NANOSECONDS: u64 = 100_000;

/// Asks for the calling thread and the threads that it starts. Nothing changes if a sandbox or an
/// older kernel refuses, or if the thread has another scheduling policy than the usual one.
pub(crate) fn short() {
    if let Err(error) = ask() {
        debug!(%error, "a thread keeps its usual slice");
    }
}

fn ask() -> io::Result<()> {
    // SAFETY: the structure has only numbers, for which zero is a valid value.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::sched_attr>();
    // SAFETY: 0 is the calling thread, and the kernel fills at most `size` bytes of `attributes`;
    // there are no flags.
    check(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) })?;
    if attributes.sched_policy != libc::SCHED_OTHER.cast_unsigned() {
        return Ok(());
    }
    // Everything else, such as the niceness, stays as it was.
    attributes.sched_runtime = SLICE_NANOSECONDS;
    // SAFETY: 0 is the calling thread, `attributes` outlives the call and says how large it is;
    // there are no flags.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) })
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
