//! Which worker takes a session: the one with the fewest, as long as it has a slot.
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

/// How long others know whose a session without a slot is: longer than one may wait for its
/// browser.
pub(super) const OWNED: Duration = Duration::from_secs(45);

/// The workers that serve now.
pub(crate) type ServingNow = Box<dyn Fn() -> Vec<WorkerHandle> + Send + Sync>;

/// The placement that the options ask for. `admin` is where the other gateways reach us, unless
/// they say otherwise. Call within the media runtime.
pub(crate) fn start(
    shared: Option<SharedPlacement>,
    admin: SocketAddr,
    serving: ServingNow,
) -> Arc<dyn Placement> {
    let gauges = Gauges::new(serving);
    let Some(SharedPlacement { redis, password_file, lease, advertise }) = shared else {
        let memory = Memory::default();
        tokio::spawn(gauges::report(gauges, memory.clone()));
        return Arc::new(memory);
    };
    if advertise.is_none() && admin.ip().is_loopback() {
        warn!(%admin, "gateways on other machines cannot reach this one: set --advertise");
    }
    let us = advertise.unwrap_or(admin);
    info!(redis = %redis.get_connection_info().addr(), %us, ?lease, "sessions and slots are shared");
    Arc::new(Redis::start(redis, password_file, us, lease, gauges))
}

/// Who has how many sessions, and where each of them is. Workers are known by their instance, not
/// by their address.
#[async_trait]
pub(crate) trait Placement: Send + Sync {
    /// Whether [`Self::claim`] would find a slot for `session`; takes none. With `yields` it would
    /// anyhow, as a session of ours would give up its own. If so, the other gateways are told that
    /// the session is ours, until it has a slot, [`Self::disown`] or [`OWNED`].
    ///
    /// # Errors
    /// As [`Self::claim`]'s.
    async fn look(
        &self,
        session: &SessionId,
        workers: &[WorkerHandle],
        yields: bool,
    ) -> Result<(), ClaimError>;

    /// The session ended without a slot.
    async fn disown(&self, session: &SessionId, stream: &str);

    /// Takes a slot for `session` on the least loaded of `workers`, all of one stream; the first of
    /// equals. A session may hold two, when it moves from one worker to another; it counts once for
    /// its stream's limit.
    ///
    /// # Errors
    /// Nothing was taken.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has taken nothing that is not freed at once, or by its lease.
    async fn claim(
        &self,
        session: &SessionId,
        workers: &[WorkerHandle],
    ) -> Result<(WorkerHandle, Slot), ClaimError>;

    /// The gateway that has `session`, if it is another than this one: the address of its admin
    /// port. `streams` are those whose session it could be.
    async fn locate(&self, session: &SessionId, streams: &[String]) -> Option<SocketAddr>;
}

/// No slot was taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// Every slot is taken, or the stream has as many sessions as it may.
    Full {
        /// How many there are; zero when no worker serves.
        slots: u32,
    },
    /// Another gateway has a session of this id.
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

/// Sessions that these workers of one stream take together: their capacity, or the stream's own
/// limit.
pub(crate) fn limit(workers: &[WorkerHandle]) -> u32 {
    capacity(workers).min(concurrency_limit(workers))
}

/// Slots that these workers declare.
fn capacity(workers: &[WorkerHandle]) -> u32 {
    workers.iter().fold(0, |sum: u32, worker| sum.saturating_add(worker.spec.capacity))
}

/// Sessions of the stream at once, whichever workers they are on.
pub(super) fn concurrency_limit(workers: &[WorkerHandle]) -> u32 {
    workers.iter().filter_map(|worker| worker.spec.concurrency_limit).min().unwrap_or(u32::MAX)
}
