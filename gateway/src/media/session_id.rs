//! A session's id, which its client chooses; one that has no way to is given one.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use rand::distr::{Alphanumeric, SampleString};
use ring::digest::{SHA256, digest};

/// Enough to tell the sessions of a year apart: 48 bits.
const DIGEST_BYTES: usize = 6;
/// Bytes of an id. Browsers' clients send 7 to 36.
const MAX_BYTES: usize = 128;
/// Characters of an id that is drawn here: 142 bits, so that nobody can guess it (RFC 9725, section
/// 5, and RFC 4086).
const DRAWN_CHARS: usize = 24;

/// 1 to [`MAX_BYTES`] printable ASCII characters, without space and `/`, because an id goes into
/// paths and the placement store. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(Arc<str>);

/// Not an id. The text is for the client's author.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`webrtc_id` must have 1 to {MAX_BYTES} printable ASCII characters, without space and /")]
pub(crate) struct InvalidSessionId;

impl SessionId {
    /// The only place where a client's text becomes an id.
    ///
    /// # Errors
    /// It is empty, too long, or has other characters.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidSessionId> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if (1..=MAX_BYTES).contains(&text.len()) && plain {
            return Ok(Self(text.into()));
        }
        Err(InvalidSessionId)
    }

    /// A new one that nobody can guess, for a client that chooses none.
    pub(crate) fn draw() -> Self {
        Self(Alphanumeric.sample_string(&mut rand::rng(), DRAWN_CHARS).into())
    }

    /// An id that may have been drawn; others are nobody's.
    pub(crate) fn drawn(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (text.len() == DRAWN_CHARS && plain).then(|| Self(text.into()))
    }

    /// The one session of a broadcast stream, at whichever gateway. No client can have this id: the
    /// `/` is not one of theirs.
    pub(crate) fn of_broadcast(stream: &str) -> Self {
        Self(format!("broadcast/{stream}").into())
    }

    /// What stands for it in logs, in traces and at workers: 12 hexadecimal digits of its SHA-256.
    /// Under `--legacy-ids` anybody who knows the id has the session, so the id is not written.
    pub(crate) fn digest(&self) -> String {
        let hash = digest(&SHA256, self.0.as_bytes());
        hash.as_ref()[..DIGEST_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for SessionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::SessionId;

    /// # Panics
    /// When the text is not an id.
    pub(crate) fn id(text: impl ToString) -> SessionId {
        SessionId::parse(&text.to_string()).expect("an id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_stands_for_the_id() {
        // `printf honest | sha256sum`
        assert_eq!(testing::id("honest").digest(), "bf5b6382c2ea");
    }

    #[test]
    fn one_that_is_drawn_is_known_by_its_form() {
        let drawn = SessionId::draw();
        assert_eq!(SessionId::drawn(drawn.as_str()), Some(drawn.clone()));
        assert_ne!(SessionId::draw(), drawn);
        for other in ["", "short", "abcdefghijkl-nopqrstuvwx", &drawn.as_str().repeat(2)] {
            assert_eq!(SessionId::drawn(other), None, "{other}");
        }
    }

    #[test]
    fn an_id_is_short_and_plain() {
        for text in ["a", "8Z!~", &"x".repeat(MAX_BYTES)] {
            assert_eq!(SessionId::parse(text).map(|id| id.to_string()).as_deref(), Ok(text));
        }
        let long = "x".repeat(MAX_BYTES + 1);
        for text in ["", "a b", "a/b", "ä", "a\r\nFLUSHALL\r\n", "{s}:\u{0}\u{1b}[2J", &long] {
            assert_eq!(SessionId::parse(text), Err(InvalidSessionId), "{text:?}");
        }
    }
}
