//! A browser that is suddenly at another address. Pure.
//!
//! A NAT may give it another one in the midst of a connection. Its checks then come from there and are answered there, so
//! that for the browser all is well. But what the stack sends goes on to the old address: it selects a pair of addresses
//! once (`rtc-ice`, `ControlledSelector`), where libwebrtc, in our role, follows the browser.
//!
//! > Where no media comes any more from the address that the stack has selected, but from another one that has answered a
//! > check of ours, then what is for the first goes to the second, and what comes from the second is the first's to the
//! > stack.
//!
//! It must have answered, because whoever has seen a check may send it again, under any address: an answer is signed by the
//! browser, and holds what only went to that address. Media, which here is all but STUN, because browsers check more pairs
//! than they use.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::packet::{Class, Stun};

/// Without media for so long an address is silent: video and feedback come several times as often.
const SILENT: Duration = Duration::from_millis(500);
/// Questions of each side that may be answered, the newest. Answers come within a round trip; of more questions in that time
/// the first are as if they were lost, and are asked again.
const QUESTIONS: usize = 32;
/// Addresses that have answered, the newest. More: the oldest must answer again.
const ANSWERED: usize = 8;

/// Of one of a session's sockets.
#[derive(Debug, Default)]
pub(super) struct Roaming {
    /// The browser's, which signs its answers.
    password: String,
    /// Where the stack sends media.
    selected: Option<SocketAddr>,
    /// Where that is now; `None`: where the stack says.
    moved: Option<SocketAddr>,
    /// When media last came from there.
    heard: Option<Instant>,
    /// What the stack asked, and whom.
    ours: VecDeque<Question>,
    /// What was asked of the stack, and by whom.
    theirs: VecDeque<Question>,
    answered: VecDeque<SocketAddr>,
}

type Question = ([u8; 12], SocketAddr);

impl Roaming {
    /// The browser's password. Another one, after an ICE restart: everything begins anew.
    pub(super) fn learn(&mut self, password: &str) {
        if self.password != password {
            *self = Self { password: password.to_owned(), ..Self::default() };
        }
    }

    /// The stack sends `datagram`: where it goes.
    pub(super) fn sends(&mut self, to: SocketAddr, datagram: &[u8]) -> SocketAddr {
        let message = Stun::read(datagram);
        if message.is_none() && self.selected != Some(to) {
            (self.selected, self.moved, self.heard) = (Some(to), None, None);
        }
        let now = self.moved.filter(|_| self.selected == Some(to)).unwrap_or(to);
        match message {
            Some(Stun { class: Class::Request, transaction, .. }) => {
                note(&mut self.ours, (transaction, now), QUESTIONS);
                now
            }
            // Of the two that the stack takes for one, to the one that asked.
            Some(Stun { transaction, .. })
                if self.theirs.contains(&(transaction, to)) && !self.theirs.contains(&(transaction, now)) =>
            {
                to
            }
            _ => now,
        }
    }

