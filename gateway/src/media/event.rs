//! What the stages of the path tell the session, and what they wake each other with.

use std::time::Duration;

use actix::Message;

use super::refused::OfferRefused;

/// A frame was put into the queue that the receiver empties. Losing one is harmless when another
/// waits.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FrameWaiting;

/// A result was put into the queue. Losing one is harmless when another waits.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ResultWaiting;

/// What a session's connection, decoder and worker tell it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum SessionEvent {
    /// The first signed check of the browser has come.
    Checked,
    /// The browser is connected.
    Connected,
    /// Frames find no room, for the first time.
    FallingBehind,
    /// From inside the handler, for the client.
    Notice(Notice),
    /// Its codec thread does more or less for its streams: the client is told without delay.
    Relieved,
    /// Its worker is draining: the session is to move to another one.
    Draining,
    /// The link has ended, and will not touch what it shared with the session again.
    Detached(Detached),
    /// No other worker has room so far.
    Waiting,
    /// It is over.
    Ended(EndReason),
}

/// Why there is no link any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detached {
    /// The session left it.
    Left,
    /// The worker went away.
    Lost,
}

/// How loud a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
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
    pub(crate) level: Severity,
    /// As the handler's author wrote it.
    pub(crate) message: String,
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The browser closed the data channel or the connection.
    ClientClosed,
    /// No sign of life of the browser for eight seconds, or it never finished connecting.
    ConnectionFailed(ConnectStage),
    /// The browser took the answer and never connected.
    NeverConnected(ConnectStage),
    /// A check of the browser's came, and DTLS was not up in time.
    NoDtls(ConnectStage),
    /// It was one of too many that had not come so far yet.
    CrowdedOut,
    /// There was room when it offered, and none any more when its browser was there.
    Refused(OfferRefused),
    /// The browser is to send video, and no frame ever came; whether packets did.
    NoVideo {
        /// RTP packets came.
        packets: bool,
    },
    /// Frames came, and then none for so long.
    Idle(Duration),
    /// Frames came, and then none; and somebody else wanted its slot.
    Displaced,
    /// Nothing authenticated came for 15 s, whatever the stack believes.
    Silent,
    /// The connection's driver is gone.
    Driver(DriverEnd),
    /// The worker went away, and no other had room for as long as may be waited.
    WorkerLost,
    /// The handler panicked or could not start.
    HandlerFailed(String),
    /// The handler ended the stream.
    HandlerEnded(String),
    /// It has run for as long as its stream allows.
    TimeLimit(Duration),
    /// The admin port was told to end it.
    Operator,
    /// This gateway is stopping.
    Shutdown,
}

impl EndReason {
    /// The value of the label `reason`.
    #[must_use]
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::ConnectionFailed(_) => "connection_failed",
            Self::NeverConnected(_) => "never_connected",
            Self::NoDtls(_) => "no_dtls",
            Self::CrowdedOut => "crowded_out",
            Self::Refused(_) => "refused",
            Self::NoVideo { .. } => "no_video",
            Self::Idle(_) => "idle",
            Self::Displaced => "displaced",
            Self::Silent => "silent",
            Self::Driver(DriverEnd::Panicked) => "driver_panicked",
            Self::Driver(DriverEnd::Returned) => "driver_ended",
            Self::WorkerLost => "worker_lost",
            Self::HandlerFailed(_) => "handler_failed",
            Self::HandlerEnded(_) => "handler_ended",
            Self::TimeLimit(_) => "time_limit",
            Self::Operator => "operator",
            Self::Shutdown => "shutdown",
        }
    }

    /// Where the connection failed, if that is the reason.
    #[must_use]
    pub(crate) fn step(&self) -> Option<ConnectStage> {
        match self {
            Self::ConnectionFailed(step) | Self::NeverConnected(step) | Self::NoDtls(step) => {
                Some(*step)
            }
            _ => None,
        }
    }
}

/// How a connection's driver ended; it should not, before the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DriverEnd {
    /// With an error, which the stack has only logged.
    Returned,
    /// By a panic.
    Panicked,
}

/// The step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectStage {
    /// Nothing of the browser's ever came.
    NoPacket,
    /// Its checks came, and no path was agreed on.
    NoPath,
    /// There is a path, and no encryption.
    Encryption,
    /// All was well, and then nothing came any more.
    Silence,
}

impl ConnectStage {
    /// The value of the label `step`.
    #[must_use]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NoPacket => "no_packet",
            Self::NoPath => "no_path",
            Self::Encryption => "encryption",
            Self::Silence => "silence",
        }
    }

    /// For the log: what that means, and where to look.
    #[must_use]
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::NoPacket => {
                "no packet from the browser reached us: is the media port open, UDP and TCP, and reachable at the \
                 addresses that we tell (--media-port, --public-ip)?"
            }
            Self::NoPath => {
                "the browser's checks reached us, our answers did not reach the browser: is UDP \
                 from us blocked?"
            }
            Self::Encryption => {
                "a path was found, but DTLS did not complete on it: are large packets lost on the \
                 way?"
            }
            Self::Silence => {
                "the browser was connected and then vanished: its network, or the browser, is gone"
            }
        }
    }
}
