//! Hop 1 of 10: RTP packets of a browser's video are taken from the stack.
//! In:    the tracks of the connection.
//! Out:   `backlog::PacketQueue`, which never blocks.
//! Runs:  a task for each track, on the media runtime.
//! Full:  see the queue; what is thrown away there is counted.
//! Clock: RTP 90 kHz.
//!
//! Of several tracks one is followed.
//!
//! The stack never says that a track has ended, and a browser may go on with another camera in
//! another section, or come back to the first. So whichever sends is followed, until it is silent
//! and another is not.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rtc::rtp;
use tokio::time::Instant;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use super::extensions::ExtensionIds;
use crate::media::packet::Packet;
use crate::media::receive_stats::ReceiveStats;
use crate::pipeline::backlog::PacketQueue;

/// Without a packet for so long, a track gives way to another that sends: at the lowest frame rate
/// (1 fps) there is one.
const SILENCE: Duration = Duration::from_millis(1_500);

/// The track that is followed.
pub(super) struct Tracks<T = Arc<dyn TrackRemote>> {
    current: Mutex<Option<Current<T>>>,
}

struct Current<T> {
    track: T,
    ssrc: u32,
    heard: Instant,
}

impl<T> Default for Tracks<T> {
    fn default() -> Self {
        Self { current: Mutex::new(None) }
    }
}

impl<T: Clone> Tracks<T> {
    /// Whether a packet of `track`, of which `same` knows the current one, is to be looked at.
    fn follow(&self, now: Instant, track: &T, ssrc: u32, same: impl Fn(&T, &T) -> bool) -> bool {
        let mut current = self.current.lock();
        let other = current.as_ref().filter(|current| !same(&current.track, track));
        if other.is_some_and(|other| now < other.heard + SILENCE) {
            return false;
        }
        *current = Some(Current { track: track.clone(), ssrc, heard: now });
        true
    }

    /// The one that is followed, and the SSRC of its newest packet.
    pub(super) fn current(&self) -> Option<(T, u32)> {
        self.current.lock().as_ref().map(|current| (current.track.clone(), current.ssrc))
    }
}

/// Hop 1. The stack's own queue (256 packets) drops when this task is late, so it does nothing but
/// hand over.
pub(super) async fn receive_packets(
    track: Arc<dyn TrackRemote>,
    tracks: Arc<Tracks>,
    packets: Arc<PacketQueue>,
    extensions: ExtensionIds,
    received: Arc<ReceiveStats>,
) {
    while let Some(event) = track.poll().await {
        if let TrackRemoteEvent::OnRtpPacket(_) = event {
            received.packet();
        }
        match event {
            TrackRemoteEvent::OnRtpPacket(rtp::Packet { header, payload })
                if tracks.follow(Instant::now(), &track, header.ssrc, Arc::ptr_eq) =>
            {
                packets.push(Packet {
                    ssrc: header.ssrc,
                    sequence: header.sequence_number,
                    timestamp: header.timestamp,
                    marker: header.marker,
                    marks: extensions.read(&header),
                    payload,
                });
            }
            TrackRemoteEvent::OnEnded => break,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whichever_sends_is_followed_there_and_back() {
        let (tracks, start) = (Tracks::default(), Instant::now());
        let follow = |ms: u32, track: &'static str| {
            tracks.follow(start + Duration::from_millis(ms.into()), &track, ms, |a, b| a == b)
        };
        assert!(tracks.current().is_none());
        assert!(follow(0, "a") && follow(1_000, "a"));
        assert!(!follow(1_001, "b") && !follow(2_499, "b"), "the first still sends");
        assert!(follow(2_500, "b"));
        assert!(!follow(2_501, "a") && follow(2_600, "b"));
        assert_eq!(tracks.current(), Some(("b", 2_600)));
        assert!(follow(9_000, "a"), "and back");
        assert_eq!(tracks.current(), Some(("a", 9_000)));
    }
}
