//! What browsers are told of where we are: `--public-ip`, or our own addresses. Each source is
//! asked at the start and again and again (`address_source`).
//!
//! A source that fails keeps its last addresses. Where nothing is known, browsers are told our own
//! addresses: a gateway that does not start helps nobody.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tracing::{info, warn};

use super::address_source::{AddressSource, is_of_our_families};
use super::candidates;
use super::policy::{CandidatePolicy, is_within_networks};
use crate::config::media::{Candidates, Media};
use crate::telemetry;

/// Between two looks, give or take a fifth, while every source answers. While one does not: from
/// the first of these to the second, twice as long each time.
const AGAIN: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(2);
/// Of all sources together.
const MAX_TOLD: usize = 16;

/// Who may look for our media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Browsers on this machine.
    ThisMachine,
    /// Also those that come through a TURN server, which may be beside us.
    Relayed,
    /// All.
    Everybody,
}

/// What a session's browser is told.
#[derive(Debug)]
pub(super) struct Told {
    /// Lines of SDP.
    pub(super) candidates: String,
    /// Which of the browser's candidates may be used, by that.
    pub(super) policy: CandidatePolicy,
}

/// Finds out what browsers are to be told.
#[derive(Debug)]
pub(super) struct Finder {
    sources: Vec<AddressSource>,
    /// Our addresses.
    ours: Vec<IpAddr>,
    /// The port that browsers are told.
    port: u16,
    tcp: bool,
    candidates: Candidates,
    audience: Audience,
    told: Vec<IpAddr>,
    /// What did not answer at the last look.
    failing: Vec<String>,
    is_private: bool,
}

impl Finder {
    /// `sockets` are the media port's.
    pub(super) fn new(media: &Media, audience: Audience, sockets: &[SocketAddr]) -> Self {
        let ours: Vec<IpAddr> = sockets.iter().map(SocketAddr::ip).collect();
        let bound = sockets.first().map_or(0, SocketAddr::port);
        let port = if media.public_port == 0 { bound } else { media.public_port };
        telemetry::media_address_private(false);
        Self {
            sources: media
                .public
                .0
                .iter()
                .map(|source| AddressSource::new(source, &ours))
                .collect(),
            ours,
            port,
            tcp: media.tcp,
            candidates: media.candidates,
            audience,
            told: Vec::new(),
            failing: Vec::new(),
            is_private: false,
        }
    }

    /// Looks once at every source; the first time before the port is used. Whether anything has
    /// changed.
    pub(super) async fn look(&mut self) -> bool {
        let ours = &self.ours;
        let looks = join_all(self.sources.iter_mut().map(|source| source.look(ours))).await;
        let failing: Vec<String> = looks.into_iter().filter_map(Result::err).collect();
        let told = self.all();
        if failing != self.failing && !failing.is_empty() {
            warn!(
                ?failing,
                ?told,
                "--public-ip: not found out; browsers are told what is known, and it is tried again"
            );
        }
        self.failing = failing;
        let changed = told != self.told;
        if changed {
            self.told = told;
            self.report();
        }
        changed
    }

    /// What all sources have told; without anything our own addresses.
    fn all(&self) -> Vec<IpAddr> {
        let mut all: Vec<IpAddr> = Vec::new();
        for ip in self.sources.iter().flat_map(AddressSource::last) {
            if is_of_our_families(&self.ours, *ip) && !all.contains(ip) {
                all.push(*ip);
            }
        }
        all.truncate(MAX_TOLD);
        if all.is_empty() { self.ours.clone() } else { all }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.told.iter().map(|ip| SocketAddr::new(*ip, self.port)).collect()
    }

    /// What sessions that begin now tell their browsers.
    pub(super) fn told(&self) -> Told {
        let addresses = self.addresses();
        Told {
            candidates: candidates::lines(&addresses, if self.tcp { &addresses } else { &[] }),
            policy: CandidatePolicy::new(self.candidates, &self.declared()),
        }
    }

    /// The addresses of ours that the options name. What a name server or a STUN server says, or
    /// does not say, opens no private network.
    fn declared(&self) -> Vec<IpAddr> {
        if self.sources.is_empty() {
            return self.ours.clone();
        }
        self.sources.iter().filter_map(AddressSource::declared).collect()
    }

    /// Whether browsers elsewhere reach none of these; or none by IPv4, which is all that many
    /// have.
    fn reaches_nobody(told: &[IpAddr]) -> bool {
        let private = |ip: &&IpAddr| is_within_networks(**ip);
        let v4: Vec<_> = told.iter().filter(|ip| ip.is_ipv4()).collect();
        told.iter().all(|ip| is_within_networks(*ip)) || !v4.is_empty() && v4.iter().all(private)
    }

    fn report(&mut self) {
        info!(told = ?self.addresses(), "browsers are told these addresses for media");
        let is_private = self.audience != Audience::ThisMachine && Self::reaches_nobody(&self.told);
        if is_private && !self.is_private {
            self.warn_of_private();
        }
        self.is_private = is_private;
        // Those that come through a TURN server are told its address.
        telemetry::media_address_private(is_private && self.audience == Audience::Everybody);
    }

    fn warn_of_private(&self) {
        let told = &self.told;
        if self.audience == Audience::Relayed {
            info!(
                ?told,
                "browsers are told private addresses only: from other networks they come through \
                 the TURN servers of --ice-servers"
            );
        } else {
            warn!(
                ?told,
                "browsers are told private addresses only, so those in other networks get no \
                 picture: give --public-ip the address that they reach, or stun:host:port to find it"
            );
        }
    }

    /// Whether there is anything to look at again.
    pub(super) fn may_change(&self) -> bool {
        self.sources.iter().any(|source| source.declared().is_none())
    }

    /// Looks again and again, and has `tell` tell the sessions that begin from then on what is new,
    /// until that is false: the port is closed.
    pub(super) async fn keep(mut self, tell: impl Fn(Told) -> bool) {
        let mut failures = 0;
        loop {
            failures = if self.failing.is_empty() { 0 } else { failures + 1 };
            sleep(pause(failures).mul_f64(rand::random_range(0.8..1.2))).await;
            if self.look().await && !tell(self.told()) {
                return;
            }
        }
    }
}

/// Before the next look, after so many in a row at which a source failed.
fn pause(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        Some(doublings) => AGAIN.min(RETRY.saturating_mul(2_u32.saturating_pow(doublings))),
        None => AGAIN,
    }
}

#[cfg(test)]
#[path = "public_tests.rs"]
mod tests;
