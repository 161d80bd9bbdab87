//! One model for the frames of many sessions.
//!
//! A GPU works on eight pictures almost as fast as on one. [`Batched`] collects the calls of many
//! sessions' handlers and makes one call of them.

mod core;
mod item;
mod model;
mod service;
#[cfg(test)]
mod simulation;
mod think;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use self::core::{Core, Settings};
use self::item::{Item, Outcome, PendingResult};
use self::model::Verdict;
use crate::calls::{aside, limit_since};
use crate::error::{HandlerError, Superseded};
use crate::message::{HANDLER_SPAN, micros};
use crate::newest::Waiting;
use crate::session::Session;

/// The largest batches, and the number of models.
const MOST: usize = 256;

/// What `max_wait` may be.
const WAITS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(1);

/// How often the log has that a model is still being made.
const SETUP_TOLD: Duration = Duration::from_secs(60);

/// How often a call that waits looks whether its session is over.
const LOOK: Duration = Duration::from_millis(100);

/// A model that works on the items of several sessions at once. Clones are the same model.
///
/// A handler calls it as if it were alone ([`call`](Self::call)); the calls that wait become one
/// batch. When the model is free it begins with what waits. It waits for more, for `max_wait` at
/// most, only where sessions are due to call that it has served before, and where that pays by what
/// its batches have taken so far: a session on its own never waits.
///
/// With [`skip_frames`](crate::VideoStreamHandler::skip_frames) a newer frame takes the place of
/// one whose call still waits: `call` then fails with [`CallError::Superseded`], the handler
/// returns that with `?`, and is given the newer frame. So a model works on what a camera has seen
/// last, however long the batches take. [`newest(false)`](BatchedBuilder::newest) turns that off,
/// for handlers that must see each frame that they begin with to its end.
///
/// The model lives on a thread of its own, which makes it, calls it and drops it: some are bound to
/// the thread that made them. It is made at the first call, or by [`start`](Self::start).
///
/// ```
/// use reframe_worker::{Batched, Frame, HandlerError, VideoStreamHandler};
///
/// struct Model {/* weights */}
///
/// let brightness = Batched::builder(
///     |_replica| Ok(Model {}),
///     |_model: &mut Model, frames: &[Frame]| {
///         let mean = |frame: &Frame| {
///             let sum: u64 = frame.data().iter().map(|byte| u64::from(*byte)).sum();
///             Ok(sum / frame.data().len() as u64)
///         };
///         Ok(frames.iter().map(mean).collect())
///     },
/// )
/// .max_batch(8)
/// .build();
///
/// VideoStreamHandler::new(move |frame: Frame| -> Result<Frame, HandlerError> {
///     let mean: u64 = brightness.call(frame.clone())?;
///     Ok(if mean < 64 { frame.flip_vertical() } else { frame })
/// })
/// .skip_frames(true);
/// ```
///
/// # Faults
///
/// The model gives each item a result of its own: an error costs that item. If a call fails as a
/// whole, or panics, each of its items is tried once by itself, and one that fails by itself is
/// called by itself until it succeeds: an item that the model cannot take costs its own session
/// only. A model that has worked, and then fails five times in a row for everybody, two sessions at
/// least, makes the worker say that it does not serve, and end: its sessions move to others.
pub struct Batched<I, O>(Arc<Handle<I, O>>);

/// The last handle ends the model's threads.
struct Handle<I, O>(Arc<Shared<I, O>>);

/// What the handles and the model's threads share.
struct Shared<I, O> {
    state: Mutex<State<I, O>>,
    /// For the model's threads: an item has come, or the end.
    changed: Condvar,
    model: Box<dyn Model<I, O>>,
    settings: Settings,
    newest: bool,
}

struct State<I, O> {
    core: Core<Item<I, O>>,
    phase: Phase,
    /// Threads whose model is made.
    ready: usize,
    /// When the log last had that the model is being made; at first, when that began.
    told: Option<Instant>,
    verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// No thread yet.
    New,
    Running,
    /// The handles are gone.
    Ended,
    /// The model could not be made, or fails for everybody: why.
    Broken(String),
}

