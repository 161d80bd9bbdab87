//! A watchdog over the threads of this process: a separate thread checks each of them, four times a
//! second.
//!
//! A thread is asked to run one task, and is asked again only after it has answered, so nothing
//! piles up. In a runtime with several threads any of them could answer, so the runtime's own
//! metrics say whether each of them waits for work or makes progress. A silent thread is *stuck*
//! after a second (a metric, a line in the log, not ready) and *unhealthy* after ten. After
//! `give_up` the process ends itself, with exit code 70 and a last line, so that its supervisor
//! restarts it: compose and systemd restart a process that ended, and check no endpoint.
//!
//! Runs: a thread of its own, which takes no lock for longer than a look and writes to nothing that
//!       could block; lines of
//! the log are written by a second one, since what is stuck may be the log's own reader.
//! `docs/decisions/0020-watchdog.md`.

mod core;
mod threads;

use std::io;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::time::Instant;
use tracing::{error, info, warn};

use self::core::{Change, Patience, STUCK_AFTER, Sign, TICK, UNHEALTHY_AFTER};
use self::threads::Seen;

/// `sysexits.h`, `EX_SOFTWARE`: the program's own fault.
pub const EXIT_STUCK: i32 = 70;

/// Lines that wait for the log. Full, because its reader has stopped: further ones are lost, but
/// not the metric and `/healthz`.
const LINES: usize = 16;
/// How long the process waits for its last line to be written before it ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Parses the option `--exit-when-stuck`: seconds, or `None` for 0. In less than ten seconds a
/// thread may only be slow.
///
/// # Errors
/// The problem, without the option's name.
pub fn give_up(given: &str) -> Result<Option<Duration>, String> {
    let seconds =
        given.trim().parse().ok().filter(|seconds| *seconds == 0 || (10..=3_600).contains(seconds));
    let seconds: u64 =
        seconds.ok_or_else(|| format!("`{given}` is not 0 or a number from 10 to 3600"))?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

/// The recipients of the measurements.
#[derive(Clone, Copy)]
pub struct Report {
    /// A thread of this kind has answered after this long.
    pub delay: fn(&'static str, Duration),
    /// The thread of this name is stuck, or has recovered.
    pub stuck: fn(&str, bool),
    /// Called at each look, four times a second, on the watchdog's thread.
    pub tick: fn(),
}

/// A thread that has been silent for a second or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Its name.
    pub thread: String,
    /// How long, in the watchdog's ticks.
    pub silent: Duration,
}

impl Stuck {
    /// Whether it is not expected to recover.
    #[must_use]
    pub fn is_unhealthy(&self) -> bool {
        self.silent >= UNHEALTHY_AFTER
    }
}

/// The watchdog. Its thread ends when the last clone is dropped.
#[derive(Clone)]
pub struct Watchdog {
    shared: Arc<Shared>,
}

struct Shared {
    watched: Mutex<Vec<Watched>>,
    report: Report,
    thread: OnceLock<JoinHandle<()>>,
    /// Dropped with the last clone, which stops the thread.
    _end: Sender<()>,
}

struct Watched {
    name: String,
    pulse: Pulse,
    patience: Patience,
}

/// How a thread's progress is checked.
enum Pulse {
    Question(Question),
    Worker(Worker),
}

/// A task for a thread, which answers by running it.
pub struct Probe {
    number: u64,
    asked: Instant,
    kind: &'static str,
    delay: fn(&'static str, Duration),
    answer: Arc<Answer>,
}

#[derive(Default)]
struct Answer {
    /// The number of the last probe that was answered.
    number: AtomicU64,
    /// The thread that answered it; 0: none yet.
    thread: AtomicI32,
}

impl Probe {
    /// Call on the thread that was asked.
    pub fn answer(self) {
        (self.delay)(self.kind, self.asked.elapsed());
        self.answer.thread.store(threads::current(), Ordering::Relaxed);
        self.answer.number.store(self.number, Ordering::Release);
    }
}

struct Question {
    kind: &'static str,
    ask: Box<dyn Fn(Probe) + Send>,
    /// The number of the last probe.
    asked: u64,
    answer: Arc<Answer>,
    /// The thread's state at the last check, while it does not answer.
    seen: Option<Seen>,
}

impl Question {
    fn look(&mut self, delay: fn(&'static str, Duration)) -> Sign {
        if self.answer.number.load(Ordering::Acquire) < self.asked {
            return Sign::Silent(self.own_doing());
        }
        self.asked += 1;
        self.seen = None;
        let (kind, answer) = (self.kind, Arc::clone(&self.answer));
        (self.ask)(Probe { number: self.asked, asked: Instant::now(), kind, delay, answer });
        Sign::Alive
    }

    /// How much of the last tick counts. A runnable thread that gets no CPU is on a busy machine,
    /// which is not its fault: then only the time counts in which it ran. So a thread that spins
    /// for ever is found on a busy machine too.
    fn own_doing(&mut self) -> Duration {
        let thread = self.answer.thread.load(Ordering::Relaxed);
        let now = if thread == 0 { None } else { threads::look(thread) };
        let before = std::mem::replace(&mut self.seen, now);
        match (before, now) {
            (Some(before), Some(now)) if now.runnable => now.cpu.saturating_sub(before.cpu),
            _ => TICK,
        }
    }
}

/// One thread of a runtime that has several. The runtime counts when a thread parks and unparks,
/// and publishes both at once; and how long it was busy, whenever it has parked or run 61 tasks
/// (tokio's `event_interval`). A thread that is not parked, and has done neither since the last
/// check, is in one of those tasks.
struct Worker {
    metrics: RuntimeMetrics,
    index: usize,
    last: (u64, Duration),
}

impl Worker {
    fn look(&mut self) -> Sign {
        let parked_or_not = self.metrics.worker_park_unpark_count(self.index);
        let now = (parked_or_not, self.metrics.worker_total_busy_duration(self.index));
        let before = std::mem::replace(&mut self.last, now);
        // Odd: it is parked.
        if now != before || parked_or_not % 2 == 1 { Sign::Alive } else { Sign::Silent(TICK) }
    }
}

impl Watchdog {
    /// Starts a watchdog without threads to watch. After `give_up` of one thread's silence the
    /// process ends; with `None` it never does.
    ///
    /// # Errors
    /// The system refused a thread.
    pub fn start(report: Report, give_up: Option<Duration>) -> io::Result<Self> {
        let (end, ended) = channel();
        let shared = Arc::new(Shared {
            watched: Mutex::default(),
            report,
            thread: OnceLock::new(),
            _end: end,
        });
        let (lines, entries) = sync_channel(LINES);
        // Ends when the watchdog's own thread has.
        Builder::new()
            .name("watchdog-log".into())
            .spawn(move || entries.iter().for_each(LogEntry::write))?;
        let watching = Watching { shared: Arc::downgrade(&shared), lines, give_up };
        let thread = Builder::new().name("watchdog".into()).spawn(move || watching.run(&ended))?;
        shared.thread.set(thread).expect("it is new");
        Ok(Self { shared })
    }

    /// Watches a thread that `ask` can give a task to. `name` is for people; `kind` is the same for
    /// all threads that do this work.
    pub fn watch(
        &self,
        name: impl Into<String>,
        kind: &'static str,
        ask: impl Fn(Probe) + Send + 'static,
    ) {
        let question =
            Question { kind, ask: Box::new(ask), asked: 0, answer: Arc::default(), seen: None };
        self.add(name.into(), Pulse::Question(question));
    }

    /// Watches a tokio runtime, or the thread of one that has one.
    pub fn watch_runtime(&self, name: impl Into<String>, kind: &'static str, runtime: Handle) {
        self.watch(name, kind, move |probe| drop(runtime.spawn(async { probe.answer() })));
    }

    /// Watches each thread of a runtime that has several, as `name-0` and so on.
    pub fn watch_workers(&self, name: &str, runtime: &Handle) {
        let metrics = runtime.metrics();
        for index in 0..metrics.num_workers() {
            let worker = Worker { metrics: metrics.clone(), index, last: Default::default() };
            self.add(format!("{name}-{index}"), Pulse::Worker(worker));
        }
    }

    /// Stops watching, because the threads are being ended.
    pub fn rest(&self) {
        self.shared.watched.lock().clear();
    }

    /// The stuck threads, in the order in which they were added. A watchdog that has ended knows
    /// nothing of the others, and counts as stuck itself.
    #[must_use]
    pub fn stuck(&self) -> Vec<Stuck> {
        if self.shared.thread.get().is_some_and(JoinHandle::is_finished) {
            return vec![Stuck { thread: "watchdog".to_owned(), silent: Duration::MAX }];
        }
        let watched = self.shared.watched.lock();
        let stuck = watched.iter().filter(|watched| watched.patience.silent() >= STUCK_AFTER);
        stuck
            .map(|watched| Stuck {
                thread: watched.name.clone(),
                silent: watched.patience.silent(),
            })
            .collect()
    }

    fn add(&self, name: String, pulse: Pulse) {
        (self.shared.report.stuck)(&name, false);
        self.shared.watched.lock().push(Watched { name, pulse, patience: Patience::default() });
    }
}

impl Shared {
    /// Checks all threads, and returns the changes.
    fn tick(&self) -> Vec<(String, Change)> {
        let mut changes = Vec::new();
        for Watched { name, pulse, patience } in self.watched.lock().iter_mut() {
            let sign = match pulse {
                Pulse::Question(question) => question.look(self.report.delay),
                Pulse::Worker(worker) => worker.look(),
            };
            changes.extend(patience.tick(sign).map(|change| (name.clone(), change)));
        }
        changes
    }
}

/// The state of the watchdog's thread.
struct Watching {
    shared: Weak<Shared>,
    lines: SyncSender<LogEntry>,
    give_up: Option<Duration>,
}

impl Watching {
    fn run(&self, ended: &Receiver<()>) {
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            let Some(shared) = self.shared.upgrade() else { return };
            (shared.report.tick)();
            for (thread, change) in shared.tick() {
                (shared.report.stuck)(&thread, !matches!(change, Change::Recovered(_)));
                // Full: the log itself is stuck.
                self.lines.try_send(LogEntry::Change(thread, change)).ok();
            }
            let silent = |watched: &Watched| {
                self.give_up.is_some_and(|limit| watched.patience.silent() >= limit)
            };
            let hopeless = shared
                .watched
                .lock()
                .iter()
                .find(|watched| silent(watched))
                .map(|watched| watched.name.clone());
            if let Some(thread) = hopeless {
                self.end_process(thread);
            }
        }
    }

    #[expect(
        unsafe_code,
        reason = "the standard library ends a process only by its exit handlers, or by a signal"
    )]
    fn end_process(&self, thread: String) -> ! {
        let (written, wait) = sync_channel(1);
        let after = self.give_up.unwrap_or_default();
        if self.lines.try_send(LogEntry::GivingUp { thread, after, written }).is_ok() {
            // Timed out: nothing reads the log.
            wait.recv_timeout(LAST_WORDS).ok();
        }
        // SAFETY: it takes no pointer and does not return. No exit handler runs: one of them could
        // wait for the thread that is stuck.
        unsafe { libc::_exit(EXIT_STUCK) }
    }
}

/// For the log.
enum LogEntry {
    Change(String, Change),
    GivingUp { thread: String, after: Duration, written: SyncSender<()> },
}

impl LogEntry {
    fn write(self) {
        match self {
            Self::Change(thread, Change::Stuck) => {
                warn!(thread, "stuck: no sign of life of this thread for a second")
            }
            Self::Change(thread, Change::Unhealthy) => {
                error!(thread, after = ?UNHEALTHY_AFTER, "still stuck: this process is not healthy");
            }
            Self::Change(thread, Change::Recovered(after)) => {
                info!(thread, ?after, "no longer stuck")
            }
            Self::GivingUp { thread, after, written } => {
                error!(
                    thread,
                    ?after,
                    "still stuck: this process ends itself, to be started again"
                );
                // An error is a watchdog that has not waited.
                written.send(()).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests;
