//! The command line of a handler's program: `launch`, `serve` and `check`.

mod check;
#[cfg(feature = "launch")]
pub(crate) mod launch;
mod listen;
mod serve;

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::future::pending;
use std::io::{self, Write as _};
#[cfg(feature = "launch")]
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use reframe_trace::{Export, Log, error_chain};

use crate::stream::{Stream, StreamError};

/// Exit code of a wrong command line or configuration: `EX_USAGE` of sysexits.
const EXIT_USAGE: u8 = 64;

/// Exit code of every other failure.
const EXIT_FAILURE: u8 = 1;

/// The largest `--capacity`. Each session is a thread; for more, start more workers.
const MAX_CAPACITY: u32 = 1024;

/// For a program without options of its own.
#[derive(Debug, Clone, Copy, Args)]
pub struct NoOptions {}

/// What is wrong with a program's own options: one text for each problem, which names its option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl From<Vec<String>> for Problems {
    fn from(problems: Vec<String>) -> Self {
        Self(problems)
    }
}

impl From<String> for Problems {
    fn from(problem: String) -> Self {
        Self(vec![problem])
    }
}

impl From<StreamError> for Problems {
    fn from(error: StreamError) -> Self {
        Self(vec![error.to_string()])
    }
}

/// Runs streams as the command line says; what [`Stream::run`] does, for a program with several
/// streams or with options of its own.
///
/// `streams` makes one or more streams from those options, each with its own name. `launch` runs
/// all of them, `serve` the one that its option `--stream` names, or the only one. If the options
/// are wrong, `streams` returns one text for each problem, which names its option; they are listed
/// together with all other problems of the configuration.
///
/// The exit code is 0 after a signal ended the program, 64 when the command line or the
/// configuration is wrong, and 1 for every other failure.
///
/// ```no_run
/// use reframe_worker::{Frame, Stream, VideoStreamHandler, cli};
///
/// #[derive(clap::Args)]
/// struct Options {
///     /// Frames per second.
///     #[arg(long, default_value = "30")]
///     fps: String,
/// }
///
/// fn main() -> std::process::ExitCode {
///     cli::run(|options: Options| {
///         let fps = options.fps.parse().map_err(|error| format!("--fps: {error}"))?;
///         let flip = VideoStreamHandler::new(|frame: Frame| Ok(frame.flip_vertical())).fps(fps);
///         let same = VideoStreamHandler::new(|frame: Frame| Ok(frame)).fps(fps);
///         Ok([
///             Stream::builder(flip).name("flip").try_build()?,
///             Stream::builder(same).name("same").try_build()?,
///         ])
///     })
/// }
/// ```
///
/// # Panics
///
/// Inside an asynchronous runtime such as that of `#[tokio::main]`: this function starts its own
/// runtimes, so `main` must be a plain function.
#[must_use]
pub fn run<O, S>(streams: impl FnOnce(O) -> Result<S, Problems>) -> ExitCode
where
    O: Args,
    S: IntoIterator<Item = Stream>,
{
    run_from(env::args_os(), pending(), streams).into()
}

/// As [`run`], with the command line in `arguments` (its first is the program's name), and ended by
/// `stop` too, as a signal would; for a program that is embedded in another. Returns the exit code.
///
/// # Panics
///
/// As [`run`].
#[must_use]
pub fn run_from<O, S>(
    arguments: impl IntoIterator<Item: Into<OsString> + Clone>,
    stop: impl Future<Output = ()> + Send + 'static,
    streams: impl FnOnce(O) -> Result<S, Problems>,
) -> u8
where
    O: Args,
    S: IntoIterator<Item = Stream>,
{
    let inside = tokio::runtime::Handle::try_current().is_ok();
    assert!(
        !inside,
        "call this from a plain `fn main`, not from `#[tokio::main]`: it brings its own runtimes"
    );
    let streams = |options| match streams(options) {
        Ok(streams) => Ok(streams.into_iter().collect()),
        Err(problems) => Err(problems.0),
    };
    let outcome = parse(arguments).map(|command| match command {
        #[cfg(feature = "launch")]
        Command::Launch(options) => launch::run(*options, stop, streams),
        Command::Serve(options) => serve::run(*options, stop, streams),
        Command::Check(options) => check::run(*options, streams),
    });
    outcome.map_or_else(|code| code, exit_code)
}

