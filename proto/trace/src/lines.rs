//! Rate limits for log lines: lines that a stranger can cause repeatedly must neither fill a disk
//! nor take time from the threads that log.
//!
//! A kind is a place in the source that logs. Each has a token bucket. A line without a token is
//! left out and counted, and the next one that is written says how many were. Lines of `debug` and
//! `trace` are never left out, because somebody has asked for all of them; neither are lines of
//! code that is not Reframe's (such as a handler's).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::callsite::Identifier;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::Format;

/// The target of lines that anybody who reaches a port can cause: few of them are written.
pub const STRANGER: &str = "reframe::stranger";

/// Libraries that talk to strangers. Their lines have the limit of [`STRANGER`].
const OF_STRANGERS: &[&str] = &[
    STRANGER,
    "audit::refused",
    "rtc",
    "rtc_ice",
    "rtc_dtls",
    "rtc_stun",
    "rtc_sctp",
    "rtc_srtp",
    "rtc_mdns",
    "webrtc",
    "actix_http",
    "actix_server",
    "actix_web",
    "h2",
    "hyper",
    "hyper_util",
    "rustls",
    "tonic",
];

/// A few lines, then one in ten seconds: enough to see that something happens, and what.
const RARE: Rate = Rate { burst: 5, every: Duration::from_secs(10) };
/// Reframe's own lines are about sessions and workers: fifty, then ten a second, is more than a
/// gateway normally logs.
const OURS: Rate = Rate { burst: 50, every: Duration::from_millis(100) };

static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Lines of this process that were left out so far.
#[must_use]
pub fn lines_left_out() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

/// The rate limit of one kind of line.
#[derive(Debug)]
struct Rate {
    /// The burst, at least 1.
    burst: u32,
    /// The time for each further line.
    every: Duration,
}

impl Rate {
    /// `None`: unlimited.
    fn of(target: &str, level: Level) -> Option<&'static Self> {
        let within = |module: &&str| {
            target
                .strip_prefix(*module)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        if level > Level::INFO {
            None
        } else if OF_STRANGERS.iter().any(within) {
            Some(&RARE)
        } else {
            // All lines of the crate `log` have one target here: a handler's own, and those of the
            // libraries above.
            (matches!(target, "log" | "audit") || target.starts_with("reframe_")).then_some(&OURS)
        }
    }
}

/// The token bucket of one kind. Pure.
#[derive(Debug)]
struct Bucket {
    tokens: u32,
    /// When the last token came.
    filled: Instant,
    left_out: u64,
}

impl Bucket {
    fn full(now: Instant, rate: &Rate) -> Self {
        Self { tokens: rate.burst, filled: now, left_out: 0 }
    }

    /// Takes a token; if there is one, returns how many lines were left out before.
    fn pass(&mut self, now: Instant, rate: &Rate) -> Option<u64> {
        let periods = now.saturating_duration_since(self.filled).as_nanos() / rate.every.as_nanos();
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        self.filled += rate.every.saturating_mul(periods);
        self.tokens = self.tokens.saturating_add(periods).min(rate.burst);
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                Some(std::mem::take(&mut self.left_out))
            }
            None => {
                self.left_out += 1;
                None
            }
        }
    }
}

/// Chooses the writer of each line: `out`, or none.
pub(crate) struct BoundedLines<F> {
    out: F,
    format: Format,
    /// One for each place in the source that has logged.
    buckets: Mutex<HashMap<Identifier, Bucket>>,
}

impl<F> BoundedLines<F> {
    pub(crate) fn new(out: F, format: Format) -> Self {
        Self { out, format, buckets: Mutex::default() }
    }

    fn pass(&self, meta: &Metadata<'_>) -> Option<u64> {
        let Some(rate) = Rate::of(meta.target(), *meta.level()) else { return Some(0) };
        let now = Instant::now();
        let mut buckets = self.buckets.lock();
        buckets.entry(meta.callsite()).or_insert_with(|| Bucket::full(now, rate)).pass(now, rate)
    }
}

impl<'a, F: Fn() -> W, W: Write> MakeWriter<'a> for BoundedLines<F> {
    type Writer = Line<W>;

