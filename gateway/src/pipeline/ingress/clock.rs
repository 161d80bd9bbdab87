//! RTP time to capture time: pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::media::frame::ticks;

/// By how much more two frames may differ in RTP time than in arrival: more than a network holds
/// packets back before ICE gives it up, after 13 s. Beyond it, or backwards, the time is from
/// another clock: a new SSRC has its own (RFC 3550, section 5.1).
const MAX_AHEAD: Duration = Duration::from_secs(15);

/// Numbers the frames and turns 32-bit RTP time, which wraps every 13 hours, into time since the
/// first frame.
#[derive(Default)]
pub(super) struct CaptureClock {
    frames: u64,
    /// When the last frame arrived, and its RTP time.
    last: Option<(Instant, u32)>,
    /// 90 kHz ticks since the first frame.
    ticks: u64,
}

impl CaptureClock {
    /// The number of a frame that arrived now, and its capture time.
    pub(super) fn next(&mut self, arrived: Instant, timestamp: u32) -> (u64, Duration) {
        if let Some((before, last)) = self.last.replace((arrived, timestamp)) {
            let passed = arrived.saturating_duration_since(before);
            let step = timestamp.wrapping_sub(last).cast_signed();
            let step = u64::try_from(step).ok().filter(|step| *step <= ticks(passed + MAX_AHEAD));
            self.ticks += step.unwrap_or_else(|| ticks(passed));
        }
        let seq = self.frames;
        self.frames += 1;
        (seq, Duration::from_secs_f64(self.ticks as f64 / 90_000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capture_time_survives_the_wrap() {
        let (mut clock, now) = (CaptureClock::default(), Instant::now());
        assert_eq!(clock.next(now, u32::MAX - 8_999), (0, Duration::ZERO));
        assert_eq!(clock.next(now, 0), (1, Duration::from_millis(100)));
        assert_eq!(clock.next(now, 90_000), (2, Duration::from_millis(1_100)));
        assert_eq!(clock.next(now, 45_000), (3, Duration::from_millis(1_100)), "never backwards");
    }

    #[test]
    fn another_clock_of_the_browsers_is_followed_by_arrivals() {
        const FRAME: Duration = Duration::from_millis(40);
        for base in [1_500_001, 0x3fff_ffff, 0x7fff_ffff, 0x8000_0000, 0xbfff_ffff, u32::MAX] {
            let (mut clock, mut now) = (CaptureClock::default(), Instant::now());
            let mut next = |clock: &mut CaptureClock, wait, timestamp| {
                now += wait;
                clock.next(now, timestamp).1
            };
            next(&mut clock, Duration::ZERO, 0);
            assert_eq!(next(&mut clock, FRAME, 3_600), FRAME);
            // The other track comes 200 ms later, and goes on by its own time, however it arrives.
            assert_eq!(
                next(&mut clock, FRAME * 5, 3_600_u32.wrapping_add(base)),
                FRAME * 6,
                "{base}"
            );
            assert_eq!(
                next(&mut clock, Duration::ZERO, 7_200_u32.wrapping_add(base)),
                FRAME * 7,
                "{base}"
            );
        }
    }

    #[test]
    fn a_pause_and_what_a_network_held_back_keep_the_browsers_time() {
        let (mut clock, now) = (CaptureClock::default(), Instant::now());
        let seconds = Duration::from_secs;
        assert_eq!(clock.next(now, 0).1, seconds(0));
        assert_eq!(clock.next(now + seconds(3_600), 3_600 * 90_000).1, seconds(3_600));
        assert_eq!(
            clock.next(now + seconds(3_600), 3_605 * 90_000).1,
            seconds(3_605),
            "queued behind it"
        );
    }
}
