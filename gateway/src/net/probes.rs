//! How often may the stack ask an address that has not answered? A pure table: no socket, no clock.
//!
//! A check costs its sender less than what we send because of it, and its source address may be
//! another's. The stack sends a check of its own for each that it gets, and more by a timer. Each
//! address gets a few of these, ever longer apart, and one session has few such addresses. An ICE
//! restart changes neither.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Checks to an address that has not answered. Where a network loses half of all packets, one of
/// five is answered in three cases of four.
pub(super) const PROBES: u32 = 5;
/// Between the first two; twice as long each time, so that all of them take 2.25 s. The stack's
/// timer is 200 ms, and the stack gives up after 8 s.
const FIRST_GAP: Duration = Duration::from_millis(150);
/// Addresses of one session that have not answered. Full: another one is not asked, until the one
/// that was asked longest ago is forgotten.
pub(super) const ADDRESSES: usize = 10;
/// An address that was not asked for so long may be forgotten: then it may be asked [`PROBES`]
/// times again.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Of one session.
#[derive(Debug, Default)]
pub(super) struct Probes {
    silent: Vec<Silent>,
}

#[derive(Debug)]
struct Silent {
    address: SocketAddr,
    asked: u32,
    last: Instant,
}

impl Probes {
    /// Whether `address`, which has not answered, may be asked.
    pub(super) fn may_ask(&self, now: Instant, address: SocketAddr) -> bool {
        match self.silent.iter().find(|silent| silent.address == address) {
            Some(silent) => {
                let gap = FIRST_GAP * 2_u32.saturating_pow(silent.asked.saturating_sub(1));
                silent.asked < PROBES && now.saturating_duration_since(silent.last) >= gap
            }
            None => self.silent.len() < ADDRESSES || self.forgettable(now).is_some(),
        }
    }

    /// `address`, which may be asked, was.
    pub(super) fn asked(&mut self, now: Instant, address: SocketAddr) {
        if let Some(silent) = self.silent.iter_mut().find(|silent| silent.address == address) {
            (silent.asked, silent.last) = (silent.asked + 1, now);
            return;
        }
        if self.silent.len() >= ADDRESSES
            && let Some(at) = self.forgettable(now)
        {
            self.silent.swap_remove(at);
        }
        if self.silent.len() < ADDRESSES {
            self.silent.push(Silent { address, asked: 1, last: now });
        }
    }

    /// `address` has answered.
    pub(super) fn answered(&mut self, address: SocketAddr) {
        self.silent.retain(|silent| silent.address != address);
    }

    fn forgettable(&self, now: Instant) -> Option<usize> {
        let (at, oldest) = self.silent.iter().enumerate().min_by_key(|(_, silent)| silent.last)?;
        (now.saturating_duration_since(oldest.last) >= FORGOTTEN).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        ([192, 0, 2, 7], port).into()
    }

    /// Asks whenever it may, each millisecond; returns when that was.
    fn asks(probes: &mut Probes, start: Instant, address: SocketAddr, millis: u64) -> Vec<u64> {
        let asked = (0..millis).filter(|passed| {
            let now = start + Duration::from_millis(*passed);
            let may = probes.may_ask(now, address);
            if may {
                probes.asked(now, address);
            }
            may
        });
        asked.collect()
    }

    #[test]
    fn a_silent_address_is_asked_five_times_ever_more_seldom() {
        let (mut probes, start) = (Probes::default(), Instant::now());
        assert_eq!(asks(&mut probes, start, at(1), 10_000), [0, 150, 450, 1_050, 2_250]);
        assert!(!probes.may_ask(start + FORGOTTEN * 100, at(1)), "not again while there is room for others");
        probes.answered(at(1));
        assert!(probes.may_ask(start, at(1)));
    }

    #[test]
    fn a_session_has_ten_silent_addresses_and_one_more_each_minute() {
        let (mut probes, start) = (Probes::default(), Instant::now());
        for port in 0..100 {
            let asked = asks(&mut probes, start, at(port), 5_000).len();
            assert_eq!(asked, if usize::from(port) < ADDRESSES { 5 } else { 0 }, "{port}");
        }
        assert!(!probes.may_ask(start + FORGOTTEN, at(100)), "the last check was 2.25 s later");
        let later = start + FORGOTTEN * 2;
        for port in 100..200 {
            probes.may_ask(later, at(port)).then(|| probes.asked(later, at(port)));
            assert_eq!(probes.silent.len(), ADDRESSES);
        }
        let asked = (100..200).filter(|port| probes.silent.iter().any(|silent| silent.address == at(*port)));
        assert_eq!(asked.count(), ADDRESSES, "each of the old ones made room for one");
        probes.answered(at(100));
        assert!(probes.may_ask(later, at(7)), "whoever answers leaves a place");
    }
}
