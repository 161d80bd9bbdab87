//! Write a function over video frames; Reframe makes it a live stream in the browser.
//!
//! ```no_run
//! use reframe_worker::{Frame, Stream, VideoStreamHandler};
//!
//! fn flip(frame: Frame) -> Frame {
//!     frame.flip_vertical()
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     Stream::builder(VideoStreamHandler::new(flip)).title("Upside down").build().run()
//! }
//! ```
//!
//! That is a whole program, with two commands:
//!
//! - `launch`: a gateway and the handler in one process. Open the page it names and see your camera
//!   upside down.
//! - `serve`: a worker alone, for the pools of gateways elsewhere; start as many as the load asks
//!   for.
//!
//! # Handlers
//!
//! Each session (one browser) has its own handler on its own thread. It may block, and it may be
//! slow: with [`skip_frames`](VideoStreamHandler::skip_frames) it is always given the newest frame.
//!
//! | you have | use |
//! |---|---|
//! | a function or closure over frames | [`VideoStreamHandler::new`] |
//! | one with state | [`VideoStreamHandler::per_session`], with a closure or a [`Handler`] |
//! | pictures of your own, no camera | [`VideoStreamHandler::generator`], with any iterator; [`sources::Video`] is one |
//!
//! What they return is a [`Frame`], [`AdditionalOutputs`], [`CloseStream`], a frame with one of
//! these, or `()`; and any of them in a `Result` with [`HandlerError`], into which `?` turns every
//! error. Which of them a stream needs is a question of its [`Mode`].
//!
//! ```
//! use reframe_worker::{
//!     AdditionalOutputs, Frame, HandlerError, Number, Session, Slider, Stream, VideoStreamHandler,
//! };
//!
//! fn detection(
//!     frame: Frame,
//!     session: &Session,
//! ) -> Result<(Frame, AdditionalOutputs), HandlerError> {
//!     let threshold: f32 = session.inputs().get("conf_threshold")?;
//!     let found = frame.rows().filter(|row| f32::from(row[0]) > threshold * 255.0).count();
//!     Ok((frame, AdditionalOutputs::new([found])))
//! }
//!
//! let stream = Stream::builder(VideoStreamHandler::new(detection).skip_frames(true))
//!     .additional_inputs([Slider::new("conf_threshold", 0.0..=1.0).step(0.01).value(0.3)])
//!     .additional_outputs([Number::new("found")])
//!     .concurrency_limit(10)
//!     .build();
//! ```
//!
//! The [`Session`] has what the person in front of the browser has set, and shows them messages.
//!
//! # Faults
//!
//! An error costs one frame and is shown to the client. A panic costs its session; other sessions
//! do not notice. That needs unwinding: with `panic = "abort"` in its profile a program ends with
//! its first panic. A call that never returns keeps its session's slot: one that may take long asks
//! [`Session::is_closed`].
//!
//! # Cost
//!
//! A frame is converted from I420 to RGB24 and back, about 0.4 ms for 1280x720, on the handler's
//! thread. A handler that takes [`PixelFormat::I420`] and returns it costs no conversion and no
//! copy. Else the frame's buffer is used again when the handler returns the frame it was given; for
//! the rest, buffers of megabytes come and go, which glibc's allocator answers with page faults:
//! set another in your program (mimalloc took a fifth off the transport).
//!
//! # Features
//!
//! | feature | on by default | what it adds |
//! |---|---|---|
//! | `launch` | yes | the gateway in the same process; without it there is no WebRTC to build |
//! | `image` | no | frames as pictures of the `image` crate, 0.25 |
//! | `ndarray` | no | frames as arrays of the `ndarray` crate, 0.17 |
//!
//! # Minimum Rust version
//!
//! 1.95. A release that needs a newer one says so in the changelog and raises the minor version.
//!
//! # Layout
//!
//! As a frame meets them: `server` (connections, and with `server::service` hop 5: one call for
//! each session), `convert` (the wire ends here), `runner` (hop 6: the handler's actor and its
//! thread), `frame` (pixels), `handler`. [`cli`] runs all of it. Each imports only modules below
//! it; a test holds that.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod bench;
mod calls;
mod check;
pub mod cli;
mod components;
mod convert;
mod error;
mod frame;
mod handler;
mod health;
mod inputs;
mod message;
mod mode;
mod newest;
mod runner;
mod server;
mod session;
pub mod sources;
mod stream;

pub use batch::{Batched, BatchedBuilder, BatchedError, CallError, batch_sessions};
#[cfg(feature = "launch")]
pub use cli::launch::{LaunchError, launch};
pub use components::{
    Checkbox, ColorPicker, Dropdown, InputComponent, Json, Label, LinePlot, Number,
    OutputComponent, Slider, Text, Textbox,
};
pub use error::{HandlerError, Superseded};
pub use frame::{Frame, FrameError, PixelFormat, Rotation};
pub use handler::{
    AdditionalOutputs, CloseStream, Handler, IntoGenerator, IntoHandler, IntoOutput, Output,
    VideoStreamHandler,
};
pub use inputs::{FromInput, InputError, Inputs};
pub use mode::Mode;
#[cfg(feature = "launch")]
pub use reframe_gateway::Options as GatewayOptions;
pub use serde_json::{Value, json};
pub use server::{Listener, ServeError, Server, serve};
pub use session::Session;
pub use stream::{Bitrate, Stream, StreamBuilder, StreamError};

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
