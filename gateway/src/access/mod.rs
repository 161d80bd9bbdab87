//! Who may do what: access tokens with the rights in them, and the tokens of sessions. Pure: it
//! takes the time, and knows neither HTTP nor options.
//!
//! | module | what it is |
//! |---|---|
//! | `crypto` | the signatures of JSON Web Tokens, by `ring` |
//! | `keys` | the keys that tokens are signed with, and their files |
//! | `token` | an access token: whose it is, and what it allows |
//! | `session_token` | the token that the answer to an offer carries |
//! | `view` | what stands for a session in a link to watch it |
//! | `secret` | a text that only some know |

mod crypto;
mod keys;
mod secret;
mod session_token;
mod token;
mod view;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use self::keys::Keys;
pub(crate) use self::secret::Secret;
pub(crate) use self::session_token::{SessionClaims, SessionTokenError};
pub(crate) use self::token::{Audience, Rights, TokenError, is_subject, mint, verify};
pub(crate) use self::view::View;

/// The longest token that is read, in bytes. With a picture of every claim it has some 500; a
/// browser's cookie may have 4 kB (RFC 6265, 6.1).
const MAX_TOKEN_BYTES: usize = 4_096;
/// The longest subject, in bytes. It goes into logs, and into the user name at a TURN server, which
/// has fewer than 509 (RFC 8489, 14.3).
const MAX_SUBJECT_BYTES: usize = 256;

/// What one may do with a stream or its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// Begin a session. Its own inputs and outputs belong to it.
    Open,
    /// Watch a session of somebody else.
    View,
    /// Set the inputs of any session of the stream.
    Set,
    /// Read the outputs of any session of the stream.
    Read,
    /// Record a session.
    Record,
}

impl Action {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::View => "view",
            Self::Set => "set",
            Self::Read => "read",
            Self::Record => "record",
        }
    }
}

/// Whose request it is, and what that one may do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grant {
    /// `None`: nobody in particular, as where no token is needed.
    pub(crate) subject: Option<String>,
    /// `None`: all.
    streams: Option<Vec<String>>,
    actions: Vec<Action>,
    /// Sessions of the subject at once, at one gateway.
    pub(crate) max_sessions: Option<u32>,
    /// Inputs that have these values, whatever the client sets.
    pub(crate) inputs: Map<String, Value>,
}

/// The grant does not include it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    #[error("the token is not for this stream: its `streams` must name it")]
    Stream,
    #[error("the token does not allow `{}`: its `actions` must name it", .0.name())]
    Action(Action),
}

impl Grant {
    /// Sessions of every stream, for a subject that was found without a token.
    pub(crate) fn open_only(subject: Option<String>) -> Self {
        let (actions, inputs) = (vec![Action::Open], Map::new());
        Self { subject, streams: None, actions, max_sessions: None, inputs }
    }

    /// One action with one stream, as somebody else has decided.
    pub(crate) fn one(
        subject: Option<String>,
        action: Action,
        stream: &str,
        max_sessions: Option<u32>,
        inputs: Map<String, Value>,
    ) -> Self {
        let (streams, actions) = (Some(vec![stream.to_owned()]), vec![action]);
        Self { subject, streams, actions, max_sessions, inputs }
    }

    /// The rights that a session's token carries on to the session in its place.
    pub(crate) fn from_session(claims: SessionClaims) -> Self {
        let SessionClaims { stream, sub: subject, max_sessions, inputs, .. } = claims;
        let (streams, actions) = (Some(vec![stream]), vec![Action::Open]);
        Self { subject, streams, actions, max_sessions, inputs }
    }

    /// Whether it allows this with any stream.
    pub(crate) fn has(&self, action: Action) -> bool {
        self.actions.contains(&action)
    }

    pub(crate) fn sees(&self, stream: &str) -> bool {
        self.streams.as_ref().is_none_or(|streams| streams.iter().any(|name| name == stream))
    }

    /// # Errors
    /// What the grant lacks.
    pub(crate) fn may(&self, action: Action, stream: &str) -> Result<(), Forbidden> {
        if !self.sees(stream) {
            return Err(Forbidden::Stream);
        }
        if self.has(action) { Ok(()) } else { Err(Forbidden::Action(action)) }
    }
}
