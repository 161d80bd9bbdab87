//! Calls of the author's code: whose turn it is, how long each takes, and which does not return.
//!
//! > Where calls run one at a time, a call that hangs holds the turn of all sessions: then the
//! > worker says that it does not serve, so that its sessions move to others.

mod load;
mod turn;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use self::load::Load;
use self::turn::Lock;
pub(crate) use self::turn::aside;
use crate::session::Session;

/// How many times as long as others a session's start may take: models are loaded in it.
const START: u32 = 60;

/// The most time that counts between two looks.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// The same of its first frame: models are compiled and warmed up with it.
const FIRST_FRAME: u32 = 6;

/// The calls of one worker.
#[derive(Debug)]
pub(crate) struct Calls {
    /// `None`: they run in parallel.
    turn: Option<Lock>,
    load: Mutex<Load>,
    /// How long a call may take; `None`: for ever.
    limit: Option<Duration>,
    /// By session. At most as many as the worker has slots.
    sessions: Mutex<BTreeMap<u64, Running>>,
    last: AtomicU64,
    /// When calls that do not return were last looked for.
    looked: Mutex<Option<Instant>>,
}

/// A session, and what it runs.
#[derive(Debug)]
struct Running {
    session: Session,
    /// When the call began that it is in; `None` too while it waits for a model to be free.
    since: Option<Instant>,
    /// How long that call has been seen to run.
    seen: Duration,
    /// It waits for a model that works for others too.
    shared: bool,
    /// Calls that have returned, up to the first two: its start and its first frame.
    returned: u8,
    /// The call that it is in was reported.
    reported: bool,
}

/// One session's way to call. Dropped with the session.
#[derive(Debug)]
pub(crate) struct Caller {
    calls: Arc<Calls>,
    key: u64,
}

/// A call that is over its limit.
#[derive(Debug)]
pub(crate) struct Overdue {
    pub(crate) session: Session,
    /// How long it has been running.
    pub(crate) running: Duration,
}

/// What is to be said of calls that do not return.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Those that nobody was told of.
    pub(crate) overdue: Vec<Overdue>,
    /// A call holds the turn of all, for this long.
    pub(crate) blocked: Option<Duration>,
}

impl Calls {
    /// Of a stream with `fps` frames a second, of which it may skip some.
    pub(crate) fn new(serialized: bool, limit: Option<Duration>, fps: f64, skips: bool) -> Self {
        Self {
            turn: serialized.then(Lock::default),
            load: Mutex::new(Load::new(fps, skips)),
            limit,
            sessions: Mutex::default(),
            last: AtomicU64::new(0),
            looked: Mutex::default(),
        }
    }

    /// Sessions that there is time for, where calls run one at a time and enough were seen.
    pub(crate) fn sessions(&self) -> Option<u32> {
        self.turn.as_ref().and_then(|_| self.load.lock().sessions())
    }

    /// A session that is about to begin.
    pub(crate) fn caller(self: &Arc<Self>, session: &Session) -> Caller {
        let key = self.last.fetch_add(1, Ordering::Relaxed);
        let running = Running {
            session: session.clone(),
            since: None,
            seen: Duration::ZERO,
            shared: false,
            returned: 0,
            reported: false,
        };
        self.sessions.lock().insert(key, running);
        Caller { calls: Arc::clone(self), key }
    }

    /// The calls that do not return; to be asked every second or so.
    pub(crate) fn report(&self, now: Instant) -> Report {
        let mut report = Report::default();
        let Some(limit) = self.limit else { return report };
        let last = self.looked.lock().replace(now).unwrap_or(now);
        // Between two looks the process may have stood still: that is no call's fault.
        let passed = now.saturating_duration_since(last).min(LONGEST_LOOK);
        for running in self.sessions.lock().values_mut() {
            let Some(since) = running.since else { continue };
            running.seen += passed.min(now.saturating_duration_since(since));
            let allowed = match running.returned {
                0 => limit.saturating_mul(START),
                1 => limit.saturating_mul(FIRST_FRAME),
                _ => limit,
            };
            let took = running.seen;
            if took < allowed {
                continue;
            }
            if !std::mem::replace(&mut running.reported, true) {
                report.overdue.push(Overdue { session: running.session.clone(), running: took });
            }
            if self.turn.is_some() || running.shared {
                report.blocked = report.blocked.max(Some(took));
            }
        }
        report
    }
}

