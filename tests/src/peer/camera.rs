//! The sending side of a peer: which picture is due when, and its RTP timestamp.

use std::time::Duration;

use str0m::media::MediaTime;
use tokio::time::Instant;

use crate::source::{Source, Unit, Video};

/// Every stream's first RTP timestamp: two seconds before the 32-bit clock wraps, so that every
/// test that runs longer crosses the wrap.
const FIRST_TIMESTAMP: u64 = (1 << 32) - 2 * 90_000;

/// A camera that starts once the connection stands.
pub(super) struct Camera {
    source: Source,
    interval: Duration,
    /// When the first and the next picture are due.
    clock: Option<(Instant, Instant)>,
    stopped: bool,
    keyframe: bool,
    last_timestamp: u64,
}

impl Camera {
    pub(super) fn new(video: Video) -> Self {
        Self {
            interval: Duration::from_secs_f64(1.0 / video.format().fps),
            source: video.start(),
            clock: None,
            stopped: false,
            keyframe: true,
            last_timestamp: FIRST_TIMESTAMP,
        }
    }

    pub(super) fn start(&mut self, now: Instant) {
        self.clock = Some((now, now));
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Makes the next picture a keyframe.
    pub(super) fn refresh(&mut self) {
        self.keyframe = true;
    }

    /// Takes at most `fps` pictures a second from now on, if its source can.
    pub(super) fn limit(&mut self, fps: f64) {
        self.interval = Duration::from_secs_f64(1.0 / self.source.limit(fps));
    }

    /// When the next picture is to be taken.
    pub(super) fn due(&self) -> Option<Instant> {
        self.clock.filter(|_| !self.stopped).map(|(_, due)| due)
    }

    /// Takes the picture that is due, with its timestamp, and sets the time of the next: on the
    /// grid, so that pictures that were missed are missed. `None` when rate control left it out.
    pub(super) fn take(&mut self, now: Instant) -> Option<(MediaTime, Unit)> {
        let (_, due) = self.clock.as_mut()?;
        let taken = *due;
        while *due <= now {
            *due += self.interval;
        }
        let unit =
            self.source.next(std::mem::take(&mut self.keyframe)).expect("the encoder works")?;
        Some((self.timestamp(taken)?, unit))
    }

    /// The timestamp of something taken at `taken`, later than all before; `None` before the start.
    pub(super) fn timestamp(&mut self, taken: Instant) -> Option<MediaTime> {
        let elapsed = taken.saturating_duration_since(self.clock?.0).as_micros() * 9 / 100;
        let timestamp = FIRST_TIMESTAMP + u64::try_from(elapsed).expect("less than a century");
        self.last_timestamp = timestamp.max(self.last_timestamp + 1);
        Some(MediaTime::from_90khz(self.last_timestamp))
    }
}
