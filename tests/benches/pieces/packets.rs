//! Hops 1, 2 and 10: packets to access units and back. A round is a second of video.

use criterion::{BatchSize, Criterion, Throughput};
use reframe_gateway::bench::{Path, RtpPacket, RtpStream, Srtp};
use reframe_gateway::codec::{Codec, Encoded};

use crate::clip;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packets");
    for codec in [Codec::Vp8, Codec::H264] {
        let units = clip::units(codec);
        let bytes = units.iter().map(|unit| unit.data.len() as u64).sum();
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(format!("packetise {codec}"), |bencher| {
            let mut path = path(codec);
            bencher.iter(|| units.iter().map(|unit| path.packetise(unit).len()).sum::<usize>());
        });
        group.bench_function(format!("assemble {codec}"), |bencher| {
            let frames = frames(codec, &units);
            bencher.iter_batched(
                || (path(codec), frames.clone()),
                |(mut path, frames)| {
                    let whole =
                        frames.into_iter().filter_map(|packets| path.assemble(packets)).count();
                    assert_eq!(whole, units.len());
                },
                BatchSize::LargeInput,
            );
        });
        if codec == Codec::Vp8 {
            let packets: Vec<RtpPacket> = frames(codec, &units).into_iter().flatten().collect();
            let mut sender = Srtp::new();
            let datagrams: Vec<_> = packets.iter().map(|packet| sender.protect(packet)).collect();
            group.bench_function("SRTP protect", |bencher| {
                bencher.iter_batched_ref(
                    Srtp::new,
                    |srtp| packets.iter().map(|packet| srtp.protect(packet).len()).sum::<usize>(),
                    BatchSize::LargeInput,
                );
            });
            group.bench_function("SRTP unprotect", |bencher| {
                bencher.iter_batched_ref(
                    // It refuses what it has seen.
                    Srtp::new,
                    |srtp| {
                        datagrams.iter().map(|datagram| srtp.unprotect(datagram)).map(drop).count()
                    },
                    BatchSize::LargeInput,
                );
            });
        }
    }
    group.finish();
}

fn path(codec: Codec) -> Path {
    Path::new(codec, 30.0, 2_000, None)
}

fn frames(codec: Codec, units: &[Encoded]) -> Vec<Vec<RtpPacket>> {
    let (mut path, mut stream) = (path(codec), RtpStream::default());
    (0..)
        .zip(units)
        .map(|(number, unit)| stream.packets(path.packetise(unit), number * 3_000))
        .collect()
}