impl Caller {
    /// Runs a call of the author's code when it is the session's turn. A panic goes through, and
    /// leaves the next session its turn.
    fn run<T>(&self, frame: bool, code: impl FnOnce() -> T) -> (T, Duration, Duration) {
        let calls = &self.calls;
        if let Some(lock) = &calls.turn {
            turn::take(lock);
        }
        let began = Instant::now();
        let call = Running::begin(self, began);
        let result = code();
        let (now, waited) = (Instant::now(), turn::waited());
        drop(call);
        let took = now.saturating_duration_since(began).saturating_sub(waited.again);
        if frame && calls.turn.is_some() {
            calls.observe(now, waited.turn, took.saturating_sub(waited.aside));
        }
        (result, took, waited.turn)
    }

    /// A session's start, or its end.
    pub(crate) fn call<T>(&self, code: impl FnOnce() -> T) -> T {
        self.run(false, code).0
    }

    /// A call for a frame. Returns what it returned, how long it ran, and how long it waited for
    /// its turn, before and within.
    pub(crate) fn frame<T>(&self, code: impl FnOnce() -> T) -> (T, Duration, Duration) {
        self.run(true, code)
    }
}

impl Calls {
    /// A call waited for its turn, and then had it.
    fn observe(&self, now: Instant, waited: Duration, worked: Duration) {
        let sums = self.load.lock().observe(now, waited, worked);
        let Some((waited, worked)) = sums else { return };
        tracing::warn!(
            ?waited,
            ?worked,
            "sessions wait longer for their turn than they work: calls of this stream run one at a \
             time. More worker processes help, or a batched model, or calls in parallel where the \
             code can be called by several threads"
        );
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.calls.sessions.lock().remove(&self.key);
    }
}

thread_local! {
    /// The call that this thread is in, where calls have a limit.
    static CURRENT: RefCell<Option<(Arc<Calls>, u64)>> = const { RefCell::new(None) };
}

/// The limit of this thread's call counts from `since`, or not at all; `shared`: the call waits for
/// something that works for others too, which they wait for if it hangs.
pub(crate) fn limit_since(since: Option<Instant>, shared: bool) {
    CURRENT.with_borrow(|current| {
        if let Some((calls, key)) = current
            && let Some(running) = calls.sessions.lock().get_mut(key)
        {
            if running.since != since {
                running.seen = Duration::ZERO;
            }
            (running.since, running.shared) = (since, shared);
        }
    });
}

/// A call under way. Its drop is its end.
struct InCall<'a>(&'a Caller);

impl Drop for InCall<'_> {
    fn drop(&mut self) {
        turn::end();
        CURRENT.take();
        let Caller { calls, key } = self.0;
        if calls.limit.is_some()
            && let Some(running) = calls.sessions.lock().get_mut(key)
        {
            (running.since, running.shared) = (None, false);
            (running.seen, running.reported) = (Duration::ZERO, false);
            running.returned = running.returned.saturating_add(1);
        }
    }
}

impl Running {
    fn begin(caller: &Caller, now: Instant) -> InCall<'_> {
        let Caller { calls, key } = caller;
        // Without a limit nobody asks.
        if calls.limit.is_some()
            && let Some(running) = calls.sessions.lock().get_mut(key)
        {
            running.since = Some(now);
            CURRENT.set(Some((Arc::clone(calls), *key)));
        }
        InCall(caller)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn calls(serialized: bool) -> Arc<Calls> {
        Arc::new(Calls::new(serialized, Some(LIMIT), 30.0, true))
    }

