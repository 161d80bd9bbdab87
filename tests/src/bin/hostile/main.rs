//! All attackers at random beside honest streams, for minutes, against this build: `make
//! test-hostile`.
//!
//! The attacks are those of [`reframe_tests::attacker::attacks`], what they try is promised in
//! `docs/security.md`, and [`report`] says which promises held.

mod report;

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use reframe_tests::attacker::arena::{Arena, Outcome};
use reframe_tests::attacker::attacks::{Attack, all};
use reframe_tests::attacker::tcp::raise_descriptors;
use tokio::time::Instant;

use self::report::Report;

/// As the programs under test.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Attack a gateway of this build beside honest streams, and say which promises held.
#[derive(Parser, Clone, Debug)]
struct Options {
    /// How long: each attack is made once, then any until this is over [in seconds].
    #[arg(long, default_value_t = 600)]
    duration: u64,

    /// Honest streams, 320x240 at 30 fps.
    #[arg(long, default_value_t = 8)]
    streams: usize,

    /// What is random is drawn from this, to see the same attacks again in the same order.
    #[arg(long)]
    seed: Option<u64>,

    /// Only attacks whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(rand::random);
    let chosen: Vec<_> = all().filter(|attack| attack.name.contains(&options.only)).collect();
    if chosen.is_empty() {
        say(&format!("--only: no attack has `{}` in its name", options.only));
        return ExitCode::FAILURE;
    }
    say(&format!(
        "{} attacks for {} s beside {} honest streams, seed {seed}, {} descriptors",
        chosen.len(),
        options.duration,
        options.streams,
        raise_descriptors(),
    ));
    let report = make(&options, &chosen, seed);
    say(&format!("{report}\nseed {seed}"));
    if report.all_held() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Each once, in any order, and then any.
fn make(options: &Options, chosen: &[&'static Attack], seed: u64) -> Report {
    let mut random = SmallRng::seed_from_u64(seed);
    let (began, duration) = (Instant::now(), Duration::from_secs(options.duration));
    let mut order = chosen.to_vec();
    order.shuffle(&mut random);
    let (mut report, mut arena) = (Report::default(), None);
    let mut made = 0;
    while made < order.len() || began.elapsed() < duration {
        let attack =
            order.get(made).or_else(|| chosen.choose(&mut random)).copied().expect("one at least");
        made += 1;
        // An attack is the same by its own seed, however many drew before it.
        let mut random = SmallRng::seed_from_u64(random.random());
        let attacked = arena.take().map_or_else(|| Arena::open(options.streams), Ok);
        let outcome = match attacked {
            Ok(mut open) => {
                let outcome = open.attack(attack, &mut random);
                // A gateway that broke a promise may be ill, and one that had too little time for
                // all thins its streams for a while: the next attack meets a new one.
                arena = (outcome.held && attack.judged).then_some(open);
                outcome
            }
            Err(error) => Outcome::failed(format!("no honest stream on a new gateway: {error}")),
        };
        let verdict = if outcome.held { "held" } else { "BROKEN" };
        say(&format!(
            "{:>4} s  {:<6}  {:<20} {}",
            began.elapsed().as_secs(),
            verdict,
            attack.name,
            outcome.seen
        ));
        report.add(attack.name, outcome);
    }
    report
}

/// Not `println`, which panics when whoever reads has seen enough.
fn say(line: &str) {
    writeln!(stdout(), "{line}").ok();
}
