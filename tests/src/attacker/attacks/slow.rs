//! Attacks that take half a minute, or most of a machine: sessions that do nothing, a flood, and
//! what happens to a process rather than to its ports.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::{Attack, PATIENCE, SETUPS, flood, unique};
use crate::attacker::Attacker;
use crate::attacker::arena::Arena;
use crate::attacker::dtls::AEAD;
use crate::attacker::offer::Offer;
use crate::cluster::Cluster;
use crate::http;
use crate::peer::{Options, Peer};
use crate::source::{Clip, Format, Video};
use crate::wait::{for_time, try_eventually};

/// Longer than what is taken for a hang.
const STOPPED: Duration = Duration::from_secs(12);
/// How long `/healthz` is looked at.
const LOOKS: Duration = Duration::from_secs(15);
/// Three to four times what one codec thread can do.
const STREAMS: usize = 10;

/// `make test-hostile` alone makes them.
pub const ATTACKS: &[Attack] = &[
    Attack::judged("offer-flood", flood::offer_flood),
    Attack::judged("silent-sessions", silent_sessions),
    Attack { name: "stopped-or-busy", judged: false, attack: stopped_or_busy },
];

/// They answer every check and send nothing.
fn silent_sessions(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let sessions = random.random_range(2..=4);
    let honest = arena.judge.peers.len() as f64;
    let connect = |n: usize| {
        let offer = Offer { setup: SETUPS[n % 2], ..Offer::new(unique("silent")) };
        Attacker::connect(&arena.page, offer, AEAD, PATIENCE)
    };
    let attackers = (0..sessions).map(connect).collect::<Result<Vec<_>, _>>()?;
    let ended = std::thread::scope(|scope| {
        for mut attacker in attackers {
            scope.spawn(move || attacker.stay(Duration::from_secs(28)));
        }
        try_eventually(Duration::from_secs(26), || {
            (arena.cluster.sessions() == honest).then_some(())
        })
    });
    ended.ok_or_else(|| format!("{sessions} silent sessions go on"))?;
    Ok(format!("{sessions} ended"))
}

/// On a gateway of its own: no stream outlives its server's standstill.
fn stopped_or_busy(_: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    let cluster = Cluster::launch_with("flip", &["--codec-threads", "1"]);
    cluster.gateway.freeze();
    for_time(STOPPED);
    cluster.gateway.thaw();
    healthy(&cluster, Duration::from_secs(3))
        .map_err(|bad| format!("after {STOPPED:?} of standstill: {bad}"))?;

    let clip = Arc::new(Clip::encode(Format::HD, 60, 60).map_err(|error| error.to_string())?);
    let connect = |n: usize| {
        let options = Options {
            decode: false,
            ..Options::camera(n.to_string(), Video::Clip(Arc::clone(&clip)))
        };
        Peer::connect(&cluster.page(""), options).map_err(|reply| format!("{reply:?}"))
    };
    let peers = (0..STREAMS).map(connect).collect::<Result<Vec<_>, _>>()?;
    let looks =
        healthy(&cluster, LOOKS).map_err(|bad| format!("with {STREAMS} streams of 720p: {bad}"))?;
    Ok(format!("stopped for {STOPPED:?}; {} streams of 720p, {looks} times 200", peers.len()))
}

/// How often it was 200 in all that time, or what it was instead.
fn healthy(cluster: &Cluster, time: Duration) -> Result<usize, String> {
    let mut looks = 0;
    let bad = try_eventually(time, || {
        looks += 1;
        match http::get(&cluster.admin("/healthz")) {
            Ok(reply) if reply.status == 200 => None,
            Ok(reply) => Some(format!("{} {}", reply.status, reply.body)),
            Err(error) => Some(error.to_string()),
        }
    });
    bad.map_or(Ok(looks), Err)
}
