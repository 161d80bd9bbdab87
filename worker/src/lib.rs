//! Write a function over video frames; Reframe makes it a live stream in the browser.
//!
//! ```no_run
//! use reframe_worker::{Frame, HandlerError, Stream, VideoStreamHandler};
//!
//! fn flip(frame: Frame) -> Result<Frame, HandlerError> {
//!     Ok(frame.flip_vertical())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     Stream::builder(VideoStreamHandler::new(flip)).title("Upside down").build().run()
//! }
//! ```
//!
//! That is a whole program, with two commands:
//!
//! - `launch`: a gateway and the handler in one process. Open the page it names and see your camera upside down.
//! - `serve`: a worker alone, for the pools of gateways elsewhere; start as many as the load asks for.
//!
//! # Handlers
//!
//! Each session (one browser) has its own handler on its own thread. It may block, and it may be slow: with
//! [`skip_frames`](VideoStreamHandler::skip_frames) it is always given the newest frame. Functions and closures will
//! do; for state, give [`VideoStreamHandler::per_session`] a factory of closures, or of types that implement
//! [`Handler`]:
//!
//! ```
//! use reframe_worker::{Frame, HandlerError, VideoStreamHandler};
//!
//! let blink = VideoStreamHandler::per_session(|| {
//!     let mut dark = false;
//!     move |mut frame: Frame| -> Result<Frame, HandlerError> {
//!         dark = !dark;
//!         if dark {
//!             frame.rgb_mut().fill(0);
//!         }
//!         Ok(frame)
//!     }
//! });
//! ```
//!
//! An error costs one frame and is shown to the client. A panic costs its session; other sessions do not notice. That
//! needs unwinding: with `panic = "abort"` in its profile a program ends with its first panic.
//!
//! # Cost
//!
//! A frame is converted from I420 to RGB24 and back, about 0.4 ms for 1280x720, on the handler's thread. Its buffer is
//! used again when the handler returns the frame it was given; for the rest, buffers of megabytes come and go, which
//! glibc's allocator answers with page faults: set another in your program (mimalloc took a fifth off the transport).
//!
//! # Layout
//!
//! As a frame meets them: `server` (connections), `service` (hop 5: one call per session), `convert` (the wire ends
//! here), `runner` (hop 6: the handler's thread), `i420` (pixels). [`cli`] runs it all.

pub mod cli;
mod convert;
mod frame;
mod handler;
mod i420;
mod runner;
mod server;
mod service;
mod stream;

pub use frame::{Frame, FrameError};
pub use handler::{Handler, HandlerError};
pub use server::{ServeError, Server};
pub use stream::{Stream, StreamBuilder, VideoStreamHandler};
