//! Video for generators: files, addresses and cameras, frame by frame.
//!
//! ```no_run
//! use reframe_worker::{Stream, VideoStreamHandler, sources::Video};
//!
//! fn main() -> std::process::ExitCode {
//!     let clip =
//!         VideoStreamHandler::generator(|| Ok(Video::options().fps(30.0).open("clip.mp4")?));
//!     let clip = clip.fps(30.0);
//!     Stream::builder(clip).title("A clip").build().run()
//! }
//! ```
//!
//! The installed `ffmpeg` reads and decodes, in a process of its own: a file that crashes a decoder
//! ends one session, and whatever that ffmpeg plays, this plays. It sends YUV4MPEG2 through a pipe:
//! size and rate stand in its header, and pictures are I420, as on the wire. (The crate
//! `ffmpeg-sidecar` was tried on paper: it reads size and rate from log texts, copies every picture
//! twice more, on two threads that nothing interrupts, and leaves its child running.)
//!
//! Memory is bounded by the pipe: an ffmpeg whose frames nobody takes waits.

mod error;
mod ffmpeg;
mod header;
mod input;
#[cfg(test)]
mod tests;
mod video;

pub use error::SourceError;
pub use video::{Video, VideoOptions};
