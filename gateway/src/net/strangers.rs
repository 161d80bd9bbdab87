//! Who of those that have not said whose they are must go when there are too many? A pure table: no socket, no clock.
//!
//! The oldest one of the host that has most of them: one that floods the port displaces itself, and while hosts have one
//! each, whoever is slowest goes. No host has a fixed share: behind one address may be a company's every browser.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};

/// Connections, at each address, that have not said whose they are.
pub(super) const STRANGERS: usize = 64;
/// An IPv6 host has so many bits of its own to make addresses of (RFC 4291, section 2.5.4).
const HOST_BITS: u32 = 64;

/// The table: [`STRANGERS`] at most. `T` is what one is known by.
#[derive(Debug)]
pub(super) struct Strangers<T> {
    /// The oldest first.
    waiting: VecDeque<(IpAddr, T)>,
}

impl<T> Default for Strangers<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::with_capacity(STRANGERS + 1) }
    }
}

impl<T> Strangers<T> {
    /// One more, from `remote`; returns the one that has to go for it, if any. That is never the new one itself.
    pub(super) fn add(&mut self, remote: IpAddr, stranger: T) -> Option<T> {
        self.waiting.push_back((host(remote), stranger));
        if self.waiting.len() <= STRANGERS {
            return None;
        }
        let of = |host: IpAddr| self.waiting.iter().filter(|(other, _)| *other == host).count();
        // The first of those with the most.
        let (greedy, _) = (0..self.waiting.len())
            .map(|at| (at, of(self.waiting[at].0)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        self.waiting.remove(greedy).map(|(_, stranger)| stranger)
    }

    /// Those of whom this holds are strangers no more.
    pub(super) fn remove(&mut self, known: impl Fn(&T) -> bool) {
        self.waiting.retain(|(_, stranger)| !known(stranger));
    }
}

/// What one machine cannot have many of.
fn host(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> HOST_BITS << HOST_BITS).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn v4(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_host_that_floods_displaces_itself() {
        let mut strangers = Strangers::default();
        assert_eq!(strangers.add(v4(1), 1_000), None);
        for n in 0..STRANGERS - 1 {
            assert_eq!(strangers.add(v4(2), n), None);
        }
        for n in STRANGERS - 1..1_000 {
            assert_eq!(strangers.add(v4(2), n), Some(n + 1 - STRANGERS), "its own oldest");
        }
        assert_eq!(strangers.add(v4(3), 1_001), Some(1_000 + 1 - STRANGERS), "for another one too");
        strangers.remove(|stranger| *stranger == 1_000);
        assert_eq!(strangers.add(v4(3), 1_002), None, "whoever is known leaves a place");
    }

    #[test]
    fn among_equals_the_oldest_goes() {
        let mut strangers = Strangers::default();
        for n in 0..=u8::MAX {
            let gone = strangers.add(v4(n), n);
            assert_eq!(gone, n.checked_sub(u8::try_from(STRANGERS).unwrap()));
        }
    }

    #[test]
    fn an_ipv6_network_is_one_host_and_each_ipv4_address_another() {
        let host = |ip: &str| host(ip.parse().unwrap());
        assert_eq!(host("2001:db8:0:1::1"), host("2001:db8:0:1:ffff::2"));
        assert_ne!(host("2001:db8:0:1::1"), host("2001:db8:0:2::1"));
        assert_eq!(host("::ffff:192.0.2.1"), v4(1));
        assert_ne!(host("::ffff:192.0.2.1"), host("::ffff:192.0.2.2"));
    }

    /// A browser is displaced only when nobody has more than it.
    #[test]
    fn whoever_goes_is_of_a_host_that_has_most() {
        for seed in 0..20 {
            let mut random = SmallRng::seed_from_u64(seed);
            let (mut strangers, mut model) = (Strangers::default(), Vec::new());
            for n in 0..1_000 {
                if random.random_range(0..4) == 0 && !model.is_empty() {
                    let (_, gone) = model.remove(random.random_range(0..model.len()));
                    strangers.remove(|stranger| *stranger == gone);
                    continue;
                }
                // Some have many, most have few.
                let hosts = random.random_range(1..=u8::MAX);
                let last = random.random_range(0..hosts);
                model.push((last, n));
                let count = |last| model.iter().filter(|(other, _)| *other == last).count();
                let most = model.iter().map(|(last, _)| count(*last)).max().unwrap();
                let oldest = model.iter().position(|(last, _)| count(*last) == most);
                let expected = oldest.filter(|_| model.len() > STRANGERS).map(|at| model.remove(at).1);
                assert_eq!(strangers.add(v4(last), n), expected, "seed {seed}");
                assert_eq!(strangers.waiting.len(), model.len());
            }
        }
    }
}
