//! The values that a handler returns beside its pictures, on their way to their readers: the data
//! channel, and `GET /updates`.
//!
//! > A reader that is slow loses the oldest, by a bound and into a counter. It never makes the
//! > worker wait, and never another reader.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde::de::IgnoredAny;
use tokio::sync::Notify;

use crate::telemetry;

/// Updates that may wait for one reader: half a second, if every frame has one.
const WAITING: usize = 16;
/// Readers of one session. Full: a further one is refused.
const MAX_READERS: usize = 8;
/// Readers of a broadcast: each viewer may be one, and `--max-viewers` bounds those.
const MAX_READERS_OF_BROADCAST: usize = 100_000;

/// The values of one moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Update {
    /// By name, as a JSON object.
    pub(crate) values: String,
    /// The first value, as FastRTC's `/updates` writes it: a text as it is, all else as JSON.
    pub(crate) first: String,
}

/// A session's outputs and their readers.
#[derive(Debug)]
pub(crate) struct Outputs {
    /// Of the declaration that holds now.
    names: Mutex<Vec<String>>,
    readers: Mutex<Readers>,
    max_readers: usize,
}

#[derive(Debug, Default)]
struct Readers {
    open: Vec<Arc<Shared>>,
    /// Why the session is over.
    ended: Option<String>,
}

/// One reader. Dropping it ends the subscription.
#[derive(Debug)]
pub(crate) struct Reader {
    shared: Arc<Shared>,
    outputs: Arc<Outputs>,
}

#[derive(Debug)]
struct Shared {
    label: &'static str,
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Arc<Update>>,
    ended: Option<String>,
}

/// An event for a reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Update(Arc<Update>),
    /// The last one: why the session ended.
    Ended(String),
}

impl Outputs {
    /// For a stream that declares outputs of these names.
    pub(crate) fn new(names: Vec<String>) -> Arc<Self> {
        Self::for_readers(names, MAX_READERS)
    }

    /// The same of a broadcast.
    pub(crate) fn of_broadcast(names: Vec<String>) -> Arc<Self> {
        Self::for_readers(names, MAX_READERS_OF_BROADCAST)
    }

    fn for_readers(names: Vec<String>, max_readers: usize) -> Arc<Self> {
        Arc::new(Self { names: Mutex::new(names), readers: Mutex::default(), max_readers })
    }

    /// From now on the handler declares outputs of these names.
    pub(super) fn declare(&self, names: Vec<String>) {
        *self.names.lock() = names;
    }

    /// Sends a handler's values, each as JSON, to every reader. False if they are not JSON, or not
    /// as many as are declared.
    ///
    /// The texts are forwarded unchanged: the nesting and order of a value are up to the handler.
    pub(crate) fn publish(&self, values: &[String]) -> bool {
        let json = |value: &String| serde_json::from_str::<IgnoredAny>(value).is_ok();
        let names = self.names.lock().clone();
        if values.len() != names.len() || !values.iter().all(json) {
            return false;
        }
        let Some(first) = values.first() else { return true };
        let first = serde_json::from_str(first).unwrap_or_else(|_| first.clone());
        let named = names.iter().zip(values).map(|(name, value)| format!("\"{name}\":{value}"));
        let values = format!("{{{}}}", named.collect::<Vec<_>>().join(","));
        let update = Arc::new(Update { values, first });
        for reader in &self.readers().open {
            let mut queue = reader.queue();
            if queue.waiting.len() >= WAITING {
                queue.waiting.pop_front();
                telemetry::output_dropped(reader.label);
            }
            queue.waiting.push_back(Arc::clone(&update));
            drop(queue);
            reader.changed.notify_one();
        }
        true
    }

    /// A new reader, from the next update on; `None` when there are too many. Updates that it loses
    /// are counted under `label`.
    pub(crate) fn subscribe(self: &Arc<Self>, label: &'static str) -> Option<Reader> {
        let mut readers = self.readers();
        if readers.open.len() >= self.max_readers {
            return None;
        }
        let queue = Queue { ended: readers.ended.clone(), ..Default::default() };
        let shared = Arc::new(Shared { label, queue: Mutex::new(queue), changed: Notify::new() });
        readers.open.push(Arc::clone(&shared));
        drop(readers);
        Some(Reader { shared, outputs: Arc::clone(self) })
    }

