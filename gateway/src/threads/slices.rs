//! Threads that the scheduler lets run soon, because they ask for little at a time.
//!
//! A thread that waits for a timer is not scheduled sooner than others because it sleeps most of
//! the time: where all cores are busy it is milliseconds late. Linux (6.12 and later) schedules by
//! deadlines, and who asks for a shorter slice than the usual 3 ms has an earlier one, for the same
//! share of the CPU. It takes no privilege (`docs/decisions/0015-slices.md`).
//!
//! For threads that serve timers and sockets. One that codes would only be interrupted more often.
#![expect(unsafe_code, reason = "rustix has no call for it")]

use std::io;

use tracing::debug;

/// The least that Linux takes.
const SLICE_NANOSECONDS: u64 = 100_000;

/// Asks for the calling thread, and for those that it starts. Where that is refused, by a sandbox
/// or an older kernel, and where somebody chose another policy than the usual for it, it stays as
/// it was.
pub(crate) fn short() {
    if let Err(error) = ask() {
        debug!(%error, "a thread keeps its usual slice");
    }
}

fn ask() -> io::Result<()> {
    // SAFETY: the structure is of numbers, for all of which zero is a value.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::sched_attr>();
    // SAFETY: 0 is the calling thread, and the kernel fills at most `size` bytes of `attributes`;
    // there are no flags.
    check(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) })?;
    if attributes.sched_policy != libc::SCHED_OTHER.cast_unsigned() {
        return Ok(());
    }
    // All else, as its niceness, is what it was.
    attributes.sched_runtime = SLICE_NANOSECONDS;
    // SAFETY: 0 is the calling thread, `attributes` outlives the call and says how large it is;
    // there are no flags.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) })
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
