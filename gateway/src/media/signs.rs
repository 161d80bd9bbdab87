//! Signs of life of a session's browser, counted where they are taken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A session without a frame for so long gives way when its slot is wanted.
const GIVES_WAY: Duration = Duration::from_secs(20);

/// What was taken of a session's browser so far. Each count is written where that is taken, and
/// read by its session.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    /// RTP packets, decrypted.
    packets: AtomicU64,
    /// Messages on the data channel.
    messages: AtomicU64,
    /// Frames that were decoded.
    frames: AtomicU64,
    /// Milliseconds without a frame. The session writes it each second; the gateway reads it when
    /// another session needs a slot.
    idle_ms: AtomicU64,
}

impl Signs {
    pub(crate) fn packet(&self) {
        self.packets.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn message(&self) {
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn frame(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
    }

    /// For how long no frame has come, where that is long enough to give way to somebody else.
    pub(crate) fn gives_way(&self) -> Option<Duration> {
        let idle = Duration::from_millis(self.idle_ms.load(Ordering::Relaxed));
        (idle > GIVES_WAY).then_some(idle)
    }

    pub(crate) fn set_idle(&self, idle: Duration) {
        self.idle_ms.store(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The counts now; `checks` are those that the stack has taken.
    pub(crate) fn counts(&self, checks: u64) -> Counts {
        let packets = self.packets.load(Ordering::Relaxed);
        let heard =
            checks.wrapping_add(packets).wrapping_add(self.messages.load(Ordering::Relaxed));
        Counts { heard, packets, frames: self.frames.load(Ordering::Relaxed) }
    }
}

/// What a look sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Authenticated packets of any kind.
    pub(crate) heard: u64,
    /// Of them, video.
    pub(crate) packets: u64,
    /// Frames that were decoded.
    pub(crate) frames: u64,
}
