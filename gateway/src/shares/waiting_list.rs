//! Who has to go when more wait than there are places for? A pure table: no socket, no clock.
//!
//! The oldest one of the network that has most of them: one that floods displaces itself, and while
//! networks have one each, the oldest goes. No network has a fixed share: behind one address may be
//! a company's every browser.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use super::network;

/// Those that wait, each known by a `T`.
#[derive(Debug)]
pub(crate) struct WaitingList<T> {
    max: usize,
    /// The oldest first.
    waiting: VecDeque<(IpAddr, T)>,
}

impl<T> WaitingList<T> {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, waiting: VecDeque::new() }
    }

    /// One more, from `client`; returns the one that has to go for it, if any. That is never the
    /// new one itself, unless there is room for nobody.
    pub(crate) fn add(&mut self, client: IpAddr, one: T) -> Option<T> {
        self.waiting.push_back((network(client), one));
        if self.waiting.len() <= self.max {
            return None;
        }
        let mut counts = HashMap::new();
        for (network, _) in &self.waiting {
            *counts.entry(*network).or_insert(0_usize) += 1;
        }
        let largest = counts.values().copied().max()?;
        let greedy = self.waiting.iter().position(|(network, _)| counts[network] == largest)?;
        self.waiting.remove(greedy).map(|(_, one)| one)
    }

    /// The first for whom this holds waits no more; gives its network.
    pub(crate) fn remove(&mut self, known: impl Fn(&T) -> bool) -> Option<IpAddr> {
        let at = self.waiting.iter().position(|(_, one)| known(one))?;
        self.waiting.remove(at).map(|(network, _)| network)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const MOST: usize = 64;

    fn v4(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_network_that_floods_displaces_itself() {
        let mut list = WaitingList::new(MOST);
        assert_eq!(list.add(v4(1), 1_000), None);
        for n in 0..MOST - 1 {
            assert_eq!(list.add(v4(2), n), None);
        }
        for n in MOST - 1..1_000 {
            assert_eq!(list.add(v4(2), n), Some(n + 1 - MOST), "its own oldest");
        }
        assert_eq!(list.add(v4(3), 1_001), Some(1_000 + 1 - MOST), "for another one too");
        list.remove(|one| *one == 1_000);
        assert_eq!(list.add(v4(3), 1_002), None, "one that is known leaves a place");
    }

    #[test]
    fn among_equals_the_oldest_goes() {
        let mut list = WaitingList::new(MOST);
        for n in 0..=u8::MAX {
            let gone = list.add(v4(n), n);
            assert_eq!(gone, n.checked_sub(u8::try_from(MOST).unwrap()));
        }
    }

    /// A browser is displaced only when nobody has more than it.
    #[test]
    fn the_one_that_goes_is_of_a_network_that_has_most() {
        for seed in 0..20 {
            let mut random = SmallRng::seed_from_u64(seed);
            let (mut list, mut model) = (WaitingList::new(MOST), Vec::new());
            for n in 0..1_000 {
                if random.random_range(0..4) == 0 && !model.is_empty() {
                    let (_, gone) = model.remove(random.random_range(0..model.len()));
                    list.remove(|one| *one == gone);
                    continue;
                }
                // Some have many, most have few.
                let networks = random.random_range(1..=u8::MAX);
                let last = random.random_range(0..networks);
                model.push((last, n));
                let count = |last| model.iter().filter(|(other, _)| *other == last).count();
                let largest = model.iter().map(|(last, _)| count(*last)).max().unwrap();
                let oldest = model.iter().position(|(last, _)| count(*last) == largest);
                let expected = oldest.filter(|_| model.len() > MOST).map(|at| model.remove(at).1);
                assert_eq!(list.add(v4(last), n), expected, "seed {seed}");
                assert_eq!(list.waiting.len(), model.len());
            }
        }
    }
}
