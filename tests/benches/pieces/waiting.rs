//! Hops 3 and 8: what decides when a frame goes on. A round is one frame.

use std::time::Duration;

use criterion::{Criterion, Throughput};
use reframe_gateway::bench::{Frame, Pacer, Queue};
use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_nanos(33_333_333);

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("waiting");
    group.throughput(Throughput::Elements(1));
    group.bench_function("queue, push and pop", |bencher| {
        let (queue, now) = (Queue::newest(), Instant::now());
        let mut frame = Some(Frame::blank(now, 0));
        bencher.iter(|| {
            queue.push(now, frame.take().expect("it came back"));
            frame = queue.pop();
        });
    });
    group.bench_function("pacer, a result", |bencher| {
        let (mut pacer, start) = (Pacer::new(30.0), Instant::now());
        let mut passed = Duration::ZERO;
        bencher.iter(|| {
            passed += INTERVAL;
            pacer.result(start + passed, passed)
        });
    });
    group.bench_function("pacer, a re-emission", |bencher| {
        let (mut pacer, start) = (Pacer::new(30.0), Instant::now());
        pacer.result(start, Duration::ZERO);
        let mut passed = INTERVAL;
        bencher.iter(|| {
            passed += INTERVAL;
            pacer.no_result(start + passed)
        });
    });
    group.finish();
}
