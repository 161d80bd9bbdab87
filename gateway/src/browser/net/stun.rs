//! Asks STUN servers how they see us.
//!
//! Each question has a socket of its own, at an address of ours, and not the media port's: a NAT
//! gives all ports of a host one address (RFC 4787, REQ-2), and only the address is wanted.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::{join, select_ok};
use rtc::stun::attributes::ATTR_XORMAPPED_ADDRESS;
use rtc::stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Message, TransactionId};
use rtc::stun::xoraddr::XorMappedAddress;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::public::{StunServer, is_of_one_host};

/// For all servers of a family. Four that are silent are asked in that time; the next look begins
/// behind them.
pub(super) const LOOK: Duration = Duration::from_secs(8);
/// For a server's name.
const LOOKUP: Duration = Duration::from_secs(2);
/// For the answer to each request; one that gets lost is repeated.
const ANSWER: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_millis(600), Duration::from_millis(1_100)];

/// What a round of questions has brought.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// At most one of each family.
    pub(super) addresses: Vec<IpAddr>,
    /// The servers that were asked and told nothing, by their indices, and why. Not those of a
    /// family in which none answered, where one did in the other: our network has no way out there.
    pub(super) silent: Vec<(usize, io::Error)>,
}

/// Asks for each family of ours the server `first`, and the next one where one is silent, around
/// until all were asked or [`LOOK`] is over. `ours` are the addresses to ask from.
pub(super) async fn ask(servers: &[StunServer], first: usize, ours: &[IpAddr]) -> Answers {
    let (mut v4, mut v6) =
        join(family(servers, first, ours, false), family(servers, first, ours, true)).await;
    match (v4.0.is_some(), v6.0.is_some()) {
        (true, false) => v6.1.clear(),
        (false, true) => v4.1.clear(),
        _ => {}
    }
    let answered: Vec<usize> =
        [&v4.0, &v6.0].into_iter().flatten().map(|(from, _)| *from).collect();
    let mut silent: Vec<(usize, io::Error)> = v4.1.into_iter().chain(v6.1).collect();
    // A server that knows one family well may have no way in the other.
    silent.retain(|(server, _)| !answered.contains(server));
    silent.sort_by_key(|(server, _)| *server);
    silent.dedup_by_key(|(server, _)| *server);
    let addresses = [v4.0, v6.0].into_iter().flatten().map(|(_, ip)| ip).collect();
    Answers { addresses, silent }
}

type Answer = (usize, IpAddr);

async fn family(
    servers: &[StunServer],
    first: usize,
    ours: &[IpAddr],
    v6: bool,
) -> (Option<Answer>, Vec<(usize, io::Error)>) {
    let mut silent = Vec::new();
    let ours: Vec<IpAddr> = ours.iter().filter(|ip| ip.is_ipv6() == v6).copied().collect();
    if ours.is_empty() {
        return (None, silent);
    }
    let deadline = Instant::now() + LOOK;
    for (index, server) in servers.iter().enumerate().cycle().skip(first).take(servers.len()) {
        let asked = async {
            match look_up(server, v6).await? {
                Some(address) => ask_from_any(address, &ours).await.map(Some),
                None => Ok(None),
            }
        };
        let asked = timeout_at(deadline, asked).await;
        match asked.unwrap_or_else(|late| Err(late.into())) {
            Ok(Some(ip)) => return (Some((index, ip)), silent),
            // It has no address of this family: that is not its fault.
            Ok(None) => {}
            Err(error) => silent.push((index, error)),
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    (None, silent)
}

async fn look_up(server: &StunServer, v6: bool) -> io::Result<Option<SocketAddr>> {
    let name = (server.host.as_str(), server.port);
    let mut found = timeout(LOOKUP, lookup_host(name)).await??;
    Ok(found.find(|address| address.is_ipv6() == v6))
}

/// From each address by itself: some of our networks may lead nowhere.
async fn ask_from_any(server: SocketAddr, ours: &[IpAddr]) -> io::Result<IpAddr> {
    let near = |ip: &&IpAddr| ip.is_loopback() == server.ip().is_loopback();
    let asked: Vec<_> =
        ours.iter().filter(near).map(|ip| Box::pin(ask_from(*ip, server))).collect();
    if asked.is_empty() {
        return Err(io::ErrorKind::NetworkUnreachable.into());
    }
    select_ok(asked).await.map(|(ip, _)| ip)
}

async fn ask_from(ours: IpAddr, server: SocketAddr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind((ours, 0)).await?;
    // Nobody else is heard then.
    socket.connect(server).await?;
    let mut request = Message::new();
    request
        .build(&[Box::new(TransactionId::new()), Box::new(BINDING_REQUEST)])
        .map_err(io::Error::other)?;
    let mut room = [0; 2_048];
    for wait in ANSWER {
        socket.send(&request.raw).await?;
        let until = Instant::now() + wait;
        // Elapsed: ask again. An error is an ICMP message: there is no server.
        while let Ok(received) = timeout_at(until, socket.recv(&mut room)).await {
            let mut answer = Message::new();
            let readable = answer.unmarshal_binary(&room[..received?]).is_ok();
            if readable && answer.transaction_id == request.transaction_id {
                return mapped(&answer, server);
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// The address in an answer to us.
fn mapped(answer: &Message, server: SocketAddr) -> io::Result<IpAddr> {
    if answer.typ != BINDING_SUCCESS {
        return Err(io::Error::other("it refused the request"));
    }
    let mut mapped = XorMappedAddress::default();
    mapped.get_from_as(answer, ATTR_XORMAPPED_ADDRESS).map_err(io::Error::other)?;
    let ip = mapped.ip.to_canonical();
    if is_of_one_host(ip) && ip.is_ipv4() == server.is_ipv4() {
        Ok(ip)
    } else {
        Err(io::Error::other(format!("it told {ip}, which is not an address of ours")))
    }
}

#[cfg(test)]
#[path = "stun_tests.rs"]
pub(super) mod tests;
