//! Encoded pictures, on their way to the browser.

use bytes::Bytes;
use tokio::time::Instant;

use super::frame::CaptureStamp;
use crate::telemetry::ledger::Ticket;

/// One encoded frame for the browser.
pub(crate) struct OutFrame {
    /// In order, each within the MTU.
    pub(crate) payloads: Vec<Bytes>,
    /// RTP timestamp, 90 kHz.
    pub(crate) timestamp: u32,
    /// When its packets are sent; `None` is at once.
    pub(crate) leave_at: Option<Instant>,
    /// The browser's capture time, if it sent one.
    pub(crate) stamp: Option<CaptureStamp>,
    /// `None` for a repeated picture.
    pub(crate) ticket: Option<Ticket>,
}
