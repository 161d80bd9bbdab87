//! Which STUN passes between a session's stack and the network, both ways. Pure: no socket, no
//! clock.
//!
//! The stack acts on much of a message before it looks at the signature, and on what is not signed
//! at all; it keeps whatever address a check comes from, and asks it
//! (`docs/decisions/0018-ice-checks.md`). So:
//!
//! - to the stack go checks that are signed with a password of ours, and answers to open checks of
//!   ours that are signed with the browser's; of both no more than what is signed;
//! - it gets checks by a bounded number of paths, and so many a second;
//! - its own checks go where a signed check came from, to an address that does not answer a few
//!   times (`probes`);
//! - it answers each check once.
//!
//! A check that nominates its path before that has answered is given to the stack without its
//! nomination, and once more as it came when the answer is there: the stack answers no other (RFC
//! 8445, section 7.3.1.5, wants each answered at once).

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::packet::{Check, Class, Kind, Stun};
use super::probes::Probes;
use super::roaming::Roaming;
use super::routes::{Credentials, Path};

/// Paths by which checks reach the stack between two ICE restarts. It keeps each one's address,
/// makes pairs of it and looks through all of them for every packet. A browser with ten addresses
/// has 40 to a gateway with four. Full: checks by another path are dropped (`reason="path_limit"`),
/// and the browser restarts ICE when it has no other.
const PATHS: usize = 128;
/// Checks that reach the stack in [`WINDOW`]: for each it keeps its own for 4 s, and looks through
/// all of those. Browsers send 50 a second at most. Full: the check is dropped
/// (`reason="check_rate"`), as if it were lost.
const CHECKS: u32 = 200;
const WINDOW: Duration = Duration::from_secs(1);
/// Open transactions of each side, the newest. Answers come within a round trip; of more checks in
/// that time the first are as if they were lost, and are sent again.
const TRANSACTIONS: usize = 64;
/// Paths by which an answer came, the newest. More: the oldest must answer again.
const ANSWERED: usize = 16;
/// Paths that were nominated and have not answered, the newest. More: the oldest must be nominated
/// again.
const NOMINATED: usize = 16;

/// Of all UDP sockets of one session, or of all its TCP connections.
#[derive(Debug)]
pub(super) struct Filter {
    /// The browser's, which signs its answers.
    password: String,
    /// What its checks are signed with.
    ours: Credentials,
    /// Whether the stack may ask an address that no check has come from (`--candidates any`).
    speaks_first: bool,
    paths: HashSet<Path>,
    /// What the stack asked, where, and whether it nominates: it leads where the browser is
    /// ICE-lite.
    asked: VecDeque<(Transaction, bool)>,
    /// What the stack was asked and has not answered yet, and from where.
    unanswered: VecDeque<Transaction>,
    answered: VecDeque<Path>,
    /// The newest check of each path that nominates it, where that has not answered. Some clients
    /// nominate every path that they try.
    nominated: VecDeque<(Path, Bytes)>,
    probes: Probes,
    /// Of each socket; none for TCP, where a browser that moves must connect anew.
    roaming: Vec<Roaming>,
    /// When the current [`WINDOW`] began, and the checks in it.
    window: Option<Instant>,
    checks: u32,
}

type Transaction = ([u8; 12], Path);

/// What the stack gets for a datagram, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Whom the stack takes for the sender.
    pub(super) from: SocketAddr,
    pub(super) payload: Bytes,
    /// A check that was waiting for this.
    pub(super) nomination: Option<Bytes>,
    /// Once it has all this, the stack has selected a pair of addresses.
    pub(super) selects: bool,
}

impl Filter {
    pub(super) fn new(sockets: usize, speaks_first: bool) -> Self {
        Self {
            password: String::new(),
            ours: Credentials { ufrag: String::new(), password: String::new() },
            speaks_first,
            paths: HashSet::new(),
            asked: VecDeque::new(),
            unanswered: VecDeque::new(),
            answered: VecDeque::new(),
            nominated: VecDeque::new(),
            probes: Probes::default(),
            roaming: vec![Roaming::default(); sockets],
            window: None,
            checks: 0,
        }
    }

    /// The browser's password.
    pub(super) fn set_remote_password(&mut self, password: &str) {
        if self.password != password {
            password.clone_into(&mut self.password);
            self.restart();
        }
    }

    /// The credentials that the stack goes by from now on.
    pub(super) fn set_local_credentials(&mut self, credentials: &Credentials) {
        if self.ours != *credentials {
            self.ours.clone_from(credentials);
            self.restart();
        }
    }

    /// An ICE restart: the stack forgets all paths. But an address that did not answer has not
    /// answered.
    fn restart(&mut self) {
        self.paths.clear();
        self.asked.clear();
        self.unanswered.clear();
        self.answered.clear();
        self.nominated.clear();
        self.roaming.fill(Roaming::default());
    }

    /// Whether `check` is signed with the password that the stack goes by.
    pub(super) fn is_ours(&self, check: &Check<'_>) -> bool {
        check.ufrag == self.ours.ufrag && check.is_signed_with(&self.ours.password)
    }

