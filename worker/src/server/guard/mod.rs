//! What anybody who reaches a worker's port can take of it, known or not: everything unfinished has
//! a place, a size and a deadline.
//!
//! | what | at most | beyond |
//! |---|---|---|
//! | connections | [`CONNECTIONS`] | closed at once |
//! | connections without a request yet | [`UNASKED`], for [`WITHIN`] | the oldest is closed |
//! | calls without an answer yet | [`UNANSWERED`], for [`WITHIN`] | the oldest is refused |
//! | bytes of such a call | [`MAX_OPEN_BYTES`] | refused, by the length that it declares |
//! | bytes read of a connection in one go | [`TURN_BYTES`] | the others have their turn |
//!
//! [`MAX_OPEN_BYTES`]: reframe_proto::MAX_OPEN_BYTES
//!
//! Each that is turned away is counted ([`Refused`]). Who may call at all is not decided here.

mod call;
mod connection;
mod places;
mod refused;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use self::call::Guarded;
use self::connection::Connection;
pub(crate) use self::places::Places;
use self::refused::{RefusalReason, Refused};

/// Connections at once. Each gateway has one, and each probe of an orchestrator for a moment. Far
/// below the 1024 descriptors that a process has where nobody gave it more.
const CONNECTIONS: usize = 256;

/// Connections without a request yet. A gateway asks as soon as it is connected.
const UNASKED: usize = 64;

/// Calls without an answer yet. Every answer here comes at once, also that to a session: it does
/// not wait for the handler.
const UNANSWERED: usize = 256;

/// From a connection to its first request, and from a request to its last byte or, of a session,
/// that of its `Open`.
const WITHIN: Duration = Duration::from_secs(5);

/// Read of one connection in one go: less than what HTTP/2's windows let a peer send, so that what
/// is read of many connections is looked at, and refused, before there is more. A frame of 720p
/// takes three turns.
const TURN_BYTES: usize = 512 * 1024;

/// Watches over the connections and calls of one server.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    room: Arc<Semaphore>,
    unasked: Arc<Places>,
    unanswered: Arc<Places>,
    refused: Arc<Refused>,
}

impl Guard {
    pub(crate) fn new() -> Self {
        Self {
            room: Arc::new(Semaphore::new(CONNECTIONS)),
            unasked: Arc::new(Places::new(UNASKED)),
            unanswered: Arc::new(Places::new(UNANSWERED)),
            refused: Arc::default(),
        }
    }

    /// Takes a connection in; `None` closes it.
    pub(crate) fn admit<IO>(&self, io: IO) -> Option<Connection<IO>> {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            self.refused.count(RefusalReason::NoRoom);
            return None;
        };
        Some(Connection::new(io, room, self.unasked.take(), Arc::clone(&self.refused)))
    }

    /// A service whose calls are watched.
    pub(crate) fn over<S>(&self, service: S) -> Guarded<S> {
        Guarded::new(service, Arc::clone(&self.unanswered), Arc::clone(&self.refused))
    }

    /// Says in the log what was turned away, for ever.
    pub(crate) async fn report(&self) {
        self.refused.report().await;
    }
}
