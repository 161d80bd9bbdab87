//! The addresses that browsers are told if they differ from our own: behind a NAT, in a container,
//! in a cluster.

use std::net::IpAddr;

/// The default port of STUN (RFC 8489, section 18.6).
const STUN_PORT: u16 = 3478;

/// Value of `--public-ip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Public {
    /// Our own addresses.
    Local,
    Listed(Vec<IpAddr>),
    /// `host:port` of a STUN server, asked once at the start.
    Asked(String),
}

impl Public {
    /// Checks the value against the addresses of `--media`.
    pub(super) fn parse(problems: &mut Vec<String>, given: &str, media: &[IpAddr]) -> Option<Self> {
        let given = given.trim();
        if given.is_empty() {
            return Some(Self::Local);
        }
        if let Some(server) = given.strip_prefix("stun:") {
            let (host, port) = server.rsplit_once(':').unwrap_or((server, ""));
            let port = if port.is_empty() { Some(STUN_PORT) } else { port.parse().ok() };
            if let Some(port) = port.filter(|_| !host.is_empty() && !host.contains(['/', '@', ' ']))
            {
                return Some(Self::Asked(format!("{host}:{port}")));
            }
        }
        let (before, mut listed) = (problems.len(), Vec::new());
        for part in given.split(',').map(str::trim) {
            match part.parse::<IpAddr>() {
                Ok(ip) if media.iter().any(|own| own.is_ipv4() == ip.is_ipv4()) => listed.push(ip),
                Ok(ip) => {
                    problems.push(format!("--public-ip: --media has no address of `{ip}`'s family"))
                }
                Err(_) => problems.push(format!(
                    "--public-ip: `{part}` is neither an IP address nor stun:host:port"
                )),
            }
        }
        (problems.len() == before).then_some(Self::Listed(listed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(given: &str) -> Result<Public, Vec<String>> {
        let mut problems = Vec::new();
        Public::parse(&mut problems, given, &["10.0.0.1".parse().unwrap()]).ok_or(problems)
    }

    #[test]
    fn a_list_a_server_or_nothing() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(parse(""), Ok(Public::Local));
        assert_eq!(
            parse("192.0.2.1, 192.0.2.2"),
            Ok(Public::Listed(vec![ip("192.0.2.1"), ip("192.0.2.2")]))
        );
        assert_eq!(
            parse("stun:stun.example.org:19302"),
            Ok(Public::Asked("stun.example.org:19302".into()))
        );
        assert_eq!(
            parse("stun:stun.example.org"),
            Ok(Public::Asked("stun.example.org:3478".into()))
        );
        for bad in
            ["example.org", "192.0.2.1,", "stun:", "stun:host:port", "stun://host:1", "2001:db8::1"]
        {
            let problems = parse(bad).unwrap_err();
            assert!(
                problems.len() == 1 && problems[0].starts_with("--public-ip: "),
                "{bad}: {problems:?}"
            );
        }
    }
}
