//! What is received of a session's browser, counted where it is taken. By it a session knows
//! whether anybody is there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A session without a frame for so long gives way when its slot is wanted.
const GIVES_WAY: Duration = Duration::from_secs(20);

/// What was taken of a session's browser so far. Each count is written where that is taken, and
/// read by its session.
#[derive(Debug, Default)]
pub(crate) struct ReceiveStats {
    /// RTP packets, decrypted, of whatever kind.
    rtp: AtomicU64,
    /// Of them, those of the video that was agreed on.
    packets: AtomicU64,
    /// Messages on the data channel.
    messages: AtomicU64,
    /// Frames that were decoded.
    frames: AtomicU64,
    /// The last unit that was not decoded: it claimed too large a picture.
    too_large: AtomicBool,
    /// Units that were not decoded.
    undecodable: AtomicU64,
    /// Milliseconds without a frame. The session writes it each second; the gateway reads it when
    /// another session needs a slot.
    idle_ms: AtomicU64,
}

impl ReceiveStats {
    pub(crate) fn rtp(&self) {
        self.rtp.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn packet(&self) {
        self.packets.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn message(&self) {
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn frame(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
    }

    /// A unit was not decoded, because its picture is too large, or for another reason.
    pub(crate) fn undecodable(&self, too_large: bool) {
        self.too_large.store(too_large, Ordering::Relaxed);
        self.undecodable.fetch_add(1, Ordering::Relaxed);
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
        let fault = if self.rtp.load(Ordering::Relaxed) == 0 {
            Fault::NothingCame
        } else if packets == 0 {
            Fault::PayloadType
        } else if self.undecodable.load(Ordering::Relaxed) == 0 {
            Fault::NoKeyframe
        } else if self.too_large.load(Ordering::Relaxed) {
            Fault::TooLarge
        } else {
            Fault::Undecodable
        };
        Counts { heard, packets, frames: self.frames.load(Ordering::Relaxed), fault }
    }
}

/// What is wrong with the video of a browser that no frame was decoded of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    NothingCame,
    /// It came, and not as what was agreed on.
    PayloadType,
    NoKeyframe,
    TooLarge,
    Undecodable,
}

impl Fault {
    /// The value of the label `fault`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NothingCame => "nothing_came",
            Self::PayloadType => "payload_type",
            Self::NoKeyframe => "no_keyframe",
            Self::TooLarge => "too_large",
            Self::Undecodable => "undecodable",
        }
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
    /// Why, if there were none.
    pub(crate) fault: Fault,
}
