//! The threads that actors and codecs run on, and how busy the latter are.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{Arbiter, ArbiterHandle};
use tokio::time::Instant;
use tracing::error;

use crate::load::{Load, Place};
use crate::telemetry;

/// All of a gateway's arbiters. Each is one OS thread.
pub(crate) struct Arbiters {
    /// Sessions and links: many small messages, nothing that takes long.
    pub(crate) session: ArbiterHandle,
    /// Pacers: timers that must be on time.
    pub(crate) pacer: ArbiterHandle,
    /// Decoders and encoders, nothing else; a session keeps the one it got.
    codecs: Vec<CodecThread>,
    load: Mutex<Load>,
}

#[derive(Clone)]
struct CodecThread {
    arbiter: ArbiterHandle,
    /// Nanoseconds spent within tasks, by the clock on the wall: those in which another thread had the core count too.
    worked: Arc<AtomicU64>,
}

/// A session's place on a codec arbiter.
#[derive(Clone)]
pub(crate) struct CodecArbiter {
    thread: CodecThread,
    _place: Arc<Place>,
}

impl Arbiters {
    /// Starts `codecs` codec threads, at least one, and one each of the others. Call inside the actix system.
    /// Above `max_load`, a share, [`Arbiters::codec`] refuses.
    pub(crate) fn start(codecs: usize, max_load: f64) -> Self {
        let codec = |_| CodecThread { arbiter: Arbiter::new().handle(), worked: Arc::default() };
        let codecs: Vec<_> = (0..codecs).map(codec).collect();
        let load = Mutex::new(Load::new(Instant::now(), codecs.len(), max_load));
        Self { session: Arbiter::new().handle(), pacer: Arbiter::new().handle(), codecs, load }
    }

    /// A place on the codec arbiter that is least busy.
    ///
    /// # Errors
    /// What the load would be with it, where that is above the limit.
    pub(crate) fn codec(&self) -> Result<CodecArbiter, f64> {
        let place = self.load().take(Instant::now())?;
        Ok(CodecArbiter { thread: self.codecs[place.thread].clone(), _place: place })
    }

    /// To be called each [`crate::load::LOOK_INTERVAL`].
    pub(crate) fn look(&self) {
        let worked = |thread: &CodecThread| Duration::from_nanos(thread.worked.load(Ordering::Relaxed));
        let worked = self.codecs.iter().map(worked).collect();
        telemetry::load(self.load().look(Instant::now(), worked));
    }

    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CodecArbiter {
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