    /// `datagram` came on a path of this session's; a check is signed with a password of ours. An
    /// error is the value of the label `reason`.
    pub(super) fn takes(
        &mut self,
        now: Instant,
        path: Path,
        kind: &Kind<'_>,
        datagram: &[u8],
    ) -> Result<Taken, &'static str> {
        let (mut nomination, mut selects) = (None, false);
        let payload = match kind {
            Kind::Check(check) => {
                let payload = self.takes_check(now, path, check)?;
                // A check from before an ICE restart nominates nothing any more.
                selects = check.ufrag == self.ours.ufrag
                    && check.stun.nominates()
                    && self.answered.contains(&path);
                payload
            }
            Kind::Stun(stun) => {
                let ours = self.takes_answer(path, stun)?;
                let waiting = self.nominated.iter().position(|(nominated, _)| *nominated == path);
                nomination =
                    waiting.and_then(|at| self.nominated.remove(at)).map(|(_, check)| check);
                selects = ours || nomination.is_some();
                stun.signed_part()
            }
            Kind::Other => {
                let answered = self.answered.contains(&path);
                if let Some(roaming) = self.roaming.get_mut(path.socket) {
                    roaming.media(now, path.remote, answered);
                }
                Bytes::copy_from_slice(datagram)
            }
            Kind::Junk => return Err("junk"),
        };
        let from = self
            .roaming
            .get(path.socket)
            .map_or(path.remote, |roaming| roaming.sender(path.remote));
        Ok(Taken { from, payload, nomination, selects })
    }

    fn takes_check(
        &mut self,
        now: Instant,
        path: Path,
        check: &Check<'_>,
    ) -> Result<Bytes, &'static str> {
        if self.window.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            (self.window, self.checks) = (Some(now), 0);
        }
        if self.checks == CHECKS {
            return Err("check_rate");
        }
        if !self.paths.contains(&path) && self.paths.len() == PATHS {
            return Err("path_limit");
        }
        self.checks += 1;
        self.paths.insert(path);
        note(&mut self.unanswered, (check.stun.transaction, path), TRANSACTIONS);
        let signed = check.stun.signed_part();
        if !check.stun.nominates()
            || self.answered.contains(&path)
            || check.ufrag != self.ours.ufrag
        {
            return Ok(signed);
        }
        self.nominated.retain(|(known, _)| *known != path);
        note(&mut self.nominated, (path, signed), NOMINATED);
        Ok(check.stun.without_nomination(&self.ours.password))
    }

    /// Whether it answers a nomination of ours.
    fn takes_answer(&mut self, path: Path, stun: &Stun<'_>) -> Result<bool, &'static str> {
        let open = self.asked.iter().position(|(asked, _)| *asked == (stun.transaction, path));
        let open =
            open.filter(|_| stun.class == Class::Success && stun.is_signed_with(&self.password));
        let (_, nominates) = open.and_then(|open| self.asked.remove(open)).ok_or("unsigned")?;
        self.probes.answered(path.remote);
        self.answered.retain(|known| *known != path);
        note(&mut self.answered, path, ANSWERED);
        Ok(nominates)
    }

    /// The stack sends `datagram` by the socket `socket`: to where it goes. An error is the value
    /// of the label `reason`: it goes nowhere.
    pub(super) fn sends(
        &mut self,
        now: Instant,
        socket: usize,
        to: SocketAddr,
        datagram: &[u8],
    ) -> Result<SocketAddr, &'static str> {
        let message = Stun::read(datagram);
        let current = match self.roaming.get_mut(socket) {
            Some(roaming) => {
                if message.is_none() {
                    roaming.selects(to);
                }
                roaming.current(to)
            }
            None => to,
        };
        let Some(message) = message else { return Ok(current) };
        if message.class == Class::Request {
            let path = Path { socket, remote: current };
            let heard = self.paths.contains(&path);
            if !self.speaks_first && !heard {
                return Err("not_heard");
            }
            let answered = self.answered.iter().any(|path| path.remote == current);
            let others =
                self.paths.iter().any(|path| path.remote == current && path.socket != socket);
            let may = answered || self.probes.may_ask(now, path, heard, others);
            return if may { Ok(current) } else { Err("not_answered") };
        }
        // Of the two that the stack takes for one, to the one that asked.
        let asked =
            |remote| self.unanswered.contains(&(message.transaction, Path { socket, remote }));
        [current, to].into_iter().find(|remote| asked(*remote)).ok_or("not_asked")
    }

    /// What [`Self::sends`] let through was sent to `to`.
    pub(super) fn sent(&mut self, now: Instant, socket: usize, to: SocketAddr, datagram: &[u8]) {
        let Some(message) = Stun::read(datagram) else { return };
        let transaction = (message.transaction, Path { socket, remote: to });
        if message.class == Class::Request {
            note(&mut self.asked, (transaction, message.nominates()), TRANSACTIONS);
            if !self.answered.iter().any(|path| path.remote == to) {
                self.probes.asked(now, transaction.1);
            }
        } else if let Some(at) =
            self.unanswered.iter().position(|unanswered| *unanswered == transaction)
        {
            self.unanswered.remove(at);
        }
    }
}

fn note<T>(queue: &mut VecDeque<T>, item: T, bound: usize) {
    if queue.len() == bound {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
