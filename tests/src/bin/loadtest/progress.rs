//! What the person who waits sees, on standard error: a line that is written over, or a line now
//! and then in a log.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use reframe_tests::peer::Peer;

use super::plan::Plan;

/// Characters of the bar.
const WIDTH: usize = 30;
/// In a log, a line every so many seconds.
const LOG_EVERY: u64 = 5;

pub(crate) struct Progress {
    end: Duration,
    streams: u32,
    terminal: bool,
    /// Of the last second: when, and the frames received up to then.
    last: (Duration, usize),
    next_log: u64,
}

impl Progress {
    pub(crate) fn new(plan: &Plan) -> Self {
        let terminal = stderr().is_terminal();
        Self {
            end: plan.end(),
            streams: plan.streams,
            terminal,
            last: (Duration::ZERO, 0),
            next_log: 0,
        }
    }

    /// Once a second.
    pub(crate) fn show<'a>(&mut self, elapsed: Duration, peers: impl Iterator<Item = &'a Peer>) {
        // Not `stats`, which copies every record.
        let received = |peer: &Peer| {
            peer.wait_until("nothing", Duration::ZERO, |stats| Some(stats.received.len()))
        };
        let received: Vec<_> = peers.map(received).collect();
        let (up, frames) =
            (received.iter().filter(|frames| **frames > 0).count(), received.iter().sum());
        let seconds = elapsed.saturating_sub(self.last.0).as_secs_f64();
        let fps = if up == 0 || seconds == 0.0 {
            0.0
        } else {
            (frames - self.last.1) as f64 / seconds / up as f64
        };
        self.last = (elapsed, frames);
        let line = line(elapsed, self.end, up, self.streams, fps);
        if self.terminal {
            // To the line's start, and whatever was there is gone.
            write(&format!("\r\x1b[K{line}"));
        } else if elapsed.as_secs() >= self.next_log {
            write(&format!("{line}\n"));
            self.next_log = elapsed.as_secs() + LOG_EVERY;
        }
    }

    /// Leaves the line.
    pub(crate) fn finish(&self) {
        if self.terminal {
            write("\n");
        }
    }
}

fn line(elapsed: Duration, end: Duration, up: usize, streams: u32, fps: f64) -> String {
    let (done, end) = (elapsed.min(end).as_secs(), end.as_secs());
    let filled = usize::try_from(done * WIDTH as u64 / end).unwrap_or(WIDTH);
    let bar = format!("{}{}", "#".repeat(filled), ".".repeat(WIDTH - filled));
    format!("[{bar}] {done:>3} of {end} s   {up} of {streams} streams up   {fps:.1} fps each")
}

#[expect(
    clippy::print_stderr,
    reason = "for the person who waits; the report alone goes to standard output"
)]
pub(crate) fn write(text: &str) {
    eprint!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_full_at_the_end() {
        let at = |seconds| line(Duration::from_secs(seconds), Duration::from_secs(20), 3, 4, 29.96);
        assert_eq!(
            at(10),
            "[###############...............]  10 of 20 s   3 of 4 streams up   30.0 fps each"
        );
        assert!(at(0).starts_with(&format!("[{}]", ".".repeat(WIDTH))));
        assert!(at(21).starts_with(&format!("[{}]  20 of 20 s", "#".repeat(WIDTH))));
    }
}
