//! Which sessions of this gateway may take a slot, and which have to wait or to go. Pure.
//!
//! An offer takes nothing. A session takes its slot at the first signed check of its browser, which
//! proves that somebody is there; but those whose browser has not completed DTLS may together hold
//! at most a quarter of their stream's slots ([`SHARE`]). The others are put off until DTLS is up,
//! a few round trips later. So there is no queue: a check or a completed handshake is answered at
//! once, by "now" or by "later".
//!
//! > A session is in one of these at most: without a check, put off, or holding a slot without
//! > DTLS.
//!
//! Sessions without a slot cost memory only, and are bounded too: beyond [`MAX_UNCHECKED`] and
//! [`MAX_PUT_OFF`] the oldest one ends of the client network that has most of them. So a client
//! that floods ends its own.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::shares::Crowd;

/// Sessions without DTLS hold at most one in so many of a stream's slots. Of fewer than four slots
/// that is none.
const SHARE: u32 = 4;
/// Sessions that no signed check has come for; each costs some 400 kB. Full: one ends
/// (`crowded_out`).
const MAX_UNCHECKED: usize = 256;
/// Sessions that wait for DTLS before they may take a slot. Full: as above.
const MAX_PUT_OFF: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Admission {
    unchecked: Crowd<String>,
    put_off: Crowd<String>,
    /// Those that have or are getting a slot.
    without_dtls: HashMap<String, Early>,
}

/// A session that takes its slot before DTLS is up.
#[derive(Debug)]
struct Early {
    stream: String,
    network: IpAddr,
}

impl Default for Admission {
    fn default() -> Self {
        let (unchecked, put_off) = (Crowd::new(MAX_UNCHECKED), Crowd::new(MAX_PUT_OFF));
        Self { unchecked, put_off, without_dtls: HashMap::new() }
    }
}

impl Admission {
    /// An offer of this client was answered. Gives the session that has to end for it.
    pub(super) fn answered(&mut self, id: &str, client: IpAddr) -> Option<String> {
        self.unchecked.add(client, id.to_owned())
    }

    /// The first signed check of a session came; its stream has `slots`.
    pub(super) fn checked(&mut self, id: &str, stream: &str, slots: u32) -> Checked {
        let Some(network) = self.unchecked.remove(|waiting| waiting == id) else {
            return Checked::Gone;
        };
        let held = self.without_dtls.values().filter(|early| early.stream == stream).count();
        if held < (slots / SHARE) as usize {
            self.without_dtls.insert(id.to_owned(), Early { stream: stream.to_owned(), network });
            return Checked::Now;
        }
        Checked::Later(self.put_off.add(network, id.to_owned()))
    }

    /// There was no slot for a session without DTLS. Gives the session that has to end for it.
    pub(super) fn put_off(&mut self, id: &str) -> Option<String> {
        let Early { network, .. } = self.without_dtls.remove(id)?;
        self.put_off.add(network, id.to_owned())
    }

    /// DTLS is up. True when the session has no slot, and is to take one now.
    pub(super) fn encrypted(&mut self, id: &str) -> bool {
        self.without_dtls.remove(id);
        [&mut self.unchecked, &mut self.put_off]
            .into_iter()
            .any(|crowd| crowd.remove(|one| one == id).is_some())
    }

    /// The session has ended.
    pub(super) fn ended(&mut self, id: &str) {
        self.encrypted(id);
    }

    /// Whether a session is still among those that take a slot before DTLS.
    pub(super) fn is_without_dtls(&self, id: &str) -> bool {
        self.without_dtls.contains_key(id)
    }
}

/// What a first check leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// The session takes its slot.
    Now,
    /// It waits for DTLS; the one that has to end for it, if any.
    Later(Option<String>),
    /// It has ended, or is past this.
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    /// A session whose first check has come.
    fn check(admission: &mut Admission, id: &str, slots: u32) -> Checked {
        assert_eq!(admission.answered(id, CLIENT), None);
        admission.checked(id, "s", slots)
    }

    #[test]
    fn a_quarter_of_the_slots_may_be_held_without_dtls() {
        let mut admission = Admission::default();
        for id in ["a", "b"] {
            assert_eq!(check(&mut admission, id, 8), Checked::Now);
        }
        for id in ["c", "d"] {
            assert_eq!(check(&mut admission, id, 8), Checked::Later(None));
        }
        assert!(!admission.encrypted("a"), "it has its slot");
        assert_eq!(check(&mut admission, "e", 8), Checked::Now);
        assert!(admission.encrypted("c"));
        assert!(!admission.encrypted("c"), "once");
        admission.ended("b");
        assert_eq!(check(&mut admission, "f", 8), Checked::Now);
        assert_eq!(check(&mut admission, "g", 8), Checked::Later(None));
    }

    #[test]
    fn where_a_quarter_is_less_than_one_slot_all_wait_for_dtls() {
        let mut admission = Admission::default();
        for slots in 0..SHARE {
            let id = slots.to_string();
            assert_eq!(check(&mut admission, &id, slots), Checked::Later(None));
            assert!(admission.encrypted(&id));
        }
    }

    #[test]
    fn each_stream_has_its_own_quarter() {
        let mut admission = Admission::default();
        for (id, stream) in [("a", "one"), ("b", "two")] {
            assert_eq!(admission.answered(id, CLIENT), None);
            assert_eq!(admission.checked(id, stream, 4), Checked::Now);
        }
    }

    #[test]
    fn without_a_slot_left_a_session_tries_again_with_dtls() {
        let mut admission = Admission::default();
        assert_eq!(check(&mut admission, "a", 4), Checked::Now);
        assert_eq!(admission.put_off("a"), None);
        assert!(!admission.is_without_dtls("a"));
        assert_eq!(check(&mut admission, "b", 4), Checked::Now, "its share is free again");
        assert!(admission.encrypted("a"));
    }

    #[test]
    fn of_too_many_without_a_check_one_of_the_greediest_client_ends() {
        let mut admission = Admission::default();
        for n in 0..10_000_usize {
            let gone = admission.answered(&n.to_string(), CLIENT);
            assert_eq!(gone, n.checked_sub(MAX_UNCHECKED).map(|n| n.to_string()));
        }
        assert_eq!(
            admission.answered("honest", OTHER).as_deref(),
            Some("9744"),
            "for another client too"
        );
        for n in 10_000..20_000_usize {
            let gone = admission.answered(&n.to_string(), CLIENT);
            assert_eq!(
                gone,
                Some((n - MAX_UNCHECKED + 1).to_string()),
                "the honest one is not touched"
            );
        }
        assert_eq!(admission.checked("honest", "s", 100), Checked::Now);
        assert_eq!(admission.checked("0", "s", 100), Checked::Gone);
        assert_eq!(admission.checked("19999", "s", 100), Checked::Now);
        assert_eq!(admission.checked("19999", "s", 100), Checked::Gone, "once");
    }

    #[test]
    fn of_too_many_without_dtls_the_oldest_ends() {
        let mut admission = Admission::default();
        for n in 0..10_000_usize {
            let gone = n.checked_sub(MAX_PUT_OFF).map(|n| n.to_string());
            assert_eq!(check(&mut admission, &n.to_string(), 0), Checked::Later(gone));
        }
    }
}
