//! When a viewer ends: pure. Its connection is watched as a session's is.

use std::time::Duration;

use tokio::time::Instant;

use crate::media::event::{ConnectStage, EndReason};

/// From the answer to the first signed check, and from that until DTLS is up: as for a session.
const CHECK_WITHIN: Duration = Duration::from_secs(15);
const DTLS_WITHIN: Duration = Duration::from_secs(5);
/// Without an authenticated packet: as for a session.
const SILENT_AFTER: Duration = Duration::from_secs(15);

/// One viewer.
#[derive(Debug)]
pub(super) struct Core {
    state: State,
}

#[derive(Debug)]
enum State {
    Answered { until: Instant },
    Checked { until: Instant },
    Connected { heard: u64, at: Instant },
}

impl Core {
    /// Of one whose answer has just been made.
    pub(super) fn new(now: Instant) -> Self {
        Self { state: State::Answered { until: now + CHECK_WITHIN } }
    }

    /// The first signed check has come.
    pub(super) fn checked(&mut self, now: Instant) {
        if matches!(self.state, State::Answered { .. }) {
            self.state = State::Checked { until: now + DTLS_WITHIN };
        }
    }

    /// DTLS is up. True the first time.
    pub(super) fn connected(&mut self, now: Instant) -> bool {
        let first = !self.is_connected();
        if first {
            self.state = State::Connected { heard: 0, at: now };
        }
        first
    }

    pub(super) fn is_checked(&self) -> bool {
        !matches!(self.state, State::Answered { .. })
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected { .. })
    }

    /// A second has passed: `heard` so much of it, and its connection is at `step`. Why it is over,
    /// if it is.
    pub(super) fn look(
        &mut self,
        now: Instant,
        heard: u64,
        step: ConnectStage,
    ) -> Option<EndReason> {
        match &mut self.state {
            State::Answered { until } if now >= *until => Some(EndReason::NeverConnected(step)),
            State::Checked { until } if now >= *until => Some(EndReason::NoDtls(step)),
            State::Connected { heard: before, at } => {
                if heard != *before {
                    (*before, *at) = (heard, now);
                }
                (now >= *at + SILENT_AFTER).then_some(EndReason::Silent)
            }
            State::Answered { .. } | State::Checked { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: ConnectStage = ConnectStage::NoPacket;

    #[test]
    fn one_that_does_not_come_ends() {
        let start = Instant::now();
        let mut core = Core::new(start);
        assert_eq!(core.look(start + CHECK_WITHIN - Duration::from_millis(1), 0, STEP), None);
        let end = core.look(start + CHECK_WITHIN, 0, STEP);
        assert_eq!(end, Some(EndReason::NeverConnected(STEP)));
    }

    #[test]
    fn one_that_only_checks_ends() {
        let start = Instant::now();
        let mut core = Core::new(start);
        core.checked(start);
        core.checked(start + DTLS_WITHIN / 2);
        assert_eq!(core.look(start + DTLS_WITHIN, 5, STEP), Some(EndReason::NoDtls(STEP)));
    }

    #[test]
    fn one_that_is_heard_stays_and_one_that_falls_silent_ends() {
        let start = Instant::now();
        let mut core = Core::new(start);
        core.checked(start);
        assert!(core.connected(start) && !core.connected(start), "the first time");
        let mut now = start;
        for heard in 1..30 {
            now += Duration::from_secs(10);
            assert_eq!(core.look(now, heard, STEP), None);
        }
        assert_eq!(core.look(now + SILENT_AFTER, 29, STEP), Some(EndReason::Silent));
    }
}
