//! Each piece of a frame's way by itself, on one thread: `make bench-pieces`.
//!
//! For comparing a change with what was before, on one machine; what the whole costs is `make
//! bench`'s to say, and counts that no other load disturbs `make instructions`'. In the order in
//! which a frame meets them.

mod clip;
mod codecs;
mod conversion;
mod exchange;
mod packets;
mod stun;
mod waiting;
mod wire;

use std::time::Duration;

use criterion::Criterion;

/// As the programs that are measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // Counters and histograms are a part of what a frame costs.
    drop(reframe_gateway::bench::metrics());
    let criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    let criterion = &mut criterion.configure_from_args();
    stun::benches(criterion);
    packets::benches(criterion);
    codecs::benches(criterion);
    waiting::benches(criterion);
    wire::benches(criterion);
    exchange::benches(criterion);
    conversion::benches(criterion);
    criterion.final_summary();
}
