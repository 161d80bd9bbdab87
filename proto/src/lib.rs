//! The wire between a Reframe gateway and its workers.
//!
//! [`v1`] is generated from `proto/reframe/v1/worker.proto` and committed, so that nobody who builds Reframe, or a
//! handler on top of it, needs `protoc`; `tests/drift.rs` fails when the two differ and says how to regenerate.
//!
//! The numbers here are the ones that both ends must agree on. They are constants, not options: a gateway and a
//! worker configured apart would refuse each other's frames.

/// The version of this protocol. A gateway refuses a worker whose `StreamSpec` carries another.
pub const PROTOCOL_VERSION: u32 = 1;

/// The largest width and height of a frame on the wire, in pixels.
pub const MAX_DIMENSION: u32 = 4096;

/// The largest gRPC message, in bytes, set on both sides of every call.
///
/// Room for one 4096x2304 I420 frame (14.2 MB) and its header. tonic's own default, 4 MiB, would refuse a 1080p RGB
/// frame (6.2 MB) and is easily forgotten on one side.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// The largest picture, in bytes of I420: a message less room for its other fields.
pub const MAX_PICTURE_BYTES: usize = MAX_MESSAGE_BYTES - 1024;

/// HTTP/2 flow-control window of one stream, in bytes: several frames, so that one never waits for a window update
/// (measured: 20-25 % less CPU per 720p round trip than with tonic's default).
pub const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// HTTP/2 flow-control window of one connection, which all sessions with a worker share, in bytes.
pub const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// HTTP/2 frame size, in bytes: fewer, larger DATA frames. 1 MiB gained nothing more when measured.
pub const HTTP2_FRAME_BYTES: u32 = 256 * 1024;

/// Bytes of an I420 picture: a full-size luma plane and two chroma planes of half the size, rounded up.
///
/// ```
/// assert_eq!(reframe_proto::i420_len(1280, 720), 1_382_400);
/// assert_eq!(reframe_proto::i420_len(3, 3), 9 + 4 + 4);
/// ```
#[must_use]
pub const fn i420_len(width: u32, height: u32) -> usize {
    let luma = width as usize * height as usize;
    let chroma = (width as usize).div_ceil(2) * (height as usize).div_ceil(2);
    luma + 2 * chroma
}

/// Whether a picture of this size may go over the wire: no side is 0 or above [`MAX_DIMENSION`], and it fits a message.
///
/// ```
/// assert!(reframe_proto::picture_fits(4096, 2304));
/// assert!(!reframe_proto::picture_fits(4096, 4096) && !reframe_proto::picture_fits(0, 1));
/// ```
#[must_use]
pub const fn picture_fits(width: u32, height: u32) -> bool {
    let sides = width >= 1 && height >= 1 && width <= MAX_DIMENSION && height <= MAX_DIMENSION;
    sides && i420_len(width, height) <= MAX_PICTURE_BYTES
}

/// Version 1 of the protocol, as generated.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    unreachable_pub,
    unused_qualifications,
    elided_lifetimes_in_paths,
    reason = "generated code"
)]
pub mod v1 {
    include!("gen/reframe.v1.rs");
}