/// The author's model, without its type: what each of its threads runs.
trait Model<I, O>: Send + Sync {
    /// Makes the model of one replica, and calls `serve` with a function that calls it.
    fn run(&self, replica: usize, serve: &mut Serve<'_, I, O>) -> Result<(), HandlerError>;

    /// Runs a thread of the model's in what the author wants around it.
    fn wrap(&self, body: Box<dyn FnOnce() + Send>);

    fn set_wrapper(&mut self, wrapper: model::Wrapper);
}

/// What is done with a model that is made: it is given the function that calls it.
type Serve<'a, I, O> = dyn FnMut(&mut dyn FnMut(&[I]) -> Results<O>) + 'a;

/// What a model makes of a batch: a result for each item, or an error of the whole call.
type Results<O> = Result<Vec<Result<O, HandlerError>>, HandlerError>;

/// Why a [`Batched::call`] has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// A newer frame came first: not a failure. Pass it on with `?`.
    Superseded,
    /// The model failed on this item.
    Failed(HandlerError),
    /// The session is over.
    Closed,
    /// It was called by a thread that works for no session: by the model itself, by a thread of the
    /// author's own, or before there are sessions.
    NoSession,
    /// It was called twice at once for one session.
    Twice,
    /// The model could not be made, or fails for everybody.
    Broken(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superseded => Superseded.fmt(f),
            Self::Failed(error) => f.write_str(error.message()),
            Self::Closed => f.write_str("the session is over"),
            Self::NoSession => f.write_str(
                "a batched model is called in a stream's handler, on the session's own thread",
            ),
            Self::Twice => f.write_str("the session's last call of this model has not returned"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Superseded => Some(&Superseded),
            Self::Failed(error) => error.source().map(|source| source as _),
            _ => None,
        }
    }
}

/// Why there is no [`Batched`]: a setting is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BatchedError(String);

/// The settings of a [`Batched`] under way.
#[must_use]
pub struct BatchedBuilder<I, O> {
    model: Box<dyn Model<I, O>>,
    settings: Settings,
    newest: bool,
}

impl<I: Send + 'static, O: Send + 'static> Batched<I, O> {
    /// A model that `setup` makes, on the model's own thread, and `model` calls. `setup` is given
    /// the number of its replica, from 0.
    ///
    /// `model` returns a result for each item, in their order, or the error of the whole call.
    pub fn builder<M, S, F>(setup: S, model: F) -> BatchedBuilder<I, O>
    where
        M: 'static,
        S: Fn(usize) -> Result<M, HandlerError> + Send + Sync + 'static,
        F: Fn(&mut M, &[I]) -> Results<O> + Send + Sync + 'static,
    {
        let model = Box::new(model::Author { setup, model, wrapper: None });
        let max_wait = Duration::from_millis(4);
        let settings = Settings { max_batch: 8, max_wait, replicas: 1 };
        BatchedBuilder { model, settings, newest: true }
    }

