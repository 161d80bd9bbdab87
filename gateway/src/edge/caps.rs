//! How many connections a port holds: in all, and of each client's network.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use super::Port;
use crate::telemetry;

/// Addresses that only the cap of the whole port holds for: proxies, each of which speaks for many clients.
pub(crate) type Exempt = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// The caps of one port, and what it holds now.
pub(crate) struct Caps {
    port: Port,
    most: usize,
    most_each: usize,
    exempt: Exempt,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: usize,
    /// Only networks that hold one: no more entries than connections.
    each: HashMap<IpAddr, usize>,
}

/// Why a connection is closed as soon as it is made. The text is the value of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Port,
    Address,
}

/// The place of one connection. Dropping it frees the place.
pub(crate) struct Permit {
    caps: Arc<Caps>,
    network: Option<IpAddr>,
}

impl Refusal {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Port => "connections",
            Self::Address => "connections_of_address",
        }
    }
}

impl Caps {
    pub(crate) fn new(port: Port, most: usize, most_each: usize, exempt: Exempt) -> Arc<Self> {
        Arc::new(Self { port, most, most_each, exempt, held: Mutex::default() })
    }

    pub(super) fn port(&self) -> Port {
        self.port
    }

    /// A place for a connection from `peer`.
    ///
    /// # Errors
    /// The port, or the peer's network, has as many as it may.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Permit, Refusal> {
        let network = (!(self.exempt)(peer.to_canonical())).then(|| network(peer));
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.all >= self.most {
            return Err(Refusal::Port);
        }
        if let Some(network) = network {
            let each = held.each.get(&network).copied().unwrap_or_default();
            if each >= self.most_each {
                return Err(Refusal::Address);
            }
            held.each.insert(network, each + 1);
        }
        held.all += 1;
        telemetry::http_connections(self.port.label(), held.all);
        Ok(Permit { caps: Arc::clone(self), network })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.caps.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all -= 1;
        telemetry::http_connections(self.caps.port.label(), held.all);
        let Some(network) = self.network else { return };
        if let Some(each) = held.each.get_mut(&network) {
            *each -= 1;
            if *each == 0 {
                held.each.remove(&network);
            }
        }
    }
}

/// Whose connections are counted together. One customer has a whole /64 of IPv6 addresses (RFC 6177).
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(most: usize, most_each: usize) -> Arc<Caps> {
        let proxy: IpAddr = "10.9.9.9".parse().unwrap();
        Caps::new(Port::Public, most, most_each, Arc::new(move |ip| ip == proxy))
    }

    fn admit(caps: &Arc<Caps>, peer: &str) -> Result<Permit, Refusal> {
        caps.admit(peer.parse().unwrap())
    }

    #[test]
    fn each_network_has_its_share_and_gets_it_back() {
        let caps = caps(10, 2);
        let first = admit(&caps, "10.0.0.1").unwrap();
        let _second = admit(&caps, "::ffff:10.0.0.1").unwrap();
        assert_eq!(admit(&caps, "10.0.0.1").err(), Some(Refusal::Address));
        let _other = admit(&caps, "10.0.0.2").unwrap();
        drop(first);
        let _again = admit(&caps, "10.0.0.1").unwrap();
        assert_eq!(admit(&caps, "10.0.0.1").err(), Some(Refusal::Address));
    }

    #[test]
    fn a_64_of_ipv6_is_one_network() {
        let caps = caps(10, 1);
        let _one = admit(&caps, "2001:db8::1").unwrap();
        assert_eq!(admit(&caps, "2001:db8::ffff:1").err(), Some(Refusal::Address));
        assert!(admit(&caps, "2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn the_whole_port_has_a_cap_for_proxies_too() {
        let caps = caps(3, 1);
        let held: Vec<_> = (0..3).map(|_| admit(&caps, "10.9.9.9").unwrap()).collect();
        assert_eq!(admit(&caps, "10.9.9.9").err(), Some(Refusal::Port));
        assert_eq!(admit(&caps, "10.0.0.1").err(), Some(Refusal::Port));
        drop(held);
        assert!(admit(&caps, "10.0.0.1").is_ok());
        let held = caps.held.lock().unwrap();
        assert_eq!((held.all, held.each.len()), (0, 0), "nothing is remembered of who has left");
    }
}