    fn make_writer(&'a self) -> Line<W> {
        Line { out: Some((self.out)()), before: String::new() }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<W> {
        match self.pass(meta) {
            None => {
                LEFT_OUT.fetch_add(1, Ordering::Relaxed);
                Line { out: None, before: String::new() }
            }
            Some(0) => self.make_writer(),
            Some(left_out) => {
                Line { out: Some((self.out)()), before: omission_note(left_out, meta, self.format) }
            }
        }
    }
}

/// The line that says how many were left out before the next.
fn omission_note(left_out: u64, meta: &Metadata<'_>, format: Format) -> String {
    let mut time = String::new();
    // Errors: a clock before 1970, and a String that takes no text.
    SystemTime.format_time(&mut Writer::new(&mut time)).ok();
    let (level, target) = (meta.level(), meta.target());
    let mut line = String::new();
    let written = match format {
        Format::Text => writeln!(
            line,
            "{time} {level:>5} {target}: {left_out} lines like the next one were left out"
        ),
        Format::Json => writeln!(
            line,
            r#"{{"timestamp":"{time}","level":"{level}","message":"lines like the next one were left out","left_out":{left_out},"target":"{target}"}}"#
        ),
    };
    written.expect("a String takes any text");
    line
}

/// The destination of one line.
pub(crate) struct Line<W> {
    /// `None`: the line is left out.
    out: Option<W>,
    /// A line to be written first.
    before: String,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(out) = &mut self.out else { return Ok(bytes.len()) };
        if !self.before.is_empty() {
            out.write_all(std::mem::take(&mut self.before).as_bytes())?;
        }
        out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn a_burst_passes_then_one_in_a_period_which_says_what_was_left_out() {
        let start = Instant::now();
        let rate = Rate { burst: 3, every: Duration::from_secs(10) };
        let mut bucket = Bucket::full(start, &rate);
        let mut at = |seconds: u64| bucket.pass(start + Duration::from_secs(seconds), &rate);
        assert_eq!([at(0), at(0), at(1), at(2), at(9)], [Some(0), Some(0), Some(0), None, None]);
        assert_eq!([at(10), at(11)], [Some(2), None]);
        // A long silence fills it, and no more than that.
        assert_eq!(
            [at(1_000_000), at(1_000_000), at(1_000_000), at(1_000_000)],
            [Some(1), Some(0), Some(0), None]
        );
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of that, with a clock that stands where the test has stopped it.
    fn written(format: Format, log: impl FnOnce()) -> Vec<String> {
        let written = Written::default();
        let out = written.clone();
        let lines = crate::lines(format, move || out.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
        let text = written.0.lock().clone();
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_strangers_cause_are_few_and_say_how_many_were_not_written() {
        let left_out = lines_left_out();
        let line = |n: usize| tracing::warn!(target: STRANGER, n, "again");
        let text = written(Format::Text, || (0..100).for_each(line));
        assert_eq!(text.len(), 5, "{text:?}");
        assert!(lines_left_out() - left_out >= 95);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_left_out_is_told_with_the_next_in_both_formats() {
        for format in [Format::Text, Format::Json] {
            let written = Written::default();
            let out = written.clone();
            let lines = crate::lines(format, move || out.clone());
            let guard =
                tracing::subscriber::set_default(tracing_subscriber::registry().with(lines));
            let line = || tracing::warn!(target: STRANGER, "again");
            (0..8).for_each(|_| line());
            tokio::time::advance(Duration::from_secs(10)).await;
            line();
            drop(guard);
            let text = String::from_utf8(written.0.lock().clone()).unwrap();
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.len(), 7, "{text}");
            match format {
                Format::Text => {
                    assert!(lines[5].ends_with(
                        " WARN reframe::stranger: 3 lines like the next one were left out"
                    ))
                }
                Format::Json => {
                    assert!(lines[5].contains(r#""left_out":3,"target":"reframe::stranger""#))
                }
            }
        }
    }

    #[test]
    fn an_authors_lines_and_debugging_are_not_left_out() {
        let all = written(Format::Text, || {
            (0..1_000).for_each(|n| tracing::info!(target: "somebodys_handler", n, "a frame"));
            (0..1_000).for_each(
                |n| tracing::debug!(target: "reframe_gateway::workers::link", n, "a frame"),
            );
        });
        assert_eq!(all.len(), 2_000);
        let ours = written(Format::Text, || {
            (0..1_000).for_each(|n| tracing::info!(target: "reframe_gateway", n, "a frame"))
        });
        assert!((50..1_000).contains(&ours.len()), "{}", ours.len());
    }

    #[test]
    fn a_kind_is_a_place_in_the_source() {
        let both = written(Format::Text, || {
            (0..6).for_each(|_| tracing::warn!(target: STRANGER, "one"));
            (0..6).for_each(|_| tracing::warn!(target: STRANGER, "another"));
        });
        assert_eq!(both.len(), 10);
    }
}
