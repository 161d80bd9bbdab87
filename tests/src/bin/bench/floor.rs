//! What no server around these codecs can go below: decode and encode, on one thread, without a
//! network.
//!
//! At the streams' own rate, as the server has to work: a picture's buffers have left the caches by
//! the time the next one comes, and cores slow down between two. One picture after the other
//! without a pause, the same codecs take less; that is measured too, for the codecs alone.

use std::sync::Arc;
use std::thread::park_timeout;
use std::time::Duration;

use reframe_gateway::codec::{Decoder, Encoder, Picture};
use reframe_tests::figures::{Percentiles, millis};
use reframe_tests::source::{Clip, Unit, Video};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use super::Plan;

/// The gateway's default, whatever the size.
const BITRATE_KBPS: u32 = 2_000;
const FPS: u32 = 30;
/// 90 kHz ticks per picture at [`FPS`].
const TICKS: u64 = 3_000;
/// Until rate control has settled and every buffer has been touched once.
const WARM_UP_FRAMES: u32 = 30;

/// Of one frame, decoded and encoded.
pub(crate) struct Floor {
    /// CPU time of the thread (`CLOCK_THREAD_CPUTIME_ID`), mean, ms.
    pub(crate) cpu_ms: f64,
    /// From its beginning to its end.
    pub(crate) took: Percentiles,
}

/// Of `streams` at once, taken in turn, at their own rate.
pub(crate) fn paced(clip: &Arc<Clip>, streams: u32, plan: &Plan) -> Floor {
    measure(clip, streams, plan, true)
}

/// Of one stream without a pause between frames.
pub(crate) fn at_once(clip: &Arc<Clip>, plan: &Plan) -> Floor {
    measure(clip, 1, plan, false)
}

fn measure(clip: &Arc<Clip>, streams: u32, plan: &Plan, paced: bool) -> Floor {
    let mut streams: Vec<_> = (0..streams).map(|_| Stream::new(clip)).collect();
    let (mut started, mut took) = (Duration::ZERO, Vec::new());
    let mut due = Instant::now();
    for number in 0..WARM_UP_FRAMES + plan.floor_frames {
        if number == WARM_UP_FRAMES {
            started = thread_cpu();
            took.clear();
        }
        due += Duration::from_secs(1) / FPS;
        while paced && Instant::now() < due {
            // Nobody unparks this thread, but it may wake without a reason.
            park_timeout(due.saturating_duration_since(Instant::now()));
        }
        for stream in &mut streams {
            let begun = Instant::now();
            stream.frame(number, clip.units());
            took.push(begun.elapsed());
        }
    }
    let frames = f64::from(plan.floor_frames) * streams.len() as f64;
    Floor {
        cpu_ms: millis(thread_cpu() - started) / frames,
        took: Percentiles::of(took).expect("some frames"),
    }
}

pub(crate) struct Stream {
    decoder: Box<dyn Decoder>,
    encoder: Box<dyn Encoder>,
}

impl Stream {
    pub(crate) fn new(clip: &Arc<Clip>) -> Self {
        let codec = Video::Clip(Arc::clone(clip)).format().codec;
        Self {
            decoder: codec.decoder().expect("the library works"),
            encoder: codec.encoder(BITRATE_KBPS, f64::from(FPS)),
        }
    }

    fn frame(&mut self, number: u32, units: &[Unit]) {
        self.frame_with(number, units, Picture::clone);
    }

    /// With a handler between decoding and encoding.
    pub(crate) fn frame_with(
        &mut self,
        number: u32,
        units: &[Unit],
        handler: impl FnOnce(&Picture) -> Picture,
    ) {
        let unit = &units[number as usize % units.len()];
        let picture = self
            .decoder
            .decode(&unit.data)
            .expect("a clip is sound")
            .expect("every unit shows a picture");
        let picture = handler(&picture);
        self.encoder.encode(&picture, u64::from(number) * TICKS, false).expect("the encoder works");
    }
}

fn thread_cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a CPU clock is never negative")
}
