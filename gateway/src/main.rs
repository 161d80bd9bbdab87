//! The gateway's binary.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use reframe_gateway::{ClusterOptions, EXIT_USAGE, Options};
use tracing_subscriber::EnvFilter;

/// Frames are 1.4 MB each and cross threads: glibc's allocator returns and faults in their pages every time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Terminates WebRTC for browsers and has their video processed by Reframe workers.
#[derive(Parser)]
#[command(name = "reframe-gateway", version)]
struct Cli {
    #[command(flatten)]
    options: Options,

    #[command(flatten)]
    cluster: ClusterOptions,

    /// What is logged to stderr [a level: error, warn, info, debug, trace; or a list of module=level].
    #[arg(long, env = "REFRAME_LOG", default_value = "info")]
    log: String,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nowhere to print to: the exit code still tells.
            drop(error.print());
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) };
        }
    };
    let config = cli.options.validate();
    let mut problems = config.as_ref().err().cloned().unwrap_or_default();
    let cluster = cli.cluster.validate(&cli.options);
    problems.extend(cluster.as_ref().err().cloned().unwrap_or_default());
    let filter = EnvFilter::try_new(&cli.log).map_err(|error| problems.push(format!("--log: `{}`: {error}", cli.log)));
    let (Ok(config), Ok(cluster), Ok(filter)) = (config, cluster, filter) else { return usage(&problems) };
    let filter = reframe_gateway::hush(filter);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match reframe_gateway::run(config, cluster) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error}{}", error.source().map(|cause| format!(": {cause}")).unwrap_or_default()));
            ExitCode::FAILURE
        }
    }
}

fn usage(problems: &[String]) -> ExitCode {
    for problem in problems {
        complain(problem);
    }
    complain("see --help for every option, its unit and default");
    ExitCode::from(EXIT_USAGE)
}

#[expect(clippy::print_stderr, reason = "before logging starts, to whoever started this")]
fn complain(line: &str) {
    eprintln!("reframe-gateway: {line}");
}
