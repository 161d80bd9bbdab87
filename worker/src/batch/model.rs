//! A model's thread: takes batches, calls the model, and hands out its results.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};
use std::slice;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::core::{Batch, Decision, Entry};
use super::item::{Item, Outcome, PendingResult, Used};
use super::{Model, Phase, Results, Serve, Shared};
use crate::error::HandlerError;
use crate::session::{STACK_BYTES, Session};

/// A model that has worked is given up when it fails this many times in a row for everybody.
const FAILURES: u32 = 5;

/// A wait for items without a time of its own ends after this, to be begun again.
const IDLE: Duration = Duration::from_secs(1);

thread_local! {
    /// This thread is a model's.
    static HERE: Cell<bool> = const { Cell::new(false) };
    /// Whose items the model works on.
    static SESSIONS: RefCell<Vec<Session>> = const { RefCell::new(Vec::new()) };
}

/// Whether this thread is a model's.
pub(super) fn is_here() -> bool {
    HERE.get()
}

pub(super) fn sessions() -> Vec<Session> {
    SESSIONS.with_borrow(Clone::clone)
}

/// What is around a thread.
pub(super) type Wrapper = Box<dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync>;

/// The author's two functions.
pub(super) struct Author<S, F> {
    pub(super) setup: S,
    pub(super) model: F,
    pub(super) wrapper: Option<Wrapper>,
}

impl<I, O, M, S, F> Model<I, O> for Author<S, F>
where
    S: Fn(usize) -> Result<M, HandlerError> + Send + Sync,
    F: Fn(&mut M, &[I]) -> Results<O> + Send + Sync,
{
    fn run(&self, replica: usize, serve: &mut Serve<'_, I, O>) -> Result<(), HandlerError> {
        let mut model = (self.setup)(replica)?;
        serve(&mut |items| (self.model)(&mut model, items));
        Ok(())
    }

    fn wrap(&self, body: Box<dyn FnOnce() + Send>) {
        match &self.wrapper {
            Some(wrapper) => wrapper(body),
            None => body(),
        }
    }

    fn set_wrapper(&mut self, wrapper: Wrapper) {
        self.wrapper = Some(wrapper);
    }
}

/// Starts a replica's thread.
pub(super) fn spawn<I: Send + 'static, O: Send + 'static>(
    shared: Arc<Shared<I, O>>,
    replica: usize,
) {
    let of_thread = Arc::clone(&shared);
    let run = move || {
        // Whatever ends the thread, nobody waits for it any more.
        let ends = Ends(Arc::clone(&of_thread));
        let body = Box::new(move || ends.0.run(replica));
        of_thread.model.wrap(body);
    };
    let thread = thread::Builder::new().name(format!("model-{replica}"));
    let started = thread.stack_size(STACK_BYTES).spawn(run);
    if let Err(error) = started {
        shared.fail(&format!("no thread for the model: {error}"));
    }
}

/// Marks the model as broken unless its thread has ended as it should.
struct Ends<I, O>(Arc<Shared<I, O>>);

impl<I, O> Drop for Ends<I, O> {
    fn drop(&mut self) {
        self.0.fail("the model's thread has ended");
    }
}

impl<I, O> Shared<I, O> {
    /// The model is no more: every call that waits, or comes, has an error.
    fn fail(&self, why: &str) {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::New | Phase::Running) {
            return;
        }
        state.phase = Phase::Broken(why.to_owned());
        let waiting = state.core.clear();
        drop(state);
        self.changed.notify_all();
        for Item { pending, session, .. } in waiting {
            session.health().broken(why.to_owned());
            pending.fill(Outcome::Broken(why.to_owned()));
        }
    }

    /// The next batch, as soon as it is time for it; `None` when there are no more.
    fn next(&self) -> Option<Batch<Item<I, O>>> {
        let mut state = self.state.lock();
        while state.phase == Phase::Running {
            match state.core.poll(Instant::now()) {
                Decision::Fire(batch) => return Some(batch),
                Decision::WaitUntil(until) => {
                    self.changed.wait_until(&mut state, until.into_std());
                }
                Decision::Idle => {
                    self.changed.wait_for(&mut state, IDLE);
                }
            }
        }
        None
    }
}

