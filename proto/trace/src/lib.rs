//! What Reframe's programs tell of themselves: how they log, the traces that they export, and
//! whether their threads still run (`watchdog`). The same options, the same lines and the same
//! spans from a gateway, a worker, and both in one process.
//!
//! Logs go to stderr, as text or JSON, and no more of one kind than somebody could read (`lines`,
//! `panics`). Traces go to an OpenTelemetry collector when the standard variables name one
//! (`export`), else nowhere, and then no span of theirs is ever made. A trace crosses from one
//! process to another as the text of a `traceparent` (`context`).

mod context;
mod export;
mod lines;
mod panics;
pub mod watchdog;

use std::io::{self, IsTerminal, Write};

use clap::{Args, ValueEnum};
use tracing::{Subscriber, dispatcher};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

pub use crate::context::{follow, header, traceparent};
pub use crate::export::{Export, ExportError};
use crate::lines::BoundedLines;
pub use crate::lines::{STRANGER, lines_left_out};
pub use crate::panics::bound_panics;

/// What a program's log options are. Flatten them into a command line.
#[derive(Args, Clone, Debug)]
// clap would name a group after the struct and refuse an embedder's `Options` beside it.
#[group(skip)]
pub struct Options {
    /// What is logged to stderr [a level: error, warn, info, debug, trace; or a list of
    /// module=level].
    #[arg(long, env = "REFRAME_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// How it is written [text, for people; json, one object a line].
    #[arg(long, env = "REFRAME_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: String,
}

/// Checked options.
#[derive(Debug)]
pub struct Log {
    filter: EnvFilter,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Options {
    /// Checks both.
    ///
    /// # Errors
    /// One line for each problem, naming its flag.
    pub fn validate(&self) -> Result<Log, Vec<String>> {
        let filter = EnvFilter::try_new(&self.log)
            .map_err(|error| format!("--log: `{}`: {error}", self.log));
        let format = Format::from_str(self.log_format.trim(), false)
            .map_err(|_| format!("--log-format: `{}` is not text or json", self.log_format));
        match (filter, format) {
            (Ok(filter), Ok(format)) => Ok(Log { filter, format }),
            (filter, format) => Err(filter.err().into_iter().chain(format.err()).collect()),
        }
    }
}

impl Log {
    /// Starts logging; and exporting, as `service`, when the environment says where to. What was
    /// not exported yet is when the [`Export`] is dropped.
    ///
    /// A program that has a subscriber already keeps it, and exports its spans itself.
    ///
    /// # Errors
    /// What the environment says of the export cannot be done.
    pub fn start(self, service: &'static str) -> Result<Option<Export>, ExportError> {
        if dispatcher::has_been_set() {
            return Ok(None);
        }
        let export = Export::from_env(service)?;
        // Not by the log's own filter: a quiet log is no reason for holes in a trace.
        let spans =
            export.as_ref().map(|export| export.layer().with_filter(hush(EnvFilter::new("info"))));
        let lines = lines(self.format, io::stderr).with_filter(hush(self.filter));
        tracing_subscriber::registry().with(lines).with(spans).init();
        Ok(export)
    }
}

fn lines<S: Subscriber + for<'a> LookupSpan<'a>, W: Write + 'static>(
    format: Format,
    out: impl Fn() -> W + Send + Sync + 'static,
) -> Box<dyn Layer<S> + Send + Sync> {
    let lines = fmt::layer().with_writer(BoundedLines::new(out, format));
    match format {
        Format::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        // The event's own fields beside `level` and `target`, where collectors look for `message`.
        // Of the spans the list alone: the innermost need not be the one that says which session it
        // is.
        Format::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    }
}

/// The WebRTC stack writes a line for each bad datagram, which anybody can send; the HTTP server
/// several at its start, around the one line that people look for.
const CHATTY: &[&str] =
    &["rtc", "rtc_ice", "rtc_dtls", "rtc_stun", "rtc_sctp", "rtc_srtp", "webrtc", "actix_server"];

/// Holds the lines of [`CHATTY`] down, whatever the filter says; junk is a counter.
fn hush(filter: EnvFilter) -> EnvFilter {
    CHATTY.iter().fold(filter, |filter, module| {
        filter.add_directive(
            format!("{module}=error").parse().expect("a module and a level is a directive"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(log: &str, format: &str) -> Result<Log, Vec<String>> {
        Options { log: log.into(), log_format: format.into() }.validate()
    }

    #[test]
    fn the_format_is_one_of_two() {
        assert_eq!(validate("info", "text").unwrap().format, Format::Text);
        assert_eq!(validate("warn,h2=debug", " json").unwrap().format, Format::Json);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let problems = validate("loud=very", "xml").unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("--log: `loud=very`: "), "{problems:?}");
        assert_eq!(problems[1], "--log-format: `xml` is not text or json");
    }
}
