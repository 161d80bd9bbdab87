//! How many sessions each client has, and how often it may offer another. Pure.
//!
//! A session is counted for the network that it came from and for the subject of its access token,
//! each for itself. A program on this machine has no network, and where no token is needed there is
//! no subject; who has neither is not limited here.
//!
//! A client is remembered while it has a session, and until it may offer its whole burst again. Of
//! those without a session [`MAX_IDLE`] are remembered. When there are more, the one is forgotten
//! that would have its whole burst soonest: it may then repeat a few offers that it made lately. So
//! strangers of any number take bounded memory, and keep nobody out. Clients with sessions are
//! never forgotten; of these there are no more than sessions.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::client_limits::ClientLimits;
use crate::media::client_limit::{Client, ClientLimit, Limited};
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::shares::{Bucket, network};

/// Clients without a session that are remembered, each with some 150 bytes. See the module.
const MAX_IDLE: usize = 4_096;

/// An offer of a new session.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewOffer<'a> {
    pub(super) id: &'a SessionId,
    /// `None`: a program on this machine.
    pub(super) address: Option<IpAddr>,
    pub(super) subject: Option<&'a str>,
    /// Sessions that the subject's token allows.
    pub(super) max_sessions: Option<u32>,
    /// The session whose place it takes: where it is the same client's, it does not count.
    pub(super) replaces: Option<&'a str>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Clients {
    limits: ClientLimits,
    each: HashMap<Key, Used>,
    sessions: HashMap<SessionId, Session>,
}

/// One client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Network(IpAddr),
    Subject(Arc<str>),
}

/// What one client has used.
#[derive(Debug)]
struct Used {
    offers: Bucket,
    sessions: u32,
    /// Those of them that no signed check has come for.
    pending: u32,
}

#[derive(Debug)]
struct Session {
    clients: Vec<Key>,
    pending: bool,
}

impl Clients {
    pub(super) fn new(limits: ClientLimits) -> Self {
        Self { limits, each: HashMap::new(), sessions: HashMap::new() }
    }

    /// Counts an offer, and the session that it begins.
    ///
    /// # Errors
    /// A client of it has reached a limit. Then nothing is counted, for no client of it.
    pub(super) fn take_offer(
        &mut self,
        now: Instant,
        offer: &NewOffer<'_>,
    ) -> Result<(), OfferRefused> {
        let clients = offer.clients();
        for client in &clients {
            self.check(now, offer, client)?;
        }
        for client in &clients {
            self.make_room(now, client);
            let (burst, every) = (self.limits.offer_burst, self.limits.offer_every());
            let full = || Used { offers: Bucket::new(now, burst, every), sessions: 0, pending: 0 };
            let used = self.each.entry(client.clone()).or_insert_with(full);
            used.offers.take(now);
            used.sessions += 1;
            used.pending += 1;
        }
        self.sessions.insert(offer.id.clone(), Session { clients, pending: true });
        Ok(())
    }

    /// Whether a session of this id is counted.
    pub(super) fn counts(&self, id: &SessionId) -> bool {
        self.sessions.contains_key(id)
    }

    /// A signed check of this session's browser has come, or DTLS is up.
    pub(super) fn checked(&mut self, id: &SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if std::mem::replace(&mut session.pending, false) {
            for client in &session.clients {
                if let Some(used) = self.each.get_mut(client) {
                    used.pending -= 1;
                }
            }
        }
    }

    /// The session has ended, or did not begin after all.
    pub(super) fn ended(&mut self, id: &SessionId) {
        self.checked(id);
        for client in self.sessions.remove(id).into_iter().flat_map(|session| session.clients) {
            if let Some(used) = self.each.get_mut(&client) {
                used.sessions -= 1;
            }
        }
    }

    /// Whether this client may have one session more.
    fn check(
        &mut self,
        now: Instant,
        offer: &NewOffer<'_>,
        client: &Key,
    ) -> Result<(), OfferRefused> {
        let replaced = offer.replaces.and_then(|id| self.sessions.get(id));
        let replaced = replaced.filter(|session| session.clients.contains(client));
        let (gone, pending_gone) =
            replaced.map_or((0, 0), |session| (1, u32::from(session.pending)));
        let (sessions, pending, has_offers) = match self.each.get_mut(client) {
            Some(used) => {
                let has_offers = !used.offers.is_empty(now);
                (used.sessions - gone, used.pending - pending_gone, has_offers)
            }
            None => (0, 0, true),
        };
        let limits = self.limits;
        let of = match client {
            Key::Network(_) => Client::Address,
            Key::Subject(_) => Client::Subject,
        };
        let refused = |what, max| Err(OfferRefused::Client(ClientLimit { of, what, max }));
        match offer.max_sessions {
            Some(max) if of == Client::Subject && sessions >= max => {
                refused(Limited::TokenSessions, max)
            }
            _ if sessions >= limits.sessions => refused(Limited::Sessions, limits.sessions),
            _ if pending >= limits.pending => refused(Limited::Pending, limits.pending),
            _ if !has_offers => refused(Limited::Offers, limits.offer_rate),
            _ => Ok(()),
        }
    }

    /// Forgets clients, where there are too many for one more.
    fn make_room(&mut self, now: Instant, client: &Key) {
        if self.each.len() < MAX_IDLE || self.each.contains_key(client) {
            return;
        }
        self.each.retain(|_, used| used.sessions > 0 || !used.offers.full_in(now).is_zero());
        let idle = self.each.iter().filter(|(_, used)| used.sessions == 0);
        if idle.clone().count() < MAX_IDLE {
            return;
        }
        let soonest = idle.min_by_key(|(_, used)| used.offers.full_in(now));
        if let Some(soonest) = soonest.map(|(client, _)| client.clone()) {
            self.each.remove(&soonest);
        }
    }
}

impl NewOffer<'_> {
    /// For whom it counts.
    fn clients(&self) -> Vec<Key> {
        let network = self.address.map(|address| Key::Network(network(address)));
        let subject = self.subject.map(|subject| Key::Subject(subject.into()));
        network.into_iter().chain(subject).collect()
    }
}

#[cfg(test)]
#[path = "client_limits_tests.rs"]
mod tests;
