//! ICE over TCP: connections that never say whose they are, and one that does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rand::rngs::SmallRng;

use super::{PATIENCE, unique};
use crate::attacker::Attacker;
use crate::attacker::arena::Arena;
use crate::attacker::offer::Offer;
use crate::attacker::stun::{self, Read as Found};
use crate::attacker::tcp::{connections, is_closed};
use crate::wait::try_eventually;

/// Those that wait to say whose they are; the oldest of the client network that has most of them
/// goes.
const STRANGERS: usize = 64;
/// They have five seconds; the rest is for the machine.
const CLOSED: Duration = Duration::from_secs(15);

/// Half frames, frames that are too long or no check, and nothing at all.
pub(super) fn ice_tcp(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    const CONNECTIONS: usize = 200;
    let attacker = Attacker::offer(&arena.page, Offer::new(unique("tcp")))
        .map_err(|reply| format!("{reply:?}"))?;
    let media =
        attacker.answer.media_tcp.ok_or("the gateway does not listen for media over TCP")?;
    let mut strangers = connections(media, [127, 0, 0, 2], CONNECTIONS);
    for (n, stranger) in strangers.iter_mut().enumerate() {
        let begun = match n % 4 {
            0 => Vec::new(),
            1 => [&[0, 200][..], &[7; 100]].concat(),
            2 => [&[0xff, 0xff][..], &[7; 5_000]].concat(),
            _ => [&[0, 100][..], &[7; 100]].concat(),
        };
        // Closed already.
        drop(stranger.write_all(&begun));
    }
    let few = try_eventually(PATIENCE, || {
        let open = strangers.iter().filter(|stranger| !is_closed(stranger)).count();
        (open <= STRANGERS).then_some(open)
    });
    let few = few.ok_or_else(|| format!("more than {STRANGERS} of {CONNECTIONS} stay open"))?;
    let mut connection = introduced(&attacker, media)?;
    arena.newcomer()?;
    // The frame after the first is longer than any datagram.
    drop(connection.write_all(&[&[0xff, 0xff][..], &[7; 5_000]].concat()));
    let all: Vec<_> = strangers.into_iter().chain([connection]).collect();
    let closed = try_eventually(CLOSED, || all.iter().all(is_closed).then_some(()));
    closed.ok_or_else(|| {
        format!("{} stay open", all.iter().filter(|stranger| !is_closed(stranger)).count())
    })?;
    Ok(format!("{few} of {CONNECTIONS} were waited for, all are closed"))
}

/// A connection on which a signed check was answered.
fn introduced(attacker: &Attacker, media: SocketAddr) -> Result<TcpStream, String> {
    let mut connection = connections(media, [127, 0, 0, 1], 1).pop().ok_or("no connection")?;
    let check = attacker.check();
    let length = u16::try_from(check.len()).map_err(|error| error.to_string())?;
    let failed = |error: std::io::Error| format!("a signed check over TCP: {error}");
    connection.write_all(&[&length.to_be_bytes()[..], &check].concat()).map_err(failed)?;
    loop {
        let mut length = [0; 2];
        connection.read_exact(&mut length).map_err(failed)?;
        let mut frame = vec![0; u16::from_be_bytes(length).into()];
        connection.read_exact(&mut frame).map_err(failed)?;
        // Before its answer there may be the gateway's own check.
        if let Some(Found::Success(_)) = stun::read(&frame) {
            return Ok(connection);
        }
    }
}
