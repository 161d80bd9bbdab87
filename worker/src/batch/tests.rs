//! Real threads: what sessions and models do to each other.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use tokio::sync::watch;

use super::*;
use crate::health::Condition;
use crate::inputs::Inputs;
use crate::message::{BatchUse, Job};

const PATIENCE: Duration = Duration::from_secs(30);

/// A session's thread, which calls a model with each number that it is given.
struct Caller {
    session: Session,
    open: Option<watch::Sender<Inputs>>,
    give: Sender<i32>,
    results: Receiver<Result<i32, CallError>>,
    thread: Option<JoinHandle<()>>,
}

impl Caller {
    fn new(model: &Batched<i32, i32>) -> Self {
        let (open, session) = Session::alone("a");
        let (give, given) = channel();
        let (result, results) = channel();
        let (model, current) = (model.clone(), session.clone());
        let thread = thread::spawn(move || {
            current.set_current();
            for item in given {
                result.send(model.call(item)).unwrap();
            }
        });
        Self { session, open: Some(open), give, results, thread: Some(thread) }
    }

    fn give(&self, item: i32) {
        self.give.send(item).unwrap();
    }

    fn result(&self) -> Result<i32, CallError> {
        self.results.recv_timeout(PATIENCE).expect("the call returns")
    }

    fn call(&self, item: i32) -> Result<i32, CallError> {
        self.give(item);
        self.result()
    }

    fn used(&self) -> BatchUse {
        self.session.take_batch().expect("it called a model")
    }

    fn end(mut self) {
        let thread = self.thread.take().unwrap();
        drop(self);
        thread.join().unwrap();
    }
}

/// A model that doubles, and waits for the gate before each call after it has said what it has.
fn gated() -> (Batched<i32, i32>, Receiver<Vec<i32>>, Sender<()>) {
    let ((entered, entries), (release, gate)) = (channel(), channel::<()>());
    let gate = Mutex::new(gate);
    let model = Batched::builder(
        |_| Ok(()),
        move |(), items: &[i32]| {
            entered.send(items.to_vec())?;
            gate.lock().recv_timeout(PATIENCE)?;
            Ok(items.iter().map(|item| Ok(2 * item)).collect())
        },
    );
    (model.max_wait(Duration::ZERO).build(), entries, release)
}

/// A model without waits.
fn model(call: impl Fn(&[i32]) -> Results<i32> + Send + Sync + 'static) -> Batched<i32, i32> {
    Batched::builder(|_| Ok(()), move |(), items: &[i32]| call(items)).build()
}

/// Waits for what another thread does.
fn until(met: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !met() {
        assert!(Instant::now() < end, "it never comes");
        thread::yield_now();
    }
}

fn waiting(model: &Batched<i32, i32>) -> usize {
    model.0.0.state.lock().core.waiting()
}

fn newer(caller: &Caller) {
    let job = Job::Pull { seq: 0, traceparent: String::new() };
    caller.session.newest().put(job);
}

#[test]
fn calls_that_wait_become_one_batch() {
    let (model, entries, release) = gated();
    let callers: Vec<_> = (0..4).map(|_| Caller::new(&model)).collect();
    callers[0].give(0);
    assert_eq!(entries.recv_timeout(PATIENCE).unwrap(), [0], "alone, it does not wait");
    for (caller, item) in callers.iter().zip(0..).skip(1) {
        caller.give(item);
        until(|| waiting(&model) == usize::try_from(item).unwrap());
    }
    release.send(()).unwrap();
    assert_eq!(entries.recv_timeout(PATIENCE).unwrap(), [1, 2, 3], "in the order of arrival");
    release.send(()).unwrap();
    for (caller, item) in callers.iter().zip(0..) {
        assert_eq!(caller.result(), Ok(2 * item));
        let BatchUse { size, wait, model, share, failed } = caller.used();
        assert_eq!((size, failed), (if item == 0 { 1 } else { 3 }, false));
        assert!(share <= model && (item == 0 || wait > Duration::ZERO));
    }
    callers.into_iter().for_each(Caller::end);
}

