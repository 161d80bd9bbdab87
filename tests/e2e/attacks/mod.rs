//! Attackers beside an honest stream, which must not notice: no packet, offer or neighbour of it stops the gateway.
//!
//! Judged from outside alone: pictures, slots, memory, `/healthz` and replies. How it is held off is not looked at.

mod inside;
mod offers;
mod paths;
mod slots;

use reframe_tests::attacker::attacks::SETUPS;
use reframe_tests::attacker::judge::Judge;

use super::*;

/// The judge has seen enough: nobody noticed anything, and all that was taken is given back.
#[track_caller]
#[expect(clippy::print_stderr, reason = "the figures, where a test's output is shown")]
fn conclude(cluster: &mut Cluster, judge: &Judge) {
    let verdict = judge.look();
    eprintln!("{verdict}");
    let settled = judge.settle(cluster);
    assert!(verdict.unnoticed(), "an honest stream noticed: {verdict}; then {settled:?}");
    settled.unwrap_or_else(|left| panic!("not given back: {left}"));
    assert!(cluster.gateway.alive());
}
