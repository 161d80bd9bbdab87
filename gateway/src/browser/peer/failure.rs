//! Where a connection came to its end: which step of making it was the last that worked.

use std::sync::atomic::{AtomicBool, Ordering};

use rtc::peer_connection::state::{RTCIceConnectionState, RTCPeerConnectionState};

use crate::media::event::ConnectStage;

/// How far a connection has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    path: AtomicBool,
    connected: AtomicBool,
}

impl Progress {
    pub(super) fn ice(&self, state: RTCIceConnectionState) {
        if matches!(state, RTCIceConnectionState::Connected | RTCIceConnectionState::Completed) {
            self.path.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn connection(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            self.connected.store(true, Ordering::Relaxed);
        }
    }

    /// The step that fails if it goes no further; `checks` of the browser have reached us.
    pub(super) fn next(&self, checks: u64) -> ConnectStage {
        if self.connected.load(Ordering::Relaxed) {
            ConnectStage::Silence
        } else if self.path.load(Ordering::Relaxed) {
            ConnectStage::Encryption
        } else if checks > 0 {
            ConnectStage::NoPath
        } else {
            ConnectStage::NoPacket
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_that_worked_tells_the_one_that_failed() {
        let progress = Progress::default();
        assert_eq!(progress.next(0), ConnectStage::NoPacket);
        progress.ice(RTCIceConnectionState::Checking);
        assert_eq!(progress.next(3), ConnectStage::NoPath);
        progress.ice(RTCIceConnectionState::Connected);
        assert_eq!(progress.next(3), ConnectStage::Encryption);
        progress.connection(RTCPeerConnectionState::Connected);
        progress.ice(RTCIceConnectionState::Disconnected);
        assert_eq!(progress.next(3), ConnectStage::Silence);
    }
}
