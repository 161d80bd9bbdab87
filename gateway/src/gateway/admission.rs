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

use crate::media::session_id::SessionId;
use crate::shares::WaitingList;

/// Sessions without DTLS hold at most one in this many of a stream's slots. With fewer than four
/// slots they hold none.
const SHARE: u32 = 4;
/// Sessions that no signed check has come for; each costs some 400 kB. Full: one ends
/// (`crowded_out`).
const MAX_UNCHECKED: usize = 256;
/// Sessions that wait for DTLS before they may take a slot. Full: as above.
const MAX_PUT_OFF: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Admission {
    unchecked: WaitingList<SessionId>,
    put_off: WaitingList<SessionId>,
    /// Those that have or are getting a slot.
    without_dtls: HashMap<SessionId, Early>,
}

/// A session that takes its slot before DTLS is up.
#[derive(Debug)]
struct Early {
    stream: String,
    network: IpAddr,
}

impl Default for Admission {
    fn default() -> Self {
        let (unchecked, put_off) = (WaitingList::new(MAX_UNCHECKED), WaitingList::new(MAX_PUT_OFF));
        Self { unchecked, put_off, without_dtls: HashMap::new() }
    }
}

impl Admission {
    /// An offer of this client was answered. Gives the session that has to end for it.
    pub(super) fn answered(&mut self, id: &SessionId, client: IpAddr) -> Option<SessionId> {
        self.unchecked.add(client, id.clone())
    }

    /// The first signed check of a session came; its stream has `slots`.
    pub(super) fn checked(&mut self, id: &SessionId, stream: &str, slots: u32) -> Checked {
        let Some(network) = self.unchecked.remove(|waiting| waiting == id) else {
            return Checked::Gone;
        };
        let held = self.without_dtls.values().filter(|early| early.stream == stream).count();
        if held < (slots / SHARE) as usize {
            self.without_dtls.insert(id.clone(), Early { stream: stream.to_owned(), network });
            return Checked::Now;
        }
        Checked::Later(self.put_off.add(network, id.clone()))
    }

    /// There was no slot for a session without DTLS. Gives the session that has to end for it.
    pub(super) fn put_off(&mut self, id: &SessionId) -> Option<SessionId> {
        let Early { network, .. } = self.without_dtls.remove(id)?;
        self.put_off.add(network, id.clone())
    }

    /// DTLS is up. True when the session has no slot, and is to take one now.
    pub(super) fn encrypted(&mut self, id: &SessionId) -> bool {
        self.without_dtls.remove(id);
        [&mut self.unchecked, &mut self.put_off]
            .into_iter()
            .any(|list| list.remove(|one| one == id).is_some())
    }

    /// The session has ended.
    pub(super) fn ended(&mut self, id: &SessionId) {
        self.encrypted(id);
    }

    /// Whether a session is still among those that take a slot before DTLS.
    pub(super) fn is_without_dtls(&self, id: &SessionId) -> bool {
        self.without_dtls.contains_key(id)
    }
}

/// What a first check leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// The session takes its slot.
    Now,
    /// It waits for DTLS; the one that has to end for it, if any.
    Later(Option<SessionId>),
    /// It has ended, or is past this.
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::session_id::testing::id;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    /// A session whose first check has come.
    fn check(admission: &mut Admission, session: impl ToString, slots: u32) -> Checked {
        let session = id(session);
        assert_eq!(admission.answered(&session, CLIENT), None);
        admission.checked(&session, "s", slots)
    }

    #[test]
    fn a_quarter_of_the_slots_may_be_held_without_dtls() {
        let mut admission = Admission::default();
        for session in ["a", "b"] {
            assert_eq!(check(&mut admission, session, 8), Checked::Now);
        }
        for session in ["c", "d"] {
            assert_eq!(check(&mut admission, session, 8), Checked::Later(None));
        }
        assert!(!admission.encrypted(&id("a")), "it has its slot");
        assert_eq!(check(&mut admission, "e", 8), Checked::Now);
        assert!(admission.encrypted(&id("c")));
        assert!(!admission.encrypted(&id("c")), "once");
        admission.ended(&id("b"));
        assert_eq!(check(&mut admission, "f", 8), Checked::Now);
        assert_eq!(check(&mut admission, "g", 8), Checked::Later(None));
    }

    #[test]
    fn where_a_quarter_is_less_than_one_slot_all_wait_for_dtls() {
        let mut admission = Admission::default();
        for slots in 0..SHARE {
            assert_eq!(check(&mut admission, slots, slots), Checked::Later(None));
            assert!(admission.encrypted(&id(slots)));
        }
    }

    #[test]
    fn each_stream_has_its_own_quarter() {
        let mut admission = Admission::default();
        for (session, stream) in [("a", "one"), ("b", "two")] {
            assert_eq!(admission.answered(&id(session), CLIENT), None);
            assert_eq!(admission.checked(&id(session), stream, 4), Checked::Now);
        }
    }

    #[test]
    fn without_a_slot_left_a_session_tries_again_with_dtls() {
        let mut admission = Admission::default();
        assert_eq!(check(&mut admission, "a", 4), Checked::Now);
        assert_eq!(admission.put_off(&id("a")), None);
        assert!(!admission.is_without_dtls(&id("a")));
        assert_eq!(check(&mut admission, "b", 4), Checked::Now, "its share is free again");
        assert!(admission.encrypted(&id("a")));
    }

    #[test]
    fn of_too_many_without_a_check_one_of_the_greediest_client_ends() {
        let mut admission = Admission::default();
        for n in 0..10_000_usize {
            let gone = admission.answered(&id(n), CLIENT);
            assert_eq!(gone, n.checked_sub(MAX_UNCHECKED).map(id));
        }
        assert_eq!(
            admission.answered(&id("honest"), OTHER),
            Some(id("9744")),
            "for another client too"
        );
        for n in 10_000..20_000_usize {
            let gone = admission.answered(&id(n), CLIENT);
            assert_eq!(gone, Some(id(n - MAX_UNCHECKED + 1)), "the honest one is not touched");
        }
        assert_eq!(admission.checked(&id("honest"), "s", 100), Checked::Now);
        assert_eq!(admission.checked(&id("0"), "s", 100), Checked::Gone);
        assert_eq!(admission.checked(&id("19999"), "s", 100), Checked::Now);
        assert_eq!(admission.checked(&id("19999"), "s", 100), Checked::Gone, "once");
    }

    #[test]
    fn of_too_many_without_dtls_the_oldest_ends() {
        let mut admission = Admission::default();
        for n in 0..10_000_usize {
            let gone = n.checked_sub(MAX_PUT_OFF).map(id);
            assert_eq!(check(&mut admission, n, 0), Checked::Later(gone));
        }
    }
}
