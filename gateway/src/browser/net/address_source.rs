//! One source of the addresses that browsers reach: an address that `--public-ip` names, a name
//! that is resolved, or STUN servers that are asked.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;
use tracing::warn;

use super::stun::{self, Answers};
use crate::config::public::{Source, is_of_one_host};
use crate::telemetry;

/// For a name, each time: the start waits for it.
const LOOKUP: Duration = Duration::from_secs(8);
/// Of a name, the first in order.
const MAX_OF_NAME: usize = 8;

/// A source, and what it has told last.
#[derive(Debug)]
pub(super) struct AddressSource {
    source: Source,
    last: Vec<IpAddr>,
    /// The STUN server that is asked first.
    first: usize,
}

impl AddressSource {
    /// `ours` are the addresses of the media port.
    pub(super) fn new(source: &Source, ours: &[IpAddr]) -> Self {
        match source {
            Source::Address(ip) if !is_of_our_families(ours, *ip) => {
                warn!(%ip, "--public-ip: left out, as --media has no address of its family");
            }
            Source::Stun(servers) => {
                servers.iter().for_each(|server| telemetry::stun_errors(&server.to_string(), 0));
            }
            _ => {}
        }
        Self { source: source.clone(), last: Vec::new(), first: 0 }
    }

    /// What it has told last.
    pub(super) fn last(&self) -> &[IpAddr] {
        &self.last
    }

    /// The address, where the options name one.
    pub(super) fn declared(&self) -> Option<IpAddr> {
        match self.source {
            Source::Address(ip) => Some(ip),
            Source::Name(_) | Source::Stun(_) => None,
        }
    }

    /// Asks it once.
    ///
    /// # Errors
    /// It told no address, and keeps its last ones; the text names it and says why.
    pub(super) async fn look(&mut self, ours: &[IpAddr]) -> Result<(), String> {
        let looked = match &self.source {
            Source::Address(ip) => Ok(vec![*ip]),
            Source::Name(name) => {
                let resolved = timeout(LOOKUP, resolve(name, ours)).await;
                resolved.unwrap_or_else(|late| Err(late.into()))
            }
            Source::Stun(servers) => {
                let Answers { addresses, silent } = stun::ask(servers, self.first, ours).await;
                // Behind those that were silent, if all were.
                let asked = if addresses.is_empty() { silent.len().max(1) } else { 0 };
                self.first = (self.first + asked) % servers.len();
                for (server, _) in &silent {
                    telemetry::stun_errors(&servers[*server].to_string(), 1);
                }
                match silent.into_iter().next() {
                    Some((_, error)) if addresses.is_empty() => Err(error),
                    None if addresses.is_empty() => Err(io::ErrorKind::AddrNotAvailable.into()),
                    _ => Ok(addresses),
                }
            }
        };
        self.last = looked.map_err(|error| format!("{}: {error}", self.described()))?;
        Ok(())
    }

    fn described(&self) -> String {
        match &self.source {
            Source::Address(ip) => ip.to_string(),
            Source::Name(name) => name.clone(),
            Source::Stun(servers) => {
                let servers: Vec<_> =
                    servers.iter().map(|server| format!("stun:{server}")).collect();
                servers.join(", ")
            }
        }
    }
}

/// Whether the media port has an address of the family of `ip`.
pub(super) fn is_of_our_families(ours: &[IpAddr], ip: IpAddr) -> bool {
    ours.iter().any(|own| own.is_ipv4() == ip.is_ipv4())
}

async fn resolve(name: &str, ours: &[IpAddr]) -> io::Result<Vec<IpAddr>> {
    let found = lookup_host((name, 0)).await?.map(|address| address.ip());
    let usable = usable(found, ours);
    if usable.is_empty() {
        return Err(io::Error::other("it has no address of a family of --media"));
    }
    Ok(usable)
}

/// Of what a name server says, a bounded part in one order, whatever that of the answer is.
fn usable(found: impl Iterator<Item = IpAddr>, ours: &[IpAddr]) -> Vec<IpAddr> {
    let usable = |ip: &IpAddr| is_of_one_host(*ip) && is_of_our_families(ours, *ip);
    let found: BTreeSet<IpAddr> = found.map(|ip| ip.to_canonical()).filter(usable).collect();
    found.into_iter().take(MAX_OF_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_server_does_not_say_how_many_there_are() {
        let found = (0..=255).rev().map(|n| IpAddr::from([192, 0, 2, n]));
        let strange = ["0.0.0.0", "224.0.0.1", "ff02::1", "2001:db8::1"];
        let strange = strange.map(|text| text.parse().unwrap());
        let usable = usable(strange.into_iter().chain(found), &["127.0.0.1".parse().unwrap()]);
        assert_eq!(usable, (0..8).map(|n| IpAddr::from([192, 0, 2, n])).collect::<Vec<_>>());
    }
}