#[test]
fn a_newer_frame_takes_the_place_of_one_that_waits_and_of_no_other() {
    let (model, entries, release) = gated();
    let (first, second) = (Caller::new(&model), Caller::new(&model));
    first.give(1);
    entries.recv_timeout(PATIENCE).unwrap();
    second.give(2);
    until(|| waiting(&model) == 1);
    // With the model, it is too late.
    newer(&first);
    newer(&second);
    assert_eq!(second.result(), Err(CallError::Superseded));
    assert!(HandlerError::from(CallError::Superseded).is_superseded());
    let used = second.used();
    assert_eq!((used.size, used.model), (0, Duration::ZERO));
    second.give(3);
    until(|| waiting(&model) == 1);
    release.send(()).unwrap();
    assert_eq!(first.result(), Ok(2));
    assert_eq!(entries.recv_timeout(PATIENCE).unwrap(), [3]);
    release.send(()).unwrap();
    assert_eq!(second.result(), Ok(6));
    [first, second].into_iter().for_each(Caller::end);
}

#[test]
fn a_second_call_for_a_frame_is_not_superseded() {
    let (model, entries, release) = gated();
    let (first, second) = (Caller::new(&model), Caller::new(&model));
    for caller in [&first, &second] {
        caller.give(0);
        entries.recv_timeout(PATIENCE).unwrap();
        release.send(()).unwrap();
        caller.result().unwrap();
    }
    first.give(1);
    entries.recv_timeout(PATIENCE).unwrap();
    // Of the same frame: what it used was not taken.
    second.give(2);
    until(|| waiting(&model) == 1);
    newer(&second);
    assert_eq!(waiting(&model), 1);
    (0..2).for_each(|_| release.send(()).unwrap());
    assert_eq!((first.result(), second.result()), (Ok(2), Ok(4)));
    [first, second].into_iter().for_each(Caller::end);
}

#[test]
fn a_session_that_ends_leaves_its_call() {
    let (model, entries, release) = gated();
    let (first, mut second) = (Caller::new(&model), Caller::new(&model));
    first.give(1);
    entries.recv_timeout(PATIENCE).unwrap();
    second.give(2);
    until(|| waiting(&model) == 1);
    second.open = None;
    assert_eq!(second.result(), Err(CallError::Closed));
    assert_eq!(waiting(&model), 0);
    assert_eq!(second.call(3), Err(CallError::Closed));
    release.send(()).unwrap();
    assert_eq!(first.result(), Ok(2));
    [first, second].into_iter().for_each(Caller::end);
}

#[test]
fn an_item_that_the_model_cannot_take_costs_its_own_session_only() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&calls);
    let ((entered, entries), (release, gate)) = (channel(), channel::<()>());
    let gate = Mutex::new(gate);
    let model = model(move |items| {
        log.lock().push(items.to_vec());
        entered.send(())?;
        gate.lock().recv_timeout(PATIENCE)?;
        match items.iter().find(|item| **item < 0) {
            Some(-1) => Err("poison".into()),
            Some(_) => std::panic::resume_unwind(Box::new(())),
            None => Ok(items.iter().map(|item| Ok(item + 1)).collect()),
        }
    });
    let callers: Vec<_> = (0..4).map(|_| Caller::new(&model)).collect();
    callers[0].give(0);
    entries.recv_timeout(PATIENCE).unwrap();
    for (number, item) in [(1, 10), (2, -1), (3, -2)] {
        callers[number].give(item);
        until(|| waiting(&model) == number);
    }
    (0..5).for_each(|_| release.send(()).unwrap());
    assert_eq!(callers[0].result(), Ok(1));
    assert_eq!(callers[1].result(), Ok(11));
    assert!(callers[1].used().failed);
    assert_eq!(callers[2].result(), Err(CallError::Failed("poison".into())));
    assert_eq!(callers[3].result(), Err(CallError::Failed("the model crashed".into())));
    let expected: &[&[i32]] = &[&[0], &[10, -1, -2], &[10], &[-1], &[-2]];
    assert_eq!(*calls.lock(), expected);

    // Those two are called by themselves now, until they succeed.
    assert_eq!(entries.iter().take(4).count(), 4);
    calls.lock().clear();
    callers[0].give(0);
    until(|| !calls.lock().is_empty());
    for (number, item) in [(1, 1), (2, 2), (3, -1)] {
        callers[number].give(item);
        until(|| waiting(&model) == number);
    }
    (0..4).for_each(|_| release.send(()).unwrap());
    assert_eq!((0..3).map(|n| callers[n].result()).collect::<Vec<_>>(), [Ok(1), Ok(2), Ok(3)]);
    assert!(callers[3].result().is_err());
    let expected: &[&[i32]] = &[&[0], &[1], &[2], &[-1]];
    assert_eq!(*calls.lock(), expected);
    callers.into_iter().for_each(Caller::end);
}

