//! Attackers beside an honest stream, which must not notice: no packet, offer or neighbour of it
//! stops the gateway.
//!
//! The attacks, and what each may cost, are in `tests/src/attacker/attacks/mod.rs`. Judged from
//! outside alone: pictures, slots, memory, `/healthz`, logs and replies. How an attack is held off
//! is not looked at.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use reframe_tests::attacker::arena::Arena;
use reframe_tests::attacker::attacks::GROUPS;
use tokio::time::Instant;

/// The same attacks each time.
const SEED: u64 = 1;

/// Makes all attacks of one group, one after the other. That slots and memory are given back is
/// waited for once: it takes seconds, in which nothing happens.
#[track_caller]
#[expect(clippy::print_stderr, reason = "the figures, where a test's output is shown")]
fn make(name: &str) {
    let (_, attacks) = GROUPS.into_iter().find(|(group, _)| *group == name).expect("a group");
    let mut arena = Arena::open(1).expect("an honest stream");
    let (mut broken, began) = (Vec::new(), Instant::now());
    for attack in attacks {
        let outcome = arena.make(attack, &mut SmallRng::seed_from_u64(SEED));
        eprintln!("{:>3} s  {:<16} {}", began.elapsed().as_secs(), attack.name, outcome.seen);
        if !outcome.held {
            broken.push(format!("{}: {}", attack.name, outcome.seen));
        }
    }
    match arena.settle() {
        Ok(time) => eprintln!("{:>3} s  given back after {time:?}", began.elapsed().as_secs()),
        Err(left) => broken.push(format!("all together: {left}")),
    }
    broken.extend(arena.fill().err());
    assert!(broken.is_empty(), "{}\n{}", broken.join("\n"), arena.log());
}

#[test]
fn inside_dtls() {
    make("inside");
}

#[test]
fn paths() {
    make("paths");
}

#[test]
fn offers() {
    make("offers");
}

#[test]
fn requests() {
    make("requests");
}
