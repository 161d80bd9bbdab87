//! A handler or generator with the settings of its stream.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use reframe_proto::FRAME_RATES;

use super::{Handler, IntoGenerator, IntoHandler, IntoOutput, Output};
use crate::calls::Calls;
use crate::error::HandlerError;
use crate::frame::{Frame, PixelFormat};
use crate::mode::Mode;
use crate::session::Session;

/// What a `call_limit` may be. They are looked at once a second.
const CALL_LIMITS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// Makes the handler of one session.
type Factory = dyn Fn(&Session) -> Result<Work, HandlerError> + Send + Sync;

/// A handler for video, with its frame rate and its policy for frames that arrive while it is busy.
#[derive(Clone)]
pub struct VideoStreamHandler {
    make: Arc<Factory>,
    generates: bool,
    fps: f64,
    skip_frames: bool,
    keep_rotation: bool,
    pixel_format: PixelFormat,
    serialized: bool,
    call_limit: Option<Duration>,
}

impl VideoStreamHandler {
    /// A function or closure over frames: `(Frame) -> R` or `(Frame, &Session) -> R`, where `R` is
    /// any [`IntoOutput`]. Each session runs its own clone.
    ///
    /// ```
    /// use reframe_worker::{Frame, VideoStreamHandler};
    ///
    /// VideoStreamHandler::new(|frame: Frame| Ok(frame.flip_vertical()));
    /// ```
    pub fn new<Marker>(handler: impl IntoHandler<Marker> + Clone + Sync) -> Self {
        Self::per_session(move || handler.clone())
    }

    /// One handler for each session, made by `factory` on the session's own thread. The factory may
    /// be slow, to load a model for example, and a panic in it ends only that session. The handler
    /// is a closure, which may keep state, or a type that implements [`Handler`].
    ///
    /// ```
    /// use reframe_worker::{Frame, HandlerError, VideoStreamHandler};
    ///
    /// VideoStreamHandler::per_session(|| {
    ///     let mut dark = false;
    ///     move |mut frame: Frame| {
    ///         dark = !dark;
    ///         if dark {
    ///             frame.data_mut().fill(0);
    ///         }
    ///         Ok(frame)
    ///     }
    /// });
    /// ```
    pub fn per_session<H, Marker>(factory: impl Fn() -> H + Send + Sync + 'static) -> Self
    where
        H: IntoHandler<Marker>,
    {
        Self::of(false, move |_| Ok(Work::Handler(Box::new(factory().into_handler()))))
    }

    /// Pictures from an iterator, for a stream that only sends to the browser ([`Mode::Receive`]).
    /// Each session has its own iterator, made by `factory` on the session's thread, and asked for
    /// an item shortly before the next picture is due. The stream ends with the iterator.
    ///
    /// `factory` is `() -> Result<I, HandlerError>` or `(Session) -> Result<I, HandlerError>`, and
    /// the items are any [`IntoOutput`]. If it fails, the session ends before its first picture,
    /// and the client is shown why.
    ///
    /// ```
    /// use reframe_worker::{Frame, HandlerError, Session, VideoStreamHandler};
    ///
    /// VideoStreamHandler::generator(|session: Session| {
    ///     Ok((0..).map(move |_| -> Result<Frame, HandlerError> {
    ///         let brightness: u32 = session.inputs().get("brightness")?;
    ///         Ok(Frame::filled(640, 480, [u8::try_from(brightness)?; 3])?)
    ///     }))
    /// });
    /// ```
    pub fn generator<Marker>(factory: impl IntoGenerator<Marker>) -> Self {
        Self::of(true, move |session| {
            Ok(Work::Generator(Box::new(factory.generate(session)?.map(IntoOutput::into_output))))
        })
    }

    fn of(
        generates: bool,
        make: impl Fn(&Session) -> Result<Work, HandlerError> + Send + Sync + 'static,
    ) -> Self {
        let pixel_format = PixelFormat::default();
        Self {
            make: Arc::new(make),
            generates,
            fps: 30.0,
            skip_frames: false,
            keep_rotation: false,
            pixel_format,
            serialized: false,
            call_limit: None,
        }
    }

    /// Frames per second that the browser is shown, 1 to 240, 30 by default. Fractional rates
    /// (29.97) are exact. [`StreamBuilder::try_build`](crate::StreamBuilder::try_build) refuses any
    /// other.
    #[must_use]
    pub fn fps(mut self, fps: f64) -> Self {
        self.fps = fps;
        self
    }

    /// What happens to frames that arrive while the handler is busy; `false` by default.
    ///
    /// With `true` only the newest of them waits, so a slow handler always works on the newest
    /// frame. With `false` they wait in order, in a bounded queue: for handlers that must see every
    /// frame and keep up on average.
    #[must_use]
    pub fn skip_frames(mut self, skip_frames: bool) -> Self {
        self.skip_frames = skip_frames;
        self
    }

    /// Whether frames keep the rotation that the camera sent them with; `false` by default.
    ///
    /// A phone sends what its sensor sees, and with it how the phone was held. With `false` the
    /// gateway turns each frame upright before the handler sees it, which costs a copy of each
    /// frame that is not upright. With `true` frames come as sent, and
    /// [`Frame::rotation`](crate::Frame::rotation) says how far they are from upright. What the
    /// handler returns is turned by its own rotation before it is shown.
    #[must_use]
    pub fn keep_rotation(mut self, keep_rotation: bool) -> Self {
        self.keep_rotation = keep_rotation;
        self
    }

    /// The format of the frames that the handler is given, RGB24 by default. It may return any
    /// format.
    #[must_use]
    pub fn pixel_format(mut self, pixel_format: PixelFormat) -> Self {
        self.pixel_format = pixel_format;
        self
    }

    /// Whether calls of the stream's handlers run one at a time, in the order in which they were
    /// asked for; `false` by default. For code that several threads may not call at once, such as
    /// most models.
    ///
    /// The time that a session waits for its turn is not the handler's. Where nothing else is said
    /// (`--capacity`), a worker then takes as many sessions as get a call for each frame, or ten
    /// times a second with [`skip_frames`](Self::skip_frames); at most 16, one at least. A call of
    /// a [`Batched`](crate::Batched) model gives others their turn while it waits.
    #[must_use]
    pub fn serialized(mut self, serialized: bool) -> Self {
        self.serialized = serialized;
        self
    }

    /// How long a call may take before the log says that it does not return; for ever unless set.
    /// A session's start may take sixty times as long, and its first frame six times: models are
    /// loaded and warmed up in them.
    ///
    /// Where calls are [`serialized`](Self::serialized), one that hangs stops all sessions: the
    /// worker then says that it does not serve, and its sessions move to others. A worker on its
    /// own (`serve`) ends with a failure, to be started again.
    #[must_use]
    pub fn call_limit(mut self, limit: Duration) -> Self {
        self.call_limit = Some(limit);
        self
    }

    /// The calls of one worker.
    pub(crate) fn calls(&self) -> Calls {
        Calls::new(self.serialized, self.call_limit, self.fps, self.skip_frames)
    }

    /// Makes the handler of one session. This is the author's code and may panic.
    pub(crate) fn make(&self, session: &Session) -> Result<Work, HandlerError> {
        (self.make)(session)
    }

    pub(crate) const fn default_mode(&self) -> Mode {
        if self.generates { Mode::Receive } else { Mode::SendReceive }
    }

    /// What is wrong with the handler's own settings.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !FRAME_RATES.contains(&self.fps) {
            return Err(format!(
                "fps must be from {} to {}, not {}",
                FRAME_RATES.start(),
                FRAME_RATES.end(),
                self.fps
            ));
        }
        if let Some(limit) = self.call_limit.filter(|limit| !CALL_LIMITS.contains(limit)) {
            return Err(format!("call_limit must be from a second to a day, not {limit:?}"));
        }
        Ok(())
    }

    /// The cure when the handler does not fit the stream's mode.
    pub(crate) fn check_mode(&self, mode: Mode) -> Result<(), String> {
        let generates = mode == Mode::Receive;
        match (self.generates, generates) {
            (true, false) => Err(format!(
                "a generator is given no frames: mode {mode} needs a function over frames"
            )),
            (false, true) => {
                Err("mode receive has no frames to give: use VideoStreamHandler::generator"
                    .to_owned())
            }
            _ => Ok(()),
        }
    }

    pub(crate) const fn rate(&self) -> f64 {
        self.fps
    }

    pub(crate) const fn skips(&self) -> bool {
        self.skip_frames
    }

    pub(crate) const fn keeps_rotation(&self) -> bool {
        self.keep_rotation
    }

    pub(crate) const fn format(&self) -> PixelFormat {
        self.pixel_format
    }
}

