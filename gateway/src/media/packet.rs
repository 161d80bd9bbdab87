//! Packets of a browser's video, as the WebRTC stack has decrypted them.

use bytes::Bytes;

use super::frame::CaptureStamp;
use crate::codec::Rotation;

/// One packet, as the assembler needs it.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Whose sequence numbers and timestamps these are.
    pub(crate) ssrc: u32,
    /// RTP sequence number.
    pub(crate) sequence: u16,
    /// RTP timestamp, 90 kHz.
    pub(crate) timestamp: u32,
    /// Last packet of its frame.
    pub(crate) marker: bool,
    /// What its header says beside.
    pub(crate) marks: HeaderExtensions,
    /// As its codec's RTP payload format has it; empty for padding, which only fills the sequence.
    pub(crate) payload: Bytes,
}

/// What a packet says of its frame; most packets say nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeaderExtensions {
    pub(crate) rotation: Option<Rotation>,
    pub(crate) captured: Option<CaptureStamp>,
}

impl HeaderExtensions {
    /// What both say together; `other` where they differ.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            rotation: other.rotation.or(self.rotation),
            captured: other.captured.or(self.captured),
        }
    }
}
