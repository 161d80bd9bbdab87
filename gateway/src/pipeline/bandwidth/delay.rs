//! A bitrate from how long packets wait on the path: it falls when a queue stands, and rises while
//! no packets wait. Pure.
//!
//! Like the delay-based controller of Google's congestion control (draft-ietf-rmcat-gcc-02, section
//! 5), but it uses the delay itself, not its gradient: a queue that has stopped growing is still a
//! queue.

use std::time::Duration;

use tokio::time::Instant;

use super::queue::QUEUE_THRESHOLD;

/// A queue stands when packets have waited for this long. A keyframe's queue has drained by then.
const STANDING: Duration = Duration::from_millis(150);
/// What the bitrate falls to, as a share of what arrives, so that the queue drains.
const FALL: f64 = 0.85;
/// The same if packets wait for longer than [`LONG`].
const DEEP_FALL: f64 = 0.7;
const LONG: Duration = Duration::from_millis(100);
/// A sender that sends less than this share of the bitrate does not use it, and what arrives says
/// little.
const UNUSED: f64 = 0.6;
/// A queue that shrinks by less than this between two reports counts as not shrinking.
const SHRINKS: Duration = Duration::from_millis(3);
/// After a fall below what arrives, our own queue drains. A queue that is still as long, to within
/// this, after [`UNMOVED_FALLS`] falls is not ours: the path has become longer, or others keep the
/// queue full.
const UNMOVED: Duration = Duration::from_millis(10);
const UNMOVED_FALLS: u32 = 2;
/// Factor per second without a queue.
const RISE: f64 = 1.08;
/// The same near the rate at which there was a queue, in bits a second.
const CAREFUL_RISE: f64 = 40_000.0;
/// What counts as near, as a share of what arrived then.
const NEAR: std::ops::Range<f64> = 0.8..1.1;
/// One report counts for at most this much time.
const MAX_STEP: Duration = Duration::from_millis(500);

/// What one feedback report says of the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathSample {
    /// Of the newest packets.
    pub(crate) queuing_delay: Duration,
    /// When the newest of them was sent, since some moment.
    pub(crate) departure: Duration,
    /// Bits a second that arrived, and that were sent.
    pub(crate) rates: Option<(f64, f64)>,
}

/// The newest bitrate, in bits a second.
#[derive(Debug)]
pub(crate) struct DelayBased {
    rate: f64,
    min: f64,
    max: f64,
    /// Since when there is a queue, and the queuing delay at the last report.
    queue: Option<(Instant, Duration)>,
    /// When the newest packet was sent of which the last fall knew. What was sent before it says
    /// nothing about the bitrate after it.
    fell: Duration,
    /// What arrived at the last fall.
    ceiling: Option<f64>,
    /// Falls that did not shorten the queue, its length at each of them, and the bitrate before
    /// them.
    unmoved: Option<(u32, Duration, f64)>,
    last: Option<Instant>,
}

/// What a report has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    /// The bitrate fell.
    Fell,
    /// The queue is not ours: the present delay is the path's own.
    NewDelay,
}

impl DelayBased {
    pub(crate) fn new(start: f64, min: f64, max: f64) -> Self {
        let (fell, ceiling) = (Duration::ZERO, None);
        Self { rate: start, min, max, queue: None, fell, ceiling, unmoved: None, last: None }
    }

    /// Whether there is a queue, for however short a time yet.
    pub(crate) fn has_queue(&self) -> bool {
        self.queue.is_some()
    }

    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// Tries at least `rate`.
    pub(crate) fn raise(&mut self, rate: f64) {
        self.rate = self.rate.max(rate).min(self.max);
    }

    /// Takes a report.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        PathSample { queuing_delay, departure, rates }: PathSample,
    ) -> Change {
        let passed = self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.last = Some(now);
        if queuing_delay <= QUEUE_THRESHOLD {
            (self.queue, self.unmoved) = (None, None);
            self.rise(passed.min(MAX_STEP).as_secs_f64(), rates);
            return Change::Nothing;
        }
        let (since, before) = *self.queue.get_or_insert((now, queuing_delay));
        self.queue = Some((since, queuing_delay));
        let shrinks = queuing_delay + SHRINKS <= before;
        let stands = now.saturating_duration_since(since) >= STANDING;
        if shrinks || !stands || departure <= self.fell {
            return Change::Nothing;
        }
        let Some((received, sent)) = rates else { return Change::Nothing };
        let (falls, before) = match self.unmoved {
            Some((falls, delay, before)) if queuing_delay.abs_diff(delay) <= UNMOVED => {
                (falls, before)
            }
            _ => (0, self.rate),
        };
        if falls == UNMOVED_FALLS {
            (self.rate, self.queue, self.unmoved) = (before, None, None);
            return Change::NewDelay;
        }
        self.unmoved = Some((falls + 1, queuing_delay, before));
        let factor = if queuing_delay > LONG { DEEP_FALL } else { FALL };
        // A still picture arrives as next to nothing on any path, and a few late packets would
        // cost its sharpness.
        let least = if sent < self.rate * UNUSED { self.rate * FALL } else { 0.0 };
        let lower = self.rate.min((received * factor).max(least)).clamp(self.min, self.max);
        let fell = lower < self.rate;
        (self.rate, self.fell, self.ceiling) = (lower, departure, Some(received));
        // The queue is still there: what was sent after the fall tells.
        self.queue = Some((now, queuing_delay));
        if fell { Change::Fell } else { Change::Nothing }
    }

    /// Unused bitrate is not raised, because nothing shows that the path carries more: bursts
    /// measure that.
    fn rise(&mut self, seconds: f64, rates: Option<(f64, f64)>) {
        if rates.is_some_and(|(_, sent)| sent < self.rate * UNUSED) {
            return;
        }
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

    /// Reports each 50 ms, with these queuing delays in milliseconds. The bitrates.
    fn run(
        start: f64,
        rates: (f64, f64),
        queuing_delays: impl IntoIterator<Item = u32>,
    ) -> Vec<f64> {
        let (mut delay, begin) = (DelayBased::new(start, 100.0, 2_000.0), Instant::now());
        let report = |(n, queuing_delay): (u32, u32)| {
            let sample = PathSample {
                queuing_delay: MS * queuing_delay,
                departure: MS * 50 * (n + 1),
                rates: Some(rates),
            };
            delay.update(begin + MS * 50 * n, sample);
            delay.rate()
        };
        (0..).zip(queuing_delays).map(report).collect()
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
    fn a_way_that_has_become_longer_is_not_a_queue() {
        let longer = run(1_000.0, (900.0, 1_000.0), [20; 10].into_iter().chain([80; 60]));
        assert!(longer[12..20].iter().any(|rate| *rate < 900.0), "{longer:?}");
        assert!(longer[30..].iter().any(|rate| *rate > 950.0), "{longer:?}");
    }

    #[test]
    fn what_is_not_used_does_not_rise_by_itself() {
        let rates = run(1_000.0, (100.0, 100.0), [20; 100]);
        assert_eq!(rates[99], 1_000.0);
    }

    #[test]
    fn what_is_not_used_falls_by_a_seventh() {
        let rates = run(1_000.0, (100.0, 100.0), [20, 80, 80, 80, 80]);
        assert_eq!(rates[4].round(), 850.0);
    }
}
