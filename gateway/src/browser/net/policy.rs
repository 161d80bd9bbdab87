//! Which addresses that a browser names may be asked before a check came from there. Pure.
//!
//! By default none: whoever wants a gateway's packets sent somewhere else need only name that
//! address. Where a firewall lets nothing in before something went out, `--candidates any` has the
//! gateway speak first; then a name is still no way into the networks behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::media::Candidates;

/// `--candidates`, with what browsers are told of us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CandidatePolicy {
    pub(super) candidates: Candidates,
    /// An address of ours is in a private network: browsers in one may be ours to reach.
    private: bool,
}

impl CandidatePolicy {
    /// `declared` are the addresses that the options say are ours.
    pub(super) fn new(candidates: Candidates, declared: &[IpAddr]) -> Self {
        Self { candidates, private: declared.iter().any(|ip| is_private(*ip)) }
    }

    /// As where browsers are told a public address.
    #[cfg(test)]
    pub(crate) fn any() -> Self {
        Self::new(Candidates::Any, &[])
    }

    /// Whether the stack may be given a candidate.
    ///
    /// Never a host's name, which would have to be looked up, nor a port below 1024: no browser has
    /// one, and a NAT gives it none (RFC 4787, section 4.2.2), but name servers and their like do.
    pub(crate) fn admits(self, protocol: &str, address: &str, port: &str) -> bool {
        let (Ok(address), Ok(port)) = (address.parse::<IpAddr>(), port.parse::<u16>()) else {
            return false;
        };
        self.candidates == Candidates::Any
            && protocol.eq_ignore_ascii_case("udp")
            && port >= 1_024
            && (is_global(address) || self.private && is_private(address))
    }
}

/// RFC 1918, RFC 6598 and RFC 4193.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || is_shared(ip),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// Reached only from within: private networks, this machine, or one link.
pub(super) fn is_within_networks(ip: IpAddr) -> bool {
    let near = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    };
    near || is_private(ip)
}

/// Of one host, and in no private network.
fn is_global(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        // 0.0.0.0/8 is this host, and 240.0.0.0/4 nobody's but for broadcast.
        IpAddr::V4(ip) => {
            let [first, ..] = ip.octets();
            first != 0
                && first < 224
                && !ip.is_loopback()
                && !ip.is_link_local()
                && !ip.is_private()
                && !is_shared(ip)
        }
        // 2000::/3 is all that was ever assigned. NAT64's prefix (RFC 6052) is not in it.
        IpAddr::V6(ip) => ip.to_bits() >> 125 == 1 && !embeds_ipv4(ip),
    }
}

/// 100.64.0.0/10, of a provider's NAT (RFC 6598).
fn is_shared(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    first == 100 && second & 0xc0 == 64
}

/// 6to4 and Teredo (RFC 3056, RFC 4380): a gateway may lead to the IPv4 address within.
fn embeds_ipv4(ip: Ipv6Addr) -> bool {
    matches!(ip.segments(), [0x2002, ..] | [0x2001, 0, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLOBAL: [&str; 3] = ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"];
    const PRIVATE: [&str; 6] =
        ["10.0.0.7", "172.31.0.7", "192.168.0.7", "100.64.0.7", "fd00::7", "::ffff:192.168.0.7"];
    const NEVER: [&str; 20] = [
        "127.0.0.1",
        "127.3.2.1",
        "169.254.169.254",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.251",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::7",
        "fec0::7",
        "ff02::fb",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "a-name.local",
        "example.org",
    ];

    fn policy(candidates: Candidates, told: &[&str]) -> CandidatePolicy {
        let told: Vec<IpAddr> = told.iter().map(|ip| ip.parse().unwrap()).collect();
        CandidatePolicy::new(candidates, &told)
    }

    #[test]
    fn by_default_nobody_is_asked() {
        for told in ["127.0.0.1", "10.0.0.1", "192.0.2.1"] {
            let policy = policy(Candidates::Checked, &[told]);
            for address in [&GLOBAL[..], &PRIVATE, &NEVER].concat() {
                assert!(!policy.admits("udp", address, "50000"), "{address}");
            }
        }
    }

    #[test]
    fn private_addresses_are_asked_by_a_gateway_that_is_in_one() {
        for (told, private) in [
            (&["192.0.2.1"][..], false),
            (&["127.0.0.1"], false),
            (&["192.0.2.1", "10.0.0.1"], true),
            (&["fd00::1"], true),
            (&["100.64.0.1"], true),
        ] {
            let policy = policy(Candidates::Any, told);
            for (addresses, admitted) in [(&GLOBAL[..], true), (&PRIVATE, private), (&NEVER, false)]
            {
                for address in addresses {
                    assert_eq!(
                        policy.admits("UDP", address, "50000"),
                        admitted,
                        "{address}, told {told:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn addresses_that_other_networks_do_not_reach() {
        let within = |text: &&str| is_within_networks(text.parse().unwrap());
        let near = ["127.0.0.1", "169.254.7.7", "::1", "fe80::7", "::ffff:127.0.0.1"];
        assert!(PRIVATE.iter().chain(&near).all(within));
        assert!(!GLOBAL.iter().any(within));
    }

    #[test]
    fn neither_tcp_nor_the_ports_of_servers() {
        let policy = policy(Candidates::Any, &["192.0.2.1"]);
        for (protocol, port, admitted) in [
            ("udp", "1024", true),
            ("udp", "65535", true),
            ("udp", "1023", false),
            ("udp", "53", false),
            ("udp", "0", false),
            ("udp", "65536", false),
            ("udp", "-1", false),
            ("tcp", "50000", false),
            ("ssltcp", "50000", false),
        ] {
            assert_eq!(policy.admits(protocol, "192.0.2.7", port), admitted, "{protocol} {port}");
        }
    }
}
