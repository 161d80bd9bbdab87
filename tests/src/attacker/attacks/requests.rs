//! Over TCP: requests that never end, connections that say nothing, names that were rebound,
//! records that are forged.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::{Attack, PATIENCE, doors, inner_doors, owner, unfinished};
use crate::attacker::arena::Arena;
use crate::attacker::tcp::{connections, is_closed, until_closed};
use crate::wait::try_eventually;

/// In the order in which the tests make them.
pub const ATTACKS: &[Attack] = &[
    Attack::judged("stalled-bodies", stalled_bodies),
    Attack::judged("connections", many_connections),
    Attack::judged("rebinding", rebinding),
    Attack::judged("redis-owner", owner::redis_owner),
    Attack::judged("doors", doors::doors),
    Attack::judged("inner-doors", inner_doors::inner_doors),
    Attack::judged("worker-port", unfinished::worker_port),
];

/// Of a body of 128 KiB, what is sent.
const ALMOST_ALL: usize = 125_000;
/// All that the gateway keeps of half-sent bodies, and its buffers.
const BODIES_BYTES: u64 = (16 + 48) << 20;
/// They have five seconds; the rest is for the machine.
const CLOSED: Duration = Duration::from_secs(15);
/// Connections of one address.
const OF_AN_ADDRESS: usize = 200;

/// Of several networks, because one alone does not get all the memory that there is for bodies.
fn stalled_bodies(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let (before, each) = (arena.cluster.gateway.rss_bytes(), random.random_range(80..=180));
    let head = format!(
        "POST /webrtc/offer HTTP/1.1\r\nHost: {}\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n",
        arena.public,
        ALMOST_ALL + 1
    );
    let begun = [head.as_bytes(), &vec![b' '; ALMOST_ALL]].concat();
    let (mut stalled, mut peak) = (Vec::new(), before);
    for source in 2..8 {
        for mut connection in connections(arena.public, [127, 0, 0, source], each) {
            // Refused at once: the rest of it finds nobody.
            drop(connection.write_all(&begun));
            stalled.push(connection);
        }
        peak = peak.max(arena.cluster.gateway.rss_bytes());
    }
    let count = stalled.len();
    let all = try_eventually(CLOSED, || {
        peak = peak.max(arena.cluster.gateway.rss_bytes());
        stalled.iter().all(|connection| peeked(connection).is_some()).then_some(())
    });
    let more = peak.saturating_sub(before) >> 20;
    all.ok_or_else(|| format!("not all of {count} bodies are answered, {more} MB"))?;
    let answers = stalled.into_iter().map(until_closed).collect::<Result<Vec<_>, _>>()?;
    let [late, full] = ["408", "503"].map(|status| {
        answers.iter().filter(|text| text.starts_with(&format!("HTTP/1.1 {status}"))).count()
    });
    // A quarter of all for each address: 33 of these.
    if late < 33 || full == 0 {
        return Err(format!(
            "of {count} bodies {late} were late and {full} had no memory: nothing was full"
        ));
    }
    if peak.saturating_sub(before) > BODIES_BYTES {
        return Err(format!(
            "{more} MB for {count} bodies: {late} were late, {full} had no memory"
        ));
    }
    Ok(format!("{count} bodies, {late} were late, {full} had no memory, {more} MB"))
}

/// The first bytes of what was answered, which stay; `None`: nothing yet.
fn peeked(connection: &TcpStream) -> Option<()> {
    connection.set_nonblocking(true).ok()?;
    let answered = !matches!(connection.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    connection.set_nonblocking(false).ok()?;
    answered.then_some(())
}

/// Half of them begin a head, and none goes on.
fn many_connections(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    const TRIED: usize = 600;
    const OTHERS: usize = 60;
    let labels = [("port", "public"), ("reason", "connections_of_address")];
    let refused = || arena.cluster.metrics().sum("reframe_http_refused_total", &labels);
    let before = refused();
    let open = |source, count| {
        let mut all = connections(arena.public, source, count);
        for connection in all.iter_mut().step_by(2) {
            // Closed already.
            drop(write!(
                connection,
                "GET /api/streams HTTP/1.1\r\nHost: {}\r\nX-Half: ",
                arena.public
            ));
        }
        all
    };
    let many = open([127, 0, 0, 2], TRIED);
    let few = open([127, 0, 0, 3], OTHERS);
    let beyond = (TRIED - OF_AN_ADDRESS) as f64;
    try_eventually(PATIENCE, || (refused() - before >= beyond).then_some(()))
        .ok_or_else(|| format!("{} refused, {beyond} are too many", refused() - before))?;
    if few.iter().any(is_closed) {
        return Err("another address's connections are closed too".to_owned());
    }
    arena.newcomer()?;
    let all: Vec<_> = many.into_iter().chain(few).collect();
    try_eventually(CLOSED, || all.iter().all(is_closed).then_some(())).ok_or_else(|| {
        format!("{} stay open", all.iter().filter(|connection| !is_closed(connection)).count())
    })?;
    Ok(format!("{beyond} of {TRIED} refused, all closed"))
}

/// A page whose name leads to this address, and pages of other sites.
fn rebinding(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    let mut refused = 0;
    for (server, path) in
        [(arena.public, "/api/streams"), (arena.public, "/"), (arena.admin, "/api/sessions")]
    {
        let host = format!("Host: {server}");
        for lines in [
            vec!["Host: evil.example"],
            vec!["Host: evil.example:8080"],
            vec!["Host: 127.0.0.1.evil.example"],
            vec![&host, "Origin: http://evil.example"],
        ] {
            let (status, reply) = get_as(server, path, &lines)?;
            if !(400..500).contains(&status) {
                return Err(format!("{path} with {lines:?}: {status}"));
            }
            if lines.len() == 1 && !reply.contains("--allowed-hosts") {
                return Err(format!("the refusal does not name its option: {reply}"));
            }
            refused += 1;
        }
        let (status, _) = get_as(server, path, &[&host])?;
        if status != 200 {
            return Err(format!("{path} by its address: {status}"));
        }
    }
    Ok(format!("{refused} refused"))
}

/// A GET of `path` with these lines in its head instead of an honest `Host`; the status, and the
/// whole reply.
fn get_as(server: SocketAddr, path: &str, lines: &[&str]) -> Result<(u16, String), String> {
    let mut connection = connections(server, [127, 0, 0, 1], 1).pop().ok_or("no connection")?;
    let lines = lines.join("\r\n");
    write!(connection, "GET {path} HTTP/1.1\r\n{lines}\r\nConnection: close\r\n\r\n")
        .map_err(|error| error.to_string())?;
    let reply = until_closed(connection)?;
    let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok((status, reply))
}
