//! All attacks, in groups. Each is bounded in count and time, and says what it saw.
//!
//! What they try is promised in `docs/security.md`, which names each in one of its rows.
//! `tests/e2e/attacks.rs` makes those of all groups but `slow` beside one honest stream; `make
//! test-hostile` makes all at random beside eight.

pub mod doors;
pub mod flood;
pub mod inner_doors;
pub mod inside;
pub mod offers;
pub mod owner;
pub mod paths;
pub mod records;
pub mod requests;
pub mod slow;
pub mod tcp_media;
pub mod unfinished;
pub mod zoo;

use std::time::Duration;

use rand::rngs::SmallRng;

use super::Attacker;
use super::arena::Arena;
use super::association::{self, Association};
use super::dtls::AEAD;
use super::offer::Offer;

/// For things that take milliseconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Who says hello in DTLS: an offer may force either (RFC 8842, section 5.1).
pub const SETUPS: [&str; 2] = ["active", "passive"];

/// Packets in a row: the gateway's queue, and the socket's, are not to be what bounds an attack.
const IN_A_ROW: usize = 64;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// As `docs/security.md` calls it.
    pub name: &'static str,
    /// Whether the honest streams are looked at: not where the machine is to have too little for
    /// all.
    pub judged: bool,
    /// Gives what it saw, or what was broken beside the honest streams.
    pub attack: Act,
}

/// How one is made.
pub type Act = fn(&mut Arena, &mut SmallRng) -> Result<String, String>;

impl Attack {
    const fn judged(name: &'static str, attack: Act) -> Self {
        Self { name, judged: true, attack }
    }
}

/// All groups, by name.
pub const GROUPS: [(&str, &[Attack]); 5] = [
    ("inside", inside::ATTACKS),
    ("paths", paths::ATTACKS),
    ("offers", offers::ATTACKS),
    ("requests", requests::ATTACKS),
    ("slow", slow::ATTACKS),
];

/// All attacks of all groups.
pub fn all() -> impl Iterator<Item = &'static Attack> {
    GROUPS.into_iter().flat_map(|(_, attacks)| attacks)
}

/// A session with an association, its own DTLS role as `setup` says.
///
/// # Errors
/// How far it came.
fn associated(
    page: &str,
    what: &str,
    setup: &'static str,
) -> Result<(Attacker, Association), String> {
    let offer = Offer { setup, ..Offer::new(unique(what)) };
    let mut attacker = Attacker::connect(page, offer, AEAD, PATIENCE)?;
    let association = attacker.associate(association::FIRST_TSN, PATIENCE)?;
    Ok((attacker, association))
}

/// Rests after each row of packets, of which so many were sent.
fn pause(attacker: &mut Attacker, sent: usize) {
    if sent.is_multiple_of(IN_A_ROW) {
        attacker.stay(Duration::from_millis(5));
    }
}

/// # Errors
/// The association is over.
fn still_there(attacker: &mut Attacker, association: Association) -> Result<(), String> {
    match attacker.answers(association, PATIENCE) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("its own association is over: {:?}", attacker.seen)),
        Err(error) => Err(format!("its own DTLS is over: {error}")),
    }
}

/// A name that nobody else has.
#[must_use]
pub fn unique(what: &str) -> String {
    format!("{what}-{:08x}", rand::random::<u32>())
}
