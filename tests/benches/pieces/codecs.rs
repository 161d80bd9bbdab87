//! Hops 2 and 9: what everything else is held against. A round is a second of video.

use criterion::{BatchSize, Criterion, Throughput};
use reframe_gateway::codec::Codec;

use crate::clip;

/// A round takes a few hundred milliseconds.
const SAMPLES: usize = 10;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codecs");
    group.sample_size(SAMPLES);
    let pictures = clip::pictures(1280, 720);
    for codec in [Codec::Vp8, Codec::H264] {
        let units = clip::units(codec);
        group.throughput(Throughput::Elements(units.len() as u64));
        group.bench_function(format!("decode {codec}"), |bencher| {
            bencher.iter_batched_ref(
                || codec.decoder().expect("memory for a decoder"),
                |decoder| {
                    units
                        .iter()
                        .map(|unit| decoder.decode(&unit.data).expect("a sound clip"))
                        .map(drop)
                        .count()
                },
                BatchSize::PerIteration,
            );
        });
        group.throughput(Throughput::Elements(pictures.len() as u64));
        group.bench_function(format!("encode {codec}"), |bencher| {
            bencher.iter_batched_ref(
                || codec.encoder(2_000, 30.0),
                |encoder| {
                    let encode = |(pts, picture)| {
                        encoder.encode(picture, pts, false).expect("a sound picture")
                    };
                    (0..).step_by(3_000).zip(&pictures).map(encode).map(drop).count()
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}
