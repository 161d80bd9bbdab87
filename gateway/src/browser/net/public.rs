//! What a STUN server says our addresses are.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::{join, select_ok};
use rtc::stun::attributes::ATTR_XORMAPPED_ADDRESS;
use rtc::stun::message::{BINDING_REQUEST, Message, TransactionId};
use rtc::stun::xoraddr::XorMappedAddress;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

/// For the server's name, then for its answer; a request that gets lost is repeated.
const LOOKUP: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_millis(500);
const REQUESTS: usize = 6;

/// Asks the STUN server `host:port` how it sees us, from the port itself; at most one address of
/// each family.
///
/// # Errors
/// Nobody answered.
pub(super) async fn ask(server: &str, sockets: &[&UdpSocket]) -> io::Result<Vec<IpAddr>> {
    let resolved: Vec<SocketAddr> = timeout(LOOKUP, lookup_host(server)).await??.collect();
    let of = |v6: bool| resolved.iter().copied().find(|address| address.is_ipv6() == v6);
    let (v4, v6) = join(ask_family(of(false), sockets), ask_family(of(true), sockets)).await;
    match (v4, v6) {
        (Err(error), Err(_)) => Err(error),
        (v4, v6) => Ok(v4.into_iter().chain(v6).collect()),
    }
}

async fn ask_family(server: Option<SocketAddr>, sockets: &[&UdpSocket]) -> io::Result<IpAddr> {
    let server = server.ok_or(io::ErrorKind::AddrNotAvailable)?;
    // Each by itself: some of our networks may lead nowhere.
    let same_family = |socket: &&&UdpSocket| {
        socket.local_addr().is_ok_and(|local| local.is_ipv4() == server.is_ipv4())
    };
    let ours = sockets.iter().filter(same_family);
    let asked: Vec<_> = ours.map(|socket| Box::pin(ask_from(socket, server))).collect();
    if asked.is_empty() {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    }
    select_ok(asked).await.map(|(ip, _)| ip)
}

async fn ask_from(socket: &UdpSocket, server: SocketAddr) -> io::Result<IpAddr> {
    let mut request = Message::new();
    request
        .build(&[Box::new(TransactionId::new()), Box::new(BINDING_REQUEST)])
        .map_err(io::Error::other)?;
    let mut room = [0; 2_048];
    for _ in 0..REQUESTS {
        socket.send_to(&request.raw, server).await?;
        // Elapsed: ask again. Anything else that comes here meanwhile is not for us.
        while let Ok(received) = timeout(ANSWER, socket.recv_from(&mut room)).await {
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
