//! Below DTLS: checks that nobody signed, addresses that never spoke, sessions that stop halfway.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::Instant;

use crate::attacker::offer::Offer;
use crate::attacker::stun::{self, ICE_CONTROLLED, ICE_CONTROLLING, Message};
use crate::attacker::{Attacker, Seen};

/// Checks that nobody signed, or somebody else did, with every claim of a role: each makes a stack act that looks at the
/// role before the signature.
#[must_use]
pub fn forged_checks(ufrags: Option<(&str, &str)>) -> Vec<Vec<u8>> {
    let (theirs, ours) = ufrags.unwrap_or(("nobody", "nobody"));
    let name = format!("{theirs}:{ours}");
    let mut checks = Vec::new();
    for role in [ICE_CONTROLLING, ICE_CONTROLLED] {
        for tie_breaker in [0, u64::MAX] {
            let role = |message: Message| message.with(role, &tie_breaker.to_be_bytes());
            let request = || Message::request(rand::random());
            let named = || role(request().with(stun::USERNAME, name.as_bytes()).with(stun::PRIORITY, &[0x6e; 4]));
            checks.push(role(request()).bare());
            checks.push(role(request()).finish());
            checks.push(named().finish());
            checks.push(named().with(stun::USE_CANDIDATE, &[]).signed("not the password of anybody").finish());
            // A signature that is too short to be one.
            checks.push(named().with(stun::MESSAGE_INTEGRITY, &[0; 8]).finish());
        }
    }
    // An answer and a refusal that nobody asked for.
    checks.push(Message::success(rand::random()).finish());
    checks.push(Message::success(rand::random()).signed("not the password of anybody").finish());
    checks
}

/// Sends [`forged_checks`] so many times on the path of a session that stands; what came back for them.
pub fn confuse(attacker: &mut Attacker, rounds: usize) -> Seen {
    let before = attacker.seen;
    let ufrags = (attacker.answer.ufrag.clone(), attacker.offer.ufrag.clone());
    for _ in 0..rounds {
        for check in forged_checks(Some((&ufrags.0, &ufrags.1))) {
            attacker.send(&check);
        }
        // No check of ours: whatever comes back but the gateway's own checks is for those.
        attacker.listen(Duration::from_millis(50));
    }
    attacker.listen(Duration::from_millis(500));
    let seen = attacker.seen;
    Seen {
        checks: seen.checks - before.checks,
        successes: seen.successes - before.successes,
        refusals: seen.refusals - before.refusals,
        ..seen
    }
}

/// A socket that never spoke to anybody.
#[derive(Debug)]
pub struct Victim(UdpSocket);

impl Victim {
    /// # Panics
    /// When the loopback interface has no free port.
    #[must_use]
    pub fn bind() -> Self {
        Self(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on the loopback interface"))
    }

    /// What an offer names.
    ///
    /// # Panics
    /// Never: the socket is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("a bound socket has an address")
    }

    /// Datagrams that come within `time`.
    ///
    /// # Panics
    /// Never: a timeout that is not zero is taken.
    #[must_use]
    pub fn datagrams(&self, time: Duration) -> usize {
        let deadline = Instant::now() + time;
        let (mut count, mut room) = (0, [0; 2_048]);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return count;
            }
            self.0.set_read_timeout(Some(left)).expect("a timeout that is not zero");
            count += usize::from(self.0.recv_from(&mut room).is_ok());
        }
    }
}

/// One offer that names `victim` 32 times, and as many trickled candidates; what reaches it within `time`.
///
/// # Errors
/// The offer was refused.
pub fn reflect(page: &str, victim: &Victim, time: Duration) -> Result<usize, String> {
    let candidates = vec![victim.address(); 32];
    let offer = Offer { candidates, ..Offer::new(super::unique("reflector")) };
    // A signed check, so that the session is more than an offer.
    let attacker = Attacker::offer(page, offer).map_err(|reply| format!("{reply:?}"))?;
    attacker.send(&attacker.check());
    for _ in 0..32 {
        attacker.offer.trickle(page, victim.address()).map_err(|error| error.to_string())?;
    }
    Ok(victim.datagrams(time))
}

/// Sessions that sign their checks and never begin DTLS, `count` of them; those whose checks were answered.
#[must_use]
pub fn checks_alone(page: &str, count: usize) -> Vec<Attacker> {
    let attackers = (0..count).filter_map(|n| {
        let offer = Offer::new(super::unique(&format!("checks-{n}")));
        let mut attacker = Attacker::offer(page, offer).ok()?;
        // Who is not taken is not answered.
        attacker.reach(Duration::from_millis(500)).ok().map(|()| attacker)
    });
    attackers.collect()
}
