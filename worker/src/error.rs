//! Why a handler failed.

use std::fmt;

/// Why a handler failed, in words for the person in front of the browser.
///
/// Anything that can be displayed converts: `?` works on every error type, and a plain text does as well.
///
/// ```
/// # use reframe_worker::{Frame, HandlerError};
/// fn crop(frame: Frame) -> Result<Frame, HandlerError> {
///     let side: u32 = std::env::var("SIDE")?.parse()?;
///     if side > frame.width() {
///         return Err("the picture is too small".into());
///     }
///     Ok(Frame::filled(side, side, [0; 3])?)
/// }
/// ```
// Deliberately neither `Display` nor `Error`: that is what lets the conversion below exist beside `From<T> for T`.
#[derive(Clone, PartialEq, Eq)]
pub struct HandlerError(String);

impl HandlerError {
    /// The longest message, in bytes. It is one line on a page; without a bound a `{:?}` of the wrong value could
    /// outgrow a whole message on the wire.
    pub const MAX_BYTES: usize = 1024;

    /// The message that is shown.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0
    }

    /// The message that is shown.
    pub(crate) fn into_message(self) -> String {
        self.0
    }
}

impl<E: fmt::Display> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        message.truncate(message.floor_char_boundary(Self::MAX_BYTES));
        Self(message)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandlerError({:?})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_between_characters() {
        let long = format!("x{}", "é".repeat(HandlerError::MAX_BYTES));
        let error = HandlerError::from(long);
        assert_eq!(error.message().len(), HandlerError::MAX_BYTES - 1);
        assert!(error.message().ends_with('é'));
    }
}
