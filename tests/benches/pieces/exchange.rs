//! Hops 4 and 5 where the worker is on this machine: a 720p picture given and taken.

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use reframe_proto::exchange::Exchange;
use reframe_proto::i420_len;

pub(crate) fn benches(criterion: &mut Criterion) {
    let picture = Bytes::from(vec![0; i420_len(1280, 720)]);
    let mut group = criterion.benchmark_group("exchange");
    group.throughput(Throughput::Bytes(picture.len() as u64));
    let table = Exchange::open();
    let (shared, memory) = Exchange::share().expect("the system has memory files");
    let admitted = Exchange::admit(shared.token(), memory).expect("it is ours");
    for (name, ours, theirs) in
        [("in one process", &table, &table), ("through shared memory", &shared, &admitted)]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let slot = ours.frames.give(picture.clone()).expect("each is taken at once");
                theirs.frames.take(slot, picture.len())
            });
        });
    }
    group.finish();
}