impl fmt::Debug for VideoStreamHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generates, fps, skip_frames, keep_rotation, pixel_format, .. } = self;
        let kind = if *generates { "generator" } else { "handler" };
        write!(
            f,
            "VideoStreamHandler({kind}, {fps} fps, skip_frames: {skip_frames}, keep_rotation: \
             {keep_rotation}, {pixel_format})"
        )
    }
}

/// A session's handler or generator. All of it is the author's code and may panic.
pub(crate) enum Work {
    Handler(Box<dyn Handler>),
    Generator(Box<dyn Iterator<Item = Result<Output, HandlerError>>>),
}

impl Work {
    pub(crate) fn start(&mut self, session: &Session) -> Result<(), HandlerError> {
        match self {
            Self::Handler(handler) => handler.start(session),
            Self::Generator(_) => Ok(()),
        }
    }

    /// The output for a frame, or the next item; `None` when there are no more.
    ///
    /// # Panics
    ///
    /// When a handler is given no frame: the service only accepts messages that fit the mode.
    pub(crate) fn run(
        &mut self,
        frame: Option<Frame>,
        session: &Session,
    ) -> Option<Result<Output, HandlerError>> {
        match self {
            Self::Handler(handler) => {
                Some(handler.process(frame.expect("the mode has frames"), session))
            }
            Self::Generator(items) => items.next(),
        }
    }

    pub(crate) fn stop(&mut self) {
        if let Self::Handler(handler) = self {
            handler.stop();
        }
    }

    /// The name of the call that [`run`](Self::run) makes, for the log.
    pub(crate) const fn call(&self) -> &'static str {
        match self {
            Self::Handler(_) => "process",
            Self::Generator(_) => "next",
        }
    }
}
