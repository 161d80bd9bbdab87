//! The messages between a session's actor and its gateway.

use std::time::Duration;

use actix::Message;

use crate::error::HandlerError;
use crate::frame::pixels::I420;

/// Replies of one session that wait for the transport.
///
/// There is room for everything that a gateway with three credits can leave unread (`Opened`, three
/// results, an error and the end); no session has more credits ([`MORE_CREDITS`]). So the handler
/// only waits for a gateway that keeps sending without reading.
pub(crate) const REPLIES: usize = 6;

/// How many of the author's notices may wait in addition to the replies. More are dropped: a page
/// shows one at a time.
pub(crate) const NOTICES: usize = 7;

/// The name of the span of a handler's call, of a frame that is traced.
pub(crate) const HANDLER_SPAN: &str = "handler";

/// Credits that a session is given beside its one when it first calls a model that works on
/// batches: the handler has one frame, a second waits, and a third that comes takes its place.
pub(crate) const MORE_CREDITS: u32 = 2;

/// Requests of the gateway: the messages of a session's actor.
#[derive(Debug)]
pub(crate) enum Job {
    /// Modes send-receive and send: a frame from the browser.
    Frame { seq: u64, capture_time: Duration, picture: I420, traceparent: String },
    /// Mode receive: a request for the next item.
    Pull { seq: u64, traceparent: String },
    /// A frame waits where a newer one may take its place (`newest`).
    Newest,
}

impl Message for Job {
    type Result = ();
}

impl Job {
    /// Its kind and number, for messages.
    pub(crate) const fn number(&self) -> (&'static str, u64) {
        match self {
            Self::Frame { seq, .. } => ("frame", *seq),
            Self::Pull { seq, .. } => ("pull", *seq),
            Self::Newest => ("the newest frame, in place of", 0),
        }
    }
}

/// Replies of a session to its gateway.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Sent once, when the handler has started; only notices come before it.
    Opened { credits: u32 },
    /// The result of one frame or pull; returns its credit. Without a picture if the handler
    /// returned only values. Values are JSON, one for each output or none.
    Result {
        seq: u64,
        times: Times,
        outcome: Result<Option<I420>, HandlerError>,
        outputs: Vec<String>,
        /// Credits beside the one that it returns.
        more_credits: u32,
    },
    /// For the client, outside of any frame.
    Notice { level: Severity, message: String },
    /// The last message: the session ends, because of a fault or because its handler ended it.
    End { message: String, failed: bool },
}

/// How long a frame took at the worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// The handler, with what it waited for a batch to begin.
    pub(crate) handler: Duration,
    /// Before that, and after a batch: until it was the session's turn.
    pub(crate) turn: Duration,
    /// Models that work on batches, if it called one.
    pub(crate) batch: Option<BatchUse>,
}

/// One frame's use of models that work on the frames of several sessions at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BatchUse {
    /// Items in the last batch that it was in; 0: none began.
    pub(crate) size: u32,
    /// How long it waited for models to begin.
    pub(crate) wait: Duration,
    /// How long they worked, on whole batches.
    pub(crate) model: Duration,
    /// Its share of that.
    pub(crate) share: Duration,
    /// A call failed for all of its batch.
    pub(crate) failed: bool,
}

/// Whole microseconds, as the wire and traces have them.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The severity with which the page shows a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Log,
    Warning,
    Error,
}
