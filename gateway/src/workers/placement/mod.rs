//! Placement of sessions on workers: the nearest one that has a free slot, and among those that are
//! as near the least loaded.
//!
//! > A slot cannot leak. It is a value, and freeing it is its `Drop`; where several gateways share
//! > the slots, it is also a lease, which a gateway that dies stops renewing.

#[cfg(test)]
mod contract;
pub(super) mod gauges;
pub(super) mod memory;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::{info, warn};

use self::gauges::Gauges;
pub(crate) use self::memory::{Memory, Slot};
use crate::config::cluster::SharedPlacement;
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::workers::pool::WorkerHandle;
use crate::workers::redis::Redis;

/// How long other gateways know the owner of a session without a slot: longer than one may wait for
/// its browser.
pub(super) const OWNED: Duration = Duration::from_secs(45);

/// The workers that serve now.
pub(crate) type ServingNow = Box<dyn Fn() -> Vec<WorkerHandle> + Send + Sync>;

/// The placement that the options ask for, with the address that other gateways have of us unless
/// the options name one. Call it within the media runtime.
pub(crate) fn start(
    shared: Option<(SharedPlacement, SocketAddr)>,
    serving: ServingNow,
) -> Arc<dyn Placement> {
    let gauges = Gauges::new(serving);
    let Some((SharedPlacement { store, lease, advertise, warnings, .. }, peer)) = shared else {
        let memory = Memory::default();
        tokio::spawn(gauges::report(gauges, memory.clone()));
        return Arc::new(memory);
    };
    for warning in warnings {
        warn!("{warning}");
    }
    if advertise.is_none() && peer.ip().is_loopback() {
        warn!(%peer, "gateways on other machines cannot reach this one: set --peer and --advertise");
    }
    let us = advertise.unwrap_or(peer);
    let redis = store.client.get_connection_info().addr();
    info!(%redis, %us, ?lease, "sessions and slots are shared");
    Arc::new(Redis::start(store, us, lease, gauges))
}

/// The sessions of each worker, and the owner of each session. Workers are identified by their
/// instance, not by their address.
#[async_trait]
pub(crate) trait Placement: Send + Sync {
    /// Whether [`Self::claim`] would find a slot for `session`, without taking one. With `yields`
    /// there is one in any case, because a session of ours would give up its own. If so, the other
    /// gateways learn that the session is ours, until it has a slot, [`Self::disown`] or [`OWNED`].
    ///
    /// # Errors
    /// As for [`Self::claim`].
    async fn look(
        &self,
        session: &SessionId,
        workers: &[WorkerHandle],
        yields: bool,
    ) -> Result<(), ClaimError>;

    /// The session ended without a slot.
    async fn disown(&self, session: &SessionId, stream: &str);

    /// Takes a slot for `session` on the nearest of `workers` that has one free, all of one stream;
    /// among the nearest on the least loaded, among equals on the first. A session may hold two
    /// while it moves to another worker, and counts once for its stream's limit.
    ///
    /// # Errors
    /// No slot was taken.
    ///
    /// # Cancel safety
    /// If dropped before it is ready, a slot that it has taken is released at once or by its lease.
    async fn claim(
        &self,
        session: &SessionId,
        workers: &[WorkerHandle],
    ) -> Result<(WorkerHandle, Slot), ClaimError>;

    /// The address, for gateways, of the other one that owns `session`, if there is one. `streams`
    /// are the streams that the session may belong to.
    async fn locate(&self, session: &SessionId, streams: &[String]) -> Option<SocketAddr>;
}

/// Why no slot was taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// Every slot is taken, or the stream has reached its limit of sessions.
    Full {
        /// The number of slots; zero when no worker serves.
        slots: u32,
    },
    /// Another gateway has a session with this id.
    Exists,
}

impl From<ClaimError> for OfferRefused {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Exists => Self::AlreadyExists,
            ClaimError::Full { slots: 0 } => Self::NoWorker,
            ClaimError::Full { slots } => Self::Full(slots),
        }
    }
}

/// The sessions that these workers of one stream accept together: their capacity, or the stream's
/// own limit.
pub(crate) fn limit(workers: &[WorkerHandle]) -> u32 {
    capacity(workers).min(concurrency_limit(workers))
}

/// Slots that these workers declare.
fn capacity(workers: &[WorkerHandle]) -> u32 {
    workers.iter().fold(0, |sum: u32, worker| sum.saturating_add(worker.spec.capacity))
}

/// The stream's limit of sessions, on all workers together.
pub(super) fn concurrency_limit(workers: &[WorkerHandle]) -> u32 {
    workers.iter().filter_map(|worker| worker.limit).min().unwrap_or(u32::MAX)
}
