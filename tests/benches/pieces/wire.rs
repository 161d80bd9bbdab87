//! Hops 4 and 5 where the worker is elsewhere: a 720p frame as tonic encodes and decodes it,
//! without the socket.

use criterion::{Criterion, Throughput};
use reframe_proto::v1::{Frame, ToWorker, to_worker};
use reframe_tests::grpc;

use crate::clip;

pub(crate) fn benches(criterion: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O");
    let picture = clip::pictures(1280, 720).swap_remove(0);
    let mut group = criterion.benchmark_group("wire");
    group.throughput(Throughput::Bytes(picture.data.len() as u64));
    let frame = Frame { width: 1280, height: 720, data: picture.data, ..Frame::default() };
    let message = ToWorker { message: Some(to_worker::Message::Frame(frame)) };
    let body = runtime.block_on(grpc::encode(message.clone()));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| runtime.block_on(grpc::encode(message.clone())).len());
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| runtime.block_on(grpc::decode::<ToWorker>(body.clone())));
    });
    group.finish();
}
