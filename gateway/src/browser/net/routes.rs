//! Whose is a datagram? A pure table: no socket, no clock.
//!
//! A check names its session by the ufrag that we gave it in the answer. If it also knows the
//! password, its source address belongs to that session from then on, even if another session had
//! it before: a browser behind a NAT may change its address at any time. Nothing else teaches an
//! address, so nobody can send in another session's name. To take an address from a session, an
//! attacker needs a session of his own and a forged source address.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::packet::Check;

/// Addresses of one session's browser that are known at a time, on all paths. More: the one whose
/// last signed check is the oldest is forgotten, and known again with its next. One in use is
/// checked every few seconds (RFC 7675, section 5.1); browsers check some five at once.
const REMOTES: usize = 64;
/// The credentials that are valid at a time: those of an ICE restart, and those from before until
/// nobody uses them.
const CREDENTIALS: usize = 2;

/// Number of a session; never used again.
pub(super) type Id = u64;

/// From which address, to which of our sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Path {
    pub(super) socket: usize,
    pub(super) remote: SocketAddr,
}

/// What we tell the browser in an answer, and its checks tell us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) ufrag: String,
    pub(crate) password: String,
}

/// Why a datagram is nobody's; the value of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// A check for a session that is over, or never was.
    UnknownUfrag,
    /// A check by somebody who does not know the password.
    Forged,
    /// From an address that no check has come from.
    UnknownAddress,
}

/// The table. `T` is where a session's datagrams go.
#[derive(Debug)]
pub(super) struct Routes<T> {
    next: Id,
    sessions: HashMap<Id, Session<T>>,
    by_ufrag: HashMap<String, Id>,
    by_path: HashMap<Path, Id>,
}

#[derive(Debug)]
struct Session<T> {
    to: T,
    /// The newest first.
    credentials: VecDeque<Credentials>,
    /// The one with the latest check first.
    paths: VecDeque<Path>,
}

impl Stray {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::UnknownUfrag => "unknown_ufrag",
            Self::Forged => "forged",
            Self::UnknownAddress => "unknown_address",
        }
    }
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self {
            next: 0,
            sessions: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_path: HashMap::new(),
        }
    }
}

impl<T> Routes<T> {
    /// A new session, which nothing reaches before its credentials are known.
    pub(super) fn add(&mut self, to: T) -> Id {
        let id = self.next;
        self.next += 1;
        self.sessions
            .insert(id, Session { to, credentials: VecDeque::new(), paths: VecDeque::new() });
        id
    }

    /// Credentials of a session: its first, or those of an ICE restart; the oldest beyond
    /// [`CREDENTIALS`] end.
    pub(super) fn learn(&mut self, id: Id, credentials: Credentials) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        // Another's: it would be taken from him.
        if self.by_ufrag.get(&credentials.ufrag).is_some_and(|owner| *owner != id) {
            return;
        }
        session.credentials.retain(|known| known.ufrag != credentials.ufrag);
        self.by_ufrag.insert(credentials.ufrag.clone(), id);
        session.credentials.push_front(credentials);
        for old in session.credentials.drain(CREDENTIALS.min(session.credentials.len())..) {
            self.by_ufrag.remove(&old.ufrag);
        }
    }

    /// A session and all that is known of it.
    pub(super) fn remove(&mut self, id: Id) {
        let Some(session) = self.sessions.remove(&id) else { return };
        for credentials in &session.credentials {
            self.by_ufrag.remove(&credentials.ufrag);
        }
        for path in &session.paths {
            self.by_path.remove(path);
        }
    }

    /// Whose is `check`? Its path is that session's from then on.
    pub(super) fn check(&mut self, path: Path, check: &Check<'_>) -> Result<&T, Stray> {
        let id = self.signer(check)?;
        self.teach(path, id);
        self.sessions.get(&id).map(|session| &session.to).ok_or(Stray::UnknownUfrag)
    }

    /// Whose is `check`, by its signature? Teaches nothing.
    pub(super) fn signed(&self, check: &Check<'_>) -> Result<&T, Stray> {
        let id = self.signer(check)?;
        self.sessions.get(&id).map(|session| &session.to).ok_or(Stray::UnknownUfrag)
    }

    fn signer(&self, check: &Check<'_>) -> Result<Id, Stray> {
        let id = *self.by_ufrag.get(check.ufrag).ok_or(Stray::UnknownUfrag)?;
        let session = self.sessions.get(&id).ok_or(Stray::UnknownUfrag)?;
        let known = session
            .credentials
            .iter()
            .find(|known| known.ufrag == check.ufrag)
            .ok_or(Stray::UnknownUfrag)?;
        if check.is_signed_with(&known.password) { Ok(id) } else { Err(Stray::Forged) }
    }

    /// Whose is what comes on `path`?
    pub(super) fn at(&self, path: Path) -> Result<&T, Stray> {
        let session = self.by_path.get(&path).and_then(|id| self.sessions.get(id));
        session.map(|session| &session.to).ok_or(Stray::UnknownAddress)
    }

    fn teach(&mut self, path: Path, id: Id) {
        if let Some(before) =
            self.by_path.insert(path, id).and_then(|before| self.sessions.get_mut(&before))
        {
            before.paths.retain(|known| *known != path);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.paths.push_front(path);
        for old in session.paths.drain(REMOTES.min(session.paths.len())..) {
            self.by_path.remove(&old);
        }
    }
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
