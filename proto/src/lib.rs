//! The wire between a Reframe gateway and its workers.
//!
//! [`v1`] is generated from `proto/reframe/v1/worker.proto` and committed, so that building
//! Reframe, or a handler on top of it, does not need `protoc`. `tests/drift.rs` fails when the two
//! differ and says how to regenerate.
//!
//! Both ends must agree on the numbers here, so they are constants and not options: a gateway and a
//! worker with different values would refuse each other's frames.

pub mod exchange;
pub mod location;

/// The version of this protocol. A gateway refuses a worker whose `StreamSpec` carries another.
pub const PROTOCOL_VERSION: u32 = 4;

/// The largest width and height of a frame on the wire, in pixels.
pub const MAX_DIMENSION: u32 = 4096;

/// The largest gRPC message, in bytes, set on both sides of every call.
///
/// Room for one 4096x2304 I420 frame (14.2 MB) and its header. tonic's own default, 4 MiB, would
/// refuse a 1080p RGB frame (6.2 MB) and is easily forgotten on one side.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// The largest picture, in bytes of I420: a message less room for its other fields.
pub const MAX_PICTURE_BYTES: usize = MAX_MESSAGE_BYTES - 1024;

/// The largest message that may be the first of a call, `Open` among them, in bytes: until a worker
/// has answered, it does not know for whom it would keep more. Inputs that make an `Open` longer
/// follow it.
pub const MAX_OPEN_BYTES: usize = 64 * 1024;

/// The longest JSON text of one result's outputs, in bytes: the least that a WebRTC data channel
/// must carry in one message is 64 KiB (RFC 8841, section 6.1), and they go out with their names.
pub const MAX_OUTPUTS_BYTES: usize = 32 * 1024;

/// The longest text of an input, in characters, whatever its declaration says.
pub const MAX_INPUT_CHARS: usize = 4096;

/// The longest text with which a gateway tells a worker why it does not use it, in bytes.
pub const MAX_REFUSED_BYTES: usize = 500;

/// The service of `grpc.health.v1` by which a worker says whether it is ready: that it serves, and
/// is not refused by every gateway that it has heard of lately.
pub const READINESS_SERVICE: &str = "readiness";

/// Inputs, and outputs, that one stream may declare.
pub const MAX_COMPONENTS: usize = 64;

/// The frame rates that a stream may have, in frames a second.
pub const FRAME_RATES: std::ops::RangeInclusive<f64> = 1.0..=240.0;

/// What a video's bitrate may be, in kbit/s.
pub const BITRATES_KBPS: std::ops::RangeInclusive<u32> = 100..=20_000;

/// HTTP/2 flow-control window of one stream, in bytes: several frames, so that one never waits for
/// a window update (measured: 20-25 % less CPU per 720p round trip than with tonic's default).
pub const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// HTTP/2 flow-control window of one connection, which all sessions with a worker share, in bytes.
pub const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// HTTP/2 frame size, in bytes: fewer, larger DATA frames. 1 MiB gained nothing more when measured.
pub const HTTP2_FRAME_BYTES: u32 = 256 * 1024;

/// Bytes of an I420 picture: a full-size luma plane and two chroma planes of half the size, rounded
/// up.
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

/// Whether a picture of this size may go over the wire: no side is 0 or above [`MAX_DIMENSION`],
/// and it fits a message.
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

/// First path segments of a gateway's own routes, which cannot be names of streams.
const RESERVED_NAMES: [&str; 6] = ["api", "webrtc", "input_hook", "updates", "whip", "whep"];

/// Whether a stream may have this name: a part of a URL, 1 to 64 of `a-z`, `0-9`, `-` and `_`, and
/// none of the gateway's own paths.
///
/// ```
/// assert!(reframe_proto::is_stream_name("skip-frames"));
/// assert!(!reframe_proto::is_stream_name("Face Swap") && !reframe_proto::is_stream_name("api"));
/// ```
#[must_use]
pub fn is_stream_name(name: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
    };
    (1..=64).contains(&name.len()) && name.bytes().all(plain) && !RESERVED_NAMES.contains(&name)
}

/// Fields of the messages that set inputs, beside the inputs' names.
const MESSAGE_FIELDS: [&str; 2] = ["webrtc_id", "session_token"];

/// Whether an input or output may have this name: an identifier of at most 64 bytes that no message
/// uses itself.
///
/// ```
/// assert!(reframe_proto::is_component_name("conf_threshold"));
/// assert!(!reframe_proto::is_component_name("2nd"));
/// assert!(!reframe_proto::is_component_name("webrtc_id"));
/// ```
#[must_use]
pub fn is_component_name(name: &str) -> bool {
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    first && word && name.len() <= 64 && !MESSAGE_FIELDS.contains(&name)
}

/// Version 1 of the package, as generated.
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
