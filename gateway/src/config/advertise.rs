//! Value of `--advertise`: where the other gateways reach this one's `--peer` port.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use super::addresses;
use super::public::{address, is_of_one_host};

const WANTED: &str = "ip:port, [ipv6]:port or http://name:port, or addresses without a port, which \
                      is then that of --peer";

/// The first of the addresses in `given`, a list, that `peer` takes connections at.
///
/// A name is resolved here: another gateway that resolved it again could find another machine. If
/// several gateways share a name, this machine's own address is used.
pub(super) fn parse(
    problems: &mut Vec<String>,
    given: &str,
    peer: Option<SocketAddr>,
) -> Option<SocketAddr> {
    let (before, mut first) = (problems.len(), None);
    for item in given.split(',').map(str::trim) {
        match look_up(item, peer.map_or(0, |peer| peer.port())) {
            Ok(found) => first = first.or_else(|| choose(&found, peer)),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                problems.push(format!("--advertise: `{item}` is not {WANTED}"));
            }
            Err(error) => problems.push(format!("--advertise: `{item}`: {error}")),
        }
    }
    if problems.len() > before {
        return None;
    }
    if first.is_none() {
        let at = peer.map(|peer| format!(" at --peer {peer}")).unwrap_or_default();
        problems.push(format!(
            "--advertise: `{given}` names no address and port that others reach{at}; --peer \
             [::]:9092 takes both families"
        ));
    }
    first
}

/// The addresses of an item, with `port` where it has none.
fn look_up(item: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Some(ip) = address(item) {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let authority = item.strip_prefix("http://").unwrap_or(item);
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if let Ok(address) = authority.parse() {
        return Ok(vec![address]);
    }
    let is_name = |host: &str| !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ', ':']);
    match authority.rsplit_once(':') {
        Some((host, port)) if is_name(host) && port.parse::<u16>().is_ok() => {
            Ok(authority.to_socket_addrs()?.collect())
        }
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn choose(found: &[SocketAddr], peer: Option<SocketAddr>) -> Option<SocketAddr> {
    let takes = |address: &&SocketAddr| match peer {
        Some(SocketAddr::V4(_)) => address.is_ipv4(),
        Some(SocketAddr::V6(peer)) => address.is_ipv6() || peer.ip().is_unspecified(),
        None => true,
    };
    let is_one = |address: &&SocketAddr| is_of_one_host(address.ip()) && address.port() != 0;
    let usable = || found.iter().filter(takes).filter(is_one).copied();
    let ours = addresses::addresses();
    usable().find(|address| ours.contains(&address.ip())).or_else(|| usable().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_are_told_is_an_address() {
        for (given, peer, told) in [
            ("http://10.0.0.7:9093", "0.0.0.0:9092", Some("10.0.0.7:9093")),
            ("http://[2001:db8::7]:9093/", "[::]:9092", Some("[2001:db8::7]:9093")),
            ("10.0.0.7:9093", "0.0.0.0:9092", Some("10.0.0.7:9093")),
            ("[2001:db8::7]:9093", "[::]:9092", Some("[2001:db8::7]:9093")),
            ("10.0.0.7", "0.0.0.0:9092", Some("10.0.0.7:9092")),
            ("2001:db8::7", "[::]:9092", Some("[2001:db8::7]:9092")),
            ("[2001:db8::7]", "[::]:9092", Some("[2001:db8::7]:9092")),
            // As the downward API of Kubernetes writes `status.podIPs`.
            ("10.0.0.7,2001:db8::7", "[::]:9092", Some("10.0.0.7:9092")),
            ("2001:db8::7,10.0.0.7", "[::]:9092", Some("[2001:db8::7]:9092")),
            ("2001:db8::7,10.0.0.7", "0.0.0.0:9092", Some("10.0.0.7:9092")),
            ("10.0.0.7,2001:db8::7", "[2001:db8::7]:9092", Some("[2001:db8::7]:9092")),
            ("http://localhost:9093", "127.0.0.1:9092", Some("127.0.0.1:9093")),
            ("localhost:9093", "127.0.0.1:9092", Some("127.0.0.1:9093")),
            ("2001:db8::7", "0.0.0.0:9092", None),
            ("http://0.0.0.0:9093", "0.0.0.0:9092", None),
            ("10.0.0.7:0", "0.0.0.0:9092", None),
            ("10.0.0.7", "0.0.0.0:0", None),
            ("224.0.0.1", "0.0.0.0:9092", None),
            ("http://10.0.0.7:9093/path", "0.0.0.0:9092", None),
            ("http://10.0.0.7", "0.0.0.0:9092", None),
            ("https://10.0.0.7:9093", "0.0.0.0:9092", None),
            ("http://2001:db8::7:9093", "[::]:9092", None),
            ("10.0.0.7,", "0.0.0.0:9092", None),
            ("no-such-name.invalid:9093", "0.0.0.0:9092", None),
        ] {
            let mut problems = Vec::new();
            let address = parse(&mut problems, given, peer.parse().ok());
            assert_eq!(
                (address.map(|address| address.to_string()).as_deref(), problems.len()),
                (told, usize::from(told.is_none())),
                "{given} at {peer}: {problems:?}"
            );
            assert!(problems.iter().all(|problem| problem.starts_with("--advertise: `")));
        }
    }
}
