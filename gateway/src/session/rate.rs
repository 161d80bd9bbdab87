//! How often a client may have something. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Further offers of a session, one each [`OFFER_EVERY`] on average: a browser that changes its tracks and its network at once
/// makes a few in a row.
const OFFER_BURST: u32 = 4;
/// See [`OFFER_BURST`].
const OFFER_EVERY: Duration = Duration::from_secs(1);
/// ICE restarts of a session: the page makes one in each silence of its network, so a minute apart on the whole is a bad
/// journey. Each makes the stack gather anew and check every path again.
const RESTART_BURST: u32 = 8;
/// See [`RESTART_BURST`].
const RESTART_EVERY: Duration = Duration::from_secs(60);

/// A token bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    burst: u32,
    every: Duration,
    left: u32,
    /// The bucket was right at this instant.
    at: Instant,
}

impl Bucket {
    /// A full one of `burst`, which gets one more each `every`.
    pub(super) fn new(now: Instant, burst: u32, every: Duration) -> Self {
        Self { burst, every, left: burst, at: now }
    }

    /// Whether there is one; it is taken.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at);
        let more = u32::try_from(passed.as_nanos() / self.every.as_nanos().max(1)).unwrap_or(u32::MAX);
        if self.left.saturating_add(more) >= self.burst {
            (self.left, self.at) = (self.burst, now);
        } else {
            self.left += more;
            self.at += self.every * more;
        }
        let taken = self.left > 0;
        self.left -= u32::from(taken);
        taken
    }
}

/// A session's further offers.
#[derive(Debug)]
pub(super) struct Offers {
    all: Bucket,
    restarts: Bucket,
    /// Those of a session whose browser has sent no signed check: nobody knows yet whether anybody is there.
    unchecked: u32,
    /// The user name fragment of the last offer; another one is an ICE restart.
    ufrag: Option<String>,
}

impl Offers {
    /// For a session whose first offer had this user name fragment.
    pub(super) fn new(now: Instant, ufrag: Option<&str>) -> Self {
        Self {
            all: Bucket::new(now, OFFER_BURST, OFFER_EVERY),
            restarts: Bucket::new(now, RESTART_BURST, RESTART_EVERY),
            unchecked: OFFER_BURST,
            ufrag: ufrag.map(str::to_owned),
        }
    }

    /// Whether an offer with this user name fragment may be answered; `checked`: a signed check has come.
    pub(super) fn take(&mut self, now: Instant, ufrag: Option<&str>, checked: bool) -> bool {
        if !checked && self.unchecked == 0 || !self.all.take(now) {
            return false;
        }
        let restarts = self.ufrag.as_deref() != ufrag;
        if restarts && !self.restarts.take(now) {
            return false;
        }
        self.unchecked = self.unchecked.saturating_sub(1);
        self.ufrag = ufrag.map(str::to_owned);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Of `tries` in a row, each `every` apart, how many were taken.
    fn taken(tries: u32, every: Duration, mut take: impl FnMut(Instant) -> bool) -> u32 {
        let start = Instant::now();
        (0..tries).map(|n| u32::from(take(start + every * n))).sum()
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let bucket = || Bucket::new(Instant::now(), 4, SECOND);
        let mut all = bucket();
        assert_eq!(taken(1_000, Duration::ZERO, |now| all.take(now)), 4);
        let mut often = bucket();
        // 100 s, and the burst.
        assert_eq!(taken(1_001, SECOND / 10, |now| often.take(now)), 104);
        let mut seldom = bucket();
        assert_eq!(taken(100, SECOND, |now| seldom.take(now)), 100);
    }

    #[test]
    fn a_long_rest_gives_no_more_than_the_burst() {
        let now = Instant::now();
        let mut bucket = Bucket::new(now, 4, Duration::from_nanos(1));
        assert!(bucket.take(now));
        let later = now + Duration::from_secs(1 << 32);
        assert_eq!((0..10).filter(|_| bucket.take(later)).count(), 4);
    }

    #[test]
    fn restarts_are_rarer_than_offers() {
        let mut offers = Offers::new(Instant::now(), Some("0"));
        let mut n = 0;
        let restarts = taken(3_600, SECOND, |now| {
            n += 1;
            offers.take(now, Some(&n.to_string()), true)
        });
        // An hour's, and the burst.
        assert_eq!(restarts, 59 + RESTART_BURST);
        let mut offers = Offers::new(Instant::now(), Some("0"));
        assert_eq!(taken(3_600, SECOND, |now| offers.take(now, Some("0"), true)), 3_600, "no restart");
    }

    #[test]
    fn before_the_first_check_there_is_only_the_burst() {
        let mut offers = Offers::new(Instant::now(), None);
        assert_eq!(taken(100, SECOND, |now| offers.take(now, None, false)), OFFER_BURST);
        let mut offers = Offers::new(Instant::now(), None);
        assert_eq!(taken(100, SECOND, |now| offers.take(now, None, true)), 100);
    }
}
