//! One 720p stream frame by frame through every hop, on one thread: what `make instructions` has
//! valgrind count.
//!
//! The hops are the library's own parts, in their order, without actors, timers and sockets, and
//! without the WebRTC stack's interceptors. The worker is in the same process; what a message costs
//! where it is not, is counted beside it. Each step is a function of [`step`], whose names
//! `scripts/instructions.sh` knows.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use reframe_gateway::bench::{self, Path, RtpStream, Srtp};
use reframe_gateway::codec::{Codec, Encoded};
use reframe_proto::exchange::Exchange;
use reframe_tests::source::{Clip, Format};
use reframe_worker::PixelFormat;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

/// As the programs that are measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Until rate control has settled and every buffer was used once.
const WARM_UP: usize = 20;
/// With the warm-up fewer than 60: from there on the encoder looks at the clock for how fast it is
/// to work, and valgrind takes fifty times as long.
const MEASURED: usize = 30;
const INTERVAL: Duration = Duration::from_nanos(33_333_333);

/// All that a stream needs.
struct Stream {
    incoming: Srtp,
    gateway: Path,
    worker: reframe_worker::bench::Path,
    rtp: RtpStream,
    outgoing: Srtp,
    now: Instant,
    runtime: Runtime,
}

fn main() {
    drop(bench::metrics());
    let frames = u32::try_from(WARM_UP + MEASURED).expect("a small number");
    let clip = Clip::encode(Format::HD, frames, frames).expect("the encoder works");
    let exchange = Exchange::open();
    let mut stream = Stream {
        incoming: Srtp::new(),
        gateway: Path::new(Codec::Vp8, 30.0, 2_000, Some(Arc::clone(&exchange))),
        worker: reframe_worker::bench::Path::new(PixelFormat::Rgb24, Some(exchange)),
        rtp: RtpStream::default(),
        outgoing: Srtp::new(),
        now: Instant::now(),
        runtime: Builder::new_current_thread().build().expect("a runtime without I/O"),
    };
    let frames = datagrams(&clip);
    let (warm_up, measured) = frames.split_at(WARM_UP);
    warm_up.iter().for_each(|frame| stream.frame(frame));
    count(&mut stream, measured);
    report(&format!(
        "frames {}\npackets {}\n",
        measured.len(),
        measured.iter().map(Vec::len).sum::<usize>()
    ));
}

/// The clip as a browser sends it.
fn datagrams(clip: &Clip) -> Vec<Vec<BytesMut>> {
    let (mut browser, mut rtp, mut srtp) =
        (Path::new(Codec::Vp8, 30.0, 2_000, None), RtpStream::default(), Srtp::new());
    let frame = |(number, unit): (u32, &reframe_tests::source::Unit)| {
        let (data, keyframe) = (unit.data.to_vec().into(), unit.keyframe);
        let unit = Encoded { data, keyframe, droppable: false };
        let packets = rtp.packets(browser.packetise(&unit), number * 3_000);
        packets.iter().map(|packet| srtp.protect(packet)).collect()
    };
    (0..).zip(clip.units()).map(frame).collect()
}

/// Counting begins and ends with this function.
#[inline(never)]
fn count(stream: &mut Stream, frames: &[Vec<BytesMut>]) {
    for frame in frames {
        stream.frame(frame);
    }
}

impl Stream {
    fn frame(&mut self, datagrams: &[BytesMut]) {
        self.now += INTERVAL;
        let packets = step::unprotect(self, datagrams);
        let unit = step::assemble(self, packets);
        let frame = step::decode(self, unit);
        let message = step::send(self, frame);
        let picture = step::worker_in(self, message);
        step::grpc_to_worker(self, picture.clone());
        let frame = step::to_rgb(self, picture);
        let frame = step::handler(frame);
        let picture = step::to_i420(self, frame);
        step::grpc_to_gateway(self, picture.clone());
        let answer = step::worker_out(self, picture);
        step::receive(self, answer);
        let release = step::pace(self);
        // Rate control may leave a picture out.
        if let Some(encoded) = step::encode(self, release) {
            let packets = step::packetise(self, &encoded);
            step::protect(self, &packets);
        }
    }
}

