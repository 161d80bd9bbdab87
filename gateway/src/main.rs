//! The gateway's binary.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use reframe_gateway::{ClusterOptions, EXIT_USAGE, Options, TokenOptions};
use reframe_trace::error_chain;

/// Frames are 1.4 MB each and cross threads: glibc's allocator returns and faults in their pages
/// every time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Terminates WebRTC for browsers and has their video processed by Reframe workers.
#[derive(Parser)]
#[command(name = "reframe-gateway", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    options: Options,

    #[command(flatten)]
    cluster: ClusterOptions,

    #[command(flatten)]
    log: reframe_trace::Options,
}

#[derive(Subcommand)]
enum Command {
    /// Make a CA, certificates of it for the gateways, workers and Redis of a cluster, and the
    /// gateways' secrets and user of Redis. Does not replace any file.
    ClusterInit {
        /// The folder; it is made if it is not there.
        dir: PathBuf,
    },
    /// Make an access token for a gateway with --auth token, and print it.
    Token(TokenOptions),
}

fn main() -> ExitCode {
    // The allocator asks for 24 MB of huge pages, and hardly uses them
    // (docs/decisions/0016-memory.md). An error is a kernel without any.
    rustix::thread::disable_transparent_huge_pages(true).ok();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nowhere to print to: the exit code still tells.
            drop(error.print());
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) };
        }
    };
    match &cli.command {
        Some(Command::ClusterInit { dir }) => return init(dir),
        Some(Command::Token(options)) => return token(options),
        None => {}
    }
    let config = cli.options.validate();
    let mut problems = config.as_ref().err().cloned().unwrap_or_default();
    let cluster = cli.cluster.validate(&cli.options);
    problems.extend(cluster.as_ref().err().cloned().unwrap_or_default());
    let log = cli.log.validate();
    problems.extend(log.as_ref().err().cloned().unwrap_or_default());
    let (Ok(config), Ok(cluster), Ok(log)) = (config, cluster, log) else {
        return usage(&problems);
    };
    let _export = match log.start("reframe-gateway") {
        Ok(export) => export,
        Err(error) => return usage(&[error_chain(&error)]),
    };
    match reframe_gateway::run(config, cluster) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error_chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn token(options: &TokenOptions) -> ExitCode {
    match options.make() {
        Ok(token) if writeln!(io::stdout(), "{token}").is_ok() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(problems) => usage(&problems),
    }
}

/// Makes the cluster's certificates, and says which files they are.
fn init(dir: &Path) -> ExitCode {
    match reframe_gateway::cluster_init(dir) {
        Ok(made) => {
            for file in made {
                writeln!(io::stdout(), "{}", file.display()).ok();
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            print_error(&error_chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn usage(problems: &[String]) -> ExitCode {
    for problem in problems {
        print_error(problem);
    }
    print_error("see --help for every option, its unit and default");
    ExitCode::from(EXIT_USAGE)
}

/// Before logging starts, on standard error; where that is closed, the exit code still tells.
fn print_error(line: &str) {
    writeln!(io::stderr(), "reframe-gateway: {line}").ok();
}
