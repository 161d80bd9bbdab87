//! The demos as a program: `reframe-worker launch --demo flip`.

mod demos;

use std::process::ExitCode;

use clap::Args;
use reframe_worker::cli;

/// Frames are buffers of a megabyte and more, which glibc maps and unmaps one by one (docs of the crate: "Cost").
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Args)]
struct Options {
    #[arg(long, env = "REFRAME_DEMO", value_name = "NAME", default_value = "flip", help = demos::help())]
    demo: String,
}

fn main() -> ExitCode {
    cli::run(|options: Options| demos::by_name(&options.demo).map_err(|problem| vec![problem]))
}
