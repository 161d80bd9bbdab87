//! The threads that actors and codecs run on, and how busy the latter are.

use std::ffi::CString;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Arbiter, ArbiterHandle};
use parking_lot::Mutex;
use reframe_trace::watchdog::Watchdog;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::telemetry;
use crate::threads::governor::Governor;
use crate::threads::load::Place;
use crate::threads::relief::Work;
use crate::threads::schedule::CodecSchedule;
use crate::threads::slices;

/// All of a gateway's arbiters. Each is one OS thread.
pub(crate) struct Arbiters {
    /// Sessions and links: many small messages, nothing that takes long.
    pub(crate) session: ArbiterHandle,
    /// Pacers: timers that must be on time.
    pub(crate) pacer: ArbiterHandle,
    /// Decoders and encoders, nothing else; a session keeps the one it got.
    codecs: Vec<CodecThread>,
    /// Locked briefly, and by the gateway actor only: no frame waits for it.
    governor: Mutex<Governor>,
}

#[derive(Clone)]
struct CodecThread {
    arbiter: ArbiterHandle,
    /// Nanoseconds spent within tasks, in wall-clock time: time in which another thread had the
    /// core counts too.
    worked: Arc<AtomicU64>,
    schedule: Arc<CodecSchedule>,
}

impl CodecThread {
    fn work(&self) -> Work {
        self.schedule.work(Duration::from_nanos(self.worked.load(Ordering::Relaxed)))
    }
}

/// A session's place on a codec arbiter.
#[derive(Clone)]
pub(crate) struct CodecArbiter {
    thread: CodecThread,
    _place: Arc<Place>,
}

impl Arbiters {
    /// Starts `codecs` codec threads (at least one), and one each of the others. Call inside the
    /// actix system. [`Arbiters::codec`] refuses above `max_load`, a share.
    pub(crate) fn start(codecs: usize, max_load: f64) -> Self {
        let codec = |number| {
            let arbiter = named(&codec_name(number));
            CodecThread { arbiter, worked: Arc::default(), schedule: Arc::default() }
        };
        let codecs: Vec<_> = (0..codecs).map(codec).collect();
        let governor = Mutex::new(Governor::new(Instant::now(), codecs.len(), max_load));
        let pacer = named("pacer");
        if !pacer.spawn_fn(slices::short) {
            error!("the pacers' thread is gone");
        }
        Self { session: named("session"), pacer, codecs, governor }
    }

    /// Makes the watchdog watch all of them.
    pub(crate) fn watch(&self, watchdog: &Watchdog) {
        let watch = |name: String, kind, arbiter: ArbiterHandle| {
            // False: the thread is gone, and the watchdog notices its silence.
            watchdog.watch(name, kind, move |probe| {
                arbiter.spawn_fn(|| probe.answer());
            });
        };
        watch("session".to_owned(), "session", self.session.clone());
        watch("pacer".to_owned(), "pacer", self.pacer.clone());
        for (number, codec) in self.codecs.iter().enumerate() {
            watch(codec_name(number), "codec", codec.arbiter.clone());
        }
    }

    /// A place on the least busy codec arbiter. `encrypted` means that DTLS has shown that the
    /// browser is there.
    ///
    /// # Errors
    /// The load with this session, if that is above the limit.
    pub(crate) fn codec(&self, encrypted: bool) -> Result<CodecArbiter, f64> {
        let place = self.governor.lock().admit(Instant::now(), encrypted)?;
        Ok(CodecArbiter { thread: self.codecs[place.thread].clone(), _place: place })
    }

    /// Call it every [`crate::threads::load::LOOK_INTERVAL`].
    pub(crate) fn look(&self) {
        let now = Instant::now();
        let work: Vec<_> = self.codecs.iter().map(CodecThread::work).collect();
        let mut governor = self.governor.lock();
        telemetry::load(governor.look(now, &work));
        let mut most = 0;
        for (number, thread) in self.codecs.iter().enumerate() {
            let level = governor.relief_level(number);
            let before = thread.schedule.relieve(level);
            if before.is_none() && !level.is_none() {
                warn!(
                    thread = number,
                    "more to code than time: its browsers are asked for less, and get less"
                );
            } else if !before.is_none() && level.is_none() {
                info!(thread = number, "streams get whole pictures again");
            }
            most = most.max(level.asked + level.rungs);
        }
        telemetry::relief(most);
    }
}

fn codec_name(number: usize) -> String {
    format!("codec-{number}")
}

/// An arbiter whose thread has this name in the system too (`top -H`). Actix gives all of its
/// threads the same name.
fn named(name: &str) -> ArbiterHandle {
    let (arbiter, name) =
        (Arbiter::new().handle(), CString::new(name).expect("there is no 0 in it"));
    // If this fails, the thread keeps the name that it has.
    arbiter.spawn_fn(move || {
        rustix::thread::set_name(&name).ok();
    });
    arbiter
}

impl CodecArbiter {
    /// Decides what runs next on this thread.
    pub(crate) fn schedule(&self) -> Arc<CodecSchedule> {
        Arc::clone(&self.thread.schedule)
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let (mut task, worked) = (Box::pin(task), Arc::clone(&self.thread.worked));
        let metered = poll_fn(move |cx| {
            let started = Instant::now();
            let polled = task.as_mut().poll(cx);
            let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            worked.fetch_add(nanos, Ordering::Relaxed);
            polled
        });
        if !self.thread.arbiter.spawn(metered) {
            error!("a codec thread is gone");
        }
    }
}
