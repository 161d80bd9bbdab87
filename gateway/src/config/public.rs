//! The addresses that browsers are told if they differ from our own: behind a NAT, in a container,
//! in a cluster.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::names;

/// The default port of STUN (RFC 8489, section 18.6).
const STUN_PORT: u16 = 3478;
/// The most items of `--public-ip`. Each address costs every answer two lines.
const MAX_ITEMS: usize = 16;

/// Value of `--public-ip`, in its order; empty: our own addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Public(pub(crate) Vec<Source>);

/// Where an address is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Address(IpAddr),
    /// A host name, resolved again and again.
    Name(String),
    /// All STUN servers, where the first of them stands: the next one is asked when one is silent.
    Stun(Vec<StunServer>),
}

/// A STUN server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StunServer {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Public {
    /// Checks the value against the addresses of `--media`.
    pub(super) fn parse(problems: &mut Vec<String>, given: &str, media: &[IpAddr]) -> Option<Self> {
        let (before, mut sources) = (problems.len(), Vec::new());
        let items: Vec<&str> = given.split(',').map(str::trim).collect();
        if items == [""] {
            return Some(Self::default());
        }
        if items.len() > MAX_ITEMS {
            problems.push(format!("--public-ip: more than {MAX_ITEMS} addresses and servers"));
            return None;
        }
        for item in items {
            match Source::parse(item) {
                Ok(Source::Stun(server)) => {
                    match sources.iter_mut().find(|source| matches!(source, Source::Stun(_))) {
                        Some(Source::Stun(servers)) => servers.extend(server),
                        _ => sources.push(Source::Stun(server)),
                    }
                }
                Ok(source) => sources.push(source),
                Err(problem) => problems.push(format!("--public-ip: `{item}` {problem}")),
            }
        }
        // An orchestrator writes the addresses of both families, of which we may have one.
        let fits = |source: &Source| match source {
            Source::Address(ip) => media.iter().any(|own| own.is_ipv4() == ip.is_ipv4()),
            Source::Name(_) | Source::Stun(_) => true,
        };
        if problems.len() == before && !sources.iter().any(fits) {
            problems
                .push(format!("--public-ip: --media has no address of the family of `{given}`"));
        }
        (problems.len() == before).then_some(Self(sources))
    }
}

impl Source {
    fn parse(item: &str) -> Result<Self, &'static str> {
        const WANTED: &str = "is neither an IP address, a host name, nor stun:host:port";
        if let Some(server) = item.strip_prefix("stun:") {
            return StunServer::parse(server).map(|server| Self::Stun(vec![server])).ok_or(WANTED);
        }
        match address(item).map(|ip| ip.to_canonical()) {
            Some(ip) if is_of_one_host(ip) => Ok(Self::Address(ip)),
            Some(_) => Err("is not the address of a host"),
            None if is_host_name(item) => Ok(Self::Name(item.to_owned())),
            None => Err(WANTED),
        }
    }
}

impl StunServer {
    /// `host`, `host:port`, `[address]:port`: as in a URL, IPv6 needs brackets.
    fn parse(given: &str) -> Option<Self> {
        let bracketed = given.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match bracketed {
            Some((ip, rest)) => {
                let ip: Ipv6Addr = ip.parse().ok()?;
                let port = if rest.is_empty() { rest } else { rest.strip_prefix(':')? };
                (ip.to_string(), port)
            }
            None => {
                let (host, port) = given.split_once(':').unwrap_or((given, ""));
                (host.to_owned(), port)
            }
        };
        let known = match host.parse::<IpAddr>() {
            Ok(ip) => is_of_one_host(ip),
            Err(_) => is_host_name(&host),
        };
        let port = if port.is_empty() { STUN_PORT } else { port.parse().ok()? };
        (known && port != 0).then_some(Self { host, port })
    }
}

impl fmt::Display for StunServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Whether an address can be told to browsers as that of a host.
pub(crate) fn is_of_one_host(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// An address, with or without brackets around one of IPv6.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

/// Not one whose last part is a number: that is an address with a mistake in it.
fn is_host_name(text: &str) -> bool {
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|byte| byte.is_ascii_digit());
    !text.starts_with(['-', '.']) && names::is_name(text) && !number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(given: &str) -> Result<String, Vec<String>> {
        let mut problems = Vec::new();
        let Some(Public(sources)) =
            Public::parse(&mut problems, given, &["10.0.0.1".parse().unwrap()])
        else {
            return Err(problems);
        };
        assert_eq!(problems, Vec::<String>::new());
        let text = |source: &Source| match source {
            Source::Address(ip) => ip.to_string(),
            Source::Name(name) => format!("name {name}"),
            Source::Stun(servers) => {
                let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
                format!("stun {}", servers.join(" or "))
            }
        };
        Ok(sources.iter().map(text).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn addresses_names_and_servers_in_their_order() {
        for (given, read) in [
            ("", ""),
            ("192.0.2.1, 192.0.2.2", "192.0.2.1, 192.0.2.2"),
            // As the downward API of Kubernetes writes `status.hostIPs`.
            ("10.0.0.7,2001:db8::7", "10.0.0.7, 2001:db8::7"),
            ("10.0.0.7,[2001:db8::7]", "10.0.0.7, 2001:db8::7"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("media.example.org", "name media.example.org"),
            ("localhost, node_7.internal.", "name localhost, name node_7.internal."),
            ("stun:stun.example.org:19302", "stun stun.example.org:19302"),
            ("stun:stun.example.org", "stun stun.example.org:3478"),
            ("stun:stun.example.org:", "stun stun.example.org:3478"),
            ("stun:192.0.2.1:1", "stun 192.0.2.1:1"),
            ("stun:[2001:db8::1]:1", "stun [2001:db8::1]:1"),
            ("stun:[2001:db8::1]", "stun [2001:db8::1]:3478"),
            ("stun:a,10.0.0.7,stun:b:1", "stun a:3478 or b:1, 10.0.0.7"),
        ] {
            assert_eq!(parse(given).as_deref(), Ok(read), "{given}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for bad in [
            "192.0.2.1,",
            "192.0.2",
            "192.0.2.300",
            "0.0.0.0",
            "[::]",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "[192.0.2.1]",
            "fe80::1%eth0",
            "https://example.org",
            "exa mple.org",
            "-v.example.org",
            "stun:",
            "stun:host:port",
            "stun:host:0",
            "stun:host:65536",
            "stun://host:1",
            "stun:2001:db8::1",
            "stun:[2001:db8::1]1",
            "stun:[192.0.2.1]",
            "stun:0.0.0.0",
            "stun:[2001:db8::1",
            "stuns:host:1",
            // No address of --media is of its family.
            "2001:db8::1",
            &["192.0.2.1"; 17].join(","),
        ] {
            let problems = parse(bad).unwrap_err();
            assert!(
                problems.len() == 1 && problems[0].starts_with("--public-ip: "),
                "{bad}: {problems:?}"
            );
        }
    }
}
