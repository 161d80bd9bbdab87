//! What an author implements: a function over frames, a [`Handler`] with state, or a generator.

mod function;
mod output;
mod video;

pub use function::{IntoGenerator, IntoHandler};
pub use output::{AdditionalOutputs, CloseStream, IntoOutput, Output};
pub use video::VideoStreamHandler;
pub(crate) use video::Work;

use crate::error::HandlerError;
use crate::frame::Frame;
use crate::session::Session;

/// The work done on one session's frames.
///
/// Every session has its own handler on its own thread, so a handler may block and may keep state;
/// nothing is shared between sessions unless the author shares it. Functions and closures need no
/// `Handler`: see [`VideoStreamHandler::new`] and [`VideoStreamHandler::per_session`].
///
/// The calls come in this order, and never concurrently: `start`, then `process` for each frame,
/// then `stop`. A panic in any of them ends only this session.
///
/// ```
/// use reframe_worker::{Frame, Handler, HandlerError, Output, Session};
///
/// struct Darken {
///     frames: u64,
/// }
///
/// impl Handler for Darken {
///     fn process(&mut self, mut frame: Frame, _: &Session) -> Result<Output, HandlerError> {
///         self.frames += 1;
///         if self.frames % 2 == 0 {
///             frame.data_mut().fill(0);
///         }
///         Ok(frame.into())
///     }
/// }
/// ```
pub trait Handler: Send + 'static {
    /// Called once, before the first frame.
    ///
    /// # Errors
    ///
    /// Ends the session before its first frame; the client is shown the message. `stop` is then not
    /// called.
    fn start(&mut self, session: &Session) -> Result<(), HandlerError> {
        let _ = session;
        Ok(())
    }

    /// Turns a frame into an [`Output`].
    ///
    /// # Errors
    ///
    /// Drops only this frame: the client is shown the message, and the next frame follows.
    fn process(&mut self, frame: Frame, session: &Session) -> Result<Output, HandlerError>;

    /// Called once after the last frame if `start` succeeded, also after `process` panicked, so
    /// that it can release what `start` acquired.
    fn stop(&mut self) {}
}
