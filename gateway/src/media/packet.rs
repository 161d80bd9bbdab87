//! RTP packets of a browser's video, decrypted by the WebRTC stack.

use bytes::Bytes;

use super::frame::CaptureStamp;
use crate::codec::Rotation;

/// One packet, for the assembler.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// The SSRC.
    pub(crate) ssrc: u32,
    /// RTP sequence number.
    pub(crate) sequence: u16,
    /// RTP timestamp, 90 kHz.
    pub(crate) timestamp: u32,
    /// Last packet of its frame.
    pub(crate) marker: bool,
    /// Its header extensions.
    pub(crate) marks: HeaderExtensions,
    /// The payload in its codec's RTP format; empty for padding, which only uses a sequence number.
    pub(crate) payload: Bytes,
}

/// What a packet's header extensions say of its frame; most packets have none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeaderExtensions {
    pub(crate) rotation: Option<Rotation>,
    pub(crate) captured: Option<CaptureStamp>,
}

impl HeaderExtensions {
    /// Both merged; `other` takes precedence.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            rotation: other.rotation.or(self.rotation),
            captured: other.captured.or(self.captured),
        }
    }
}
