//! The pool of session actors: `--capacity` of them at most, each made for its session.

use std::io;
use std::sync::Arc;

use actix::Context;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::core::Core;
use super::credits::Credits;
use super::inbox::Inbox;
use super::thread::{block_on, spawn};
use super::{Outbox, SessionActor};
use crate::message::Reply;
use crate::session::Session;
use crate::stream::Stream;

/// One stream's session actors.
pub(crate) struct Pool {
    stream: Arc<Stream>,
    capacity: u32,
    /// Its permits are the free places.
    slots: Arc<Semaphore>,
}

/// The handle of a session's actor, for its call.
pub(crate) struct Call {
    pub(crate) inbox: Inbox,
    /// Cancelled when the author's code has returned.
    pub(crate) returned: CancellationToken,
}

impl Pool {
    /// A pool of at most `capacity` actors.
    pub(crate) fn new(stream: Arc<Stream>, capacity: u32) -> Self {
        let slots = Arc::new(Semaphore::new(capacity as usize));
        Self { stream, capacity, slots }
    }

    pub(crate) const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// A place for another actor, if there is one.
    pub(crate) fn claim(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// The number of actors.
    pub(crate) fn sessions(&self) -> usize {
        self.capacity as usize - self.slots.available_permits()
    }

    /// Waits until there are no actors: all handlers have returned.
    pub(crate) async fn emptied(&self) {
        drop(self.slots.acquire_many(self.capacity).await);
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
        let (inbox, mailbox) = Inbox::new(granted, Arc::clone(&credits));
        let name = thread_name(session.id());
        let wrapper = Arc::clone(&self.stream.thread_wrapper);
        let (stream, span) = (Arc::clone(&self.stream), tracing::Span::current());
        let outbox = Outbox { replies, granted, credits, reported: false };
        // A wrapper may drop the thread's body without calling it. A tuple drops its fields in
        // order, so the slot is free before the replies end.
        let held = (slot, returned.clone().drop_guard(), outbox);
        let run = move || {
            let (slot, guard, outbox) = held;
            let _in_span = span.enter();
            let core = Core::new(stream, session.clone());
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
