//! Gauges of each stream's slots and how many are taken. Autoscalers read them, so they are updated
//! even when no slot is claimed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::interval;

use super::{Memory, ServingNow, capacity};
use crate::telemetry;
use crate::workers::pool::WorkerHandle;

/// Without Redis; with Redis they are updated with the renewal of leases.
const REPORT_INTERVAL: Duration = Duration::from_secs(3);

/// The gauges.
pub(in crate::workers) struct Gauges {
    serving: ServingNow,
    streams: BTreeSet<String>,
}

impl Gauges {
    pub(in crate::workers) fn new(serving: ServingNow) -> Self {
        Self { serving, streams: BTreeSet::new() }
    }

    /// The workers to count, by stream; an empty list for a stream that had workers before.
    pub(in crate::workers) fn streams(&mut self) -> BTreeMap<String, Vec<WorkerHandle>> {
        let mut streams: BTreeMap<String, Vec<WorkerHandle>> = BTreeMap::new();
        for worker in (self.serving)() {
            streams.entry(worker.spec.name.clone()).or_default().push(worker);
        }
        for stream in std::mem::replace(&mut self.streams, streams.keys().cloned().collect()) {
            streams.entry(stream).or_default();
        }
        streams
    }
}

/// Sets the gauges: `used` of the slots of `workers`, all of one stream, are taken.
pub(in crate::workers) fn tell(stream: &str, workers: &[WorkerHandle], used: u32) {
    telemetry::slots(stream, capacity(workers), used);
}

/// Sets the gauges from this gateway's own knowledge, for ever.
pub(in crate::workers) async fn report(mut gauges: Gauges, memory: Memory) {
    let mut tick = interval(REPORT_INTERVAL);
    loop {
        tick.tick().await;
        for (stream, workers) in gauges.streams() {
            tell(&stream, &workers, memory.used(&workers));
        }
    }
}
