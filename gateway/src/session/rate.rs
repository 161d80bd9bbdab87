//! Rate limits for offers: renegotiations of a session, and new sessions of a client. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::shares::{Bucket, Rates};

/// Renegotiations of a session in a row, with one each [`OFFER_EVERY`] on average: a browser that
/// changes its tracks and its network at the same time makes a few.
const OFFER_BURST: u32 = 4;
/// See [`OFFER_BURST`].
const OFFER_EVERY: Duration = Duration::from_secs(1);
/// ICE restarts of a session in a row. The page makes one whenever its network is silent; one a
/// minute on average is a very bad connection. Each makes the stack gather candidates and check
/// every path again.
const RESTART_BURST: u32 = 8;
/// See [`RESTART_BURST`].
const RESTART_EVERY: Duration = Duration::from_secs(60);

/// New sessions from one client network in a row, for each core: a class that opens a page
/// together, behind one address.
const NEW_BURST_PER_CORE: u32 = 32;
/// New sessions from one client network a second, for each core. An answer takes 3.7 ms of a core
/// (release, an offer of Chromium), a refused offer 0.5 ms. So one network can use at most 4 % of
/// each core.
const NEW_RATE_PER_CORE: u32 = 10;

/// Sessions of a gateway that move to a nearer worker in a row.
const MOVE_BURST: u32 = 2;
/// Between two of them, on average.
const MOVE_EVERY: Duration = Duration::from_secs(1);

/// The limiter of new sessions for a gateway with this many cores.
pub(crate) fn new_sessions(cores: usize) -> Rates {
    let times = u32::try_from(cores).unwrap_or(u32::MAX);
    let every = Duration::from_secs(1) / NEW_RATE_PER_CORE.saturating_mul(times);
    Rates::new(NEW_BURST_PER_CORE.saturating_mul(times), every)
}

/// The limiter of sessions that move nearer: each starts a handler, and those that had none start
/// theirs meanwhile.
pub(crate) fn moves(now: Instant) -> Bucket {
    Bucket::new(now, MOVE_BURST, MOVE_EVERY)
}

/// The limiter of a session's renegotiations.
#[derive(Debug)]
pub(super) struct Offers {
    all: Bucket,
    restarts: Bucket,
    /// For a session whose browser has sent no signed check, so that nothing shows that a browser
    /// is there.
    unchecked: u32,
    /// The ICE user name fragment of the last offer; a different one is an ICE restart.
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

    /// Whether an offer with this user name fragment may be answered; `checked`: a signed check has
    /// come.
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
    use crate::shares::taken;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_begins_so_many_and_others_theirs() {
        let mut rates = new_sessions(2);
        let mut of = |last: u8| {
            taken(1_000, Duration::from_millis(1), |now| rates.take(now, [192, 0, 2, last].into()))
        };
        // A second's, and the burst; the last comes a moment after.
        assert_eq!([of(1), of(2)], [64 + 19; 2]);
        let later = Instant::now() + SECOND * 2;
        assert!(rates.take(later, [192, 0, 2, 1].into()));
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
        assert_eq!(
            taken(3_600, SECOND, |now| offers.take(now, Some("0"), true)),
            3_600,
            "no restart"
        );
    }

    #[test]
    fn before_the_first_check_there_is_only_the_burst() {
        let mut offers = Offers::new(Instant::now(), None);
        assert_eq!(taken(100, SECOND, |now| offers.take(now, None, false)), OFFER_BURST);
        let mut offers = Offers::new(Instant::now(), None);
        assert_eq!(taken(100, SECOND, |now| offers.take(now, None, true)), 100);
    }
}
