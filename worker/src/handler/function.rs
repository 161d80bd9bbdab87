//! Functions and closures as handlers and generators.
//!
//! A type may implement `FnMut` for several argument lists, so one trait cannot be implemented for
//! all of them without a marker type that differs for each. The compiler infers the marker.

use super::{Handler, IntoOutput, Output};
use crate::error::HandlerError;
use crate::frame::Frame;
use crate::session::Session;

/// Anything that processes frames: `FnMut(Frame) -> R` and `FnMut(Frame, &Session) -> R`, where `R`
/// is any [`IntoOutput`]; and every [`Handler`]. `Marker` tells them apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is a function (Frame) -> R or (Frame, &Session) -> R, or a type that \
            implements Handler",
    note = "a closure must name the types of its arguments: |frame: Frame, session: &Session|"
)]
pub trait IntoHandler<Marker>: Send + 'static {
    /// The handler type.
    type Handler: Handler;

    /// Converts into the handler.
    fn into_handler(self) -> Self::Handler;
}

impl<H: Handler> IntoHandler<marker::Handler> for H {
    type Handler = H;

    fn into_handler(self) -> H {
        self
    }
}

impl<F, R> IntoHandler<fn(Frame) -> R> for F
where
    F: FnMut(Frame) -> R + Send + 'static,
    R: IntoOutput,
{
    type Handler = marker::OfFrame<F>;

    fn into_handler(self) -> Self::Handler {
        marker::OfFrame(self)
    }
}

impl<F, R> IntoHandler<fn(Frame, &Session) -> R> for F
where
    F: FnMut(Frame, &Session) -> R + Send + 'static,
    R: IntoOutput,
{
    type Handler = marker::OfFrameAndSession<F>;

    fn into_handler(self) -> Self::Handler {
        marker::OfFrameAndSession(self)
    }
}

impl<F, R> Handler for marker::OfFrame<F>
where
    F: FnMut(Frame) -> R + Send + 'static,
    R: IntoOutput,
{
    fn process(&mut self, frame: Frame, _: &Session) -> Result<Output, HandlerError> {
        self.0(frame).into_output()
    }
}

impl<F, R> Handler for marker::OfFrameAndSession<F>
where
    F: FnMut(Frame, &Session) -> R + Send + 'static,
    R: IntoOutput,
{
    fn process(&mut self, frame: Frame, session: &Session) -> Result<Output, HandlerError> {
        self.0(frame, session).into_output()
    }
}

/// Anything that makes the pictures of one session: `Fn() -> Result<I, HandlerError>` and
/// `Fn(Session) -> Result<I, HandlerError>`, where `I` is an iterator over any [`IntoOutput`].
/// `Marker` tells them apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not make a generator",
    note = "that does a function () -> Result<I, HandlerError> or (Session) -> Result<I, \
            HandlerError>",
    note = "where I is an iterator over frames, or over anything else that a handler may return"
)]
pub trait IntoGenerator<Marker>: Send + Sync + 'static {
    /// The iterator. It stays on the session's thread.
    type Items: Iterator<Item: IntoOutput> + 'static;

    /// Makes one session's iterator.
    ///
    /// # Errors
    ///
    /// The function's own error.
    fn generate(&self, session: &Session) -> Result<Self::Items, HandlerError>;
}

impl<F, I> IntoGenerator<fn() -> I> for F
where
    F: Fn() -> Result<I, HandlerError> + Send + Sync + 'static,
    I: Iterator<Item: IntoOutput> + 'static,
{
    type Items = I;

    fn generate(&self, _: &Session) -> Result<I, HandlerError> {
        self()
    }
}

impl<F, I> IntoGenerator<fn(Session) -> I> for F
where
    F: Fn(Session) -> Result<I, HandlerError> + Send + Sync + 'static,
    I: Iterator<Item: IntoOutput> + 'static,
{
    type Items = I;

    fn generate(&self, session: &Session) -> Result<I, HandlerError> {
        self(session.clone())
    }
}

/// Public because the traits name them, and in a private module so that nothing else can.
mod marker {
    #[derive(Debug)]
    pub struct Handler;
    #[derive(Debug)]
    pub struct OfFrame<F>(pub(super) F);
    #[derive(Debug)]
    pub struct OfFrameAndSession<F>(pub(super) F);
}