#[test]
fn another_number_of_results_is_an_error_with_both_numbers() {
    let model = model(|_| Ok(vec![Ok(1), Ok(2)]));
    let caller = Caller::new(&model);
    let error = "the model returned 2 results for 1 items";
    assert_eq!(caller.call(0), Err(CallError::Failed(error.into())));
    caller.end();
}

/// A model that fails from a moment on.
fn failing() -> (Batched<i32, i32>, Arc<AtomicU32>) {
    let fails = Arc::new(AtomicU32::new(0));
    let failing = Arc::clone(&fails);
    let model = model(move |items| match failing.load(Ordering::SeqCst) {
        0 => Ok(items.iter().map(|item| Ok(*item)).collect()),
        _ => Err("the device is lost".into()),
    });
    (model, fails)
}

#[test]
fn a_model_that_fails_for_everybody_makes_the_worker_end() {
    let (model, fails) = failing();
    let callers = [Caller::new(&model), Caller::new(&model)];
    assert_eq!(callers[0].call(0), Ok(0));
    fails.store(1, Ordering::SeqCst);
    for round in 0..4 {
        let error = callers[round % 2].call(1).unwrap_err();
        assert_eq!(error, CallError::Failed("the device is lost".into()), "{round}");
        assert_eq!(callers[round % 2].session.health().problem(), None);
    }
    callers[0].call(1).unwrap_err();
    let broken = "the model fails for all sessions: the device is lost".to_owned();
    for caller in &callers {
        assert_eq!(caller.call(1), Err(CallError::Broken(broken.clone())));
        assert_eq!(
            *caller.session.health().subscribe().borrow(),
            Condition::Broken(broken.clone())
        );
    }
    callers.into_iter().for_each(Caller::end);
}

#[test]
fn one_session_or_a_model_that_never_worked_does_not_end_the_worker() {
    let (model, fails) = failing();
    let callers = [Caller::new(&model), Caller::new(&model)];
    fails.store(1, Ordering::SeqCst);
    for round in 0..20 {
        callers[round % 2].call(1).unwrap_err();
    }
    fails.store(0, Ordering::SeqCst);
    callers[0].call(1).unwrap();
    fails.store(1, Ordering::SeqCst);
    for _ in 0..20 {
        let failed = CallError::Failed("the device is lost".into());
        assert_eq!(callers[0].call(1), Err(failed));
    }
    assert_eq!(callers[0].session.health().problem(), None);
    callers.into_iter().for_each(Caller::end);
}

#[test]
fn a_model_that_cannot_be_made_is_an_error_for_all() {
    let model: Batched<i32, i32> =
        Batched::builder(|_| Err::<(), _>("no weights".into()), |(), _| unreachable!()).build();
    let broken = CallError::Broken("the model could not be made: no weights".into());
    assert_eq!(model.start(), Err(broken.clone()));
    let caller = Caller::new(&model);
    assert_eq!(caller.call(1), Err(broken));
    assert!(caller.session.health().problem().is_some());
    caller.end();
}