    /// Has the model work on `item`, and waits for what it makes of it. Call it in a handler, on
    /// the session's thread; where the stream's calls are
    /// [`serialized`](crate::VideoStreamHandler::serialized), others have their turn meanwhile.
    ///
    /// # Errors
    ///
    /// There is no result, for one of the reasons of [`CallError`].
    pub fn call(&self, item: I) -> Result<O, CallError> {
        let session =
            Session::current().filter(|_| !model::is_here()).ok_or(CallError::NoSession)?;
        if session.is_closed() {
            return Err(CallError::Closed);
        }
        self.begin();
        let shared = &self.0.0;
        let key = session.key();
        let first = session.begin_batch();
        let pending = Arc::new(PendingResult::new());
        {
            let mut state = shared.state.lock();
            if let Phase::Broken(why) = &state.phase {
                let why = why.clone();
                drop(state);
                session.health().broken(why.clone());
                return Err(CallError::Broken(why));
            }
            let item = Item { item, pending: Arc::clone(&pending), session: session.clone() };
            let entered = state.core.enter(Instant::now(), key, item);
            drop(state);
            // The drop of an item that was refused is the author's code: not under the lock.
            entered.map_err(|_| CallError::Twice)?;
            shared.changed.notify_all();
        }
        // Only a frame that no model has begun with yet may make way.
        let makes_way = shared.newest && first && session.newest().turn_on();
        if makes_way {
            let waiting = Call { shared: Arc::clone(shared), pending: Arc::clone(&pending), key };
            session.newest().tell(Some(Arc::new(waiting)));
        }
        let leaves = || {
            let leaves = session.is_closed();
            // The limit of a call is for the model's work: not for its making, which may take
            // minutes, and not for the wait until it is free.
            limit_since(pending.began(), true);
            shared.tell_of_setup();
            // The item is dropped without the lock: that is the author's code.
            let item = leaves.then(|| shared.state.lock().core.gone(key));
            drop(item);
            leaves
        };
        let span = traced();
        limit_since(None, true);
        let outcome = span.in_scope(|| aside(|| pending.wait(LOOK, leaves)));
        limit_since(Some(Instant::now()), false);
        if makes_way {
            session.newest().tell(None);
        }
        match outcome {
            Some(Outcome::Done { result, used }) => {
                span.record("size", used.size);
                span.record("wait_us", micros(used.waited));
                span.record("model_us", micros(used.model));
                session.add_batch(|batch| used.add_to(batch));
                result.map_err(CallError::Failed)
            }
            Some(Outcome::Superseded { item, waited }) => {
                session.add_batch(|batch| batch.wait += waited);
                drop(item);
                Err(CallError::Superseded)
            }
            Some(Outcome::Broken(why)) => {
                session.health().broken(why.clone());
                Err(CallError::Broken(why))
            }
            None => Err(CallError::Closed),
        }
    }

    /// Makes the model, and waits until it is there: before `serve`, so that no session waits for
    /// it. A worker that listens already has its model.
    ///
    /// # Errors
    ///
    /// The model could not be made: [`CallError::Broken`].
    pub fn start(&self) -> Result<(), CallError> {
        self.start_within(Duration::MAX).map(drop)
    }

    /// As [`start`](Self::start), but waits for `wait` at most: for callers that look for a Ctrl-C
    /// in between. Whether the model is there; if not, it is still being made.
    ///
    /// # Errors
    ///
    /// As those of [`start`](Self::start).
    pub fn start_within(&self, wait: Duration) -> Result<bool, CallError> {
        self.begin();
        let shared = &self.0.0;
        let replicas = shared.settings.replicas;
        let mut state = shared.state.lock();
        let is_made = |state: &mut State<I, O>| {
            matches!(state.phase, Phase::Broken(_)) || state.ready >= replicas
        };
        shared.changed.wait_while_for(&mut state, |state| !is_made(state), wait);
        match &state.phase {
            Phase::Broken(why) => Err(CallError::Broken(why.clone())),
            _ => Ok(state.ready >= replicas),
        }
    }

    /// Starts the model's threads, once.
    fn begin(&self) {
        let shared = &self.0.0;
        let mut state = shared.state.lock();
        if state.phase != Phase::New {
            return;
        }
        state.phase = Phase::Running;
        state.told = Some(Instant::now());
        drop(state);
        for replica in 0..shared.settings.replicas {
            model::spawn(Arc::clone(shared), replica);
        }
    }
}

/// The span of a call, if its frame is one of the few that are traced: it is a child of the
/// handler's.
fn traced() -> Span {
    let of_frame = Span::current().metadata().is_some_and(|span| span.name() == HANDLER_SPAN);
    if !of_frame {
        return Span::none();
    }
    tracing::info_span!("batch", size = Empty, wait_us = Empty, model_us = Empty)
}

/// The sessions of the items that the model works on, in their order; on another thread than a
/// model's: none.
#[must_use]
pub fn batch_sessions() -> Vec<Session> {
    model::sessions()
}

impl<I, O> Clone for Batched<I, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I, O> fmt::Debug for Batched<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Batched").field(&self.0.0.settings).finish()
    }
}