/// Runs the gateway of `launch` alone, with workers in other processes at `sockets`, as `arguments`
/// say: for a program that starts these processes itself, each with `serve --listen unix:…`. Else
/// as [`run_from`].
#[cfg(feature = "launch")]
#[must_use]
pub fn front_from(
    arguments: impl IntoIterator<Item: Into<OsString> + Clone>,
    stop: impl Future<Output = ()> + Send + 'static,
    sockets: impl IntoIterator<Item = PathBuf>,
) -> u8 {
    let outcome = parse::<NoOptions>(arguments).map(|command| match command {
        Command::Launch(options) => launch::front(*options, stop, sockets),
        Command::Serve(_) | Command::Check(_) => {
            Err(Failure::Configuration(vec!["only `launch` has a gateway".to_owned()]))
        }
    });
    outcome.map_or_else(|code| code, exit_code)
}

/// The command, or the exit code if there is none.
fn parse<O: Args>(
    arguments: impl IntoIterator<Item: Into<OsString> + Clone>,
) -> Result<Command<O>, u8> {
    Cli::try_parse_from(arguments).map(|cli| cli.command).map_err(|error| {
        // clap returns `--help` and `--version` as errors, and prints them to stdout. A closed
        // pipe is not an error here.
        error.print().ok();
        if error.use_stderr() { EXIT_USAGE } else { 0 }
    })
}

fn exit_code(outcome: Result<(), Failure>) -> u8 {
    outcome.map_or_else(|failure| report(&failure), |()| 0)
}

/// A handler for live video, and the gateway or the worker around it.
#[derive(Debug, Parser)]
#[command(name = "reframe-worker", version)]
struct Cli<O: Args> {
    #[command(subcommand)]
    command: Command<O>,
}

#[derive(Debug, Subcommand)]
enum Command<O: Args> {
    /// Run a gateway and the handler in one process: open the page and see the stream.
    #[cfg(feature = "launch")]
    Launch(Box<launch::Options<O>>),
    /// Run a worker alone, for the pools of gateways elsewhere.
    Serve(Box<serve::Options<O>>),
    /// Print what the streams declare, run each handler on generated frames, and end: with 1 if one
    /// fails.
    Check(Box<check::Options<O>>),
}

/// Options of every command. Values are texts, so that all wrong ones can be reported at once.
///
/// `group(skip)` here and in the commands: otherwise clap names a group after the struct, and then
/// refuses an author's `Options` beside this one.
#[derive(Debug, Args)]
#[group(skip)]
struct Common<O: Args> {
    #[command(flatten)]
    streams: O,

    /// Sessions that each stream's handler takes at once; each costs a thread [1 to 1024; default:
    /// 16, or fewer where calls run one at a time and take long].
    #[arg(long, env = "REFRAME_CAPACITY", value_name = "N")]
    capacity: Option<String>,

    #[command(flatten)]
    log: reframe_trace::Options,
}

/// [`Common`], validated.
#[derive(Debug)]
struct Settings {
    /// At least one, with distinct names.
    streams: Vec<Stream>,
    /// Sessions of each stream, if it was said.
    capacity: Option<u32>,
    /// The log filter and format.
    log: Log,
}

impl<O: Args> Common<O> {
    /// The settings, or everything that is wrong.
    fn validate(
        self,
        streams: impl FnOnce(O) -> Result<Vec<Stream>, Vec<String>>,
    ) -> Result<Settings, Vec<String>> {
        let mut problems = Vec::new();
        let streams = keep(&mut problems, streams(self.streams).and_then(distinct));
        // An empty environment variable counts as one that is not set.
        let given = self.capacity.filter(|given| !given.is_empty());
        let capacity = given.map(|given| match given.trim().parse() {
            Ok(capacity) if (1..=MAX_CAPACITY).contains(&capacity) => Ok(capacity),
            _ => Err([format!("--capacity: `{given}` is not a number from 1 to {MAX_CAPACITY}")]),
        });
        let capacity = keep(&mut problems, capacity.transpose());
        let log = keep(&mut problems, self.log.validate());
        match (streams, capacity, log) {
            (Some(streams), Some(capacity), Some(log)) => Ok(Settings { streams, capacity, log }),
            _ => Err(problems),
        }
    }
}

