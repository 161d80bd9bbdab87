//! A bitrate from how long packets wait on the path: it falls when a queue stands, and rises while
//! there is none. Pure.
//!
//! As the delay-based controller of Google's congestion control (draft-ietf-rmcat-gcc-02, section
//! 5), but it goes by the delay itself, not by its gradient: a queue that has stopped to grow is
//! one all the same.

use std::time::Duration;

use tokio::time::Instant;

use super::queue::WAITING;

/// A queue stands when packets have waited for so long: longer than a keyframe of a path's tenth of
/// a second does.
const STANDING: Duration = Duration::from_millis(150);
/// What the bitrate falls to, of what arrives: the queue that has built up drains.
const FALL: f64 = 0.85;
/// The same where packets wait for longer than [`LONG`].
const DEEP_FALL: f64 = 0.7;
const LONG: Duration = Duration::from_millis(100);
/// Sending less than this part of the bitrate is not using it: what arrives says little then.
const UNUSED: f64 = 0.6;
/// A queue that shrinks by less than this between two reports does not.
const SHRINKS: Duration = Duration::from_millis(3);
/// In a second without a queue.
const RISE: f64 = 1.08;
/// The same near where there was one, in bits a second.
const CAREFUL_RISE: f64 = 40_000.0;
/// What is near, of what arrived then.
const NEAR: std::ops::Range<f64> = 0.8..1.1;
/// One report tells of no more time than this.
const MAX_STEP: Duration = Duration::from_millis(500);

/// What a report says of the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// How long the newest packets have waited.
    pub(crate) waiting: Duration,
    /// When the newest of them was sent, since some moment.
    pub(crate) sent: Duration,
    /// Bits a second that arrived, and that were sent.
    pub(crate) rates: Option<(f64, f64)>,
}

/// The newest bitrate, in bits a second.
#[derive(Debug)]
pub(crate) struct DelayBased {
    rate: f64,
    min: f64,
    max: f64,
    /// Since when packets wait, and for how long they did at the last report.
    waits: Option<(Instant, Duration)>,
    /// When the newest packet was sent of which the last fall knew. What was sent before it says
    /// nothing about the bitrate after it.
    fell: Duration,
    /// What arrived at the last fall.
    ceiling: Option<f64>,
    last: Option<Instant>,
}

impl DelayBased {
    pub(crate) fn new(start: f64, min: f64, max: f64) -> Self {
        let (waits, fell, ceiling, last) = (None, Duration::ZERO, None, None);
        Self { rate: start, min, max, waits, fell, ceiling, last }
    }

    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// At least so much is tried.
    pub(crate) fn raise(&mut self, rate: f64) {
        self.rate = self.rate.max(rate).min(self.max);
    }

    /// Takes a report. True: the bitrate fell.
    pub(crate) fn update(&mut self, now: Instant, path: Path) -> bool {
        let passed = self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.last = Some(now);
        if path.waiting <= WAITING {
            self.waits = None;
            self.rise(passed.min(MAX_STEP).as_secs_f64());
            return false;
        }
        let (since, before) = *self.waits.get_or_insert((now, path.waiting));
        self.waits = Some((since, path.waiting));
        let shrinks = path.waiting + SHRINKS <= before;
        let stands = now.saturating_duration_since(since) >= STANDING;
        if shrinks || !stands || path.sent <= self.fell {
            return false;
        }
        let Some((received, sent)) = path.rates else { return false };
        let factor = if path.waiting > LONG { DEEP_FALL } else { FALL };
        // A still picture arrives as next to nothing on any path, and a few late packets would
        // cost its sharpness.
        let least = if sent < self.rate * UNUSED { self.rate * FALL } else { 0.0 };
        self.rate = self.rate.min((received * factor).max(least)).clamp(self.min, self.max);
        (self.fell, self.waits, self.ceiling) = (path.sent, None, Some(received));
        true
    }

    fn rise(&mut self, seconds: f64) {
        let near = self.ceiling.is_some_and(|ceiling| NEAR.contains(&(self.rate / ceiling)));
        let more =
            if near { self.rate + CAREFUL_RISE * seconds } else { self.rate * RISE.powf(seconds) };
        self.rate = more.min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Reports each 50 ms: how long packets have waited by then, in milliseconds. The bitrates.
    fn run(start: f64, rates: (f64, f64), waiting: impl IntoIterator<Item = u32>) -> Vec<f64> {
        let (mut delay, begin) = (DelayBased::new(start, 100.0, 2_000.0), Instant::now());
        let report = |(n, waiting): (u32, u32)| {
            let path = Path { waiting: MS * waiting, sent: MS * 50 * (n + 1), rates: Some(rates) };
            delay.update(begin + MS * 50 * n, path);
            delay.rate()
        };
        (0..).zip(waiting).map(report).collect()
    }

    #[test]
    fn it_rises_by_eight_percent_a_second_while_nothing_waits() {
        let rates = run(1_000.0, (1_000.0, 1_000.0), [20; 21]);
        assert!((rates[20] - 1_080.0).abs() < 0.1, "{}", rates[20]);
    }

    #[test]
    fn it_falls_below_what_arrives_when_a_queue_stands_and_not_again_for_the_same() {
        let rates = run(1_500.0, (1_000.0, 1_500.0), [20, 40, 50, 60, 70, 80, 80, 80]);
        assert_eq!(rates[3..], [1_500.0, 850.0, 850.0, 850.0, 850.0]);
        let deep = run(1_500.0, (1_000.0, 1_500.0), [20, 200, 250, 300, 350]);
        assert_eq!(deep[4], 700.0);
    }

    #[test]
    fn a_queue_that_drains_and_a_short_one_are_none() {
        let drains = (0..20).map(|n| 400 - n * 15);
        assert!(run(1_500.0, (1_000.0, 1_500.0), drains).iter().all(|rate| *rate >= 1_500.0));
        let short = [20, 200, 200, 20, 200, 200, 20];
        assert!(run(1_500.0, (1_000.0, 1_500.0), short).iter().all(|rate| *rate >= 1_500.0));
    }

    #[test]
    fn what_is_not_used_falls_by_a_seventh() {
        let rates = run(1_000.0, (100.0, 100.0), [20, 80, 80, 80, 80]);
        assert_eq!(rates[4].round(), 850.0);
    }
}
