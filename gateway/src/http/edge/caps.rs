//! How many connections a port accepts: in all, and from each client network.

use std::net::IpAddr;
use std::sync::Arc;

use super::Port;
use crate::shares::{Exhausted, Share, Shares, network};
use crate::telemetry;

/// Addresses to which only the cap of the whole port applies: proxies, each of which connects for
/// many clients.
pub(crate) type Exempt = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// The caps of one port, and its current connections.
pub(crate) struct Caps {
    port: Port,
    exempt: Exempt,
    connections: Arc<Shares>,
}

/// The place of one connection. Dropping it frees the place.
pub(crate) struct Permit {
    port: Port,
    _place: Share,
}

impl Caps {
    pub(crate) fn new(port: Port, max: usize, max_each: usize, exempt: Exempt) -> Arc<Self> {
        Arc::new(Self { port, exempt, connections: Shares::new(max, max_each) })
    }

    pub(super) fn port(&self) -> Port {
        self.port
    }

    /// A place for a connection from `peer`.
    ///
    /// # Errors
    /// Why it is closed as soon as it is made, as the value of the label `reason`.
    pub(super) fn admit(&self, peer: IpAddr) -> Result<Permit, &'static str> {
        let network = (!(self.exempt)(peer.to_canonical())).then(|| network(peer));
        let mut place = Share::new(&self.connections, network);
        place.grow(1).map_err(|exhausted| match exhausted {
            Exhausted::All => "connections",
            Exhausted::Network => "connections_of_address",
        })?;
        telemetry::http_connections(self.port.label(), 1.0);
        Ok(Permit { port: self.port, _place: place })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        telemetry::http_connections(self.port.label(), -1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_have_the_whole_port_and_no_more() {
        let proxy: IpAddr = "10.9.9.9".parse().unwrap();
        let caps = Caps::new(Port::Public, 3, 1, Arc::new(move |ip| ip == proxy));
        let admit = |peer: &str| caps.admit(peer.parse().unwrap());
        let one = admit("10.0.0.1").unwrap();
        assert_eq!(admit("10.0.0.1").err(), Some("connections_of_address"));
        let held = [admit("10.9.9.9").unwrap(), admit("::ffff:10.9.9.9").unwrap()];
        assert_eq!(admit("10.9.9.9").err(), Some("connections"));
        assert_eq!(admit("10.0.0.2").err(), Some("connections"));
        drop((one, held));
        assert_eq!(caps.connections.held(), 0);
        assert!(admit("10.0.0.1").is_ok());
    }
}
