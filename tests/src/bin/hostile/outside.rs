//! Attacks by whoever reaches the ports, without a session or with half of one.

use std::net::UdpSocket;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;
use reframe_tests::attacker::Attacker;
use reframe_tests::attacker::attacks::offers::{self, ANSWERED, huge, renegotiate, restart};
use reframe_tests::attacker::attacks::paths::{self, Victim, forged_checks, reflect};
use reframe_tests::attacker::attacks::requests::{Stalled, get_as, unfinished_calls};
use reframe_tests::attacker::attacks::unique;
use reframe_tests::attacker::offer::Offer;
use reframe_tests::http;
use reframe_tests::peer::{Options, Peer};
use reframe_tests::source::{Format, Video};
use reframe_tests::wait::{for_time, try_eventually};
use tokio::time::Instant;

use crate::arena::Arena;

/// Memory that an attack may take while it runs.
const MORE_BYTES: u64 = 64 << 20;
/// The same of half-sent bodies: all that the gateway keeps of them, and its buffers.
const BODIES_BYTES: u64 = (96 + 32) << 20;
/// For a person who waits for the first picture.
const AT_ONCE: Duration = Duration::from_secs(5);

pub(crate) fn reflector(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    match reflect(&arena.page, &Victim::bind(), Duration::from_secs(6))? {
        0 => Ok("0 datagrams".to_owned()),
        count => Err(format!("{count} datagrams to a stranger")),
    }
}

pub(crate) fn checks_alone(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let attackers = paths::checks_alone(&arena.page, random.random_range(10..=24));
    let held = arena.cluster.sessions() - arena.judge.peers.len() as f64;
    newcomer(arena)?;
    if held > 8.0 {
        return Err(format!("{held} of 32 slots held by {} that never began DTLS", attackers.len()));
    }
    Ok(format!("{held} of 32 slots held"))
}

pub(crate) fn half_open(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let (rate, page) = (random.random_range(4.0..=8.0), arena.page.clone());
    let (newcomers, counts) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| offers::half_open(&page, rate, Duration::from_secs(10)));
        let mut newcomers = Ok(0);
        while !flood.is_finished() && newcomers.is_ok() {
            newcomers = newcomers.and_then(|count| newcomer(arena).map(|()| count + 1));
        }
        (newcomers, flood.join().unwrap_or_default())
    });
    Ok(format!("{} newcomers served beside {} offers", newcomers?, counts.values().sum::<usize>()))
}

/// An honest client that comes now has its picture at once.
fn newcomer(arena: &Arena) -> Result<(), String> {
    let began = Instant::now();
    let options = Options::camera(unique("newcomer"), Video::Live(Format::SMALL));
    let mut peer = Peer::connect(&arena.page, options).map_err(|reply| format!("a newcomer is refused: {reply:?}"))?;
    let shown = try_eventually(AT_ONCE, || (peer.stats().received.len() > 5).then_some(()));
    peer.close();
    shown.ok_or_else(|| format!("a newcomer saw nothing within {:?}", began.elapsed()))
}

pub(crate) fn huge_offers(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let mut seen = Vec::new();
    for sections in [8, random.random_range(9..=200), 2_400] {
        match huge(sections).post(&arena.page) {
            Err(reply) if matches!(reply.status, 400 | 413) => seen.push(format!("{sections}: {}", reply.status)),
            Err(reply) => return Err(format!("{sections} more sections: {reply:?}")),
            Ok(_) => return Err(format!("{sections} more sections are answered")),
        }
    }
    Ok(seen.join(", "))
}

pub(crate) fn renegotiation(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let sections = if random.random() { 2 } else { 2_400 };
    let (clients, requests) = (4, 15);
    let counts = renegotiate(&arena.page, clients, requests, sections)?;
    let answered = counts.get(&ANSWERED).copied().unwrap_or_default();
    if answered == clients * requests {
        return Err(format!("all {answered} further offers are answered"));
    }
    Ok(format!("{answered} of {} answered", clients * requests))
}

