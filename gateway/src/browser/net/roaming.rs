//! A browser that is suddenly at another address. Pure.
//!
//! A NAT may give it another one in the midst of a connection. Its checks then come from there and
//! are answered there, so that for the browser all is well. But what the stack sends goes on to the
//! old address: it selects a pair of addresses once (`rtc-ice`, `ControlledSelector`), where
//! libwebrtc, in our role, follows the browser.
//!
//! > Where no media comes any more from the address that the stack has selected, but from another
//! > one that has answered a check of ours, then what is for the first goes to the second, and what
//! > comes from the second is the first's to the stack.
//!
//! It must have answered, because whoever has seen a check may send it again, under any address: an
//! answer is signed by the browser, and holds what only went to that address (`filter` knows who
//! has). Media, which here is all but STUN, because browsers check more pairs than they use.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Without media for so long an address is silent: video and feedback come several times as often.
const SILENT: Duration = Duration::from_millis(500);

/// Of one of a session's sockets.
#[derive(Clone, Debug, Default)]
pub(super) struct Roaming {
    /// Where the stack sends media.
    selected: Option<SocketAddr>,
    /// Where that is now; `None`: where the stack says.
    moved: Option<SocketAddr>,
    /// When media last came from there.
    heard: Option<Instant>,
}

impl Roaming {
    /// The stack sends media to `to`.
    pub(super) fn selects(&mut self, to: SocketAddr) {
        if self.selected != Some(to) {
            *self = Self { selected: Some(to), ..Self::default() };
        }
    }

    /// Where that is which the stack takes for `to`.
    pub(super) fn current(&self, to: SocketAddr) -> SocketAddr {
        self.moved.filter(|_| self.selected == Some(to)).unwrap_or(to)
    }

    /// Media came, from an address that has signed a check, and `answered` one of ours or not.
    pub(super) fn media(&mut self, now: Instant, from: SocketAddr, answered: bool) {
        let Some(selected) = self.selected else { return };
        let at = self.moved.unwrap_or(selected);
        let silent = now.saturating_duration_since(*self.heard.get_or_insert(now)) >= SILENT;
        let follow = from != at && silent && answered;
        if follow {
            self.moved = (from != selected).then_some(from);
        }
        if follow || from == at {
            self.heard = Some(now);
        }
    }

    /// From whom it is to the stack what comes from `from`.
    pub(super) fn sender(&self, from: SocketAddr) -> SocketAddr {
        self.selected.filter(|_| self.moved == Some(from)).unwrap_or(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        ([192, 0, 2, 7], port).into()
    }

    /// The stack has selected the address 1, from where video came a moment ago.
    fn selected() -> (Roaming, Instant) {
        let (mut roaming, now) = (Roaming::default(), Instant::now());
        roaming.selects(at(1));
        roaming.media(now, at(1), true);
        (roaming, now)
    }

    #[test]
    fn a_browser_that_moved_is_followed_there_and_back() {
        let (mut roaming, now) = selected();
        let later = now + SILENT;
        assert_eq!((roaming.current(at(1)), roaming.sender(at(2))), (at(1), at(2)), "not yet");
        roaming.media(later, at(2), true);
        assert_eq!((roaming.current(at(1)), roaming.sender(at(2))), (at(2), at(1)));
        roaming.selects(at(1));
        assert_eq!(roaming.current(at(1)), at(2), "the stack does not notice");
        assert_eq!(roaming.current(at(9)), at(9));
        roaming.media(later + SILENT, at(3), true);
        assert_eq!((roaming.current(at(1)), roaming.sender(at(2))), (at(3), at(2)));
        roaming.media(later + SILENT * 2, at(1), true);
        assert_eq!((roaming.current(at(1)), roaming.sender(at(3))), (at(1), at(3)));
        roaming.media(later + SILENT * 3, at(2), true);
        roaming.selects(at(5));
        assert_eq!(
            (roaming.current(at(5)), roaming.sender(at(2))),
            (at(5), at(2)),
            "the stack has another one"
        );
    }

    #[test]
    fn nobody_is_followed_who_did_not_answer_or_where_the_old_address_lives() {
        for (answered, quiet) in [(false, SILENT), (true, SILENT / 2)] {
            let (mut roaming, now) = selected();
            roaming.media(now + quiet, at(2), answered);
            assert_eq!(
                (roaming.current(at(1)), roaming.sender(at(2))),
                (at(1), at(2)),
                "{answered} {quiet:?}"
            );
        }
    }
}
