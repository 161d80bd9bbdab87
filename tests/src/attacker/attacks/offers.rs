//! At the door: offers that are large, many, or never meant.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use super::{Attack, PATIENCE, unique};
use crate::attacker::Attacker;
use crate::attacker::arena::{Arena, CAPACITY};
use crate::attacker::dtls::AEAD;
use crate::attacker::offer::Offer;
use crate::http::Reply;
use crate::wait::for_time;

/// In the order in which the tests make them: what looks at slots comes before what takes some.
pub const ATTACKS: &[Attack] = &[
    Attack::judged("checks-alone", checks_alone),
    Attack::judged("renegotiation", renegotiation),
    Attack::judged("half-open", half_open),
    Attack::judged("huge-offers", huge_offers),
    Attack::judged("ice-restarts", ice_restarts),
    Attack::judged("logs", logs),
];

/// How many offers were answered (200 and SDP), and the rest by status.
type Counts = BTreeMap<u16, usize>;
/// The key of those that were answered.
const ANSWERED: u16 = 0;
/// CPU time of the gateway for one offer that is refused.
const REFUSAL: Duration = Duration::from_millis(200);

/// Sessions that sign their checks and never begin DTLS have a quarter of the slots, and those for
/// five seconds.
fn checks_alone(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    const QUARTER: usize = CAPACITY / 4;
    let honest = arena.cluster.sessions();
    let attackers = (0..QUARTER + random.random_range(4..=8)).filter_map(|_| {
        let mut attacker = Attacker::offer(&arena.page, Offer::new(unique("checks"))).ok()?;
        // Who is not taken is not answered.
        attacker.reach(Duration::from_millis(300)).ok().map(|()| attacker)
    });
    let mut attackers: Vec<_> = attackers.collect();
    let mut peak = arena.cluster.sessions();
    arena.newcomer()?;
    // They go on for longer than they have.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(7) {
        attackers.iter_mut().for_each(|attacker| attacker.stay(Duration::from_millis(20)));
        peak = peak.max(arena.cluster.sessions());
    }
    let peak = peak - honest;
    if peak > QUARTER as f64 + 1.0 {
        return Err(format!("{peak} of {CAPACITY} slots, at most one of them the newcomer's"));
    }
    for attacker in attackers.iter_mut().take(QUARTER / 2) {
        if attacker.reach(Duration::from_millis(300)).is_ok() {
            return Err(format!(
                "after {:?} it has its slot still: {:?}",
                began.elapsed(),
                attacker.seen
            ));
        }
    }
    Ok(format!("{peak} of {CAPACITY} slots, for seconds"))
}

/// Clients that connect and then only offer again, all at once; 34 such requests were once enough.
fn renegotiation(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    const CLIENTS: usize = 4;
    const REQUESTS: usize = 12;
    let page = &arena.page;
    let one = |sections: usize| {
        let first = Offer::new(unique("again"));
        let mut attacker = Attacker::connect(page, first.clone(), AEAD, PATIENCE)?;
        let mut counts = Counts::new();
        for n in 0..REQUESTS {
            let further = Offer { more_sections: sections + n % 2, ..first.clone() };
            count(&mut counts, further.post(page).map(drop));
            attacker.stay(Duration::from_millis(10));
        }
        Ok::<_, String>(counts)
    };
    let mut all = Vec::new();
    for sections in [2, 2_400] {
        let counts = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| one(sections))).collect();
            threads.into_iter().try_fold(Counts::new(), |mut all, thread| {
                for (status, count) in thread.join().map_err(|_| "a panic")?? {
                    *all.entry(status).or_default() += count;
                }
                Ok::<_, String>(all)
            })
        })?;
        let known =
            counts.keys().all(|status| [ANSWERED, 200, 400, 413, 429, 503].contains(status));
        if !known || answered(&counts) == CLIENTS * REQUESTS {
            return Err(format!("{sections} more sections: {counts:?}"));
        }
        all.push(format!(
            "{sections} sections: {} of {} answered",
            answered(&counts),
            CLIENTS * REQUESTS
        ));
    }
    Ok(all.join(", "))
}

