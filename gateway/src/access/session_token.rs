//! A session's token: its bearer is the client of that session. The answer to the session's
//! first offer carries it, and what comes later for the session must show it.
//!
//! It is signed with the cluster's key, so each gateway can check it before it forwards a request.
//! And it contains a nonce of this session, which the owner compares: an id is its client's choice,
//! so a second session could take the same one.
//!
//! A client whose gateway is gone opens its next session with it: the rights of the first stay,
//! although the access token may have ended meanwhile.

use rand::distr::{Alphanumeric, SampleString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::keys::Keys;
use super::token::{read_header, sign, signed};
use super::{Grant, MAX_TOKEN_BYTES};

/// The header's `typ`, so that no access token passes for one, nor the other way round.
pub(super) const TYPE: &str = "reframe-session+jwt";
/// The longest one that is read: what an access token said, and the session's own.
const MAX_BYTES: usize = 2 * MAX_TOKEN_BYTES;
/// Characters of a nonce: 95 bits.
const NONCE_CHARS: usize = 16;
/// Seconds after a session's first opening in which its token opens another in its place.
const REOPENS_WITHIN: u64 = 24 * 60 * 60;

/// What the token says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SessionClaims {
    /// The session's id.
    pub(crate) sid: String,
    pub(crate) stream: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_sessions: Option<u32>,
    /// Inputs whose values the access token fixed.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) inputs: Map<String, Value>,
    /// When the access token was shown, in seconds since 1970: also of the sessions that took this
    /// one's place.
    pub(crate) opened: u64,
    /// The nonce of this session.
    pub(crate) nonce: String,
}

/// Why it is not the session's token. One text: a client that guesses learns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`session_token` is not the one that this session's answer carried")]
pub(crate) struct SessionTokenError;

impl SessionClaims {
    /// Of a session that begins now, with a nonce of its own; `opened`: when the access token was
    /// shown.
    pub(crate) fn new(sid: &str, stream: &str, grant: &Grant, opened: u64) -> Self {
        Self {
            sid: sid.to_owned(),
            stream: stream.to_owned(),
            sub: grant.subject.clone(),
            max_sessions: grant.max_sessions,
            inputs: grant.inputs.clone(),
            opened,
            nonce: Self::new_nonce(),
        }
    }

    /// The nonce of a new session.
    pub(crate) fn new_nonce() -> String {
        Alphanumeric.sample_string(&mut rand::rng(), NONCE_CHARS)
    }

    /// # Panics
    /// When all keys are public, which those of a cluster are not.
    pub(crate) fn sign(&self, keys: &Keys) -> String {
        sign(self, TYPE, keys).expect("the cluster's keys are secrets")
    }

    /// # Errors
    /// It was not signed with one of these keys, or is no session's token.
    pub(crate) fn read(token: &str, keys: &Keys) -> Result<Self, SessionTokenError> {
        let header = read_header(token, MAX_BYTES).map_err(|_| SessionTokenError)?;
        if header.typ.as_deref() != Some(TYPE) {
            return Err(SessionTokenError);
        }
        signed(token, &header, keys).map_err(|_| SessionTokenError)
    }

    /// Whether it opens another session at `now`.
    pub(crate) fn reopens(&self, now: u64) -> bool {
        now.saturating_sub(self.opened) < REOPENS_WITHIN
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::{Rights, mint, verify};
    use super::*;

    fn claims() -> SessionClaims {
        SessionClaims {
            sid: "id".into(),
            stream: "flip".into(),
            sub: Some("ada".into()),
            max_sessions: None,
            inputs: Map::new(),
            opened: 1_000_000,
            nonce: SessionClaims::new_nonce(),
        }
    }

    #[test]
    fn it_is_read_with_the_keys_that_signed_it_and_old_ones() {
        let (new, old) = ("n".repeat(32), "o".repeat(32));
        let keys = |text: &str| Keys::from_lines(text).unwrap();
        let claims = claims();
        let token = claims.sign(&keys(&old));
        for known in [old.clone(), format!("{new}\n{old}"), format!("new {new}\nold {old}")] {
            assert_eq!(SessionClaims::read(&token, &keys(&known)), Ok(claims.clone()));
        }
        assert_eq!(SessionClaims::read(&token, &keys(&new)), Err(SessionTokenError));
        let mut forged = token.clone();
        forged.replace_range(60..61, if &token[60..61] == "A" { "B" } else { "A" });
        for none in [forged.as_str(), "", ".", "..", "a.b.c", &"x".repeat(9_000)] {
            assert_eq!(SessionClaims::read(none, &keys(&old)), Err(SessionTokenError), "{none}");
        }
    }

    #[test]
    fn neither_kind_of_token_passes_for_the_other() {
        let keys = Keys::random();
        let access = mint("ada", &Rights::default(), &None, &keys, 1_000_000, 60).unwrap();
        assert!(verify(&access, &keys, &None, 1_000_000).is_ok());
        assert_eq!(SessionClaims::read(&access, &keys), Err(SessionTokenError));
        assert!(verify(&claims().sign(&keys), &keys, &None, 1_000_000).is_err());
    }

    #[test]
    fn it_opens_another_session_for_a_day() {
        let claims = claims();
        assert!(claims.reopens(1_000_000) && claims.reopens(1_086_399));
        assert!(!claims.reopens(1_086_400));
        assert!(claims.reopens(0), "a gateway whose clock is behind");
    }
}