/// What is known of the model's failures, of all replicas.
#[derive(Default)]
pub(super) struct Verdict {
    /// Sessions whose item failed by itself: they are called by themselves.
    suspects: HashMap<u64, Session>,
    /// It has worked.
    proven: bool,
    /// Batches in a row on which it failed for everybody.
    failures: u32,
    /// Whose they were.
    failed: HashMap<u64, Session>,
}

/// Who waits for a result.
struct Caller<I, O> {
    pending: Arc<PendingResult<I, O>>,
    session: Session,
    /// From the call until the model began.
    waited: Duration,
}

/// A result, and who waits for it.
struct Done<I, O> {
    caller: Caller<I, O>,
    result: Result<O, HandlerError>,
    used: Used,
}

/// The author's model.
type Call<'a, I, O> = &'a mut dyn FnMut(&[I]) -> Results<O>;

impl<I: Send, O: Send> Shared<I, O> {
    /// Makes a replica of the model and serves it, on its thread.
    fn run(&self, replica: usize) {
        HERE.set(true);
        let made = panic::catch_unwind(AssertUnwindSafe(|| {
            self.model.run(replica, &mut |call| {
                self.state.lock().ready += 1;
                self.changed.notify_all();
                while let Some(batch) = self.next() {
                    self.work(batch, call);
                }
            })
        }));
        let why = match made {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("the model could not be made: {}", error.chain()),
            Err(_) => "the model panicked where it is made or dropped".to_owned(),
        };
        tracing::error!("{why}");
        self.fail(&why);
    }

    /// Calls the model for a batch, in as many calls as it takes, and hands out the results.
    fn work(&self, batch: Batch<Item<I, O>>, call: Call<'_, I, O>) {
        let Batch { id, entries } = batch;
        let (together, alone): (Vec<_>, Vec<_>) = {
            let state = self.state.lock();
            let suspects = &state.verdict.suspects;
            entries.into_iter().partition(|entry| !suspects.contains_key(&entry.session))
        };
        let mut done = Vec::new();
        for part in [together].into_iter().chain(alone.into_iter().map(|entry| vec![entry])) {
            work_on(part, call, &mut done);
        }
        self.judge(&done);
        let failed = done.iter().any(|done| done.used.failed);
        // Before a session hears of it, and calls again. Of those that have left nobody waits.
        let mut state = self.state.lock();
        let now = Instant::now();
        if failed {
            state.core.failed(now, id)
        } else {
            state.core.finished(now, id)
        };
        drop(state);
        self.changed.notify_all();
        for Done { caller, result, used } in done {
            // Of a session that has left, the result is dropped here, by the author's code.
            let fill = AssertUnwindSafe(|| caller.pending.fill(Outcome::Done { result, used }));
            panic::catch_unwind(fill).ok();
        }
    }

    /// Gives the model up when it fails for everybody.
    fn judge(&self, done: &[Done<I, O>]) {
        let Some(failures) = self.state.lock().verdict.learn(done) else { return };
        let last = done.iter().find_map(|done| done.result.as_ref().err());
        let why = format!(
            "the model fails for all sessions: {}",
            last.map(HandlerError::chain).unwrap_or_default()
        );
        tracing::error!(failures, "{why}");
        self.fail(&why);
        for Done { caller, .. } in done {
            caller.session.health().broken(why.clone());
        }
    }
}

