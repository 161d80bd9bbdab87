//! What no server around these codecs can go below: decode and encode of one stream, on one thread, without a network.

use std::time::Duration;

use reframe_gateway::codec::Codec;
use reframe_tests::source::Clip;
use rustix::time::{ClockId, clock_gettime};

use super::{Plan, millis};

/// The gateway's default, whatever the size.
const BITRATE_KBPS: u32 = 2_000;
const FPS: f64 = 30.0;
/// 90 kHz ticks per picture at [`FPS`].
const TICKS: u64 = 3_000;
/// Until rate control has settled and every buffer has been touched once.
const WARM_UP_FRAMES: u32 = 30;

/// The floors of one round, CPU-ms a frame.
pub(crate) struct Floor {
    pub(crate) hd_ms: f64,
    pub(crate) vga_ms: f64,
}

/// CPU time of this thread (`CLOCK_THREAD_CPUTIME_ID`) for one frame decoded and encoded, in ms.
pub(crate) fn measure(clip: &Clip, plan: &Plan) -> f64 {
    let mut decoder = Codec::Vp8.decoder().expect("a VP8 decoder");
    let mut encoder = Codec::Vp8.encoder(BITRATE_KBPS, FPS);
    let mut started = Duration::ZERO;
    for (number, unit) in (0..WARM_UP_FRAMES + plan.floor_frames).zip(clip.units().iter().cycle()) {
        if number == WARM_UP_FRAMES {
            started = thread_cpu();
        }
        let picture = decoder.decode(&unit.data).expect("a clip is sound").expect("every unit shows a picture");
        encoder.encode(&picture, u64::from(number) * TICKS, false).expect("the encoder works");
    }
    millis(thread_cpu() - started) / f64::from(plan.floor_frames)
}

fn thread_cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a CPU clock is never negative")
}
