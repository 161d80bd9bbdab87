//! Events from the stages of the path to the session, and wake-ups between stages.

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

/// Events from a session's connection, decoder and worker.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum SessionEvent {
    /// The browser's first signed check has arrived.
    Checked,
    /// The browser is connected.
    Connected,
    /// The frame queue is full, for the first time.
    FallingBehind,
    /// A notice of the handler, for the client.
    Notice(Notice),
    /// The codec thread's relief has changed: the client is told without delay.
    Relieved,
    /// The session's worker is draining: the session must move to another one.
    Draining,
    /// The link has ended, and no longer touches what it shared with the session.
    Detached(Detached),
    /// No other worker has room yet.
    Waiting,
    /// The session is over.
    Ended(EndReason),
}

/// Why a link has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detached {
    /// The session left it.
    Left,
    /// The worker is lost.
    Lost,
}

/// The severity of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Information.
    Log,
    /// Something may be wrong.
    Warning,
    /// Something failed.
    Error,
}

/// A message for the person in front of the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Its severity.
    pub(crate) level: Severity,
    /// As the handler's author wrote it.
    pub(crate) message: String,
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The browser closed the data channel or the connection.
    ClientClosed,
    /// Nothing came from the browser for 13 s, or it never finished connecting.
    ConnectionFailed(ConnectStage),
    /// The browser never connected after the answer.
    NeverConnected(ConnectStage),
    /// A signed check came, and DTLS was not up in time.
    NoDtls(ConnectStage),
    /// There were too many sessions that had not come this far, and it was the one to end.
    CrowdedOut,
    /// There was room when it offered, and none when its browser connected.
    Refused(OfferRefused),
    /// The browser should send video, and no frame ever came; the field says whether packets did.
    NoVideo {
        /// RTP packets came.
        packets: bool,
    },
    /// Frames came, and then none for this long.
    Idle(Duration),
    /// Frames came, and then none, and another session needed the slot.
    Displaced,
    /// No authenticated packet came for 15 s, whatever the WebRTC stack reports.
    Silent,
    /// The connection's driver has ended.
    Driver(DriverEnd),
    /// The worker was lost, and no other had room within the limit.
    WorkerLost,
    /// Its last worker is gone, and those that serve its stream declare another mode or rate.
    Changed,
    /// The handler panicked or could not start.
    HandlerFailed(String),
    /// The handler ended the stream.
    HandlerEnded(String),
    /// It has reached its stream's time limit.
    TimeLimit(Duration),
    /// Nobody watches the broadcast any more.
    Unwatched,
    /// The session that was watched is over.
    SessionEnded,
    /// An operator ended it on the admin port.
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
            Self::Changed => "changed",
            Self::HandlerFailed(_) => "handler_failed",
            Self::HandlerEnded(_) => "handler_ended",
            Self::TimeLimit(_) => "time_limit",
            Self::Unwatched => "unwatched",
            Self::SessionEnded => "session_ended",
            Self::Operator => "operator",
            Self::Shutdown => "shutdown",
        }
    }

    /// The step at which the connection failed, if that is the reason.
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

/// How a connection's driver ended before the connection was closed, which is a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DriverEnd {
    /// With an error, which the stack only logged.
    Returned,
    /// By a panic.
    Panicked,
}

/// The step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectStage {
    /// Nothing from the browser ever arrived.
    NoPacket,
    /// Its checks arrived, and no path was agreed on.
    NoPath,
    /// There is a path, and DTLS did not complete.
    Encryption,
    /// It was connected, and then nothing more arrived.
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

    /// For the log: the meaning, and where to look.
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
