//! Keeps Redis told: one task on the media runtime connects, renews every lease, gives back what
//! was given back.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::health::Operation;
use super::store::{BATCH, Link, Store};
use crate::telemetry;
use crate::workers::placement::gauges::{self, Gauges};
use crate::workers::placement::memory::{Memory, Released};

/// Between two attempts to reach a Redis that is away.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Renewals in the length of a lease: two may fail before it ends.
const RENEWALS: u32 = 3;

/// Runs as long as the placement exists.
pub(super) async fn keep(store: Arc<Store>, memory: Memory, gauges: Gauges) {
    let mut keeper = Keeper { store, memory, gauges };
    telemetry::placement_up(false);
    loop {
        keeper.once().await;
        keeper.store.open(None);
        sleep(RETRY_INTERVAL).await;
    }
}

struct Keeper {
    store: Arc<Store>,
    memory: Memory,
    gauges: Gauges,
}

impl Keeper {
    /// From a connection to its loss.
    async fn once(&mut self) {
        let link = match self.store.connect().await {
            Ok(link) => link,
            Err(error) => {
                self.store.health.failed(Operation::Connect, "", &error);
                self.count(None, &mut Vec::new()).await;
                return;
            }
        };
        // At once: before others may place by what this Redis says, it must know what we hold.
        self.renew(&link).await;
        let mut renewal = pin!(sleep(self.pause()));
        while !link.lost.is_cancelled() {
            self.store.open(Some(link.clone()));
            tokio::select! {
                () = &mut renewal => {
                    self.renew(&link).await;
                    renewal.as_mut().reset(Instant::now() + self.pause());
                }
                () = self.memory.gave_back() => self.release(&link).await,
                () = link.lost.cancelled() => {}
            }
        }
    }

    /// Until the next renewal. Spread, or all gateways would renew together for ever after a Redis
    /// that came back, and claims wait for them (a p99 of 274 ms with a hundred gateways, measured
    /// by `make bench`).
    fn pause(&self) -> Duration {
        (self.store.lease / RENEWALS).mul_f64(rand::random_range(0.7..1.0))
    }

    /// Every lease, and the gauges.
    async fn renew(&mut self, link: &Link) {
        // A Redis that refuses all writes refuses this, too.
        let pinged = self.store.ping(link).await;
        if let Err(error) = &pinged {
            self.store.health.failed(Operation::Connect, "", error);
        }
        let mut by_stream: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (number, lease) in self.memory.leases() {
            by_stream.entry(lease.spec.name.clone()).or_default().push((number, lease));
        }
        let mut failed = Vec::new();
        for (stream, leases) in by_stream {
            for batch in leases.chunks(BATCH) {
                if link.lost.is_cancelled() {
                    return;
                }
                // One stream's trouble is not the others'.
                if let Err(error) = self.store.renew(link, &stream, batch).await {
                    self.store.health.failed(Operation::Renew, &stream, &error);
                    failed.push(stream.clone());
                }
            }
        }
        self.count(Some(link), &mut failed).await;
        if !link.lost.is_cancelled() {
            self.store.health.renewed(&failed, pinged.is_ok());
            if pinged.is_ok() {
                self.store.health.did(Operation::Connect, "");
            }
        }
    }

    async fn release(&self, link: &Link) {
        let mut by_stream: BTreeMap<String, Vec<Released>> = BTreeMap::new();
        for released in self.memory.released() {
            by_stream.entry(released.lease.spec.name.clone()).or_default().push(released);
        }
        for (stream, released) in by_stream {
            for batch in released.chunks(BATCH) {
                if link.lost.is_cancelled() {
                    return;
                }
                // What is not told ends with its lease.
                match self.store.release(link, &stream, batch).await {
                    Ok(()) => self.store.health.did(Operation::Release, &stream),
                    Err(error) => self.store.health.failed(Operation::Release, &stream, &error),
                }
            }
        }
    }

    /// The gauges: by what Redis knows, or we without it.
    async fn count(&mut self, link: Option<&Link>, failed: &mut Vec<String>) {
        for (stream, workers) in self.gauges.streams() {
            let mut used = 0;
            for batch in workers.chunks(BATCH) {
                used += match link.filter(|link| !link.lost.is_cancelled()) {
                    Some(link) => self.store.used(link, batch).await.unwrap_or_else(|error| {
                        self.store.health.failed(Operation::Renew, &stream, &error);
                        failed.push(stream.clone());
                        self.memory.used(batch)
                    }),
                    None => self.memory.used(batch),
                };
            }
            gauges::tell(&stream, &workers, used);
        }
    }
}
