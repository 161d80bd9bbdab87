//! Candidates that arrive before their offer: a browser trickles them while its offer is still on
//! the way.
//!
//! Pure. A candidate waits for its offer; its HTTP answer waits too, for [`ANSWER_WITHIN`], so that
//! the client learns whether its id ever became a connection. The candidate itself is kept longer,
//! for clients that send in sequence.

use std::collections::HashMap;
use std::time::Duration;

use rtc::peer_connection::transport::RTCIceCandidateInit;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::media::session_id::SessionId;

/// How long the answer to an early candidate may take.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How long an early candidate is kept.
const KEEP: Duration = Duration::from_secs(10);
/// Ids without a session that may have candidates here. Full: the candidate is refused as of an
/// unknown connection.
const MAX_IDS: usize = 256;
/// Candidates for one of them. Full: as above.
const MAX_PER_ID: usize = 32;

/// See the module.
#[derive(Default)]
pub(super) struct EarlyCandidates {
    by_id: HashMap<SessionId, Early>,
}

struct Early {
    since: Instant,
    candidates: Vec<RTCIceCandidateInit>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl EarlyCandidates {
    /// Keeps a candidate. The receiver resolves when the offer comes; `None` when there is no room.
    pub(super) fn put(
        &mut self,
        now: Instant,
        id: &SessionId,
        candidate: Option<RTCIceCandidateInit>,
    ) -> Option<oneshot::Receiver<()>> {
        self.by_id.retain(|_, early| now < early.since + KEEP);
        if self.by_id.len() >= MAX_IDS && !self.by_id.contains_key(id) {
            return None;
        }
        let early = self.by_id.entry(id.clone()).or_insert_with(|| Early {
            since: now,
            candidates: Vec::new(),
            waiting: Vec::new(),
        });
        if early.waiting.len() >= MAX_PER_ID {
            return None;
        }
        early.candidates.extend(candidate);
        let (answer, answered) = oneshot::channel();
        early.waiting.push(answer);
        Some(answered)
    }

    /// The offer of `id` is here: its candidates, and good news for those who wait.
    pub(super) fn take(&mut self, id: &SessionId) -> Vec<RTCIceCandidateInit> {
        let Some(early) = self.by_id.remove(id) else { return Vec::new() };
        for answer in early.waiting {
            // An error is a client that no longer waits.
            answer.send(()).ok();
        }
        early.candidates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::session_id::testing::id;

    fn candidate() -> Option<RTCIceCandidateInit> {
        Some(RTCIceCandidateInit::default())
    }

    #[test]
    fn the_offer_gets_them_and_those_who_wait_learn_it() {
        let mut early = EarlyCandidates::default();
        let now = Instant::now();
        let mut first = early.put(now, &id("a"), candidate()).unwrap();
        let mut end_of_candidates = early.put(now, &id("a"), None).unwrap();
        assert!(first.try_recv().is_err());
        assert_eq!(early.take(&id("a")).len(), 1);
        assert!(first.try_recv().is_ok() && end_of_candidates.try_recv().is_ok());
        assert!(early.take(&id("a")).is_empty());
    }

    #[test]
    fn ids_and_candidates_are_bounded_and_expire() {
        let mut early = EarlyCandidates::default();
        let now = Instant::now();
        for _ in 0..MAX_PER_ID {
            assert!(early.put(now, &id("a"), candidate()).is_some());
        }
        assert!(early.put(now, &id("a"), candidate()).is_none());
        for n in 1..MAX_IDS {
            assert!(early.put(now, &id(n), candidate()).is_some());
        }
        assert!(early.put(now, &id("one-more"), candidate()).is_none());
        assert!(early.put(now + KEEP, &id("one-more"), candidate()).is_some());
        assert!(early.take(&id("a")).is_empty(), "expired");
    }
}