/// None is inlined: a symbol each.
mod step {
    use bytes::BytesMut;
    use reframe_gateway::bench::{Frame, PacedPicture, RtpPacket, Unit};
    use reframe_gateway::codec::Encoded;
    use reframe_proto::v1::{FromWorker, ToWorker};
    use reframe_tests::grpc;
    use reframe_worker::bench::Picture;

    use super::Stream;

    #[inline(never)]
    pub(super) fn unprotect(stream: &mut Stream, datagrams: &[BytesMut]) -> Vec<RtpPacket> {
        datagrams.iter().map(|datagram| stream.incoming.unprotect(datagram)).collect()
    }

    #[inline(never)]
    pub(super) fn assemble(stream: &mut Stream, packets: Vec<RtpPacket>) -> Unit {
        stream.gateway.assemble(packets).expect("nothing is missing")
    }

    #[inline(never)]
    pub(super) fn decode(stream: &mut Stream, unit: Unit) -> Frame {
        stream.gateway.decode(unit)
    }

    #[inline(never)]
    pub(super) fn send(stream: &mut Stream, frame: Frame) -> ToWorker {
        stream.gateway.send(frame)
    }

    #[inline(never)]
    pub(super) fn worker_in(stream: &Stream, message: ToWorker) -> Picture {
        stream.worker.receive(message)
    }

    #[inline(never)]
    pub(super) fn to_rgb(stream: &mut Stream, picture: Picture) -> reframe_worker::Frame {
        stream.worker.to_frame(picture)
    }

    #[inline(never)]
    pub(super) fn handler(frame: reframe_worker::Frame) -> reframe_worker::Frame {
        frame.flip_vertical()
    }

    #[inline(never)]
    pub(super) fn to_i420(stream: &mut Stream, frame: reframe_worker::Frame) -> Picture {
        stream.worker.to_picture(frame)
    }

    #[inline(never)]
    pub(super) fn worker_out(stream: &Stream, picture: Picture) -> FromWorker {
        stream.worker.answer(picture)
    }

    #[inline(never)]
    pub(super) fn receive(stream: &mut Stream, answer: FromWorker) {
        stream.gateway.receive(answer);
    }

    #[inline(never)]
    pub(super) fn pace(stream: &mut Stream) -> PacedPicture {
        stream.gateway.pace(stream.now)
    }

    #[inline(never)]
    pub(super) fn encode(stream: &mut Stream, release: PacedPicture) -> Option<Encoded> {
        stream.gateway.encode(release)
    }

    #[inline(never)]
    pub(super) fn packetise(stream: &mut Stream, encoded: &Encoded) -> Vec<RtpPacket> {
        let payloads = stream.gateway.packetise(encoded);
        stream.rtp.packets(payloads, 0)
    }

    #[inline(never)]
    pub(super) fn protect(stream: &mut Stream, packets: &[RtpPacket]) {
        packets.iter().map(|packet| stream.outgoing.protect(packet)).for_each(drop);
    }

    /// Beside the way: what a worker elsewhere adds.
    #[inline(never)]
    pub(super) fn grpc_to_worker(stream: &Stream, picture: Picture) {
        let body = stream.runtime.block_on(grpc::encode(picture.into_message()));
        drop(stream.runtime.block_on(grpc::decode::<ToWorker>(body)));
    }

    #[inline(never)]
    pub(super) fn grpc_to_gateway(stream: &Stream, picture: Picture) {
        let remote = reframe_worker::bench::Path::new(reframe_worker::PixelFormat::Rgb24, None);
        let body = stream.runtime.block_on(grpc::encode(remote.answer(picture)));
        drop(stream.runtime.block_on(grpc::decode::<FromWorker>(body)));
    }
}

#[expect(clippy::print_stdout, reason = "the result")]
fn report(text: &str) {
    print!("{text}");
}
