//! Which sessions of this gateway may take a slot, and which have to wait or to go. Pure.
//!
//! An offer takes nothing. A session takes its slot at the first signed check of its browser, which proves that somebody
//! is there; but those whose browser has not completed DTLS may together hold at most a quarter of their stream's slots
//! ([`SHARE`]). The others are put off until DTLS is up, a few round trips later. So there is no queue: a check or a
//! completed handshake is answered at once, by "now" or by "later".
//!
//! > A session is in one of these at most: without a check, put off, or holding a slot without DTLS.
//!
//! Sessions without a slot cost memory only, and are bounded too: beyond [`MAX_UNCHECKED`] and [`MAX_PUT_OFF`] the oldest
//! ends. A browser sends its first check within a round trip of its answer, so it is never the oldest.

use std::collections::{HashMap, VecDeque};

/// Sessions without DTLS hold at most one in so many of a stream's slots. Of fewer than four slots that is none.
const SHARE: u32 = 4;
/// Sessions that no signed check has come for; each costs some 400 kB. Full: the oldest ends (`crowded_out`).
const MAX_UNCHECKED: usize = 256;
/// Sessions that wait for DTLS before they may take a slot. Full: as above.
const MAX_PUT_OFF: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// The oldest first.
    unchecked: VecDeque<String>,
    /// The oldest first.
    put_off: VecDeque<String>,
    /// Those that have or are getting a slot, and their stream.
    without_dtls: HashMap<String, String>,
}

impl Admission {
    /// An offer was answered. Gives the session that has to end for it.
    pub(super) fn answered(&mut self, id: &str) -> Option<String> {
        self.unchecked.push_back(id.to_owned());
        if self.unchecked.len() > MAX_UNCHECKED { self.unchecked.pop_front() } else { None }
    }

    /// The first signed check of a session came; its stream has `slots`.
    pub(super) fn checked(&mut self, id: &str, stream: &str, slots: u32) -> Checked {
        let Some(at) = self.unchecked.iter().position(|waiting| waiting == id) else { return Checked::Gone };
        self.unchecked.remove(at);
        let held = self.without_dtls.values().filter(|of| *of == stream).count();
        if held < (slots / SHARE) as usize {
            self.without_dtls.insert(id.to_owned(), stream.to_owned());
            return Checked::Now;
        }
        Checked::Later(self.put_off(id))
    }

    /// There was no slot for a session without DTLS. Gives the session that has to end for it.
    pub(super) fn put_off(&mut self, id: &str) -> Option<String> {
        self.without_dtls.remove(id);
        self.put_off.push_back(id.to_owned());
        if self.put_off.len() > MAX_PUT_OFF { self.put_off.pop_front() } else { None }
    }

    /// DTLS is up. True when the session has no slot, and is to take one now.
    pub(super) fn encrypted(&mut self, id: &str) -> bool {
        self.without_dtls.remove(id);
        for waiting in [&mut self.unchecked, &mut self.put_off] {
            if let Some(at) = waiting.iter().position(|waiting| waiting == id) {
                waiting.remove(at);
                return true;
            }
        }
        false
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

    /// A session whose first check has come.
    fn check(admission: &mut Admission, id: &str, slots: u32) -> Checked {
        assert_eq!(admission.answered(id), None);
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
            assert_eq!(admission.answered(id), None);
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
    fn of_too_many_without_a_check_the_oldest_ends() {
        let mut admission = Admission::default();
        for n in 0..10_000_usize {
            let gone = admission.answered(&n.to_string());
            assert_eq!(gone, n.checked_sub(MAX_UNCHECKED).map(|n| n.to_string()));
        }
        assert_eq!(admission.checked("0", "s", 100), Checked::Gone);
        assert_eq!(admission.checked("9999", "s", 100), Checked::Now);
        assert_eq!(admission.checked("9999", "s", 100), Checked::Gone, "once");
        assert_eq!(admission.unchecked.len(), MAX_UNCHECKED - 1);
    }

    #[test]
    fn of_too_many_without_dtls_the_oldest_ends() {
        let mut admission = Admission::default();
        for n in 0..10_000_usize {
            let gone = n.checked_sub(MAX_PUT_OFF).map(|n| n.to_string());
            assert_eq!(check(&mut admission, &n.to_string(), 0), Checked::Later(gone));
        }
        assert_eq!((admission.put_off.len(), admission.unchecked.len()), (MAX_PUT_OFF, 0));
    }
}
