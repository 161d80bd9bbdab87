//! The messages between a session's actor and its gateway.

use std::time::Duration;

use actix::Message;

use crate::error::HandlerError;
use crate::frame::pixels::I420;

/// Replies of one session that wait for the transport.
///
/// There is room for everything that a gateway with three credits can leave unread (`Opened`, three
/// results, an error and the end). So the handler only waits for a gateway that keeps sending
/// without reading.
pub(crate) const REPLIES: usize = 6;

/// How many of the author's notices may wait in addition to the replies. More are dropped: a page
/// shows one at a time.
pub(crate) const NOTICES: usize = 7;

/// Requests of the gateway: the messages of a session's actor.
#[derive(Debug)]
pub(crate) enum Job {
    /// Modes send-receive and send: a frame from the browser.
    Frame { seq: u64, capture_time: Duration, picture: I420, traceparent: String },
    /// Mode receive: a request for the next item.
    Pull { seq: u64, traceparent: String },
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
        handler_time: Duration,
        outcome: Result<Option<I420>, HandlerError>,
        outputs: Vec<String>,
    },
    /// For the client, outside of any frame.
    Notice { level: Severity, message: String },
    /// The last message: the session ends, because of a fault or because its handler ended it.
    End { message: String, failed: bool },
}

/// The severity with which the page shows a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Log,
    Warning,
    Error,
}
