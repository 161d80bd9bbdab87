//! Why a session does not start, as reported to its client.

use serde_json::{Value, json};

use super::client_limit::ClientLimit;

/// Why no session was started. No resources are held for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OfferRefused {
    AlreadyExists,
    /// Every slot is taken; how many there are.
    Full(u32),
    /// The client has, or offers, as many sessions as one client may.
    Client(ClientLimit),
    /// No worker serves this stream.
    NoWorker,
    /// The session would make the codec threads busier than `--max-load`.
    Overloaded,
    /// This gateway is stopping.
    Draining,
    /// An earlier offer of the session is being answered, or it offers too often, or too many other
    /// offers wait.
    Busy,
    /// Its client's network has started too many sessions lately.
    RateLimited,
    /// A codec could not be created.
    NoCodec,
    /// The offer cannot be answered; the reason is for the client's author.
    Unanswerable(String),
}

impl OfferRefused {
    /// Its code: `meta.error` of the HTTP answer and of the message on the connection.
    pub(crate) fn error(&self) -> &'static str {
        match self {
            Self::AlreadyExists => "connection_already_exists",
            Self::Full(_) => "concurrency_limit_reached",
            Self::Client(limit) if limit.is_of_sessions() => "session_limit_reached",
            Self::Client(_) => "rate_limited",
            Self::NoWorker => "no_worker",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::Busy => "busy",
            Self::RateLimited => "rate_limited",
            Self::NoCodec => "no_codec",
            Self::Unanswerable(_) => "invalid_offer",
        }
    }

    /// The `meta` of the message that refuses a client on its connection.
    pub(crate) fn meta(&self) -> Value {
        match self {
            Self::Full(limit) => json!({ "error": self.error(), "limit": limit }),
            _ => json!({ "error": self.error(), "message": self.in_words() }),
        }
    }

    /// For the person in front of the page.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Full(limit) => {
                format!(
                    "All {limit} places are taken: somebody else got the last one. Try again later."
                )
            }
            Self::NoWorker => {
                "No worker serves this stream right now. Try again in a moment.".to_owned()
            }
            Self::Client(limit) if limit.is_of_sessions() => {
                let max = limit.max;
                format!("You already have {max} streams, the most allowed. Stop one of them.")
            }
            Self::Overloaded | Self::Busy | Self::RateLimited | Self::Client(_) => {
                "This server is busy right now. Try again in a moment.".to_owned()
            }
            Self::NoCodec => {
                "This server cannot encode or decode the video right now. Try again later."
                    .to_owned()
            }
            Self::Draining => "This server is stopping. Try again in a moment.".to_owned(),
            Self::AlreadyExists | Self::Unanswerable(_) => {
                "The server refused the stream. Start again.".to_owned()
            }
        }
    }
}
