//! The phase of a connection's current request, shared by the connection's stream and its
//! middleware: the stream knows what was read and when, the middleware what it meant.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::Port;

/// From a connection's start, or the end of an answer, until the next request's head is complete.
/// An idle connection is closed after half of that (`KEEP_ALIVE`); this is for one that has begun
/// to send.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// For a client to read a refusal while the rest of its body is discarded. The HTTP server does
/// that for 2 s (`CLOSE_WITHIN`), but without a limit if the body is chunked.
const DRAIN_WITHIN: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting for a request's head.
    Waiting,
    /// Reading a request's body; the middleware limits the time.
    Body,
    /// The request is complete, and its answer is being made or sent.
    Answering,
    /// It was answered before its body was read; the rest of the body is discarded.
    Draining,
}

/// For one connection; never leaves its thread.
pub(super) struct Progress {
    pub(super) port: Port,
    /// The connection uses TLS.
    pub(super) secure: bool,
    phase: Cell<Phase>,
    since: Cell<Instant>,
    /// Bytes that arrived in this phase.
    read: Cell<usize>,
}

/// From a request's head to the last byte of its answer.
pub(super) struct Turn(Rc<Progress>);

impl Progress {
    pub(super) fn new(port: Port, secure: bool) -> Rc<Self> {
        let (phase, since) = (Cell::new(Phase::Waiting), Cell::new(Instant::now()));
        Rc::new(Self { port, secure, phase, since, read: Cell::new(0) })
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
        self.read.set(0);
    }

    /// When the connection is closed if nothing changes until then.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase.get() {
            Phase::Waiting => Some(self.since.get() + HEAD_WITHIN),
            Phase::Draining => Some(self.since.get() + DRAIN_WITHIN),
            Phase::Body | Phase::Answering => None,
        }
    }

    /// Counts bytes that arrived.
    pub(super) fn came(&self, bytes: usize) {
        self.read.set(self.read.get().saturating_add(bytes));
    }

    /// Bytes that arrived and belong to no request: an incomplete head, or pipelined requests.
    pub(super) fn unasked(&self) -> usize {
        match self.phase.get() {
            Phase::Waiting | Phase::Answering => self.read.get(),
            Phase::Body | Phase::Draining => 0,
        }
    }
}

impl Turn {
    pub(super) fn begin(progress: Rc<Progress>) -> Self {
        progress.enter(Phase::Body);
        Self(progress)
    }

    /// The body is complete.
    pub(super) fn has_body(&self) {
        self.0.enter(Phase::Answering);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let unread = self.0.phase.get() == Phase::Body;
        self.0.enter(if unread { Phase::Draining } else { Phase::Waiting });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_waits_for_the_client_has_a_deadline() {
        let progress = Progress::new(Port::Public, false);
        let start = Instant::now();
        progress.came(7);
        assert_eq!((progress.deadline(), progress.unasked()), (Some(start + HEAD_WITHIN), 7));
        let turn = Turn::begin(Rc::clone(&progress));
        progress.came(70_000);
        assert_eq!(
            (progress.deadline(), progress.unasked()),
            (None, 0),
            "a body has bounds of its own"
        );
        turn.has_body();
        progress.came(9);
        assert_eq!((progress.deadline(), progress.unasked()), (None, 9), "requests in advance");
        tokio::time::advance(Duration::from_secs(60)).await;
        drop(turn);
        assert_eq!(progress.deadline(), Some(Instant::now() + HEAD_WITHIN));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_a_refused_body_goes_nowhere_for_a_while() {
        let progress = Progress::new(Port::Public, false);
        drop(Turn::begin(Rc::clone(&progress)));
        progress.came(1 << 20);
        assert_eq!(
            (progress.deadline(), progress.unasked()),
            (Some(Instant::now() + DRAIN_WITHIN), 0)
        );
    }
}
