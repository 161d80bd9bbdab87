//! The direction of video.

use std::fmt;

/// The direction of video, from the browser's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// The camera's frames go to the handler, and its output comes back.
    SendReceive,
    /// Pictures come from a generator; the browser sends none.
    Receive,
    /// The camera's frames go to the handler; only its additional outputs come back.
    Send,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SendReceive => "send-receive",
            Self::Receive => "receive",
            Self::Send => "send",
        })
    }
}
