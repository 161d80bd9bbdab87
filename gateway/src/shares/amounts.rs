//! A bounded amount, of which each network may hold a part.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The amount: `max` in all, `max_each` for one network.
#[derive(Debug)]
pub(crate) struct Shares {
    max: usize,
    max_each: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    /// Only networks that hold something.
    each: HashMap<IpAddr, usize>,
}

/// What one holder has. Dropping it gives that back.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Arc<Shares>,
    /// `None`: only the bound of all holds for it.
    network: Option<IpAddr>,
    amount: usize,
}

/// Why there is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exhausted {
    /// All is held.
    All,
    /// This network holds its part.
    Network,
}

impl Shares {
    pub(crate) fn new(max: usize, max_each: usize) -> Arc<Self> {
        Arc::new(Self { max, max_each, held: Mutex::default() })
    }

    /// What all hold now.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held.lock().all
    }
}

impl Share {
    /// Nothing yet, for this [`super::network`].
    pub(crate) fn new(shares: &Arc<Shares>, network: Option<IpAddr>) -> Self {
        Self { shares: Arc::clone(shares), network, amount: 0 }
    }

    /// Takes so much more, or nothing.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), Exhausted> {
        let mut held = self.shares.held.lock();
        let all = held.all.saturating_add(more);
        if all > self.shares.max {
            return Err(Exhausted::All);
        }
        if let Some(network) = self.network.filter(|_| more > 0) {
            let each = held.each.get(&network).copied().unwrap_or_default().saturating_add(more);
            if each > self.shares.max_each {
                return Err(Exhausted::Network);
            }
            held.each.insert(network, each);
        }
        held.all = all;
        self.amount += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock();
        held.all -= self.amount;
        let Some(network) = self.network else { return };
        if let Some(each) = held.each.get_mut(&network) {
            *each -= self.amount;
            if *each == 0 {
                held.each.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(shares: &Arc<Shares>, network: u8) -> Share {
        Share::new(shares, Some([10, 0, 0, network].into()))
    }

    #[test]
    fn each_network_has_its_part_and_gets_it_back() {
        let shares = Shares::new(10, 4);
        let (mut first, mut second, mut other) =
            (share(&shares, 1), share(&shares, 1), share(&shares, 2));
        assert_eq!(
            (first.grow(3), second.grow(2), second.grow(1)),
            (Ok(()), Err(Exhausted::Network), Ok(()))
        );
        assert_eq!((first.grow(1), other.grow(4)), (Err(Exhausted::Network), Ok(())));
        drop(second);
        assert_eq!((first.grow(1), shares.held()), (Ok(()), 8));
        drop((first, other));
        let held = shares.held.lock();
        assert_eq!((held.all, held.each.len()), (0, 0), "nothing is remembered of who has left");
    }

    #[test]
    fn the_bound_of_all_holds_for_those_without_a_network_too() {
        let shares = Shares::new(10, 4);
        let mut proxy = Share::new(&shares, None);
        assert_eq!(
            (proxy.grow(9), proxy.grow(2), share(&shares, 1).grow(2)),
            (Ok(()), Err(Exhausted::All), Err(Exhausted::All))
        );
        assert_eq!(
            (share(&shares, 1).grow(1), proxy.grow(usize::MAX)),
            (Ok(()), Err(Exhausted::All))
        );
    }
}