    /// The session is over: readers get the events that wait for them, and then this one.
    pub(crate) fn end(&self, why: &str) {
        let mut readers = self.readers();
        readers.ended.get_or_insert_with(|| why.to_owned());
        for reader in &readers.open {
            reader.queue().ended.get_or_insert_with(|| why.to_owned());
            reader.changed.notify_one();
        }
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        // Nothing that can panic runs under either lock.
        self.readers.lock()
    }
}

impl Reader {
    /// The next event. Cancel safe: an event is taken only when it is returned.
    pub(crate) async fn next(&self) -> Event {
        loop {
            let changed = self.shared.changed.notified();
            {
                let mut queue = self.shared.queue();
                if let Some(update) = queue.waiting.pop_front() {
                    return Event::Update(update);
                }
                if let Some(why) = queue.ended.clone() {
                    return Event::Ended(why);
                }
            }
            changed.await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.outputs.readers().open.retain(|open| !Arc::ptr_eq(open, &self.shared));
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs() -> Arc<Outputs> {
        Outputs::new(vec!["count".into(), "name".into()])
    }

    fn publish(outputs: &Outputs, values: &[&str]) -> bool {
        outputs.publish(&values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn values_are_named_and_come_in_order() {
        let outputs = outputs();
        let reader = outputs.subscribe("channel").unwrap();
        assert!(publish(&outputs, &["1", r#""a""#]) && publish(&outputs, &[r#""x""#, "null"]));
        outputs.end("done");
        let Event::Update(first) = reader.next().await else { panic!("an update was published") };
        assert_eq!(
            (first.values.as_str(), first.first.as_str()),
            (r#"{"count":1,"name":"a"}"#, "1")
        );
        let Event::Update(second) = reader.next().await else { panic!("another was published") };
        assert_eq!(second.first, "x");
        assert_eq!(reader.next().await, Event::Ended("done".into()));
        assert_eq!(
            outputs.subscribe("updates").unwrap().next().await,
            Event::Ended("done".into()),
            "a late reader"
        );
    }

    #[test]
    fn what_was_not_declared_is_refused() {
        for wrong in [&[][..], &["1"], &["1", "2", "3"], &["1", "{"]] {
            assert!(!publish(&outputs(), wrong), "{wrong:?}");
        }
        assert!(publish(&Outputs::new(Vec::new()), &[]), "nothing of nothing");
    }

    #[tokio::test]
    async fn a_reader_stays_when_others_are_declared() {
        let outputs = outputs();
        let reader = outputs.subscribe("channel").unwrap();
        outputs.declare(vec!["other".into()]);
        assert!(!publish(&outputs, &["1", "2"]) && publish(&outputs, &["3"]));
        let Event::Update(update) = reader.next().await else { panic!("it was published") };
        assert_eq!(update.values, r#"{"other":3}"#);
    }

    #[tokio::test]
    async fn a_slow_reader_keeps_the_newest_and_costs_nobody_else() {
        let outputs = outputs();
        let slow = outputs.subscribe("updates").unwrap();
        let quick = outputs.subscribe("channel").unwrap();
        for n in 0..100 {
            assert!(publish(&outputs, &[&n.to_string(), "0"]));
            let Event::Update(update) = quick.next().await else { panic!("it is quick") };
            assert_eq!(update.first, n.to_string());
        }
        for n in 100 - WAITING..100 {
            let Event::Update(update) = slow.next().await else { panic!("{n} waits") };
            assert_eq!(update.first, n.to_string());
        }
    }

    #[test]
    fn readers_are_bounded_and_leave() {
        let outputs = outputs();
        let mut readers: Vec<_> =
            (0..MAX_READERS).map(|_| outputs.subscribe("updates").unwrap()).collect();
        assert!(outputs.subscribe("updates").is_none());
        readers.pop();
        assert!(outputs.subscribe("updates").is_some());
    }
}
