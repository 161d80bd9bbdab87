//! Metrics of workers, of their slots, and of who places sessions on them.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use parking_lot::{Mutex, MutexGuard};

use super::worker_series::{Gauge, WorkerSeries};

/// The series of each worker, which come and go with it.
static WORKERS: Mutex<WorkerSeries> = Mutex::new(WorkerSeries::new());
const WORKER_UP: Gauge = ("reframe_worker_up", "1 when the worker serves, else 0.");
const WORKER_SESSIONS: Gauge =
    ("reframe_worker_sessions", "Sessions placed on the worker by this gateway.");
const WORKER_STUCK: Gauge =
    ("reframe_worker_stuck", "Sessions that ended and whose handler has not returned.");

/// The metrics that come and go with the workers.
pub(crate) fn worker_series() -> String {
    let mut text = String::new();
    workers().render(&mut text, [WORKER_UP, WORKER_SESSIONS, WORKER_STUCK]);
    text
}

fn workers() -> MutexGuard<'static, WorkerSeries> {
    WORKERS.lock()
}

pub(crate) fn worker_stuck(worker: &str, more: bool) {
    workers().stuck(worker, more);
}

pub(crate) fn worker_up(worker: &str, up: bool) {
    workers().up(worker, up);
}

/// The pool no longer knows the worker.
pub(crate) fn worker_gone(worker: &str) {
    workers().gone(worker);
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
pub(crate) fn workers_serving(count: usize) {
    gauge!("reframe_workers_serving").set(count as f64);
}

/// The label is one of `version`, `declaration` and `contradiction`.
pub(crate) fn worker_refused(reason: &'static str) {
    counter!("reframe_workers_refused_total", "reason" => reason).increment(1);
}

/// The label is one of `process`, `memory` and `messages`.
pub(crate) fn link(carrier: &'static str) {
    counter!("reframe_links_total", "carrier" => carrier).increment(1);
}

pub(crate) fn discovery_error() {
    counter!("reframe_discovery_errors_total").increment(1);
}

pub(crate) fn worker_sessions(worker: &str, sessions: u32) {
    workers().sessions(worker, sessions);
}

/// A session was placed on a worker that is so near, or left it.
pub(crate) fn sessions_by_locality(stream: &str, locality: &'static str, change: f64) {
    let stream = stream.to_owned();
    gauge!("reframe_sessions_by_locality", "stream" => stream, "locality" => locality)
        .increment(change);
}

pub(crate) fn slots(stream: &str, slots: u32, used: u32) {
    gauge!("reframe_slots", "stream" => stream.to_owned()).set(f64::from(slots));
    gauge!("reframe_slots_used", "stream" => stream.to_owned()).set(f64::from(used));
    // The stream is known from here on: see `zeros`.
    counter!("reframe_batch_failures_total", "stream" => stream.to_owned()).increment(0);
    counter!("reframe_superseded_total", "stream" => stream.to_owned()).increment(0);
}

pub(crate) fn placement_up(up: bool) {
    gauge!("reframe_placement_up").set(f64::from(u8::from(up)));
}

pub(crate) fn placement_error(operation: &'static str) {
    counter!("reframe_placement_errors_total", "operation" => operation).increment(1);
}

pub(crate) fn claim(took: Duration) {
    histogram!("reframe_claim_seconds").record(took.as_secs_f64());
}
