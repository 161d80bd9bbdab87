//! Before a session: whose a check is, and whether it is signed. Anybody may send them.

use criterion::Criterion;
use reframe_gateway::bench::SignedCheck;

pub(crate) fn benches(criterion: &mut Criterion) {
    let check = SignedCheck::new();
    let mut group = criterion.benchmark_group("STUN");
    group.bench_function("a signed check by hand", |bencher| {
        bencher.iter(|| assert!(check.verify_by_hand()));
    });
    group.bench_function("a signed check by the stack's parser", |bencher| {
        bencher.iter(|| assert!(check.verify_by_the_stack()));
    });
    group.finish();
}
