//! Whether packets wait on the path: a standing queue is congestion, a standstill is not.
//!
//! To an estimator that looks at how delays change, both look the same. After a standstill of ours,
//! of the client or of its feedback, however long, the newest packets are on time again. On a path
//! that carries less than is sent, the newest have waited longest.

use std::time::Duration;

use super::burst::Report;

/// What counts as waiting: more than the jitter of a path without a queue, less than anybody
/// notices. At 500 kbit/s it is two packets.
pub(super) const WAITING: Duration = Duration::from_millis(30);
/// The newest packets that count, by when they were sent: two pictures at 30 fps, each sent at
/// once.
const NEWEST: Duration = Duration::from_millis(70);
/// How long the shortest delay is remembered, at least; at most twice as long. A clock that is off
/// by 100 ppm drifts by a millisecond in ten seconds.
const REMEMBERED: Duration = Duration::from_secs(10);

/// The delays of one path.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// The shortest delay of the present and of the last [`REMEMBERED`], in microseconds. The two
    /// clocks have no common origin, so it may be negative.
    shortest: (i64, i64),
    since: Option<Duration>,
    /// The newest delay, and when its packet was sent.
    last: (i64, Duration),
}

impl Queue {
    /// How long the newest of these packets, which were reported at `now`, have waited beyond the
    /// shortest delay. The least of them counts.
    ///
    /// No packet can have waited for longer than since it was sent. If it seems so, a clock jumped:
    /// ours stands still while this process does, theirs may be set.
    pub(crate) fn waiting(&mut self, now: Duration, packets: &[Report]) -> Duration {
        let Some(last) = packets.iter().rfind(|packet| packet.came.is_some()) else {
            return Duration::ZERO;
        };
        let delay = |packet: &Report| Some(micros(packet.came?) - micros(packet.sent));
        let shortest = packets.iter().filter_map(delay).min().unwrap_or_default();
        match self.since {
            None => self.restart(shortest, last.sent),
            Some(since) if last.sent.saturating_sub(since) >= REMEMBERED => {
                self.shortest = (shortest, self.shortest.0);
                self.since = Some(last.sent);
            }
            Some(_) => self.shortest.0 = self.shortest.0.min(shortest),
        }
        let base = self.shortest.0.min(self.shortest.1);
        let newest = packets.iter().rev().take_while(|packet| packet.sent + NEWEST >= last.sent);
        let least = newest.filter_map(delay).min().unwrap_or(base);
        let waiting = Duration::from_micros(u64::try_from(least - base).unwrap_or(0));
        if waiting > now.saturating_sub(last.sent) + NEWEST {
            self.restart(least, last.sent);
            return Duration::ZERO;
        }
        self.last = (least, last.sent);
        waiting
    }

    /// Takes the present delay as the path's own.
    pub(crate) fn adopt(&mut self) {
        let (least, sent) = self.last;
        self.restart(least, sent);
    }

    fn restart(&mut self, shortest: i64, since: Duration) {
        (self.shortest, self.since) = ((shortest, shortest), Some(since));
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
        let packet = |n: u64| Report {
            sent: Duration::from_millis(n * 10),
            // By another clock.
            came: Some(Duration::from_millis(7_000 + n * 10 + delay(n * 10))),
            bytes: 1_200,
        };
        let reports = (0..seconds * 10).map(|report| (report * 10..report * 10 + 10).map(packet));
        let waiting = |packets: Vec<Report>| {
            // As if reported half-way back, whenever the report arrives.
            let now = packets.iter().filter_map(|packet| packet.came).max().unwrap();
            queue.waiting(now - Duration::from_secs(7) + Duration::from_millis(20), &packets)
                > WAITING
        };
        reports.map(|packets| packets.collect()).map(waiting).collect()
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
        let mut at = |sent: u64, came: u64| {
            let (sent, came) = (Duration::from_millis(sent), Duration::from_millis(came));
            queue.waiting(
                sent + Duration::from_millis(40),
                &[Report { sent, came: Some(came), bytes: 1 }],
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
