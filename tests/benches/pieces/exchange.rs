//! Hops 4 and 5 where the worker is on this machine: a 720p picture handed over, there and taken.

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use reframe_proto::exchange::Exchange;
use reframe_proto::i420_len;

pub(crate) fn benches(criterion: &mut Criterion) {
    let picture = Bytes::from(vec![0; i420_len(1280, 720)]);
    let mut group = criterion.benchmark_group("exchange");
    group.throughput(Throughput::Bytes(picture.len() as u64));
    group.bench_function("in one process", |bencher| {
        let exchange = Exchange::open();
        let joined = Exchange::join(exchange.token()).expect("it is of this process");
        bencher.iter(|| {
            exchange.frames.give(7, picture.clone());
            joined.frames.take(7)
        });
    });
    group.finish();
}
