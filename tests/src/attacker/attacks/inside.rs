//! Inside DTLS, in both of its roles: packets of SCTP that no sound peer sends.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::zoo::{jumps, long_cause as cause, zoo as packets};
use super::{Attack, PATIENCE, SETUPS, associated, pause, still_there, unique};
use crate::attacker::Attacker;
use crate::attacker::arena::Arena;
use crate::attacker::association::Association;
use crate::attacker::dtls::{AEAD, CBC};
use crate::attacker::offer::Offer;
use crate::attacker::sctp::{self, ABORT, ERROR, INIT, chunk, data, packet};

/// What an attack has to take effect.
const EFFECT: Duration = Duration::from_secs(2);

/// In the order in which the tests make them.
pub const ATTACKS: &[Attack] = &[
    Attack::judged("forward-tsn", forward_tsn),
    Attack::judged("long-cause", long_cause),
    Attack::judged("sctp-zoo", zoo),
    Attack::judged("sctp-inits", inits),
    Attack::judged("sctp-gaps", gaps),
    Attack::judged("dtls-cbc", cbc),
];

/// Each is up to 2^31 turns of a loop on a thread that moves everybody's packets.
fn forward_tsn(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    let mut sessions = Vec::new();
    for setup in SETUPS {
        for chunks in [1, 100] {
            let (attacker, association) = associated(&arena.page, "forward", setup)?;
            sessions.push((attacker, association, chunks));
        }
    }
    for (attacker, association, chunks) in &mut sessions {
        attacker.chunks(*association, &jumps(*association, *chunks))?;
    }
    sessions.iter_mut().for_each(|(attacker, ..)| attacker.stay(EFFECT / 2));
    Ok(format!("{} sessions, one packet of 1 or 100 chunks each", sessions.len()))
}

/// Each ends, or would, what runs its connection; then nobody but the gateway itself can end its
/// session.
fn long_cause(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    const SESSIONS: usize = 8;
    for n in 0..SESSIONS {
        let (mut attacker, association) = associated(&arena.page, "cause", SETUPS[n % 2])?;
        let kind = if n < SESSIONS / 2 { ERROR } else { ABORT };
        attacker.chunks(association, &[cause(kind)])?;
    }
    Ok(format!("{SESSIONS} sessions, one packet of 20 bytes each"))
}

fn zoo(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    let mut said = 0;
    for setup in SETUPS {
        let (mut attacker, association) = associated(&arena.page, "zoo", setup)?;
        // OpenSSL sends no empty record.
        for (what, packet) in
            packets(association).into_iter().filter(|(_, packet)| !packet.is_empty())
        {
            // The gateway may end it.
            if let Err(error) = attacker.say(&packet) {
                if said == 0 {
                    return Err(format!("{what}: {error}"));
                }
                break;
            }
            said += 1;
            attacker.stay(Duration::from_millis(20));
        }
    }
    Ok(format!("{said} packets"))
}

/// A session has one association; the stack would make another of each INIT, and look at all of
/// them for each packet.
fn inits(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let count = random.random_range(2_000..=4_000);
    for setup in SETUPS {
        let (mut attacker, association) = associated(&arena.page, "inits", setup)?;
        for n in 0..count {
            let begin = sctp::beginning(0x1000_0000 + n, 1, None);
            attacker.say(&packet(0, &[chunk(INIT, 0, &begin)]))?;
            pause(&mut attacker, n as usize);
        }
        let (there, busy) = arena.busy(|| {
            let there = still_there(&mut attacker, association);
            attacker.stay(EFFECT);
            there
        });
        there?;
        if busy > EFFECT {
            return Err(format!("{busy:?} of CPU within {EFFECT:?} after {count} INITs"));
        }
    }
    Ok(format!("twice {count} INITs"))
}

/// DATA that leaves out every second one, on ever new streams: what must be kept and told of.
fn gaps(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let count = random.random_range(4_000..=8_000);
    let mut sent = 0;
    for setup in SETUPS {
        let (mut attacker, association) = associated(&arena.page, "gaps", setup)?;
        for n in 0..count {
            // An end of it is as good.
            if attacker.chunks(association, &[every_second(association, n)]).is_err() {
                break;
            }
            pause(&mut attacker, n.into());
            sent += 1;
        }
        attacker.stay(EFFECT);
    }
    Ok(format!("{sent} messages, every second one missing"))
}

fn every_second(association: Association, n: u16) -> Vec<u8> {
    data(association.tsn.wrapping_add(1 + 2 * u32::from(n)), n, 0, 51, b"x")
}

/// CBC's records are not seen by what looks into those of AEAD.
fn cbc(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    for setup in SETUPS {
        let offer = || Offer { setup, ..Offer::new(unique("cbc")) };
        Attacker::connect(&arena.page, offer(), AEAD, PATIENCE)?;
        match Attacker::connect(&arena.page, offer(), CBC, EFFECT) {
            Err(refusal) if !refusal.starts_with("offer") => {}
            Err(other) => return Err(other),
            Ok(_) => return Err(format!("CBC is spoken, as `{setup}`")),
        }
    }
    Ok("refused in both roles".to_owned())
}
