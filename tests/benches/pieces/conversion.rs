//! Hop 6: pixels for the handler and back.

use criterion::{BatchSize, Criterion, Throughput};
use reframe_worker::bench::{Path, Picture};
use reframe_worker::{Frame, PixelFormat};

use crate::clip;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("conversion");
    for (width, height) in [(1280, 720), (640, 480)] {
        let data = clip::pictures(width, height).swap_remove(0).data;
        group.throughput(Throughput::Bytes(data.len() as u64));
        let picture = Picture::new(width, height, data);
        group.bench_function(format!("I420 to RGB24, {height}p, a new buffer"), |bencher| {
            let mut path = Path::new(PixelFormat::Rgb24, None);
            bencher.iter_batched(
                || picture.clone(),
                |picture| path.to_frame(picture),
                BatchSize::PerIteration,
            );
        });
        group.bench_function(
            format!("I420 to RGB24 and back, {height}p, the buffer again"),
            |bencher| {
                let mut path = Path::new(PixelFormat::Rgb24, None);
                bencher.iter(|| {
                    let frame = path.to_frame(picture.clone());
                    path.to_picture(frame)
                });
            },
        );
        group.bench_function(format!("RGB24 to I420, {height}p"), |bencher| {
            let mut path = Path::new(PixelFormat::Rgb24, None);
            let frame = path.to_frame(picture.clone());
            bencher.iter_batched(
                || frame.clone(),
                |frame: Frame| path.to_picture(frame),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}
