//! What attackers do, one function for each kind; each is bounded in count and time, and says what it saw.

pub mod inside;
pub mod offers;
pub mod paths;
pub mod requests;

use std::time::Duration;

use super::dtls::AEAD;
use super::offer::Offer;
use super::{Attacker, association};
use crate::attacker::association::Association;

/// For things that take milliseconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Who says hello in DTLS: an offer may force either (RFC 8842, section 5.1).
pub const SETUPS: [&str; 2] = ["active", "passive"];

/// A session with an association, its own DTLS role as `setup` says.
///
/// # Errors
/// How far it came.
pub fn associated(page: &str, id: &str, setup: &'static str) -> Result<(Attacker, Association), String> {
    let offer = Offer { setup, ..Offer::new(id) };
    let mut attacker = Attacker::connect(page, offer, AEAD, PATIENCE)?;
    let association = attacker.associate(association::FIRST_TSN, PATIENCE)?;
    Ok((attacker, association))
}

/// A name that nobody else has.
#[must_use]
pub fn unique(what: &str) -> String {
    format!("{what}-{:08x}", rand::random::<u32>())
}