/// Streams that a gateway can tell apart.
fn distinct(streams: Vec<Stream>) -> Result<Vec<Stream>, Vec<String>> {
    if streams.is_empty() {
        return Err(vec!["the program has no stream".to_owned()]);
    }
    let twice = |(index, stream): (usize, &Stream)| {
        let before = streams[..index].iter().any(|other| other.name == stream.name);
        before.then(|| format!("the program has two streams named `{}`", stream.name))
    };
    let problems: Vec<String> = streams.iter().enumerate().filter_map(twice).collect();
    if problems.is_empty() { Ok(streams) } else { Err(problems) }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Every problem, each naming its option.
    #[error("the configuration is wrong")]
    Configuration(Vec<String>),
    #[error("{0}")]
    Run(&'static str, #[source] Box<dyn Error + Send + Sync>),
    #[cfg(feature = "launch")]
    #[error(transparent)]
    Launch(launch::LaunchError),
    #[error("a second signal cut the shutdown short")]
    Forced,
}

/// The value, or its problems added to the list.
fn keep<T>(
    problems: &mut Vec<String>,
    value: Result<T, impl IntoIterator<Item = String>>,
) -> Option<T> {
    value.map_err(|found| problems.extend(found)).ok()
}

/// Spans are exported as the environment says until this is dropped.
fn start_log(log: Log, service: &'static str) -> Result<Option<Export>, Failure> {
    log.start(service).map_err(|error| Failure::Configuration(vec![error_chain(&error)]))
}

/// For the person at the terminal, whatever the log filter is. Without a terminal the exit code
/// remains.
fn report(failure: &Failure) -> u8 {
    let mut terminal = io::stderr().lock();
    writeln!(terminal, "error: {}", error_chain(failure)).ok();
    let Failure::Configuration(problems) = failure else { return EXIT_FAILURE };
    for problem in problems {
        writeln!(terminal, "  {problem}").ok();
    }
    EXIT_USAGE
}

impl Stream {
    /// Runs the stream as the command line says (`launch`, `serve` or `check`) until that ends or a
    /// signal ends it: all that `main` needs.
    ///
    /// A program with several streams, or with options of its own, uses [`run`].
    #[must_use]
    pub fn run(self) -> ExitCode {
        run(|_: NoOptions| Ok([self]))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::frame::Frame;
    use crate::handler::VideoStreamHandler;

    fn stream(name: &str) -> Stream {
        Stream::builder(VideoStreamHandler::new(|frame: Frame| Ok(frame))).name(name).build()
    }

    fn validate(arguments: &[&str], streams: &[&str]) -> Result<Settings, Vec<String>> {
        #[derive(Parser)]
        struct Program {
            #[command(flatten)]
            common: Common<NoOptions>,
        }
        let program = Program::try_parse_from([&["program"], arguments].concat()).unwrap();
        program.common.validate(|_| Ok(streams.iter().map(|name| stream(name)).collect()))
    }

    #[test]
    fn the_command_line_is_sound_whatever_the_author_calls_theirs() {
        #[derive(Debug, Args)]
        struct Options {
            #[arg(long)]
            _model: Option<String>,
        }
        #[derive(Debug, Args)]
        struct Common {}
        Cli::<NoOptions>::command().debug_assert();
        Cli::<Options>::command().debug_assert();
        Cli::<Common>::command().debug_assert();
    }

    #[test]
    fn defaults_are_valid() {
        let Settings { streams, capacity, log: _ } = validate(&[], &["default"]).unwrap();
        assert_eq!((streams.len(), capacity), (1, None));
    }

    #[test]
    fn every_problem_is_found_at_once() {
        let problems =
            validate(&["--capacity", "0", "--log", "loud=very"], &["a", "b", "a"]).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert_eq!(problems[0], "the program has two streams named `a`");
        assert_eq!(problems[1], "--capacity: `0` is not a number from 1 to 1024");
        assert!(problems[2].starts_with("--log: `loud=very`: "), "{problems:?}");
    }

    #[test]
    fn capacity_is_a_number_of_sessions() {
        for wrong in [" ", "-1", "1.5", "1025", "many"] {
            let argument = format!("--capacity={wrong}");
            assert_eq!(validate(&[&argument], &["default"]).unwrap_err().len(), 1, "{wrong:?}");
        }
        for (given, capacity) in [("1024", Some(1024)), ("", None)] {
            let argument = format!("--capacity={given}");
            assert_eq!(validate(&[&argument], &["default"]).unwrap().capacity, capacity);
        }
    }

    #[test]
    fn a_program_has_a_stream() {
        assert_eq!(validate(&[], &[]).unwrap_err(), ["the program has no stream"]);
    }
}
