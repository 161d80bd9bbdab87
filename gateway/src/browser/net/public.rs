//! The addresses that browsers are told, where they are not our own: behind a NAT, in a container, in a cluster.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, select_ok};
use rtc::stun::attributes::ATTR_XORMAPPED_ADDRESS;
use rtc::stun::message::{BINDING_REQUEST, Message, TransactionId};
use rtc::stun::xoraddr::XorMappedAddress;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::udp::SharedSocket;

/// Where a STUN server listens (RFC 8489, section 18.6).
const STUN_PORT: u16 = 3478;
/// For the server's name, then for its answer; a request that gets lost is repeated.
const LOOKUP: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_millis(500);
const REQUESTS: usize = 6;

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
            if let Some(port) = port.filter(|_| !host.is_empty() && !host.contains(['/', '@', ' '])) {
                return Some(Self::Asked(format!("{host}:{port}")));
            }
        }
        let (before, mut listed) = (problems.len(), Vec::new());
        for part in given.split(',').map(str::trim) {
            match part.parse::<IpAddr>() {
                Ok(ip) if media.iter().any(|own| own.is_ipv4() == ip.is_ipv4()) => listed.push(ip),
                Ok(ip) => problems.push(format!("--public-ip: --media has no address of `{ip}`'s family")),
                Err(_) => problems.push(format!("--public-ip: `{part}` is neither an IP address nor stun:host:port")),
            }
        }
        (problems.len() == before).then_some(Self::Listed(listed))
    }
}

/// Asks the STUN server `host:port` how it sees us, from the port itself; at most one address of each family.
///
/// # Errors
/// Nobody answered.
pub(super) async fn ask(server: &str, sockets: &[Arc<SharedSocket>]) -> io::Result<Vec<IpAddr>> {
    let resolved: Vec<SocketAddr> = timeout(LOOKUP, lookup_host(server)).await??.collect();
    let of = |v6: bool| resolved.iter().copied().find(|address| address.is_ipv6() == v6);
    let (v4, v6) = join(ask_family(of(false), sockets), ask_family(of(true), sockets)).await;
    match (v4, v6) {
        (Err(error), Err(_)) => Err(error),
        (v4, v6) => Ok(v4.into_iter().chain(v6).collect()),
    }
}

async fn ask_family(server: Option<SocketAddr>, sockets: &[Arc<SharedSocket>]) -> io::Result<IpAddr> {
    let server = server.ok_or(io::ErrorKind::AddrNotAvailable)?;
    // Each by itself: some of our networks may lead nowhere.
    let ours = sockets.iter().filter(|socket| socket.local.is_ipv4() == server.is_ipv4());
    let asked: Vec<_> = ours.map(|socket| Box::pin(ask_from(socket, server))).collect();
    if asked.is_empty() {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    }
    select_ok(asked).await.map(|(ip, _)| ip)
}

async fn ask_from(socket: &SharedSocket, server: SocketAddr) -> io::Result<IpAddr> {
    let mut request = Message::new();
    request.build(&[Box::new(TransactionId::new()), Box::new(BINDING_REQUEST)]).map_err(io::Error::other)?;
    let mut room = [0; 2_048];
    for _ in 0..REQUESTS {
        socket.io.send_to(&request.raw, server).await?;
        // Elapsed: ask again. Anything else that comes here meanwhile is not for us.
        while let Ok(received) = timeout(ANSWER, socket.io.recv_from(&mut room)).await {
            let (length, from) = received?;
            let mut answer = Message::new();
            let readable = from == server && answer.unmarshal_binary(&room[..length]).is_ok();
            if readable && answer.transaction_id == request.transaction_id {
                let mut mapped = XorMappedAddress::default();
                mapped.get_from_as(&answer, ATTR_XORMAPPED_ADDRESS).map_err(io::Error::other)?;
                return Ok(mapped.ip);
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
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
        assert_eq!(parse("192.0.2.1, 192.0.2.2"), Ok(Public::Listed(vec![ip("192.0.2.1"), ip("192.0.2.2")])));
        assert_eq!(parse("stun:stun.example.org:19302"), Ok(Public::Asked("stun.example.org:19302".into())));
        assert_eq!(parse("stun:stun.example.org"), Ok(Public::Asked("stun.example.org:3478".into())));
        for bad in ["example.org", "192.0.2.1,", "stun:", "stun:host:port", "stun://host:1", "2001:db8::1"] {
            let problems = parse(bad).unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with("--public-ip: "), "{bad}: {problems:?}");
        }
    }
}
