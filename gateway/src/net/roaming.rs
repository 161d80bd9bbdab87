//! A browser that is suddenly at another address. Pure.
//!
//! A NAT may forget its mapping, and a phone may change its network, in the midst of a connection. The browser's checks
//! then come from elsewhere and are answered there, so that for it all is well. But what the stack sends goes on to the
//! old address: it selects a pair of addresses once (`rtc-ice`, `ControlledSelector`), where libwebrtc, in our role,
//! follows the browser's last nomination.
//!
//! > Where the stack's address is silent, and the browser nominates another one that has answered a check of ours, then
//! > what is for the first goes to the second, and what comes from the second is the first's to the stack.
//!
//! That it has answered is why nobody can turn a stream against a third: a check may be repeated by whoever has seen it,
//! under any address; an answer only comes from who got our question.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::packet::Stun;

/// Without a datagram for so long an address is silent: video and feedback come several times as often.
const SILENT: Duration = Duration::from_millis(500);
/// Questions that may be answered, the newest: the stack asks an address at most each 200 ms, and some five of them.
const QUESTIONS: usize = 16;
/// Addresses that have answered, the newest. More: the oldest must answer again.
const ANSWERED: usize = 8;

/// Of one of a session's sockets.
#[derive(Debug, Default)]
pub(super) struct Roaming {
    /// Where the stack sends what is not ICE's.
    selected: Option<SocketAddr>,
    /// Where that is now; `None`: where the stack says.
    moved: Option<SocketAddr>,
    /// When something last came from there.
    heard: Option<Instant>,
    /// The last address that the browser nominated.
    nominated: Option<SocketAddr>,
    questions: VecDeque<([u8; 12], SocketAddr)>,
    answered: VecDeque<SocketAddr>,
}

impl Roaming {
    /// The stack sends `datagram`: where it goes.
    pub(super) fn sends(&mut self, to: SocketAddr, datagram: &[u8]) -> SocketAddr {
        let message = Stun::read(datagram);
        if message.is_none() && self.selected != Some(to) {
            // Its first, or another pair after an ICE restart: the old one's whereabouts are no more.
            (self.selected, self.moved, self.heard) = (Some(to), None, None);
        }
        let to = self.moved.filter(|_| self.selected == Some(to)).unwrap_or(to);
        if let Some(Stun::Request { transaction, .. }) = message {
            push(&mut self.questions, (transaction, to), QUESTIONS);
        }
        to
    }

    /// `datagram` came, from an address that has signed a check: from whom it is to the stack.
    pub(super) fn came(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> SocketAddr {
        match Stun::read(datagram) {
            Some(Stun::Request { nominates: true, .. }) => self.nominated = Some(from),
            Some(Stun::Success { transaction }) if self.questions.contains(&(transaction, from)) => {
                self.answered.retain(|known| *known != from);
                push(&mut self.answered, from, ANSWERED);
            }
            _ => {}
        }
        let Some(selected) = self.selected else { return from };
        let at = self.moved.unwrap_or(selected);
        let silent = now.saturating_duration_since(*self.heard.get_or_insert(now)) >= SILENT;
        let follow = from != at && self.nominated == Some(from) && silent && self.answered.contains(&from);
        if follow {
            self.moved = (from != selected).then_some(from);
        }
        if from == at || follow {
            self.heard = Some(now);
        }
        if self.moved == Some(from) { selected } else { from }
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T, bound: usize) {
    if queue.len() == bound {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: &[u8] = &[0x80; 40];

    /// A request and its success, without what they are signed with.
    fn question(transaction: u8) -> Vec<u8> {
        [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[transaction; 12]].concat()
    }

    fn answer(transaction: u8) -> Vec<u8> {
        [&[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[transaction; 12]].concat()
    }

    /// A browser's: some attribute, and USE-CANDIDATE or another that is as long.
    fn check(nominates: bool) -> Vec<u8> {
        [&question(1)[..], &[0, 0x24, 0, 4, 0, 0, 0, 1], &[0, if nominates { 0x25 } else { 0x2a }, 0, 0]].concat()
    }

    fn at(port: u16) -> SocketAddr {
        ([192, 0, 2, 7], port).into()
    }

    /// The stack has selected the address 1, from where video came a moment ago.
    fn selected() -> (Roaming, Instant) {
        let (mut roaming, now) = (Roaming::default(), Instant::now());
        assert_eq!(roaming.sends(at(1), VIDEO), at(1));
        assert_eq!(roaming.came(now, at(1), VIDEO), at(1));
        (roaming, now)
    }

    #[test]
    fn a_browser_that_moved_is_followed_there_and_back() {
        let (mut roaming, now) = selected();
        let later = now + SILENT;
        assert_eq!(roaming.came(later, at(2), &check(true)), at(2), "to the stack it is a stranger");
        assert_eq!(roaming.sends(at(2), &question(7)), at(2), "whom it asks");
        assert_eq!(roaming.sends(at(1), VIDEO), at(1), "not yet");
        assert_eq!(roaming.came(later, at(2), &answer(7)), at(1));
        assert_eq!(roaming.sends(at(1), VIDEO), at(2));
        assert_eq!(roaming.came(later, at(2), VIDEO), at(1));
        // The stack's checks of its pair follow too, and count as answers of where it now is.
        assert_eq!(roaming.sends(at(1), &question(8)), at(2));
        assert_eq!(roaming.came(later, at(2), &answer(8)), at(1));

        roaming.sends(at(3), &question(9));
        roaming.came(later, at(3), &answer(9));
        let back = later + SILENT;
        assert_eq!(roaming.came(back, at(3), &check(true)), at(1));
        assert_eq!(roaming.sends(at(1), VIDEO), at(3));
    }

    #[test]
    fn nobody_is_followed_who_was_not_nominated_did_not_answer_or_where_the_old_address_lives() {
        for (nominates, asked, quiet) in [(false, 7, SILENT), (true, 6, SILENT), (true, 7, SILENT / 2)] {
            let (mut roaming, now) = selected();
            roaming.came(now + quiet, at(2), &check(nominates));
            roaming.sends(at(2), &question(asked));
            roaming.came(now + quiet, at(2), &answer(7));
            assert_eq!(roaming.came(now + quiet, at(2), VIDEO), at(2));
            assert_eq!(roaming.sends(at(1), VIDEO), at(1), "{nominates} {asked} {quiet:?}");
        }
        // The answer of another to what was asked of this one.
        let (mut roaming, now) = selected();
        roaming.sends(at(2), &question(7));
        roaming.came(now + SILENT, at(3), &answer(7));
        roaming.came(now + SILENT, at(3), &check(true));
        assert_eq!(roaming.sends(at(1), VIDEO), at(1));
    }

    #[test]
    fn another_pair_of_the_stacks_is_where_it_says() {
        let (mut roaming, now) = selected();
        roaming.sends(at(2), &question(7));
        roaming.came(now, at(2), &answer(7));
        roaming.came(now + SILENT, at(2), &check(true));
        assert_eq!(roaming.sends(at(1), VIDEO), at(2));
        assert_eq!(roaming.sends(at(5), VIDEO), at(5), "after an ICE restart");
        assert_eq!(roaming.came(now + SILENT, at(2), VIDEO), at(2));
    }
}
