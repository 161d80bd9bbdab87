//! What a handler returns for a frame.

use serde_json::Value;

use crate::error::HandlerError;
use crate::frame::Frame;

/// What a handler makes of a frame, or a generator yields: a picture, values to show beside it, the
/// end of the stream, or several of them.
///
/// The forms that can be returned as they are: [`Frame`], `(Frame, AdditionalOutputs)`,
/// [`AdditionalOutputs`], [`CloseStream`], `(Frame, CloseStream)`, `(Frame, AdditionalOutputs,
/// CloseStream)`, `(AdditionalOutputs, CloseStream)`, and `()` for nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    pub(crate) frame: Option<Frame>,
    pub(crate) outputs: Option<AdditionalOutputs>,
    pub(crate) close: Option<CloseStream>,
}

impl Output {
    /// For code that finds out at run time what there is; all else is said shorter by one of the
    /// forms above.
    #[must_use]
    pub const fn from_parts(
        frame: Option<Frame>,
        outputs: Option<AdditionalOutputs>,
        close: Option<CloseStream>,
    ) -> Self {
        Self { frame, outputs, close }
    }
}

/// Values for the stream's declared outputs, in their order.
///
/// ```
/// use reframe_worker::{AdditionalOutputs, json};
///
/// AdditionalOutputs::new([29.97]);
/// AdditionalOutputs::new([json!(3), json!({ "cat": 0.9, "dog": 0.1 })]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdditionalOutputs(Vec<Value>);

impl AdditionalOutputs {
    /// One value for each declared output. A value of the wrong kind is an error of the frame; so
    /// is NaN, which JSON does not have.
    pub fn new(values: impl IntoIterator<Item: Into<Value>>) -> Self {
        Self(values.into_iter().map(Into::into).collect())
    }

    /// The values.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.0
    }
}

/// Ends the stream, after the picture that comes with it has been shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseStream(String);

impl CloseStream {
    /// With a message for the person in front of the browser, cut off at
    /// [`HandlerError::MAX_BYTES`].
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self(HandlerError::new(message).into_message())
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0
    }
}

/// "Stream closed".
impl Default for CloseStream {
    fn default() -> Self {
        Self::new("Stream closed")
    }
}

/// What a function over frames may return, and a generator yield: each form of [`Output`], or a
/// `Result` of one with [`HandlerError`] as its error.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "it returns Frame, (Frame, AdditionalOutputs), AdditionalOutputs, CloseStream, (Frame, \
            CloseStream), Output or ()",
    note = "or a Result<_, HandlerError> of one of these"
)]
pub trait IntoOutput {
    /// As [`Output`].
    ///
    /// # Errors
    ///
    /// The handler's own error.
    fn into_output(self) -> Result<Output, HandlerError>;
}

/// Only for this error type, so that the type of `Ok(frame)` in a closure needs no annotation.
impl<T: IntoOutput> IntoOutput for Result<T, HandlerError> {
    fn into_output(self) -> Result<Output, HandlerError> {
        self.and_then(IntoOutput::into_output)
    }
}

impl IntoOutput for Output {
    fn into_output(self) -> Result<Output, HandlerError> {
        Ok(self)
    }
}

macro_rules! forms {
    ($($pattern:pat, $form:ty => { $($part:ident),* };)*) => {$(
        impl From<$form> for Output {
            #[allow(clippy::needless_update, reason = "one form has every part")]
            fn from($pattern: $form) -> Self {
                Self { $($part: Some($part),)* ..Self::default() }
            }
        }

        impl IntoOutput for $form {
            fn into_output(self) -> Result<Output, HandlerError> {
                Ok(self.into())
            }
        }
    )*};
}

forms! {
    frame, Frame => { frame };
    (frame, outputs), (Frame, AdditionalOutputs) => { frame, outputs };
    outputs, AdditionalOutputs => { outputs };
    close, CloseStream => { close };
    (frame, close), (Frame, CloseStream) => { frame, close };
    (frame, outputs, close), (Frame, AdditionalOutputs, CloseStream) => { frame, outputs, close };
    (outputs, close), (AdditionalOutputs, CloseStream) => { outputs, close };
    (), () => {};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_what_it_says() {
        let frame = || Frame::filled(2, 2, [0; 3]).unwrap();
        let outputs = || AdditionalOutputs::new([1]);
        let parts = |output: Output| {
            (output.frame.is_some(), output.outputs.is_some(), output.close.is_some())
        };
        assert_eq!(parts(frame().into()), (true, false, false));
        assert_eq!(parts((frame(), outputs()).into()), (true, true, false));
        assert_eq!(parts(outputs().into()), (false, true, false));
        assert_eq!(parts(CloseStream::default().into()), (false, false, true));
        assert_eq!(parts((frame(), CloseStream::new("bye")).into()), (true, false, true));
        assert_eq!(parts(().into()), (false, false, false));
    }

    #[test]
    fn a_close_has_a_message() {
        assert_eq!(CloseStream::default().message(), "Stream closed");
        assert_eq!(CloseStream::new("x".repeat(5000)).message().len(), HandlerError::MAX_BYTES);
    }
}
