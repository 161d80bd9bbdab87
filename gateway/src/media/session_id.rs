//! A session's id, which its client chooses.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Bytes of an id. Browsers' clients send 7 to 36.
const MAX_BYTES: usize = 128;

/// 1 to [`MAX_BYTES`] printable ASCII characters, without space and `/`, because an id goes into
/// logs, paths and the placement store. Cheap to clone.
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
