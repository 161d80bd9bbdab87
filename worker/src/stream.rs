//! What an author declares: a handler and how its stream is shown.

use std::{fmt, process::ExitCode, sync::Arc};

use crate::{
    cli,
    frame::Frame,
    handler::{Handler, HandlerError},
};

/// A handler for video, and the rate it is shown at.
#[derive(Clone)]
pub struct VideoStreamHandler {
    factory: Arc<dyn Fn() -> Box<dyn Handler> + Send + Sync>,
    fps: f64,
    skip_frames: bool,
}

impl VideoStreamHandler {
    /// A plain function or closure over frames. Each session runs a clone of it.
    pub fn new<F>(process: F) -> Self
    where
        F: Fn(Frame) -> Result<Frame, HandlerError> + Clone + Send + Sync + 'static,
    {
        Self::per_session(move || process.clone())
    }

    /// One handler for each session, made by `factory` on the session's own thread; so it may take its time, to load a
    /// model for example, and a panic in it ends that session only.
    pub fn per_session<H: Handler>(factory: impl Fn() -> H + Send + Sync + 'static) -> Self {
        Self { factory: Arc::new(move || Box::new(factory())), fps: 30.0, skip_frames: false }
    }

    /// Frames per second that the browser is shown, 30 by default. Fractional rates (29.97) are meant exactly.
    ///
    /// # Panics
    ///
    /// When `fps` is not a positive, finite number.
    #[must_use]
    pub fn fps(mut self, fps: f64) -> Self {
        assert!(fps.is_finite() && fps > 0.0, "fps must be a positive number, not {fps}");
        self.fps = fps;
        self
    }

    /// What becomes of frames that arrive while the handler is busy; `false` by default.
    ///
    /// With `true` only the newest of them waits, so a slow handler always works on the present. With `false` they wait
    /// in order, in a bounded queue: for handlers that must see every frame and keep up on average.
    #[must_use]
    pub fn skip_frames(mut self, skip_frames: bool) -> Self {
        self.skip_frames = skip_frames;
        self
    }

    pub(crate) fn make(&self) -> Box<dyn Handler> {
        (self.factory)()
    }
}

impl fmt::Debug for VideoStreamHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { factory: _, fps, skip_frames } = self;
        write!(f, "VideoStreamHandler({fps} fps, skip_frames: {skip_frames})")
    }
}

/// A stream: a handler with a name, ready to run.
#[derive(Debug, Clone)]
pub struct Stream {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) handler: VideoStreamHandler,
}

impl Stream {
    /// Begins the declaration of a stream.
    pub fn builder(handler: VideoStreamHandler) -> StreamBuilder {
        StreamBuilder(Self { name: "default".into(), title: "Reframe".into(), handler })
    }

    /// Runs the stream as the command line says (`launch` or `serve`) until a signal ends it: all that `main` needs.
    ///
    /// A program with options of its own uses [`cli::run`].
    #[must_use]
    pub fn run(self) -> ExitCode {
        cli::run(|_: cli::NoOptions| Ok(self))
    }

    pub(crate) const fn fps(&self) -> f64 {
        self.handler.fps
    }

    pub(crate) const fn skip_frames(&self) -> bool {
        self.handler.skip_frames
    }
}

/// The declaration of a [`Stream`] under way.
#[derive(Debug, Clone)]
#[must_use]
pub struct StreamBuilder(Stream);

impl StreamBuilder {
    /// The name under which a gateway serves the stream, `default` unless set.
    ///
    /// # Panics
    ///
    /// When the name could not be a part of a URL: only `a-z`, `0-9`, `-` and `_` are allowed, 1 to 64 of them.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        assert!(
            (1..=64).contains(&name.len()) && name.bytes().all(plain),
            "a stream's name has 1 to 64 of a-z, 0-9, - and _: {name:?} does not"
        );
        self.0.name = name;
        self
    }

    /// The title that the page shows.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.0.title = title.into();
        self
    }

    /// The stream.
    #[must_use]
    pub fn build(self) -> Stream {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler() -> VideoStreamHandler {
        VideoStreamHandler::new(Ok)
    }

    #[test]
    fn defaults_are_those_documented() {
        let stream = Stream::builder(handler()).build();
        assert_eq!((stream.name.as_str(), stream.fps(), stream.skip_frames()), ("default", 30.0, false));
    }

    #[test]
    #[should_panic(expected = "fps must be a positive number, not NaN")]
    fn refuses_a_rate_that_is_none() {
        drop(handler().fps(f64::NAN));
    }

    #[test]
    #[should_panic(expected = r#""Face Swap" does not"#)]
    fn refuses_a_name_that_no_url_could_carry() {
        drop(Stream::builder(handler()).name("Face Swap"));
    }
}
