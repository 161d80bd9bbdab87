//! Below DTLS: whoever does not know the password is nobody, and nobody is spoken to first.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use super::{Attack, PATIENCE, SETUPS, associated, records, still_there, tcp_media, unique};
use crate::attacker::Attacker;
use crate::attacker::arena::Arena;
use crate::attacker::offer::Offer;
use crate::attacker::stun::{self, ICE_CONTROLLED, ICE_CONTROLLING, Message};
use crate::wait::for_time;

/// In the order in which the tests make them.
pub const ATTACKS: &[Attack] = &[
    Attack::judged("unsigned-stun", unsigned_stun),
    Attack::judged("ssrcs", records::ssrcs),
    Attack::judged("dtls-records", records::dtls_records),
    Attack::judged("reflector", reflector),
    Attack::judged("junk", junk),
    Attack::judged("ice-tcp", tcp_media::ice_tcp),
];

/// Checks that nobody signed, or somebody else did, with every claim of a role: each makes a stack
/// act that looks at the role before the signature.
fn forged_checks(ufrags: Option<(&str, &str)>) -> Vec<Vec<u8>> {
    let (theirs, ours) = ufrags.unwrap_or(("nobody", "nobody"));
    let name = format!("{theirs}:{ours}");
    let mut checks = Vec::new();
    for role in [ICE_CONTROLLING, ICE_CONTROLLED] {
        for tie_breaker in [0, u64::MAX] {
            let role = |message: Message| message.with(role, &tie_breaker.to_be_bytes());
            let request = || Message::request(rand::random());
            let named = || {
                role(
                    request()
                        .with(stun::USERNAME, name.as_bytes())
                        .with(stun::PRIORITY, &[0x6e; 4]),
                )
            };
            checks.push(role(request()).bare());
            checks.push(role(request()).finish());
            checks.push(named().finish());
            checks.push(
                named()
                    .with(stun::USE_CANDIDATE, &[])
                    .signed("not the password of anybody")
                    .finish(),
            );
            // A signature that is too short to be one.
            checks.push(named().with(stun::MESSAGE_INTEGRITY, &[0; 8]).finish());
        }
    }
    // An answer and a refusal that nobody asked for.
    checks.push(Message::success(rand::random()).finish());
    checks.push(Message::success(rand::random()).signed("not the password of anybody").finish());
    checks
}

/// From an address that media comes from, as whoever writes its address on his own packets can: an
/// attacker's session and an honest one.
fn unsigned_stun(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let rounds = random.random_range(8..=15);
    for setup in SETUPS {
        let (mut attacker, association) = associated(&arena.page, "unsigned", setup)?;
        // On a busy machine its check was sent twice, and the second answer is still on its way.
        attacker.listen(Duration::from_millis(500));
        let before = attacker.seen;
        let ufrags = (attacker.answer.ufrag.clone(), attacker.offer.ufrag.clone());
        for _ in 0..rounds {
            forged_checks(Some((&ufrags.0, &ufrags.1)))
                .iter()
                .for_each(|check| attacker.send(check));
            // No check of ours: whatever comes back but the gateway's own checks is for those.
            attacker.listen(Duration::from_millis(50));
        }
        attacker.listen(Duration::from_millis(500));
        let seen = attacker.seen;
        if (seen.successes, seen.refusals) != (before.successes, before.refusals) {
            return Err(format!("answered: {seen:?} after {before:?}"));
        }
        still_there(&mut attacker, association)?;
        // Signed ones are answered as ever.
        attacker.reach(PATIENCE)?;
    }
    for _ in 0..2 * rounds {
        forged_checks(None).into_iter().for_each(|check| arena.judge.peers[0].send_datagram(check));
        let seen = arena.judge.peers[0].stats().received.len();
        arena.judge.peers[0].wait_received(seen + 2, PATIENCE);
    }
    Ok("0 answers".to_owned())
}

/// One offer that names a stranger 32 times, as many trickled candidates, and the further offers of
/// a session.
fn reflector(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    let victim = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let address = victim.local_addr().map_err(|error| error.to_string())?;
    let offer =
        |count| Offer { candidates: vec![address; count], ..Offer::new(unique("reflector")) };
    let attacker =
        |count| Attacker::offer(&arena.page, offer(count)).map_err(|reply| format!("{reply:?}"));
    // A signed check, so that the session is more than an offer.
    let checked = attacker(32)?;
    checked.send(&checked.check());
    for _ in 0..32 {
        checked.offer.trickle(&arena.page, address).map_err(|error| error.to_string())?;
    }
    let again = attacker(8)?;
    for _ in 0..20 {
        // Refused is as good.
        drop(again.offer.restarted().post(&arena.page));
    }
    match datagrams(&victim, address, Duration::from_secs(4)) {
        0 => Ok("0 datagrams".to_owned()),
        count => Err(format!("{count} datagrams to a stranger")),
    }
}

/// What comes to a socket that never spoke to anybody.
fn datagrams(victim: &UdpSocket, address: SocketAddr, time: Duration) -> usize {
    let deadline = Instant::now() + time;
    let (mut count, mut room) = (0, [0; 2_048]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return count;
        }
        victim.set_read_timeout(Some(left)).unwrap_or_else(|error| panic!("{address}: {error}"));
        count += usize::from(victim.recv_from(&mut room).is_ok());
    }
}

fn junk(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    const DATAGRAMS: usize = 6_000;
    let media = Attacker::offer(&arena.page, Offer::new(unique("junk")))
        .map_err(|reply| format!("{reply:?}"))?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    for n in 0..DATAGRAMS {
        let length = random.random_range(0..1_200);
        let mut datagram: Vec<u8> = (0..length).map(|_| random.random()).collect();
        // The first byte tells protocols apart (RFC 7983).
        if let (Some(first), true) = (datagram.first_mut(), n % 4 != 0) {
            *first = [1, 22, 23, 0x80][n % 4];
        }
        // Full: lost.
        drop(socket.send_to(&datagram, media.answer.media));
        if n % 100 == 0 {
            forged_checks(None)
                .iter()
                .for_each(|check| drop(socket.send_to(check, media.answer.media)));
            for_time(Duration::from_millis(20));
        }
    }
    Ok(format!("{DATAGRAMS} datagrams"))
}
