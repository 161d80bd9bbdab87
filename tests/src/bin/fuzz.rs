//! Runs what `tests/fuzz` lists on mutations of its corpora, as many as are asked for: without
//! cargo-fuzz, and so without following new paths, but as fast as the target is.
//!
//! It prints each target's inputs and the slowest, and ends at the first panic, whose input it
//! names.

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use reframe_gateway::fuzz::{TARGETS, mutate, seeds};
use tokio::time::Instant;

/// Mutations of the corpora of tests/fuzz.
#[derive(Debug, Parser)]
struct Options {
    /// Targets, all if none is named.
    targets: Vec<String>,
    /// Inputs of each.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// Of the pseudo-random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Tells the input when a target panics.
struct PrintOnPanic<'a>(&'a str, &'a [u8]);

impl Drop for PrintOnPanic<'_> {
    #[expect(clippy::print_stderr, reason = "a program for people")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: {:02x?}", self.0, self.1);
        }
    }
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn main() -> Result<(), Box<dyn Error>> {
    let Options { targets, count, seed } = Options::parse();
    if let Some(unknown) =
        targets.iter().find(|name| TARGETS.iter().all(|(target, _)| target != name))
    {
        return Err(format!(
            "no target `{unknown}`; there are {:?}",
            TARGETS.map(|(name, _)| name)
        )
        .into());
    }
    for (name, target) in TARGETS {
        if !targets.is_empty() && targets.iter().all(|wanted| wanted != name) {
            continue;
        }
        let seeds = seeds(name)?;
        let mut random = SmallRng::seed_from_u64(seed);
        let (begin, mut slowest) = (Instant::now(), Duration::ZERO);
        for n in 0..count {
            let mut data = seeds[usize::try_from(n % seeds.len() as u64)?].clone();
            // More and more of it.
            for _ in 0..=n / seeds.len() as u64 % 4 {
                mutate(&mut random, &mut data);
            }
            let input = PrintOnPanic(name, &data);
            let before = Instant::now();
            target(input.1);
            slowest = slowest.max(before.elapsed());
        }
        println!("{name}: {count} inputs in {:.1?}, the slowest {slowest:.1?}", begin.elapsed());
    }
    Ok(())
}
