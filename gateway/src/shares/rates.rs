//! How often each network may have something. Pure: whoever asks says when.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::network;

/// Networks that are remembered, each until its bucket is full again. Full: a further one gets
/// nothing. It takes that many networks within the time that one bucket needs to fill.
const MAX_NETWORKS: usize = 4_096;

/// A token bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    burst: u32,
    every: Duration,
    left: u32,
    /// The bucket was right at this instant.
    at: Instant,
}

impl Bucket {
    /// A full one of `burst`, which gets one more each `every`.
    pub(crate) fn new(now: Instant, burst: u32, every: Duration) -> Self {
        Self { burst, every, left: burst, at: now }
    }

    /// Whether there is one; it is taken.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let taken = !self.is_empty(now);
        self.left -= u32::from(taken);
        taken
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at);
        let more =
            u32::try_from(passed.as_nanos() / self.every.as_nanos().max(1)).unwrap_or(u32::MAX);
        if self.left.saturating_add(more) >= self.burst {
            (self.left, self.at) = (self.burst, now);
        } else {
            self.left += more;
            self.at += self.every * more;
        }
        self.left == 0
    }

    /// How long until it gives its whole burst again, and need not be remembered.
    pub(crate) fn full_in(&self, now: Instant) -> Duration {
        let missing = self.every.saturating_mul(self.burst - self.left);
        missing.saturating_sub(now.saturating_duration_since(self.at))
    }
}

/// A bucket for each network.
#[derive(Debug)]
pub(crate) struct Rates {
    burst: u32,
    every: Duration,
    /// Only those that are not full, but for what came since the last look.
    each: HashMap<IpAddr, Bucket>,
}

impl Rates {
    /// For each network a [`Bucket`] like this.
    pub(crate) fn new(burst: u32, every: Duration) -> Self {
        Self { burst, every, each: HashMap::new() }
    }

    /// Whether there is none for the network of this client.
    pub(crate) fn is_empty(&mut self, now: Instant, client: IpAddr) -> bool {
        self.each.get_mut(&network(client)).is_some_and(|bucket| bucket.is_empty(now))
    }

    /// Whether there is one for the network of this client; it is taken.
    pub(crate) fn take(&mut self, now: Instant, client: IpAddr) -> bool {
        let network = network(client);
        if self.each.len() >= MAX_NETWORKS && !self.each.contains_key(&network) {
            self.each.retain(|_, bucket| !bucket.full_in(now).is_zero());
            if self.each.len() >= MAX_NETWORKS {
                return false;
            }
        }
        self.each
            .entry(network)
            .or_insert_with(|| Bucket::new(now, self.burst, self.every))
            .take(now)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Of `tries` in a row, each `every` apart, how many were taken.
    pub(crate) fn taken(tries: u32, every: Duration, mut take: impl FnMut(Instant) -> bool) -> u32 {
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
    fn each_network_has_its_rate() {
        let mut rates = Rates::new(4, SECOND);
        let [one, same, other] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|ip| ip.parse().unwrap());
        let mut of = |client| taken(10, Duration::ZERO, |now| rates.take(now, client));
        assert_eq!((of(one), of(same), of(other)), (4, 0, 4));
    }

    #[test]
    fn networks_are_forgotten_once_they_have_all_again_and_no_more_are_remembered() {
        let mut rates = Rates::new(2, SECOND);
        let client = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        let start = Instant::now();
        assert!((0..MAX_NETWORKS).all(|n| rates.take(start, client(n))));
        assert!(rates.take(start, client(0)), "one that is remembered");
        assert!(!rates.take(start + SECOND / 2, client(MAX_NETWORKS)), "one more");
        assert!(rates.take(start + SECOND, client(MAX_NETWORKS)), "the others have all again");
        assert_eq!(rates.each.len(), 2, "but for the one that took two");
    }
}
