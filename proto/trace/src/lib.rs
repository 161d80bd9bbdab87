//! Diagnostics of Reframe's programs: logs, exported traces, and whether their threads still run
//! (`watchdog`). A gateway, a worker, and both in one process have the same options, lines and
//! spans.
//!
//! Logs go to stderr, as text or JSON, at a bounded rate for each kind of line (`lines`, `panics`).
//! Traces go to an OpenTelemetry collector when the standard variables name one (`export`);
//! otherwise no spans are created. A trace crosses from one process to another as the text of a
//! `traceparent` (`context`).

mod context;
mod export;
mod lines;
mod panics;
pub mod watchdog;

use std::error::Error;
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

/// An error and what caused it, on one line.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The log options. Flatten them into a command line.
#[derive(Args, Clone, Debug)]
// Otherwise clap names a group after the struct, and then refuses an embedder's `Options` beside
// it.
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
    /// Starts logging, and exporting as `service` if the environment names a collector. Dropping
    /// the [`Export`] sends what is still queued.
    ///
    /// A program that has a subscriber already keeps it, and exports its spans itself.
    ///
    /// # Errors
    /// The environment configures an export that is not possible.
    pub fn start(self, service: &'static str) -> Result<Option<Export>, ExportError> {
        if dispatcher::has_been_set() {
            return Ok(None);
        }
        let export = Export::from_env(service)?;
        // Not subject to the log's filter: a quiet log must not cause gaps in a trace.
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
        // The event's own fields are at the top level, where collectors look for `message`. Spans
        // are written as the list only: the innermost need not be the one with the session.
        Format::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    }
}

/// The WebRTC stack logs a line for each bad datagram, which anybody can send; the HTTP server logs
/// several lines at its start, which hide the one with the address.
const CHATTY: &[&str] =
    &["rtc", "rtc_ice", "rtc_dtls", "rtc_stun", "rtc_sctp", "rtc_srtp", "webrtc", "actix_server"];

/// Limits the lines of [`CHATTY`], whatever the filter says; bad datagrams are counted instead.
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
