//! Why a handler failed.

use std::error::Error;
use std::fmt::{self, Write};
use std::sync::Arc;

/// Why a handler failed: a message for the person in front of the browser, and the error that
/// caused it, for the log.
///
/// Every error type and every text converts into it, so `?` works on both. The browser is shown
/// only the message. The worker's log has the whole chain of sources.
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
// Deliberately not an `Error` itself: otherwise the conversion below would conflict with `From<T>
// for T`.
#[derive(Clone)]
pub struct HandlerError {
    message: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl HandlerError {
    /// The longest message, in bytes; the rest is cut off. A page shows it on one line, and an
    /// unbounded `{:?}` could be longer than a message on the wire may be.
    pub const MAX_BYTES: usize = 1024;

    /// An error with this message and without a source.
    pub fn new(message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(Self::MAX_BYTES));
        Self { message, source: None }
    }

    /// The same error with another message, when the browser should be shown something else than
    /// the log.
    ///
    /// ```
    /// # use reframe_worker::HandlerError;
    /// # fn load() -> Result<(), HandlerError> {
    /// let model = std::fs::read("model.onnx");
    /// model.map_err(|error| {
    ///     HandlerError::from(error).with_message("The model could not be loaded")
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_message(self, message: impl Into<String>) -> Self {
        Self { source: self.source, ..Self::new(message) }
    }

    /// The message that the browser is shown.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The error that caused this one.
    #[must_use]
    pub fn source(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.source.as_deref()
    }

    pub(crate) fn into_message(self) -> String {
        self.message
    }

    /// Whether the handler gave up a frame because a newer one came ([`Superseded`]).
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        let mut next: Option<&dyn Error> =
            self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = next {
            if error.is::<Superseded>() {
                return true;
            }
            next = error.source();
        }
        false
    }

    /// For the log: the message, and each source that adds something to the one before.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut last = text.clone();
        let mut next: Option<&dyn Error> =
            self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = next {
            let words = error.to_string();
            if words != last {
                write!(text, ": {words}").expect("a text takes more text");
            }
            (last, next) = (words, error.source());
        }
        text
    }
}

/// A newer frame came before a model began with this one, and takes its place: nothing failed. A
/// handler lets it pass, with `?`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("a newer frame takes the place of this one")]
pub struct Superseded;

/// From every error type, and from a plain text.
impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let error = error.into();
        let message = error.to_string();
        Self { source: Some(error.into()), ..Self::new(message) }
    }
}

/// Errors with the same message are equal.
impl PartialEq for HandlerError {
    fn eq(&self, other: &Self) -> bool {
        self.message == other.message
    }
}

impl Eq for HandlerError {}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandlerError({:?})", self.chain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot load the model")]
    struct Load(#[source] std::io::Error);

    #[test]
    fn a_message_is_cut_between_characters() {
        let long = format!("x{}", "é".repeat(HandlerError::MAX_BYTES));
        let error = HandlerError::new(long);
        assert_eq!(error.message().len(), HandlerError::MAX_BYTES - 1);
        assert!(error.message().ends_with('é'));
    }

    #[test]
    fn the_browser_gets_the_message_and_the_log_the_chain() {
        let error = HandlerError::from(Load(std::io::Error::other("no space")));
        assert_eq!(error.message(), "cannot load the model");
        assert_eq!(error.chain(), "cannot load the model: no space");
        assert!(error.source().is_some_and(|source| source.is::<Load>()));
        let error = error.with_message("Try again later");
        assert_eq!(error.message(), "Try again later");
        assert_eq!(error.chain(), "Try again later: cannot load the model: no space");
        assert_eq!(HandlerError::from("plain").chain(), "plain");
    }

    #[test]
    fn a_frame_that_was_superseded_is_known_whatever_it_was_wrapped_in() {
        #[derive(Debug, thiserror::Error)]
        #[error("the model did not run")]
        struct Wrapped(#[source] Superseded);
        assert!(HandlerError::from(Superseded).is_superseded());
        let wrapped = HandlerError::from(Wrapped(Superseded)).with_message("another text");
        assert!(wrapped.is_superseded());
        assert!(!HandlerError::from(Superseded.to_string()).is_superseded());
    }
}