#[test]
fn who_waits_for_a_model_may_look_up_in_between() {
    let (make, may_make) = channel();
    let may_make = Mutex::new(may_make);
    let setup = move |_| Ok(may_make.lock().recv().map_err(|error| error.to_string())?);
    let model: Batched<i32, i32> = Batched::builder(setup, |(), _| unreachable!()).build();
    assert_eq!(model.start_within(Duration::ZERO), Ok(false));
    assert_eq!(model.start_within(Duration::from_millis(1)), Ok(false));
    make.send(()).unwrap();
    assert_eq!(model.start(), Ok(()));
    assert_eq!(model.start_within(Duration::ZERO), Ok(true));
}

#[test]
fn a_call_elsewhere_is_an_error_and_does_not_hang() {
    let model: Arc<std::sync::OnceLock<Batched<i32, i32>>> = Arc::default();
    let itself = Arc::clone(&model);
    let made = model.get_or_init(|| {
        Batched::builder(
            |_| Ok(()),
            move |(), items: &[i32]| {
                let nested = itself.get().expect("made").call(1);
                assert_eq!(nested, Err(CallError::NoSession));
                Ok(items.iter().map(|item| Ok(*item)).collect())
            },
        )
        .build()
    });
    assert_eq!(made.call(1), Err(CallError::NoSession));
    let caller = Caller::new(made);
    assert_eq!(caller.call(5), Ok(5));
    caller.end();
}

#[test]
fn a_session_calls_once_at_a_time() {
    let (model, entries, release) = gated();
    let caller = Caller::new(&model);
    caller.give(1);
    entries.recv_timeout(PATIENCE).unwrap();
    let (second, session) = (model.clone(), caller.session.clone());
    let twice = thread::spawn(move || {
        session.set_current();
        second.call(2)
    });
    assert_eq!(twice.join().unwrap(), Err(CallError::Twice));
    release.send(()).unwrap();
    assert_eq!(caller.result(), Ok(2));
    caller.end();
}

#[test]
fn replicas_have_threads_of_their_own_that_end_with_the_last_handle() {
    struct Made(Arc<AtomicUsize>, usize);
    impl Drop for Made {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let alive = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&alive);
    let (wrapped, ends) = channel();
    let model = Batched::builder(
        move |replica| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(Made(Arc::clone(&count), replica))
        },
        |made: &mut Made, items: &[i32]| {
            assert_eq!(batch_sessions().len(), items.len());
            Ok(items.iter().map(|_| Ok(i32::try_from(made.1).unwrap())).collect())
        },
    )
    .replicas(3)
    .thread_wrapper(move |body| {
        body();
        wrapped.send(thread::current().id()).unwrap();
    })
    .build();
    model.start().unwrap();
    assert_eq!(alive.load(Ordering::SeqCst), 3);
    let caller = Caller::new(&model);
    assert!((0..3).contains(&caller.call(0).unwrap()));
    assert_eq!(batch_sessions().len(), 0);
    caller.end();
    drop(model);
    let ended: Vec<_> = (0..3).map(|_| ends.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(ended.len(), 3);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn settings_are_checked() {
    let refused = |change: fn(BatchedBuilder<i32, i32>) -> BatchedBuilder<i32, i32>| {
        let builder = Batched::builder(|_| Ok(()), |(), _: &[i32]| Ok(Vec::new()));
        change(builder).try_build().map(drop).unwrap_err().to_string()
    };
    assert_eq!(refused(|b| b.max_batch(0)), "max_batch must be from 1 to 256, not 0");
    assert_eq!(refused(|b| b.replicas(257)), "replicas must be from 1 to 256, not 257");
    let wait = refused(|b| b.max_wait(Duration::from_secs(2)));
    assert_eq!(wait, "max_wait must be at most 1s, not 2s");
}

#[test]
fn many_sessions_in_a_hurry_all_have_their_own_results() {
    let model = model(|items| {
        assert!(items.iter().collect::<BTreeSet<_>>().len() == items.len());
        Ok(items.iter().map(|item| Ok(-item)).collect())
    });
    let threads: Vec<_> = (0..16)
        .map(|n| {
            let model = model.clone();
            thread::spawn(move || {
                let (_open, session) = Session::alone("a");
                session.set_current();
                for round in 0..200 {
                    let item = n * 1_000 + round;
                    session.take_batch();
                    assert_eq!(model.call(item), Ok(-item));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
