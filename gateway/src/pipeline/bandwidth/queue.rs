//! The queuing delay of a path: a standing queue is congestion, a standstill is not.
//!
//! To an estimator that looks at how delays change, both look the same. After a standstill of ours,
//! of the client or of its feedback, however long, the newest packets are on time again. On a path
//! that carries less than is sent, the newest have waited longest.

use std::time::Duration;

use super::burst::PacketResult;

/// A queue has more delay than this: more than a jittery path without one, less than anybody sees.
/// At 500 kbit/s it is two packets.
pub(super) const QUEUE_THRESHOLD: Duration = Duration::from_millis(30);
/// Of how long the newest packets count: two pictures at 30 fps, each sent at once.
const NEWEST: Duration = Duration::from_millis(70);
/// How long the base delay is remembered, at least; at most twice as long. A clock that is off by
/// 100 ppm makes a millisecond of ten seconds.
const REMEMBERED: Duration = Duration::from_secs(10);

/// The delays of one path.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// The base delay, which is the shortest, of the present and of the last [`REMEMBERED`], in
    /// microseconds. The two clocks have no moment in common: it may be negative.
    base_delays: (i64, i64),
    since: Option<Duration>,
    /// The newest delay, and when its packet was sent.
    last: (i64, Duration),
}

impl Queue {
    /// By how much the newest of these packets, which were reported at `now`, were later than the
    /// base delay: the least of them.
    ///
    /// No packet can have been queued for longer than since it was sent. What says so comes from a
    /// clock that jumped: ours stands still while this process does, theirs may be set.
    pub(crate) fn queuing_delay(&mut self, now: Duration, packets: &[PacketResult]) -> Duration {
        let Some(last) = packets.iter().rfind(|packet| packet.arrival.is_some()) else {
            return Duration::ZERO;
        };
        let delay =
            |packet: &PacketResult| Some(micros(packet.arrival?) - micros(packet.departure));
        let shortest = packets.iter().filter_map(delay).min().unwrap_or_default();
        match self.since {
            None => self.restart(shortest, last.departure),
            Some(since) if last.departure.saturating_sub(since) >= REMEMBERED => {
                self.base_delays = (shortest, self.base_delays.0);
                self.since = Some(last.departure);
            }
            Some(_) => self.base_delays.0 = self.base_delays.0.min(shortest),
        }
        let base = self.base_delays.0.min(self.base_delays.1);
        let newest =
            packets.iter().rev().take_while(|packet| packet.departure + NEWEST >= last.departure);
        let least = newest.filter_map(delay).min().unwrap_or(base);
        let queuing_delay = Duration::from_micros(u64::try_from(least - base).unwrap_or(0));
        if queuing_delay > now.saturating_sub(last.departure) + NEWEST {
            self.restart(least, last.departure);
            return Duration::ZERO;
        }
        self.last = (least, last.departure);
        queuing_delay
    }

    /// Takes the present delay as the path's own.
    pub(crate) fn adopt(&mut self) {
        let (least, departure) = self.last;
        self.restart(least, departure);
    }

    fn restart(&mut self, base_delay: i64, since: Duration) {
        (self.base_delays, self.since) = ((base_delay, base_delay), Some(since));
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a packet each 10 ms, with the delay that `delay` gives for its time of sending, in
    /// milliseconds. Returns whether a queue stood at each report of ten.
    fn run(seconds: u64, delay: impl Fn(u64) -> u64) -> Vec<bool> {
        let mut queue = Queue::default();
        let packet = |n: u64| PacketResult {
            departure: Duration::from_millis(n * 10),
            // By another clock.
            arrival: Some(Duration::from_millis(7_000 + n * 10 + delay(n * 10))),
            bytes: 1_200,
        };
        let reports = (0..seconds * 10).map(|report| (report * 10..report * 10 + 10).map(packet));
        let stands = |packets: Vec<PacketResult>| {
            // Reported in the middle of the way back, whenever it arrives.
            let now = packets.iter().filter_map(|packet| packet.arrival).max().unwrap();
            queue.queuing_delay(now - Duration::from_secs(7) + Duration::from_millis(20), &packets)
                > QUEUE_THRESHOLD
        };
        reports.map(|packets| packets.collect()).map(stands).collect()
    }

    #[test]
    fn a_path_without_a_queue_has_none_however_it_jitters() {
        assert!(run(60, |at| 20 + at * 7_919 % 29).iter().all(|stands| !stands));
    }

    #[test]
    fn a_standstill_is_none_and_what_came_after_it_neither() {
        // From the third second on all packets wait until the standstill is over, 1.95 s later.
        let stands = run(20, |at| if (3_000..4_950).contains(&at) { 20 + 4_950 - at } else { 20 });
        let told = stands.iter().filter(|stands| **stands).count();
        // While the newest reported packets are from its middle: of a real one only pieces of its
        // end are reported.
        assert!(told <= 20, "{told}");
        assert!(stands[50..].iter().all(|stands| !stands));
    }

    #[test]
    fn a_clock_that_jumps_is_no_queue() {
        let mut queue = Queue::default();
        let mut at = |departure: u64, arrival: u64| {
            let departure = Duration::from_millis(departure);
            let arrival = Some(Duration::from_millis(arrival));
            queue.queuing_delay(
                departure + Duration::from_millis(40),
                &[PacketResult { departure, arrival, bytes: 1 }],
            )
        };
        assert_eq!(at(1_000, 21_000), Duration::ZERO);
        // Ours stood still for ten seconds; then theirs was set back.
        assert_eq!(at(1_050, 31_050), Duration::ZERO);
        assert_eq!(at(1_100, 31_140), Duration::from_millis(40));
        assert_eq!(at(1_150, 1_150), Duration::ZERO);
        assert_eq!(at(1_200, 1_240), Duration::from_millis(40));
    }

    #[test]
    fn one_that_grows_is_seen_soon_and_for_as_long_as_it_stands() {
        let stands = run(20, |at| 20 + at.saturating_sub(3_000).min(2_000) / 10);
        let first = stands.iter().position(|stands| *stands).unwrap();
        assert!((33..=36).contains(&first), "{first}");
        assert!(stands[first..130].iter().all(|stands| *stands));
    }
}