pub(crate) fn restarts(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    let counts = restart(&arena.page, 3_000, Duration::from_secs(5))?;
    match counts.get(&ANSWERED).copied().unwrap_or_default() {
        answered @ 0..=10 => Ok(format!("{answered} of {} answered in 5 s", counts.values().sum::<usize>())),
        answered => Err(format!("{answered} answered in 5 s")),
    }
}

pub(crate) fn stalled_bodies(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let before = arena.cluster.gateway.rss_bytes();
    let stalled = Stalled::open(arena.public, random.random_range(500..=2_000));
    let more = arena.cluster.gateway.rss_bytes().saturating_sub(before);
    let admin = http::get(&arena.cluster.admin("/healthz")).map_err(|error| format!("the admin port is gone: {error}"));
    if admin?.status != 200 {
        return Err("/healthz is not 200".to_owned());
    }
    let ended = try_eventually(Duration::from_secs(15), || (stalled.closed() == stalled.taken()).then_some(()));
    let (taken, closed) = (stalled.taken(), stalled.closed());
    if ended.is_none() {
        return Err(format!("{} of {taken} bodies are still waited for, {} MB", taken - closed, more >> 20));
    }
    if more > BODIES_BYTES {
        return Err(format!("{} MB for {taken} bodies", more >> 20));
    }
    Ok(format!("{taken} taken, {} refused, {} MB, all closed", stalled.refused, more >> 20))
}

pub(crate) fn rebinding(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    let mut refused = 0;
    for (server, path) in [(arena.public, "/api/streams"), (arena.public, "/"), (arena.admin, "/api/sessions")] {
        let host = format!("Host: {server}");
        for lines in [
            vec!["Host: evil.example"],
            vec!["Host: evil.example:8080"],
            vec!["Host: 127.0.0.1.evil.example"],
            vec![&host, "Origin: http://evil.example"],
        ] {
            let (status, reply) = get_as(server, path, &lines).map_err(|error| format!("{lines:?}: {error}"))?;
            if !(400..500).contains(&status) {
                return Err(format!("{path} with {lines:?}: {status}"));
            }
            if lines.len() == 1 && !reply.contains("--allowed-hosts") {
                return Err(format!("the refusal does not name its option: {reply}"));
            }
            refused += 1;
        }
        let (status, _) = get_as(server, path, &[&host]).map_err(|error| error.to_string())?;
        if status != 200 {
            return Err(format!("{path} by its address: {status}"));
        }
    }
    Ok(format!("{refused} refused"))
}

pub(crate) fn worker_port(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    let worker = &arena.cluster.workers[0].process;
    let before = worker.rss_bytes();
    let (peak, taken) = std::thread::scope(|scope| {
        let calls = scope.spawn(|| unfinished_calls(arena.worker, [16, 64], 1 << 20, Duration::from_secs(6)));
        let mut peak = before;
        try_eventually(Duration::from_secs(30), || {
            peak = peak.max(worker.rss_bytes());
            calls.is_finished().then_some(())
        });
        (peak, calls.join().unwrap_or_default())
    });
    match peak.saturating_sub(before) {
        more if more > MORE_BYTES => Err(format!("{} MB for unfinished messages", more >> 20)),
        more => Ok(format!("{} MB sent, {} MB kept", taken >> 20, more >> 20)),
    }
}

pub(crate) fn junk(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let media = Attacker::offer(&arena.page, Offer::new(unique("junk"))).map_err(|reply| format!("{reply:?}"))?;
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let count = 6_000;
    for n in 0..count {
        let length = random.random_range(0..1_200);
        let mut datagram: Vec<u8> = (0..length).map(|_| random.random()).collect();
        // The first byte tells protocols apart (RFC 7983).
        if let (Some(first), true) = (datagram.first_mut(), n % 4 != 0) {
            *first = [1, 22, 23, 0x80][n % 4];
        }
        // Full: lost.
        drop(socket.send_to(&datagram, media.answer.media));
        if n % 100 == 0 {
            forged_checks(None).iter().for_each(|check| drop(socket.send_to(check, media.answer.media)));
            for_time(Duration::from_millis(20));
        }
    }
    Ok(format!("{count} datagrams"))
}