    /// A call that goes on until the sender is dropped.
    fn hang(caller: Caller, returned: u32) -> (mpsc::Sender<()>, thread::JoinHandle<()>) {
        let (release, gate) = mpsc::channel::<()>();
        let (entered, entry) = mpsc::channel();
        let thread = thread::spawn(move || {
            (0..returned).for_each(|_| caller.call(|| ()));
            caller.call(|| {
                entered.send(()).unwrap();
                gate.recv().unwrap_err();
            });
        });
        entry.recv_timeout(Duration::from_secs(30)).unwrap();
        (release, thread)
    }

    /// Looks once a second for this long; gives all that was reported, and what blocks at last.
    fn look(calls: &Calls, from: Instant, time: Duration) -> (Vec<String>, bool) {
        let (mut overdue, mut blocked) = (Vec::new(), false);
        for second in 0..=time.as_secs() {
            let report = calls.report(from + Duration::from_secs(second));
            overdue.extend(report.overdue.iter().map(|call| call.session.id().to_owned()));
            blocked = report.blocked.is_some();
        }
        (overdue, blocked)
    }

    #[test]
    fn a_call_that_does_not_return_is_reported_once_and_blocks_where_calls_take_turns() {
        for serialized in [true, false] {
            let calls = calls(serialized);
            let (release, thread) = hang(calls.caller(&Session::of_nobody("a")), 2);
            let now = Instant::now();
            assert_eq!(look(&calls, now, LIMIT / 2), (vec![], false));
            let reported = look(&calls, now + LIMIT / 2, LIMIT);
            assert_eq!(reported, (vec!["a".to_owned()], serialized));
            assert_eq!(look(&calls, now + LIMIT * 2, LIMIT), (vec![], serialized));
            drop(release);
            thread.join().unwrap();
            assert_eq!(look(&calls, now + LIMIT * 4, LIMIT), (vec![], false));
        }
    }

    #[test]
    fn the_start_and_the_first_frame_may_take_longer() {
        for (returned, times) in [(0, START), (1, FIRST_FRAME)] {
            let calls = calls(true);
            let (release, thread) = hang(calls.caller(&Session::of_nobody("a")), returned);
            let now = Instant::now();
            assert_eq!(look(&calls, now, LIMIT * (times - 1)).0.len(), 0);
            assert_eq!(look(&calls, now + LIMIT * (times - 1), LIMIT * 2).0.len(), 1);
            drop(release);
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_process_that_stood_still_blames_no_call() {
        let calls = calls(true);
        let (release, thread) = hang(calls.caller(&Session::of_nobody("a")), 2);
        let now = Instant::now();
        calls.report(now);
        assert!(calls.report(now + LIMIT * 100).overdue.is_empty());
        drop(release);
        thread.join().unwrap();
    }

    #[test]
    fn the_wait_for_a_model_does_not_count_and_its_work_does() {
        let calls = calls(false);
        let caller = calls.caller(&Session::of_nobody("a"));
        limit_since(None, true);
        (0..2).for_each(|_| caller.call(|| ()));
        caller.call(|| {
            let now = Instant::now();
            limit_since(None, true);
            assert_eq!(look(&calls, now, LIMIT * 3), (vec![], false));
            limit_since(Some(now), true);
            let reported = look(&calls, now + LIMIT * 3, LIMIT * 2);
            assert_eq!(reported, (vec!["a".to_owned()], true), "others wait for it too");
            limit_since(Some(now), false);
        });
        limit_since(Some(Instant::now()), true);
        assert!(calls.sessions.lock().values().all(|running| running.since.is_none()));
    }

    #[test]
    fn one_runs_at_a_time_also_after_a_panic() {
        let calls = calls(true);
        let inside = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let (caller, inside) =
                    (calls.caller(&Session::of_nobody("a")), Arc::clone(&inside));
                thread::spawn(move || {
                    for round in 0..50 {
                        let code = || {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                            if round % 10 == n {
                                std::panic::resume_unwind(Box::new(()));
                            }
                        };
                        let call = std::panic::AssertUnwindSafe(|| caller.frame(code));
                        let panicked = std::panic::catch_unwind(call).is_err();
                        assert_eq!(panicked, round % 10 == n);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(calls.sessions.lock().is_empty());
        assert!(calls.sessions().is_some());
    }
}
