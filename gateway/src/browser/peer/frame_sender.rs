//! Hop 10 of 10: encoded pictures become packets.
//! In:    `OutFrame`s from `egress`, at most `OUT_FRAMES`.
//! Out:   RTP packets, to the connection's driver.
//! Runs:  the media runtime, a task for each connection.
//! Full:  the driver takes a packet before the next is made.
//! Clock: a picture leaves at its `leave_at`; RTP 90 kHz.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rtc::rtp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use webrtc::media_stream::track_local::TrackLocal;

use super::extensions::ExtensionIds;
use crate::browser::guard::Guard;
use crate::media::encoded::OutFrame;
use crate::pipeline::bandwidth::padding::{PADDING_BYTES, Padding};
use crate::stream::latency::Latency;
use crate::telemetry;
use crate::telemetry::ledger::{Hop, Reason};

/// Tokio's timers are never early and, by their resolution, up to a millisecond late: aiming this
/// much early puts the packets on both sides of their instant, half a millisecond off at most, and
/// a wake-up.
const TIMER_LATE: Duration = Duration::from_micros(750);
/// Of a packet that is all padding: the stack adds four bytes of its own.
static ZEROS: [u8; PADDING_BYTES - 4] = [0; PADDING_BYTES - 4];

/// Sends the pictures of one connection.
pub(super) struct FrameSender {
    pub(super) track: Arc<dyn TrackLocal>,
    pub(super) ssrc: u32,
    pub(super) payload_type: u8,
    pub(super) extensions: ExtensionIds,
    pub(super) latency: Arc<Latency>,
    pub(super) padding: Arc<Padding>,
    pub(super) guard: Arc<Guard>,
}

impl FrameSender {
    /// Ends when `egress` and the peer have dropped the queue's senders.
    pub(super) async fn run(self, mut frames: mpsc::Receiver<OutFrame>) {
        let mut sequence = rand::random::<u16>();
        while let Some(OutFrame { payloads, timestamp, leave_at, stamp, mut ticket }) =
            frames.recv().await
        {
            if let Some(due) = leave_at {
                sleep_until(due - TIMER_LATE).await;
                let now = Instant::now();
                telemetry::release_error(now.max(due) - now.min(due));
            }
            if let Some(ticket) = &mut ticket {
                ticket.enter(Hop::Peer);
            }
            let (packets, bytes) = (payloads.len(), payloads.iter().map(Bytes::len).sum());
            let last = packets.saturating_sub(1);
            let mut sent = true;
            for (index, payload) in payloads.into_iter().enumerate() {
                let mut header = self.header(&mut sequence, timestamp);
                header.marker = index == last;
                // Once a frame is enough.
                if let Some(stamp) = stamp.filter(|_| index == last) {
                    self.extensions.write(&mut header, stamp);
                }
                sent &= self.track.write_rtp(rtp::Packet { header, payload }).await.is_ok();
            }
            match (ticket, sent) {
                (Some(ticket), true) => self.latency.emitted(ticket.emitted(Instant::now())),
                (Some(ticket), false) => ticket.dropped(Reason::Ended),
                (None, _) => {}
            }
            if sent && self.guard.pads() {
                self.pad(&mut sequence, timestamp, self.padding.packets(packets, bytes)).await;
            }
        }
    }

    /// Sends this many packets of padding after a picture: inside one they would tear it apart.
    async fn pad(&self, sequence: &mut u16, timestamp: u32, packets: usize) {
        for _ in 0..packets {
            let mut header = self.header(sequence, timestamp);
            header.padding = true;
            let packet = rtp::Packet { header, payload: Bytes::from_static(&ZEROS) };
            if self.track.write_rtp(packet).await.is_err() {
                return;
            }
        }
        telemetry::padding(packets * PADDING_BYTES);
    }

    fn header(&self, sequence: &mut u16, timestamp: u32) -> rtp::Header {
        let sequence_number = *sequence;
        *sequence = sequence.wrapping_add(1);
        rtp::Header {
            version: 2,
            payload_type: self.payload_type,
            sequence_number,
            timestamp,
            ssrc: self.ssrc,
            ..Default::default()
        }
    }
}