    /// `datagram` came, from an address that has signed a check: from whom it is to the stack.
    pub(super) fn came(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> SocketAddr {
        let message = Stun::read(datagram);
        match &message {
            Some(Stun { class: Class::Request, transaction, .. }) => {
                note(&mut self.theirs, (*transaction, from), QUESTIONS);
            }
            Some(answer)
                if answer.class == Class::Success
                    && self.ours.contains(&(answer.transaction, from))
                    && answer.is_signed_with(&self.password) =>
            {
                self.answered.retain(|known| *known != from);
                note(&mut self.answered, from, ANSWERED);
            }
            _ => {}
        }
        let Some(selected) = self.selected else { return from };
        if message.is_none() {
            let at = self.moved.unwrap_or(selected);
            let silent = now.saturating_duration_since(*self.heard.get_or_insert(now)) >= SILENT;
            let follow = from != at && silent && self.answered.contains(&from);
            if follow {
                self.moved = (from != selected).then_some(from);
            }
            if follow || from == at {
                self.heard = Some(now);
            }
        }
        if self.moved == Some(from) { selected } else { from }
    }
}

/// Once, however often the same is tried to be sent.
fn note<T: PartialEq>(queue: &mut VecDeque<T>, item: T, bound: usize) {
    if queue.back() == Some(&item) {
        return;
    }
    if queue.len() == bound {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::packet::tests::{answer, check};

    const VIDEO: &[u8] = &[0x80; 40];
    const THEIRS: &str = "theirs";

    fn at(port: u16) -> SocketAddr {
        ([192, 0, 2, 7], port).into()
    }

    /// To which [`answer`] is the answer: all have the same number.
    fn question() -> Vec<u8> {
        check("theirs:ours", THEIRS)
    }

    /// The stack has selected the address 1, from where video came a moment ago.
    fn selected() -> (Roaming, Instant) {
        let (mut roaming, now) = (Roaming::default(), Instant::now());
        roaming.learn(THEIRS);
        assert_eq!(roaming.sends(at(1), VIDEO), at(1));
        assert_eq!(roaming.came(now, at(1), VIDEO), at(1));
        (roaming, now)
    }

    #[test]
    fn a_browser_that_moved_is_followed_there_and_back() {
        let (mut roaming, now) = selected();
        let later = now + SILENT;
        assert_eq!(roaming.sends(at(2), &question()), at(2), "to the stack it is a stranger");
        assert_eq!(roaming.came(later, at(2), &answer(THEIRS)), at(2));
        assert_eq!(roaming.sends(at(1), VIDEO), at(1), "not yet");
        assert_eq!(roaming.came(later, at(2), VIDEO), at(1));
        assert_eq!(roaming.sends(at(1), VIDEO), at(2));
        assert_eq!(roaming.sends(at(1), &question()), at(2), "it is asked where it is");
        assert_eq!(roaming.came(later, at(2), &answer(THEIRS)), at(1));

        roaming.sends(at(3), &question());
        roaming.came(later, at(3), &answer(THEIRS));
        assert_eq!(roaming.came(later + SILENT, at(3), VIDEO), at(1));
        assert_eq!(roaming.sends(at(1), VIDEO), at(3));
        // What is still asked from the old one is answered there.
        assert_eq!(roaming.came(later + SILENT, at(1), &check("ours:theirs", "ours")), at(1));
        assert_eq!(roaming.sends(at(1), &answer("ours")), at(1));
        // And with an answer of its own and video it is the one again.
        roaming.ours.push_back((*question()[8..].first_chunk().unwrap(), at(1)));
        roaming.came(later + SILENT, at(1), &answer(THEIRS));
        roaming.came(later + SILENT * 2, at(1), VIDEO);
        assert_eq!(roaming.sends(at(1), VIDEO), at(1));
    }

    #[test]
    fn nobody_is_followed_who_did_not_answer_or_where_the_old_address_lives() {
        for (asked, password, quiet, media) in [
            (3, THEIRS, SILENT, VIDEO),
            (2, "guessed", SILENT, VIDEO),
            (2, THEIRS, SILENT / 2, VIDEO),
            (2, THEIRS, SILENT, &check("ours:theirs", "ours")),
        ] {
            let (mut roaming, now) = selected();
            roaming.sends(at(asked), &question());
            roaming.came(now + quiet, at(2), &answer(password));
            assert_eq!(roaming.came(now + quiet, at(2), media), at(2));
            assert_eq!(roaming.sends(at(1), VIDEO), at(1), "{asked} {password} {quiet:?}");
        }
    }

    #[test]
    fn an_ice_restart_begins_anew() {
        let (mut roaming, now) = selected();
        roaming.sends(at(2), &question());
        roaming.came(now, at(2), &answer(THEIRS));
        roaming.came(now + SILENT, at(2), VIDEO);
        roaming.learn(THEIRS);
        assert_eq!(roaming.sends(at(1), VIDEO), at(2), "a further offer is none");
        roaming.learn("another");
        assert_eq!(roaming.came(now + SILENT, at(2), VIDEO), at(2));
        assert_eq!(roaming.sends(at(5), VIDEO), at(5));
    }
}
