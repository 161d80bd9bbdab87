//! What an author declares: a handler, what stands beside its video, and the stream's limits.

mod bitrate;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use reframe_proto::{BITRATES_KBPS, is_stream_name};
use serde_json::Value;

pub use self::bitrate::Bitrate;
use crate::components::{InputComponent, OutputComponent, check_names};
use crate::handler::VideoStreamHandler;
use crate::mode::Mode;
use crate::session::Session;

/// (previously shown, current) to shown.
pub(crate) type OutputsHandler = Arc<dyn Fn(&[Value], &[Value]) -> Vec<Value> + Send + Sync>;

/// All that a session's thread does.
pub(crate) type ThreadBody = Box<dyn FnOnce() + Send>;

/// What is called as a session's thread, and calls its body.
pub(crate) type ThreadWrapper = Arc<dyn Fn(ThreadBody) + Send + Sync>;

/// A stream: a handler with a name, ready to run.
#[derive(Clone)]
pub struct Stream {
    pub(crate) handler: VideoStreamHandler,
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) mode: Mode,
    pub(crate) inputs: Vec<InputComponent>,
    pub(crate) outputs: Vec<OutputComponent>,
    pub(crate) outputs_handler: OutputsHandler,
    pub(crate) thread_wrapper: ThreadWrapper,
    pub(crate) overdue_hook: OverdueHook,
    /// `None`: what the workers can.
    pub(crate) concurrency_limit: Option<u32>,
    /// `None`: never.
    pub(crate) time_limit: Option<Duration>,
    pub(crate) movable: bool,
    pub(crate) broadcast: bool,
    /// `None`: what the gateway's options say.
    pub(crate) bitrate: Option<RangeInclusive<Bitrate>>,
    /// As `bitrate`.
    pub(crate) start_bitrate: Option<Bitrate>,
}

/// Told of a session whose call does not return.
pub(crate) type OverdueHook = Arc<dyn Fn(&Session) + Send + Sync>;

impl Stream {
    /// Begins the declaration of a stream.
    pub fn builder(handler: VideoStreamHandler) -> StreamBuilder {
        let mode = handler.default_mode();
        StreamBuilder(Self {
            handler,
            name: "default".into(),
            title: "Reframe".into(),
            subtitle: String::new(),
            mode,
            inputs: Vec::new(),
            outputs: Vec::new(),
            outputs_handler: Arc::new(|_, current| current.to_vec()),
            thread_wrapper: Arc::new(|body| body()),
            overdue_hook: Arc::new(|_| ()),
            concurrency_limit: None,
            time_limit: None,
            movable: false,
            broadcast: false,
            bitrate: None,
            start_bitrate: None,
        })
    }

    /// The name under which a gateway serves the stream.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first thing that is wrong with the declaration.
    fn check(&self) -> Result<(), String> {
        self.check_settings()?;
        self.handler.check()?;
        self.handler.check_mode(self.mode)?;
        check_names("input", self.inputs.iter().map(|input| input.about().name.as_str()))?;
        check_names("output", self.outputs.iter().map(|output| output.about().name.as_str()))?;
        self.inputs.iter().try_for_each(InputComponent::check)?;
        self.outputs.iter().try_for_each(OutputComponent::check)
    }

    fn check_settings(&self) -> Result<(), String> {
        if !is_stream_name(&self.name) {
            return Err(
                "a stream's name has 1 to 64 characters of a-z, 0-9, - and _, and is not a \
                        path of the gateway's own (api, webrtc, input_hook, updates, whip, whep)"
                    .to_owned(),
            );
        }
        if self.concurrency_limit == Some(0) {
            return Err("concurrency_limit must be at least 1".to_owned());
        }
        if self.broadcast && self.mode != Mode::Receive {
            return Err(format!(
                "broadcast is for mode receive, where a generator makes the pictures, not for {}",
                self.mode
            ));
        }
        if self.broadcast && !self.inputs.is_empty() {
            return Err("broadcast goes without inputs: all its viewers watch the same pictures, \
                        so none of them can set anything"
                .to_owned());
        }
        let wire = 1..=u128::from(u64::MAX);
        if let Some(limit) = self.time_limit.filter(|limit| !wire.contains(&limit.as_millis())) {
            return Err(format!("time_limit must be at least a millisecond, not {limit:?}"));
        }
        let fits = |rate: &Bitrate| BITRATES_KBPS.contains(&rate.kbps());
        let (low, high) = (BITRATES_KBPS.start(), BITRATES_KBPS.end());
        if let Some(rates) = self
            .bitrate
            .as_ref()
            .filter(|rates| rates.is_empty() || !fits(rates.start()) || !fits(rates.end()))
        {
            let (from, to) = (rates.start(), rates.end());
            return Err(format!(
                "bitrate must go up, within {low} to {high} kbit/s, not from {from} to {to}"
            ));
        }
        if let Some(rate) = self.start_bitrate.filter(|rate| !fits(rate)) {
            return Err(format!("start_bitrate must be within {low} to {high} kbit/s, not {rate}"));
        }
        Ok(())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, mode, handler, inputs, outputs, .. } = self;
        let (inputs, outputs) = (inputs.len(), outputs.len());
        write!(f, "Stream({name:?}, {mode}, {handler:?}, {inputs} inputs, {outputs} outputs)")
    }
}

