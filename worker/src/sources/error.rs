//! What can go wrong with a source, in words for the person who named it.

use reframe_proto::MAX_DIMENSION;

use super::ffmpeg::SILENCE;

/// Why a source cannot be opened, or played further.
///
/// The texts name the source without user, password and query: handlers' errors are shown to
/// clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no such file.
    #[error("there is no file `{0}`")]
    NotFound(String),
    /// The program that plays sources is missing.
    #[error("the program `{0}` is not installed (Debian, Ubuntu: apt-get install ffmpeg)")]
    NoFfmpeg(String),
    /// It is there, and does not start.
    #[error("ffmpeg does not start: {0}")]
    Start(String),
    /// Media without pictures.
    #[error("`{0}` has no video in it")]
    NoVideo(String),
    /// Not media, damaged, refused by a server, broken off: `reason` is the last that ffmpeg said.
    #[error("`{name}` cannot be played: {reason}")]
    Unreadable {
        /// The source.
        name: String,
        /// One line.
        reason: String,
    },
    /// Pictures that no stream can carry.
    #[error(
        "`{name}` has pictures of {width}x{height}, over the {MAX_DIMENSION}x2304 that a stream carries: make them \
         smaller with `VideoOptions::size`"
    )]
    TooLarge {
        /// The source.
        name: String,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// A server, a camera or a pipe fell silent.
    #[error("`{name}` has sent nothing for {} seconds", SILENCE.as_secs())]
    Silent {
        /// The source.
        name: String,
    },
    /// What came out of ffmpeg is not what it was asked for.
    #[error("ffmpeg did not answer in YUV4MPEG2: {0}")]
    Malformed(&'static str),
    /// Nobody waits for the source any more.
    #[error("the session was closed while its source was read")]
    Closed,
}
