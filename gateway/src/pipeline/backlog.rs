//! Packets between the socket and the decoder.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::media::packet::Packet;
use crate::telemetry;

/// Packets that may wait for the decoder: a second of 4 Mbit/s video.
const BACKLOG_PACKETS: usize = 512;

/// Packets between the socket and the decoder. Never blocks: `peer` pushes from a task that serves
/// the socket.
#[derive(Default)]
pub(crate) struct PacketQueue {
    state: Mutex<Backlog>,
    pub(super) changed: Notify,
}

#[derive(Default)]
struct Backlog {
    packets: VecDeque<Packet>,
    /// When the oldest of them came.
    since: Option<Instant>,
    /// The backlog was dropped since the last drain: a keyframe must come before the next frame.
    lost: bool,
}

impl PacketQueue {
    pub(crate) fn push(&self, packet: Packet) {
        let mut state = self.state.lock();
        if state.packets.len() >= BACKLOG_PACKETS {
            telemetry::packets_dropped("backlog", state.packets.len() as u64);
            state.packets.clear();
            state.since = None;
            state.lost = true;
        }
        state.since.get_or_insert_with(Instant::now);
        state.packets.push_back(packet);
        drop(state);
        self.changed.notify_one();
    }

    /// Swaps what waits into `into` (which must be empty). Returns whether packets were lost since
    /// the last call, and since when the oldest of these has waited.
    pub(super) fn drain(&self, into: &mut VecDeque<Packet>) -> (bool, Option<Instant>) {
        let mut state = self.state.lock();
        std::mem::swap(&mut state.packets, into);
        (std::mem::take(&mut state.lost), state.since.take())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::media::packet::HeaderExtensions;

    #[test]
    fn an_overfull_backlog_is_dropped_whole_and_says_so() {
        let queue = PacketQueue::default();
        let (marks, payload) = (HeaderExtensions::default(), Bytes::new());
        let packet = Packet { ssrc: 1, sequence: 1, timestamp: 0, marker: true, marks, payload };
        let mut out = VecDeque::new();
        (0..BACKLOG_PACKETS).for_each(|_| queue.push(packet.clone()));
        assert!(!queue.drain(&mut out).0);
        assert_eq!(out.len(), BACKLOG_PACKETS);
        out.clear();
        (0..=BACKLOG_PACKETS).for_each(|_| queue.push(packet.clone()));
        assert!(queue.drain(&mut out).0);
        assert_eq!(out.len(), 1);
        out.clear();
        assert!(!queue.drain(&mut out).0);
    }
}