/// More offers than there are slots, none followed by a packet, and newcomers beside them.
fn half_open(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let (rate, time) = (random.random_range(6.0..=8.0), Duration::from_secs(6));
    let (newcomers, counts) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            at_rate(rate, time, || Offer::new(unique("half")).post(&arena.page).map(drop))
        });
        let mut newcomers = Ok(0);
        while !flood.is_finished() && newcomers.is_ok() {
            newcomers = newcomers.and_then(|count| arena.newcomer().map(|()| count + 1));
        }
        (newcomers, flood.join().unwrap_or_default())
    });
    if answered(&counts) < CAPACITY {
        return Err(format!("offers are refused that take nothing: {counts:?}"));
    }
    Ok(format!("{} newcomers served beside {} offers", newcomers?, answered(&counts)))
}

/// Sections, payload types of one, lines and bytes are bounded, and the refusal says which it was.
fn huge_offers(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let (offer, sessions) = (|| Offer::new(unique("huge")), arena.cluster.sessions());
    let some = random.random_range(9..=200);
    for (what, bound, offer) in [
        ("sections", "8", Offer { more_sections: 8, ..offer() }),
        ("some sections", "at most", Offer { more_sections: some, ..offer() }),
        ("payload types", "128", Offer { more_payload_types: 128, ..offer() }),
        ("lines", "lines", Offer { more_lines: 4_000, ..offer() }),
        ("200 kB", "", Offer { more_sections: 2_400, ..offer() }),
    ] {
        let (reply, busy) = arena.busy(|| offer.post(&arena.page));
        let reply = reply.err().ok_or_else(|| format!("{what} are answered"))?;
        let body = reply.json();
        let message = body["meta"]["message"].as_str().unwrap_or_default();
        if !matches!(reply.status, 400 | 413) || message.is_empty() || !message.contains(bound) {
            return Err(format!("{what}: {reply:?}"));
        }
        if reply.body.len() > 2_000 || busy > REFUSAL {
            return Err(format!("{what}: {} bytes back, {busy:?} of CPU", reply.body.len()));
        }
    }
    if arena.cluster.sessions() > sessions {
        return Err("one of them took a slot".to_owned());
    }
    Ok(format!("refused, {some} sections among them"))
}

/// Of one session that never connects, as fast as they are answered: a burst of four, and one more
/// each second.
fn ice_restarts(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    let offer = Offer::new(unique("restart"));
    offer.post(&arena.page).map_err(|reply| format!("{reply:?}"))?;
    let (began, mut counts) = (Instant::now(), Counts::new());
    while began.elapsed() < Duration::from_secs(5) && counts.values().sum::<usize>() < 3_000 {
        count(&mut counts, offer.restarted().post(&arena.page).map(drop));
    }
    match (answered(&counts), began.elapsed()) {
        (answered @ 0..=10, time) => Ok(format!("{answered} answered in {time:?}")),
        (_, time) => Err(format!("{counts:?} in {time:?}")),
    }
}

/// Twenty a second that never connect, and as many that are refused.
fn logs(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    const RATE: f64 = 20.0;
    /// Each kind of line has five, and one more in ten seconds.
    const LINES: usize = 20;
    let (name, time) = (unique("noise"), Duration::from_secs(5));
    let offer = || Offer::new(unique(&name));
    let counts = std::thread::scope(|scope| {
        scope.spawn(|| {
            at_rate(RATE, time, || {
                Offer { more_sections: 9, ..offer() }.post(&arena.page).map(drop)
            })
        });
        at_rate(RATE, time, || offer().post(&arena.page).map(drop))
    });
    let log = arena.log();
    let lines = log.lines().filter(|line| line.contains(&name)).count();
    if lines > LINES {
        return Err(format!("{lines} lines for {counts:?}"));
    }
    Ok(format!("{lines} lines for {} offers", counts.values().sum::<usize>()))
}

/// So many a second.
fn at_rate(rate: f64, time: Duration, mut offer: impl FnMut() -> Result<(), Reply>) -> Counts {
    let (began, mut counts, mut made) = (Instant::now(), Counts::new(), 0.0);
    while began.elapsed() < time {
        let due = began + Duration::from_secs_f64(made / rate);
        for_time(due.saturating_duration_since(Instant::now()));
        count(&mut counts, offer());
        made += 1.0;
    }
    counts
}

fn count(counts: &mut Counts, reply: Result<(), Reply>) {
    let status = reply.map_or_else(|reply| reply.status.max(1), |()| ANSWERED);
    *counts.entry(status).or_default() += 1;
}

fn answered(counts: &Counts) -> usize {
    counts.get(&ANSWERED).copied().unwrap_or_default()
}
