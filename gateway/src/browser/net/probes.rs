//! How often may the stack ask an address that has not answered? A pure table: no socket, no clock.
//!
//! A check costs its sender less than what we send because of it, and its source address may be
//! another's. The stack sends a check of its own for each that it gets, and more by a timer. Each
//! address gets a few of these, with a pause between them, and one session has few such addresses.
//! An ICE restart changes neither. Where an address was heard at several of our sockets the one
//! that asked last waits twice as long: what it sends may not arrive, and it shall not use up what
//! the others need.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::routes::Path;

/// Checks to an address that a signed check came from and that has not answered: the seven that the
/// stack sends by itself, every 200 ms, and three more that further checks cause. Packets are lost
/// several in a row.
pub(super) const PROBES: u32 = 10;
/// The same to one that was only named (`--candidates any`).
pub(super) const PROBES_UNHEARD: u32 = 5;
/// Between two of them at least.
const GAP: Duration = Duration::from_millis(150);
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
    /// The socket that asked last.
    socket: usize,
}

impl Probes {
    /// Whether the address of `path`, which has not answered, may be asked by this path. It was
    /// `heard`: a signed check came from there; `others`: by other paths too.
    pub(super) fn may_ask(&self, now: Instant, path: Path, heard: bool, others: bool) -> bool {
        let most = if heard { PROBES } else { PROBES_UNHEARD };
        match self.silent.iter().find(|silent| silent.address == path.remote) {
            Some(silent) => {
                let gap = if others && silent.socket == path.socket { 2 * GAP } else { GAP };
                silent.asked < most && now.saturating_duration_since(silent.last) >= gap
            }
            None => self.silent.len() < ADDRESSES || self.forgettable(now).is_some(),
        }
    }

    /// It may be asked, and was.
    pub(super) fn asked(&mut self, now: Instant, Path { socket, remote: address }: Path) {
        if let Some(silent) = self.silent.iter_mut().find(|silent| silent.address == address) {
            *silent = Silent { address, asked: silent.asked + 1, last: now, socket };
            return;
        }
        if self.silent.len() >= ADDRESSES
            && let Some(at) = self.forgettable(now)
        {
            self.silent.swap_remove(at);
        }
        if self.silent.len() < ADDRESSES {
            self.silent.push(Silent { address, asked: 1, last: now, socket });
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

    fn by(socket: usize, port: u16) -> Path {
        Path { socket, remote: at(port) }
    }

    /// Asks on each of this many paths whenever it may, each millisecond; returns when that was,
    /// and the socket.
    fn asks(
        probes: &mut Probes,
        start: Instant,
        port: u16,
        paths: usize,
        heard: bool,
    ) -> Vec<(u64, usize)> {
        let each = (0..5_000).flat_map(|passed| (0..paths).map(move |socket| (passed, socket)));
        let asked = each.filter(|(passed, socket)| {
            let (now, path) = (start + Duration::from_millis(*passed), by(*socket, port));
            let may = probes.may_ask(now, path, heard, paths > 1);
            if may {
                probes.asked(now, path);
            }
            may
        });
        asked.collect()
    }

    #[test]
    fn a_silent_address_is_asked_a_few_times() {
        let (mut probes, start) = (Probes::default(), Instant::now());
        let expected = |count: u64| (0..count).map(|n| (150 * n, 0)).collect::<Vec<_>>();
        assert_eq!(asks(&mut probes, start, 1, 1, true), expected(10));
        assert_eq!(asks(&mut probes, start, 2, 1, false), expected(5));
        assert!(
            !probes.may_ask(start + FORGOTTEN * 100, by(0, 1), true, false),
            "not again while there is room for others"
        );
        probes.answered(at(1));
        assert!(probes.may_ask(start, by(0, 1), true, false));
    }

    #[test]
    fn of_two_paths_to_an_address_none_asks_alone() {
        let asked = asks(&mut Probes::default(), Instant::now(), 1, 2, false);
        assert_eq!(asked, [(0, 0), (150, 1), (300, 0), (450, 1), (600, 0)]);
    }

    #[test]
    fn a_session_has_ten_silent_addresses_and_one_more_each_minute() {
        let (mut probes, start) = (Probes::default(), Instant::now());
        for port in 0..100 {
            let asked = asks(&mut probes, start, port, 1, false).len();
            assert_eq!(asked, if usize::from(port) < ADDRESSES { 5 } else { 0 }, "{port}");
        }
        assert!(
            !probes.may_ask(start + FORGOTTEN, by(0, 100), true, false),
            "the last check was later"
        );
        let later = start + FORGOTTEN * 2;
        for port in 100..200 {
            probes
                .may_ask(later, by(0, port), true, false)
                .then(|| probes.asked(later, by(0, port)));
            assert_eq!(probes.silent.len(), ADDRESSES);
        }
        let asked = (100..200)
            .filter(|port| probes.silent.iter().any(|silent| silent.address == at(*port)));
        assert_eq!(asked.count(), ADDRESSES, "each of the old ones made room for one");
        probes.answered(at(100));
        assert!(probes.may_ask(later, by(0, 7), true, false), "whoever answers leaves a place");
    }
}
