//! What the client is told: FastRTC's messages on the data channel, in words for the person who looks at the page.
//!
//! What the log says is another text, written where the fault is seen.

use serde_json::json;

/// How loud a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// For the curious.
    Log,
    /// Something may be wrong.
    Warning,
    /// Something failed.
    Error,
}

/// A message for the person in front of the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// How loud.
    pub(crate) level: Level,
    /// As the handler's author wrote it.
    pub(crate) message: String,
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The browser closed the data channel or the connection.
    ClientClosed,
    /// The browser vanished: no sign of life for eight seconds.
    ConnectionFailed,
    /// The browser took the answer and never connected.
    NeverConnected,
    /// The worker went away or broke the protocol.
    WorkerLost,
    /// Another gateway took the worker's last slot.
    WorkerFull,
    /// The handler panicked or could not start.
    HandlerFailed(String),
    /// The handler ended the stream.
    HandlerEnded(String),
    /// This gateway is stopping.
    Shutdown,
}

impl EndReason {
    /// The value of the label `reason`.
    #[must_use]
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::ConnectionFailed => "connection_failed",
            Self::NeverConnected => "never_connected",
            Self::WorkerLost => "worker_lost",
            Self::WorkerFull => "worker_full",
            Self::HandlerFailed(_) => "handler_failed",
            Self::HandlerEnded(_) => "handler_ended",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The last messages of a session: `error` where something failed, then `end_stream`. None to a client that is gone.
pub(super) fn farewell(reason: &EndReason) -> Vec<String> {
    let (error, message) = match reason {
        EndReason::ClientClosed | EndReason::ConnectionFailed | EndReason::NeverConnected => return Vec::new(),
        EndReason::WorkerLost => (true, "The worker that processed this stream went away. Start again to get another."),
        EndReason::WorkerFull => (true, "Every place on the worker is taken. Try again in a moment."),
        // The worker has sent the error itself.
        EndReason::HandlerFailed(message) | EndReason::HandlerEnded(message) => (false, message.as_str()),
        EndReason::Shutdown => (false, "The server is stopping. Start again in a moment."),
    };
    let error = error.then(|| notice(&Notice { level: Level::Error, message: message.to_owned() }));
    let end = json!({ "type": "end_stream", "data": message }).to_string();
    error.into_iter().chain([end]).collect()
}

/// FastRTC documents `data` and sends `message` for errors and warnings; its front-ends read either, so both go out.
pub(super) fn notice(notice: &Notice) -> String {
    let message = &notice.message;
    match notice.level {
        Level::Log => json!({ "type": "log", "data": message }),
        Level::Warning => json!({ "type": "warning", "data": message, "message": message }),
        Level::Error => json!({ "type": "error", "data": message, "message": message }),
    }
    .to_string()
}

/// The answer to any text, `handshake` above all.
pub(super) fn echo(text: &str) -> String {
    json!({ "type": "log", "data": format!("Server received: {text}") }).to_string()
}

pub(super) fn falling_behind() -> String {
    let message = "The handler is slower than the camera and drops what finds no room. \
                   Set skip_frames to always work on the newest frame."
        .to_owned();
    notice(&Notice { level: Level::Warning, message })
}
