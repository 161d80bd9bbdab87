//! What a handler knows of the session it works for, and can say to it.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tonic::Status;

use crate::error::HandlerError;
use crate::health::Health;
use crate::inputs::Inputs;
use crate::message::{BatchUse, REPLIES, Reply, Severity};
use crate::newest::Newest;

thread_local! {
    static CURRENT: RefCell<Option<Session>> = const { RefCell::new(None) };
}

/// One browser's use of the stream, as its handler sees it. Clones are the same session, and any
/// thread may use them.
#[derive(Clone)]
pub struct Session(Arc<Shared>);

struct Shared {
    id: String,
    /// The sender is the service's and lives as long as the call: that it is gone says that the
    /// session is closed.
    inputs: watch::Receiver<Inputs>,
    /// Weak, because the end of the replies is the end of the call, and the author may keep a
    /// session for ever.
    replies: mpsc::WeakSender<Result<Reply, Status>>,
    /// Notices that found no room.
    dropped: AtomicU64,
    /// The worker's.
    health: Health,
    newest: Newest,
    /// What the frame that the handler works on has used.
    batch: Mutex<Option<BatchUse>>,
    /// No other session of this process has it.
    key: u64,
}

/// The stack of a thread that runs the author's code: as much as a program's main thread has on
/// Linux, and what interpreters and numeric libraries count on. Only what is used of it takes
/// memory.
pub(crate) const STACK_BYTES: usize = 8 << 20;

/// The last [`Shared::key`].
static LAST_KEY: AtomicU64 = AtomicU64::new(0);

impl Session {
    /// Of a stream that skips frames or not, at a worker with this health.
    pub(crate) fn new(
        id: String,
        inputs: watch::Receiver<Inputs>,
        replies: &mpsc::Sender<Result<Reply, Status>>,
        skips: bool,
        health: Health,
    ) -> Self {
        Self(Arc::new(Shared {
            id,
            inputs,
            replies: replies.downgrade(),
            dropped: AtomicU64::new(0),
            health,
            newest: Newest::new(skips),
            batch: Mutex::default(),
            key: LAST_KEY.fetch_add(1, Ordering::Relaxed),
        }))
    }

    /// A session that no gateway asked for, of a stream that skips frames. It is over when the
    /// sender is dropped.
    #[cfg(test)]
    pub(crate) fn alone(id: &str) -> (watch::Sender<Inputs>, Self) {
        let (inputs, watched) = watch::channel(Inputs::default());
        let session = Self::new(id.to_owned(), watched, &mpsc::channel(1).0, true, Health::new());
        (inputs, session)
    }

    /// As [`alone`](Self::alone), and over.
    #[cfg(test)]
    pub(crate) fn of_nobody(id: &str) -> Self {
        Self::alone(id).1
    }

    /// The session that this thread works for: `Some` on the thread that a handler or generator is
    /// called on, `None` on all others.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// From now on this thread works for this session.
    pub(crate) fn set_current(&self) {
        CURRENT.set(Some(self.clone()));
    }

    /// The gateway's id of the session, for logs.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What the client has set, as of now.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        self.0.inputs.borrow().clone()
    }

    /// Whether the session is over: its browser has left, the gateway is gone, or this worker shuts
    /// down. What the handler makes after that is thrown away.
    ///
    /// It says so at once, also during a call of the handler; so one that works or waits for long
    /// in a call looks here from time to time and returns. Until it does, its slot is taken.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.inputs.has_changed().is_err()
    }

    /// Shows a message to the person in front of the browser.
    ///
    /// Never waits: when the transport is behind, the message is dropped and counted in the
    /// session's log. It is cut at [`HandlerError::MAX_BYTES`].
    pub fn log(&self, message: impl fmt::Display) {
        self.notify(Severity::Log, message);
    }

    /// Shows a warning; else as [`log`](Self::log).
    pub fn warning(&self, message: impl fmt::Display) {
        self.notify(Severity::Warning, message);
    }

    /// Shows an error, without failing a frame; else as [`log`](Self::log).
    pub fn error(&self, message: impl fmt::Display) {
        self.notify(Severity::Error, message);
    }

    fn notify(&self, level: Severity, message: impl fmt::Display) {
        let Some(replies) = self.0.replies.upgrade() else { return };
        let message = HandlerError::new(message.to_string()).into_message();
        // Results keep their room, so that a chatty handler does not wait for its own chatter.
        if replies.capacity() <= REPLIES
            || replies.try_send(Ok(Reply::Notice { level, message })).is_err()
        {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Where its newest frame waits.
    pub(crate) fn newest(&self) -> &Newest {
        &self.0.newest
    }

    /// That of its worker.
    pub(crate) fn health(&self) -> &Health {
        &self.0.health
    }

    /// A number that no other session of this process has.
    pub(crate) fn key(&self) -> u64 {
        self.0.key
    }

    /// The frame that the handler works on calls a model that works on batches; whether it is the
    /// first call.
    pub(crate) fn begin_batch(&self) -> bool {
        let mut batch = self.0.batch.lock();
        let first = batch.is_none();
        batch.get_or_insert_default();
        first
    }

    /// What a model did for that frame.
    pub(crate) fn add_batch(&self, add: impl FnOnce(&mut BatchUse)) {
        add(self.0.batch.lock().get_or_insert_default());
    }

    /// What the frame has used.
    pub(crate) fn take_batch(&self) -> Option<BatchUse> {
        self.0.batch.lock().take()
    }

    /// Notices that found no room.
    pub(crate) fn dropped_notices(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?})", self.0.id)
    }
}