impl<I, O> Drop for Handle<I, O> {
    fn drop(&mut self) {
        self.0.state.lock().phase = Phase::Ended;
        self.0.changed.notify_all();
    }
}

/// A call that waits, for the session's newest frame.
struct Call<I, O> {
    shared: Arc<Shared<I, O>>,
    pending: Arc<PendingResult<I, O>>,
    key: u64,
}

impl<I: Send, O: Send> Waiting for Call<I, O> {
    fn newer(&self) {
        let mut state = self.shared.state.lock();
        // The call may have returned since, and the session's next one may wait.
        let waits =
            state.core.item(self.key).is_some_and(|item| Arc::ptr_eq(&item.pending, &self.pending));
        let item = waits.then(|| state.core.supersede(Instant::now(), self.key)).flatten();
        drop(state);
        if let Some(Item { item, .. }) = item {
            // Its drop is the author's code: it goes to the session's thread.
            self.pending.supersede(item);
        }
    }
}

impl<I, O> Shared<I, O> {
    /// Says from time to time that the model is still being made.
    fn tell_of_setup(&self) {
        let mut state = self.state.lock();
        let now = Instant::now();
        let late = state.told.is_some_and(|told| now - told >= SETUP_TOLD);
        if state.ready == 0 && late {
            state.told = Some(now);
            tracing::warn!("sessions wait for a model that is still being made");
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> BatchedBuilder<I, O> {
    /// The largest batch, 1 to 256; 8 unless set.
    pub fn max_batch(mut self, items: usize) -> Self {
        self.settings.max_batch = items;
        self
    }

    /// How long the model waits at most for sessions that are due, from when it is free; up to a
    /// second, 4 ms unless set.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.settings.max_wait = wait;
        self
    }

    /// Models, each on its own thread: one for each device; 1 to 256, 1 unless set.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.settings.replicas = replicas;
        self
    }

    /// Whether a newer frame takes the place of one whose call waits, where the stream skips
    /// frames; it does unless set.
    pub fn newest(mut self, newest: bool) -> Self {
        self.newest = newest;
        self
    }

    /// A function around the whole life of each of the model's threads, as
    /// [`StreamBuilder::thread_wrapper`](crate::StreamBuilder::thread_wrapper) for a session's.
    pub fn thread_wrapper(
        mut self,
        wrapper: impl Fn(Box<dyn FnOnce() + Send>) + Send + Sync + 'static,
    ) -> Self {
        self.model.set_wrapper(Box::new(wrapper));
        self
    }

    /// The model.
    ///
    /// # Errors
    ///
    /// A setting is out of its range; the error names it.
    pub fn try_build(self) -> Result<Batched<I, O>, BatchedError> {
        let Self { model, settings, newest } = self;
        let Settings { max_batch, max_wait, replicas } = settings;
        let refuse = |text: String| Err(BatchedError(text));
        for (setting, value) in [("max_batch", max_batch), ("replicas", replicas)] {
            if !(1..=MOST).contains(&value) {
                return refuse(format!("{setting} must be from 1 to {MOST}, not {value}"));
            }
        }
        if !WAITS.contains(&max_wait) {
            let most = WAITS.end();
            return refuse(format!("max_wait must be at most {most:?}, not {max_wait:?}"));
        }
        let state = State {
            core: Core::new(settings),
            phase: Phase::New,
            ready: 0,
            told: None,
            verdict: Verdict::default(),
        };
        let shared =
            Shared { state: Mutex::new(state), changed: Condvar::new(), model, settings, newest };
        Ok(Batched(Arc::new(Handle(Arc::new(shared)))))
    }

    /// As [`try_build`](Self::try_build), for settings that are the same in each run of the
    /// program.
    ///
    /// # Panics
    ///
    /// When a setting is wrong.
    #[must_use]
    pub fn build(self) -> Batched<I, O> {
        self.try_build().unwrap_or_else(|error| panic!("{error}"))
    }
}

#[cfg(test)]
mod tests;
