//! Attacks by whoever has a session: inside DTLS, and on the path below it.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use reframe_tests::attacker::Attacker;
use reframe_tests::attacker::association::Association;
use reframe_tests::attacker::attacks::inside::{
    jumps, long_cause as cause, many_gaps, many_inits, walk_through_the_zoo,
};
use reframe_tests::attacker::attacks::paths::confuse;
use reframe_tests::attacker::attacks::{PATIENCE, SETUPS, associated, unique};
use reframe_tests::attacker::dtls::{AEAD, CBC};
use reframe_tests::attacker::offer::Offer;
use reframe_tests::attacker::sctp::{ABORT, ERROR};
use reframe_tests::wait::try_eventually;

use crate::arena::Arena;

/// What an attack has to take effect.
const EFFECT: Duration = Duration::from_secs(3);

fn setup(random: &mut SmallRng) -> &'static str {
    SETUPS.choose(random).copied().expect("there are two")
}

fn session(arena: &Arena, random: &mut SmallRng) -> Result<(Attacker, Association), String> {
    associated(&arena.page, &unique("inside"), setup(random))
}

pub(crate) fn forward_tsn(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let (sessions, chunks) = (random.random_range(1..=3), *[1, 10, 100].choose(random).expect("some"));
    let mut attackers = (0..sessions).map(|_| session(arena, random)).collect::<Result<Vec<_>, _>>()?;
    for (attacker, association) in &mut attackers {
        attacker.chunks(*association, &jumps(*association, chunks))?;
    }
    attackers.iter_mut().for_each(|(attacker, _)| attacker.stay(EFFECT / sessions));
    Ok(format!("{sessions} sessions, one packet of {chunks} chunks each"))
}

pub(crate) fn long_cause(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let sessions = random.random_range(1..=6);
    for _ in 0..sessions {
        let (mut attacker, association) = session(arena, random)?;
        let kind = *[ERROR, ABORT].choose(random).expect("two");
        attacker.chunks(association, &[cause(kind)])?;
    }
    Ok(format!("{sessions} sessions, one packet of 20 bytes each"))
}

pub(crate) fn zoo(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let said = walk_through_the_zoo(&arena.page, &unique("zoo"), setup(random))?;
    Ok(format!("{said} packets"))
}

pub(crate) fn inits(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let (mut attacker, association) = session(arena, random)?;
    let count = random.random_range(500..=4_000);
    many_inits(&mut attacker, count)?;
    if !attacker.answers(association, PATIENCE)? {
        return Err("the first association is over".to_owned());
    }
    attacker.stay(EFFECT);
    Ok(format!("{count} INITs"))
}

pub(crate) fn gaps(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let (mut attacker, association) = session(arena, random)?;
    let count = random.random_range(500..=8_000);
    // An end of it is as good.
    drop(many_gaps(&mut attacker, association, count));
    attacker.stay(EFFECT);
    Ok(format!("{count} messages, every second one missing"))
}

pub(crate) fn cbc(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let offer = || Offer::new(unique("cbc"));
    let setup = setup(random);
    Attacker::connect(&arena.page, Offer { setup, ..offer() }, AEAD, PATIENCE)?;
    match Attacker::connect(&arena.page, Offer { setup, ..offer() }, CBC, EFFECT) {
        Err(refusal) if !refusal.starts_with("offer") => Ok(format!("refused as `{setup}`")),
        Err(other) => Err(other),
        Ok(_) => Err(format!("CBC is spoken, as `{setup}`")),
    }
}

pub(crate) fn unsigned(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let (mut attacker, _) = session(arena, random)?;
    let seen = confuse(&mut attacker, random.random_range(5..=20));
    attacker.reach(PATIENCE)?;
    match (seen.successes, seen.refusals) {
        (0, 0) => Ok("0 answers".to_owned()),
        (answers, refusals) => Err(format!("{answers} answers, {refusals} refusals")),
    }
}

pub(crate) fn silent(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let sessions = random.random_range(1..=3);
    let honest = arena.judge.peers.len() as f64;
    let connect = |_| {
        let offer = Offer { setup: setup(random), ..Offer::new(unique("silent")) };
        Attacker::connect(&arena.page, offer, AEAD, PATIENCE)
    };
    let attackers = (0..sessions).map(connect).collect::<Result<Vec<_>, _>>()?;
    let ended = std::thread::scope(|scope| {
        for mut attacker in attackers {
            scope.spawn(move || attacker.stay(Duration::from_secs(28)));
        }
        try_eventually(Duration::from_secs(26), || (arena.cluster.sessions() == honest).then_some(()))
    });
    ended.ok_or_else(|| format!("{sessions} silent sessions go on"))?;
    Ok(format!("{sessions} ended"))
}
