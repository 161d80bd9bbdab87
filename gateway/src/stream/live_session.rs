//! What the outside may do with a running session, whichever way it comes in: HTTP or the data
//! channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value as Json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::media::signs::Signs;
use crate::stream::inputs::{self, InputError, Values};
use crate::stream::outputs::Outputs;
use crate::stream::spec::Spec;
use crate::telemetry;

/// One session's inputs and outputs. Shared by the connection, the link to the worker and the
/// registry.
#[derive(Debug)]
pub(crate) struct LiveSession {
    pub(crate) spec: Arc<Spec>,
    /// All that the client has set so far. A watch: whoever is late sees the last value, which is
    /// the one that counts.
    values: watch::Sender<Values>,
    pub(crate) outputs: Arc<Outputs>,
    /// What was taken of the browser.
    pub(crate) signs: Arc<Signs>,
    pub(crate) since: Instant,
    connected: watch::Sender<bool>,
    /// The address of the worker that has it; none while it looks for one.
    worker: Mutex<Option<String>>,
    /// It had one.
    began: AtomicBool,
    /// Pictures emitted since [`Self::take_latency`], and the microseconds that they took.
    emitted: AtomicU64,
    emitted_us: AtomicU64,
    /// A picture was sent.
    shown: AtomicBool,
}

impl LiveSession {
    /// For a session that begins with `values` set.
    pub(crate) fn new(spec: Arc<Spec>, values: Values) -> Arc<Self> {
        let outputs = Outputs::new(spec.outputs.iter().map(|output| output.name.clone()).collect());
        let values = watch::Sender::new(values);
        Arc::new(Self {
            spec,
            values,
            outputs,
            signs: Arc::default(),
            since: Instant::now(),
            connected: watch::Sender::new(false),
            worker: Mutex::default(),
            began: AtomicBool::new(false),
            emitted: AtomicU64::new(0),
            emitted_us: AtomicU64::new(0),
            shown: AtomicBool::new(false),
        })
    }

    /// Sets what `set` names and leaves the rest.
    ///
    /// # Errors
    /// The first value that does not fit its declaration; nothing was set.
    pub(crate) fn set(&self, set: &Map<String, Json>) -> Result<(), InputError> {
        let accepted = inputs::check(&self.spec.inputs, set)?;
        if !accepted.is_empty() {
            self.values.send_modify(|values| values.extend(accepted));
        }
        Ok(())
    }

    /// What is set, now and whenever it changes.
    pub(crate) fn values(&self) -> watch::Receiver<Values> {
        self.values.subscribe()
    }

    /// A picture left, this long after its last packet came.
    pub(crate) fn emitted(&self, took: Duration) {
        if !self.shown.swap(true, Ordering::Relaxed) {
            telemetry::setup(self.since.elapsed());
        }
        self.emitted.fetch_add(1, Ordering::Relaxed);
        self.emitted_us
            .fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The mean of those since the last call, in milliseconds.
    pub(crate) fn take_latency(&self) -> Option<f64> {
        let (count, us) =
            (self.emitted.swap(0, Ordering::Relaxed), self.emitted_us.swap(0, Ordering::Relaxed));
        (count > 0).then(|| us as f64 / count as f64 / 1_000.0)
    }

    /// The browser is there. It stays so: an interruption is not another beginning.
    pub(crate) fn set_connected(&self) {
        self.connected.send_replace(true);
    }

    pub(crate) fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// A worker has it now, or none.
    pub(crate) fn set_worker(&self, worker: Option<&str>) {
        self.began.fetch_or(worker.is_some(), Ordering::Relaxed);
        *self.worker.lock() = worker.map(str::to_owned);
    }

    pub(crate) fn worker(&self) -> Option<String> {
        self.worker.lock().clone()
    }

    /// As `GET /api/sessions` writes it.
    pub(crate) fn state(&self) -> &'static str {
        match (self.is_connected(), self.worker()) {
            (true, None) if self.began.load(Ordering::Relaxed) => "reconnecting",
            // The browser may be sooner than its first worker.
            (false, _) | (true, None) => "connecting",
            (true, Some(_)) => "live",
        }
    }

    /// Resolves when the browser is connected.
    pub(crate) async fn connected(&self) {
        // An error is impossible while `self` holds the sender.
        self.connected.subscribe().wait_for(|connected| *connected).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stream::inputs::{Input, Kind, Value};
    use crate::stream::spec::testing::spec;

    #[test]
    fn values_add_up_and_a_refusal_changes_nothing() {
        let mut spec = spec("default", 1);
        for name in ["a", "b"] {
            let kind = Kind::Checkbox { value: false };
            spec.inputs.push(Input {
                name: name.into(),
                label: String::new(),
                info: String::new(),
                kind,
            });
        }
        let controls = LiveSession::new(Arc::new(spec), Values::new());
        let mut seen = controls.values();
        let set = |set: Json| controls.set(set.as_object().unwrap());
        set(json!({ "a": true })).unwrap();
        set(json!({ "b": true })).unwrap();
        set(json!({ "b": false, "a": 7 })).unwrap_err();
        let expected =
            [("a", true), ("b", true)].map(|(name, flag)| (name.to_owned(), Value::Flag(flag)));
        assert_eq!(*seen.borrow_and_update(), expected.into_iter().collect());
        set(json!({})).unwrap();
        assert!(!seen.has_changed().unwrap(), "nothing set, nothing changed");
    }
}
