//! What a session's actor and its gateway say to each other.

use std::time::Duration;

use actix::Message;

use crate::error::HandlerError;
use crate::frame::pixels::I420;

/// Replies of one session that wait for the transport.
///
/// Room for all that a gateway with three credits can have unread (`Opened`, three results, an
/// error and the end), so only one that does not read its replies yet sends on makes the handler
/// wait.
pub(crate) const REPLIES: usize = 6;

/// Of the author's notices, how many wait beside the replies. More are dropped: a page shows one at
/// a time.
pub(crate) const NOTICES: usize = 7;

/// What the gateway asks for: the messages of a session's actor.
#[derive(Debug)]
pub(crate) enum Job {
    /// Modes send-receive and send: a frame of the browser's.
    Frame { seq: u64, capture_time: Duration, picture: I420, traceparent: String },
    /// Mode receive: the next item.
    Pull { seq: u64, traceparent: String },
}

impl Message for Job {
    type Result = ();
}

impl Job {
    /// What it is and its number, for messages.
    pub(crate) const fn number(&self) -> (&'static str, u64) {
        match self {
            Self::Frame { seq, .. } => ("frame", *seq),
            Self::Pull { seq, .. } => ("pull", *seq),
        }
    }
}

/// What a session says to its gateway.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Once, when the handler has started; nothing but notices before it.
    Opened { credits: u32 },
    /// What became of one frame or pull; gives its credit back. Without a picture when only values
    /// came, which are JSON, one for each output or none.
    Result {
        seq: u64,
        handler_time: Duration,
        outcome: Result<Option<I420>, HandlerError>,
        outputs: Vec<String>,
    },
    /// For the client, outside of any frame.
    Notice { level: Severity, message: String },
    /// Last: the session ends, by a fault or because its handler meant it.
    End { message: String, failed: bool },
}

/// How the page shows a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Log,
    Warning,
    Error,
}
