//! What strangers use up of something bounded, shared fairly among the networks that they come
//! from. Pure: it knows no socket, no clock and nothing else of this crate.
//!
//! | module | what it shares |
//! |---|---|
//! | `amounts` | a number of things, or bytes: when all are taken, the next client is refused |
//! | `waiting_list` | places to wait in: when all are taken, the next client displaces another |
//! | `rates` | how often: who has had too many at once is refused |

mod amounts;
mod rates;
mod waiting_list;

use std::net::{IpAddr, Ipv6Addr};

pub(crate) use self::amounts::{Exhausted, Share, Shares};
#[cfg(test)]
pub(crate) use self::rates::tests::taken;
pub(crate) use self::rates::{Bucket, Rates};
pub(crate) use self::waiting_list::WaitingList;

/// Of an IPv6 address, the bits that a host may choose (RFC 4291, section 2.5.4). One customer has
/// a whole /64 at least (RFC 6177).
const HOST_BITS: u32 = 64;

/// What one client cannot have many of: its IPv4 address, or the /64 of its IPv6 address.
pub(crate) fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> HOST_BITS << HOST_BITS).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_64_is_one_network_and_each_ipv4_address_another() {
        let network = |ip: &str| network(ip.parse().unwrap());
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ffff::2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("::ffff:192.0.2.1"), network("::ffff:192.0.2.2"));
    }
}
