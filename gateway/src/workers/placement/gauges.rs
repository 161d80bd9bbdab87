//! Slots of each stream and how many are taken: what an autoscaler looks at, so it is told also
//! while nobody claims.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::interval;

use super::{Memory, ServingNow, capacity};
use crate::telemetry;
use crate::workers::pool::WorkerHandle;

/// Without Redis; with it, the renewal of leases is the clock.
const REPORT_INTERVAL: Duration = Duration::from_secs(3);

/// Which gauges there are.
pub(in crate::workers) struct Gauges {
    serving: ServingNow,
    streams: BTreeSet<String>,
}

impl Gauges {
    pub(in crate::workers) fn new(serving: ServingNow) -> Self {
        Self { serving, streams: BTreeSet::new() }
    }

    /// The workers to count, by stream; none for a stream that had some before.
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

/// `used` of the slots of `workers`, all that serve a stream, are taken.
pub(in crate::workers) fn tell(stream: &str, workers: &[WorkerHandle], used: u32) {
    telemetry::slots(stream, capacity(workers), used);
}

/// Tells what this gateway alone knows, for ever.
pub(in crate::workers) async fn report(mut gauges: Gauges, memory: Memory) {
    let mut tick = interval(REPORT_INTERVAL);
    loop {
        tick.tick().await;
        for (stream, workers) in gauges.streams() {
            tell(&stream, &workers, memory.used(&workers));
        }
    }
}
