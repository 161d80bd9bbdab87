//! What Linux says of a thread of this process: whether it has the CPU, waits for it, or for
//! something else.

use std::fs;
use std::time::Duration;

/// A thread, as the kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// It runs, or would if it got a CPU.
    pub(super) runnable: bool,
    /// CPU time that it has had, in clock ticks of 10 ms.
    pub(super) cpu: Duration,
}

/// The calling thread's id.
pub(super) fn current() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// None: it is gone, or this is no Linux.
pub(super) fn look(thread: i32) -> Option<Seen> {
    parse(
        &fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?,
        rustix::param::clock_ticks_per_second(),
    )
}

/// The second field is the name in parentheses and may hold anything; then come the state, field 3,
/// and further on utime and stime, fields 14 and 15 (proc_pid_stat(5)).
fn parse(stat: &str, ticks_per_second: u64) -> Option<Seen> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let runnable = fields.next()? == "R";
    let mut cpu = fields.skip(10).map_while(|ticks| ticks.parse::<u64>().ok());
    let ticks = cpu.next()? + cpu.next()?;
    Some(Seen { runnable, cpu: Duration::from_millis(ticks * 1_000 / ticks_per_second) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read_whatever_the_thread_is_called() {
        let stat = "7 (a) R (b) S 1 1 1 0 -1 64 10 0 0 0 150 25 0 0 20 0 8 0 100 0 0";
        assert_eq!(
            parse(stat, 100),
            Some(Seen { runnable: false, cpu: Duration::from_millis(1_750) })
        );
        assert_eq!(parse("7 (a) R 1", 100), None);
        assert_eq!(parse("", 100), None);
    }

    #[test]
    fn this_thread_runs_and_one_that_is_not_there_is_not_seen() {
        assert!(look(current()).is_some_and(|seen| seen.runnable));
        assert_eq!(look(i32::MAX), None);
    }
}