impl Verdict {
    /// Learns what became of a batch. Returns how often in a row the model has failed, if it is to
    /// be given up.
    fn learn<I, O>(&mut self, done: &[Done<I, O>]) -> Option<u32> {
        self.suspects.retain(|_, session| !session.is_closed());
        for Done { caller, result, used } in done {
            let key = caller.session.key();
            if result.is_ok() {
                self.suspects.remove(&key);
            } else if used.failed {
                // An error that the model gave one item of several is no danger to the others.
                self.suspects.insert(key, caller.session.clone());
            }
        }
        if done.iter().any(|done| done.result.is_ok()) {
            (self.proven, self.failures) = (true, 0);
            self.failed.clear();
            return None;
        }
        // Errors of single items are the model's answers: it works.
        if !done.iter().all(|done| done.used.failed) {
            return None;
        }
        self.failures += 1;
        // Who has left, and may be the same person, does not count.
        self.failed.retain(|_, session| !session.is_closed());
        let sessions = done.iter().map(|done| &done.caller.session);
        self.failed.extend(sessions.map(|session| (session.key(), session.clone())));
        let gives_up = self.proven && self.failures >= FAILURES && self.failed.len() >= 2;
        gives_up.then_some(self.failures)
    }
}

/// One call of the model; if it fails as a whole, one more for each item.
fn work_on<I, O>(
    entries: Vec<Entry<Item<I, O>>>,
    call: Call<'_, I, O>,
    done: &mut Vec<Done<I, O>>,
) {
    let apart = |entry: Entry<Item<I, O>>| {
        let Item { item, pending, session } = entry.item;
        (item, Caller { pending, session, waited: entry.waited })
    };
    let (items, callers): (Vec<I>, Vec<Caller<I, O>>) = entries.into_iter().map(apart).unzip();
    let size = items.len();
    if size == 0 {
        return;
    }
    let began = Instant::now();
    let results = guarded(&items, &callers, call);
    let model = began.elapsed();
    let share = model / u32::try_from(size).unwrap_or(u32::MAX);
    let used = Used { size, waited: Duration::ZERO, model, share, failed: results.is_err() };
    match results {
        Ok(results) => {
            for (caller, result) in callers.into_iter().zip(results) {
                let used = Used { waited: caller.waited, ..used };
                done.push(Done { caller, result, used });
            }
        }
        Err(Failure::Call(_)) if size > 1 => {
            for (item, caller) in items.iter().zip(callers) {
                let began = Instant::now();
                let alone = guarded(slice::from_ref(item), slice::from_ref(&caller), call);
                let result = match alone {
                    Ok(mut results) => results.remove(0),
                    Err(Failure::Call(error) | Failure::Length(error)) => Err(error),
                };
                let took = began.elapsed();
                let (model, share) = (model + took, share + took);
                let used = Used { waited: caller.waited, model, share, ..used };
                done.push(Done { caller, result, used });
            }
        }
        Err(Failure::Call(error) | Failure::Length(error)) => {
            for caller in callers {
                let used = Used { waited: caller.waited, ..used };
                done.push(Done { caller, result: Err(error.clone()), used });
            }
        }
    }
    // The drop of an item is the author's code too.
    panic::catch_unwind(AssertUnwindSafe(|| drop(items))).ok();
}

/// Why a call of the model has no results.
enum Failure {
    /// It failed as a whole.
    Call(HandlerError),
    /// It returned results for another number of items.
    Length(HandlerError),
}

/// One call of the model.
fn guarded<I, O>(
    items: &[I],
    callers: &[Caller<I, O>],
    call: Call<'_, I, O>,
) -> Result<Vec<Result<O, HandlerError>>, Failure> {
    callers.iter().for_each(|caller| caller.pending.begin());
    SESSIONS.set(callers.iter().map(|caller| caller.session.clone()).collect());
    let called = panic::catch_unwind(AssertUnwindSafe(|| call(items)));
    SESSIONS.take();
    match called {
        Ok(Ok(results)) if results.len() == items.len() => Ok(results),
        Ok(Ok(results)) => {
            let (results, items) = (results.len(), items.len());
            let error = format!("the model returned {results} results for {items} items");
            Err(Failure::Length(HandlerError::new(error)))
        }
        Ok(Err(error)) => Err(Failure::Call(error)),
        // The panic hook has printed what it said.
        Err(_) => Err(Failure::Call(HandlerError::new("the model crashed"))),
    }
}