/// Why there is no [`Stream`]: its declaration is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stream {name:?}: {problem}")]
pub struct StreamError {
    name: String,
    problem: String,
}

/// The declaration of a [`Stream`] under way.
#[derive(Debug, Clone)]
#[must_use]
pub struct StreamBuilder(Stream);

impl StreamBuilder {
    /// The name under which a gateway serves the stream, `default` unless set. It is a part of
    /// URLs: 1 to 64 characters of `a-z`, `0-9`, `-` and `_`; `api`, `webrtc`, `input_hook`,
    /// `updates`, `whip` and `whep` are the gateway's own.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.0.name = name.into();
        self
    }

    /// The title that the page shows.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.0.title = title.into();
        self
    }

    /// A line below the title.
    pub fn subtitle(mut self, subtitle: impl Into<String>) -> Self {
        self.0.subtitle = subtitle.into();
        self
    }

    /// Which way video goes: [`Mode::Receive`] for generators and [`Mode::SendReceive`] for all
    /// else, unless set.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.0.mode = mode;
        self
    }

    /// Controls for the person in front of the browser, after those declared before. A handler
    /// reads them by [`Session::inputs`](crate::Session::inputs).
    pub fn additional_inputs(
        mut self,
        inputs: impl IntoIterator<Item: Into<InputComponent>>,
    ) -> Self {
        self.0.inputs.extend(inputs.into_iter().map(Into::into));
        self
    }

    /// Displays for what the handler returns as [`AdditionalOutputs`](crate::AdditionalOutputs), in
    /// the order of its values, after those declared before.
    pub fn additional_outputs(
        mut self,
        outputs: impl IntoIterator<Item: Into<OutputComponent>>,
    ) -> Self {
        self.0.outputs.extend(outputs.into_iter().map(Into::into));
        self
    }

    /// What is shown of the additional outputs, from what was shown before (nothing, the first
    /// time) and what the handler has just returned; that as it is unless set. Runs on the
    /// session's thread; a panic in it ends the session.
    ///
    /// ```
    /// # use reframe_worker::{Frame, Number, Stream, VideoStreamHandler};
    /// # let handler = VideoStreamHandler::new(|frame: Frame| Ok(frame));
    /// // The most so far.
    /// let builder = Stream::builder(handler).additional_outputs([Number::new("faces")]);
    /// builder.additional_outputs_handler(|previous, current| {
    ///     let most = [previous, current].concat().into_iter().max_by_key(|value| value.as_u64());
    ///     most.into_iter().collect()
    /// });
    /// ```
    pub fn additional_outputs_handler(
        mut self,
        shown: impl Fn(&[Value], &[Value]) -> Vec<Value> + Send + Sync + 'static,
    ) -> Self {
        self.0.outputs_handler = Arc::new(shown);
        self
    }

    /// A function around the whole life of each session's thread, for an environment that must know
    /// the threads that run its code: an interpreter to attach to, a GPU context to make current.
    /// Without one a session's thread runs its body as it is.
    ///
    /// It is called once for each session, as the first thing on that session's new thread, with
    /// the thread's body. The body runs the handler from its factory to its destructor, so it
    /// returns when the session has ended and the handler is dropped. Call the body once, on the
    /// same thread; what comes after the call is the thread's clean-up. The worker waits for none
    /// of that: the session's slot is free when the body returns.
    ///
    /// A panic of the handler ends within the body and does not reach the wrapper. If the wrapper
    /// panics before it has called the body, or drops it, the session has no handler, and the
    /// gateway tries another worker. A panic after the call ends the thread and nothing else.
    ///
    /// ```
    /// # use reframe_worker::{Frame, Stream, VideoStreamHandler};
    /// use std::cell::Cell;
    ///
    /// thread_local! { static CONTEXT: Cell<Option<u32>> = const { Cell::new(None) }; }
    ///
    /// let handler = VideoStreamHandler::new(|frame: Frame| {
    ///     assert_eq!(CONTEXT.get(), Some(7));
    ///     frame
    /// });
    /// Stream::builder(handler).thread_wrapper(|body| {
    ///     CONTEXT.set(Some(7));
    ///     body();
    ///     CONTEXT.set(None);
    /// });
    /// ```
    pub fn thread_wrapper(
        mut self,
        wrapper: impl Fn(Box<dyn FnOnce() + Send>) + Send + Sync + 'static,
    ) -> Self {
        self.0.thread_wrapper = Arc::new(wrapper);
        self
    }

    /// A function that is told of each call over its limit
    /// ([`call_limit`](VideoStreamHandler::call_limit)), to add to the log where the call stands.
    ///
    /// It is called once for each such call, on the thread that moves the frames of all sessions:
    /// it must not wait, for a lock that the call may hold least of all.
    pub fn overdue_hook(mut self, hook: impl Fn(&Session) + Send + Sync + 'static) -> Self {
        self.0.overdue_hook = Arc::new(hook);
        self
    }

    /// Sessions of this stream that a gateway takes at once, at least 1; as many as its workers can
    /// unless set.
    pub fn concurrency_limit(mut self, sessions: u32) -> Self {
        self.0.concurrency_limit = Some(sessions);
        self
    }

    /// Whether a session that runs may be moved to a worker in its gateway's zone when there is
    /// room; not unless set. A new handler starts there, with the inputs that were set, so this is
    /// for handlers whose pictures do not depend on earlier frames.
    pub fn movable(mut self, movable: bool) -> Self {
        self.0.movable = movable;
        self
    }

    /// Whether everybody who opens the stream watches one and the same session; each has its own
    /// unless set. For a generator without inputs: a camera that is read once, however many watch.
    /// It runs as long as anybody watches, takes one slot, and is encoded once.
    pub fn broadcast(mut self, broadcast: bool) -> Self {
        self.0.broadcast = broadcast;
        self
    }

    /// How long a session may last, counted from when it is connected, a millisecond at least;
    /// unlimited unless set.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.0.time_limit = Some(limit);
        self
    }

    /// The video's bitrate, each way, from the lowest to the highest, both within 100 to 20000
    /// kbit/s; what the gateway's options say unless set. Between them it follows the network. The
    /// gateway's own highest bitrate always holds.
    ///
    /// ```
    /// # use reframe_worker::{Bitrate, Frame, Stream, VideoStreamHandler};
    /// # let handler = VideoStreamHandler::new(|frame: Frame| Ok(frame));
    /// // Text that must stay readable begins with more than a camera's picture needs.
    /// let kbps = Bitrate::from_kbps;
    /// Stream::builder(handler).bitrate(kbps(300)..=kbps(4_000)).start_bitrate(kbps(2_500));
    /// ```
    pub fn bitrate(mut self, bitrate: RangeInclusive<Bitrate>) -> Self {
        self.0.bitrate = Some(bitrate);
        self
    }

    /// The bitrate that the video begins with, 100 to 20000 kbit/s, as far as the lowest and
    /// highest allow; what the gateway's options say unless set.
    pub fn start_bitrate(mut self, bitrate: Bitrate) -> Self {
        self.0.start_bitrate = Some(bitrate);
        self
    }

    /// The stream.
    ///
    /// # Errors
    ///
    /// The declaration is wrong, and the error says where: a setting out of its range; a mode that
    /// does not fit the handler; two inputs, or two outputs, of one name; a name that is not an
    /// identifier; a value that the component itself would refuse; more than 64 inputs or outputs.
    pub fn try_build(self) -> Result<Stream, StreamError> {
        match self.0.check() {
            Ok(()) => Ok(self.0),
            Err(problem) => Err(StreamError { name: self.0.name, problem }),
        }
    }

    /// As [`try_build`](Self::try_build), for a declaration that is the same in each run of the
    /// program.
    ///
    /// # Panics
    ///
    /// When the declaration is wrong.
    #[must_use]
    pub fn build(self) -> Stream {
        self.try_build().unwrap_or_else(|error| panic!("{error}"))
    }
}

#[cfg(test)]
mod tests;
