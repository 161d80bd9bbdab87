//! The pool of session actors: `--capacity` of them at most, each made for its session.

use std::io;
use std::sync::Arc;

use actix::Context;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::core::Core;
use super::credits::Credits;
use super::inbox::Inbox;
use super::thread::{block_on, spawn};
use super::{Outbox, SessionActor};
use crate::calls::{Calls, Report};
use crate::health::Health;
use crate::message::Reply;
use crate::session::Session;
use crate::stream::Stream;

/// One stream's session actors.
pub(crate) struct Pool {
    stream: Arc<Stream>,
    /// The most actors.
    most: u32,
    /// Whether fewer are taken where calls run one at a time and take long.
    follows: bool,
    /// Its permits are the free places.
    slots: Arc<Semaphore>,
    calls: Arc<Calls>,
    health: Health,
}

/// The handle of a session's actor, for its call.
pub(crate) struct Call {
    pub(crate) inbox: Inbox,
    /// Cancelled when the author's code has returned.
    pub(crate) returned: CancellationToken,
}

impl Pool {
    /// A pool of at most `most` actors; of fewer, if it `follows` what the handler can do.
    pub(crate) fn new(stream: Arc<Stream>, most: u32, follows: bool) -> Self {
        let slots = Arc::new(Semaphore::new(most as usize));
        let calls = Arc::new(stream.handler.calls());
        Self { stream, most, follows, slots, calls, health: Health::new() }
    }

    /// Actors at once, as of now.
    pub(crate) fn capacity(&self) -> u32 {
        let sessions = self.calls.sessions().filter(|_| self.follows);
        sessions.map_or(self.most, |sessions| sessions.min(self.most))
    }

    /// A place for another actor, if there is one.
    pub(crate) fn claim(&self) -> Option<OwnedSemaphorePermit> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        (self.sessions() <= self.capacity() as usize).then_some(slot)
    }

    /// The number of actors.
    pub(crate) fn sessions(&self) -> usize {
        self.most as usize - self.slots.available_permits()
    }

    /// Waits until there are no actors: all handlers have returned.
    pub(crate) async fn emptied(&self) {
        drop(self.slots.acquire_many(self.most).await);
    }

    /// Whether the worker can serve.
    pub(crate) const fn health(&self) -> &Health {
        &self.health
    }

    /// The calls that do not return.
    pub(crate) fn overdue(&self) -> Report {
        self.calls.report(Instant::now())
    }

    /// Starts a session's actor in the caller's span. The gateway is given `granted` credits when
    /// the handler has started.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub(crate) fn start(
        &self,
        slot: OwnedSemaphorePermit,
        session: Session,
        granted: u32,
        replies: mpsc::Sender<Result<Reply, Status>>,
    ) -> io::Result<Call> {
        let (credits, returned) = (Arc::new(Credits::none()), CancellationToken::new());
        let (inbox, mailbox) = Inbox::new(granted, Arc::clone(&credits), session.clone(), &replies);
        let name = thread_name(session.id());
        let wrapper = Arc::clone(&self.stream.thread_wrapper);
        let (stream, span) = (Arc::clone(&self.stream), tracing::Span::current());
        let outbox = Outbox { replies, granted, credits, reported: false };
        // A wrapper may drop the thread's body without calling it. A tuple drops its fields in
        // order, so the slot is free before the replies end.
        let caller = self.calls.caller(&session);
        let held = (slot, returned.clone().drop_guard(), outbox);
        let run = move || {
            let (slot, guard, outbox) = held;
            let _in_span = span.enter();
            let core = Core::new(stream, session.clone(), caller);
            let actor = SessionActor { core, session, _slot: slot, _returned: guard, outbox };
            block_on(Context::with_receiver(mailbox).into_future(actor));
        };
        spawn(name, wrapper, Box::new(run))?;
        Ok(Call { inbox, returned })
    }
}

/// Linux shows 15 bytes. The id comes from a client, and a NUL in a thread's name would panic.
fn thread_name(session: &str) -> String {
    let prefix: String = session.chars().filter(char::is_ascii_alphanumeric).take(7).collect();
    format!("handler-{prefix}")
}
