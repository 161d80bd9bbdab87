//! A candidate finds its session: one that runs, one whose answer is being made, or one whose offer
//! is still on its way.
//!
//! > A token shows that an answer is out. So only a candidate without one waits for an offer, where
//! > the gate takes ids; and one with a token is compared with the session that there is, whether
//! > its answer is out or not.

use actix::{Context, Handler, Message, ResponseFuture};
use rtc::peer_connection::transport::RTCIceCandidateInit;
use tokio::time::{Instant, timeout};

use super::early::ANSWER_WITHIN;
use super::viewers::ViewerState;
use super::{Entry, Gateway};
use crate::media::session_id::SessionId;
use crate::session::AddCandidate;

/// Candidates that may wait for their session's answer; browsers have about ten. Full: further ones
/// are ignored.
const MAX_WAITING: usize = 32;

/// A trickled candidate; `None` is the end of candidates.
#[derive(Message)]
#[rtype(result = "Result<(), CandidateError>")]
pub(crate) struct Candidate {
    pub(crate) id: SessionId,
    pub(crate) candidate: Option<RTCIceCandidateInit>,
    /// The nonce in the session's token; `None`: the id is enough.
    pub(crate) nonce: Option<String>,
    /// When there is no session of this id: whether to keep the candidate, and wait, for one that
    /// may be on its way. Not with a nonce, whose session has been answered.
    pub(crate) wait: bool,
}

/// No offer came with the candidate's id, or its token is of another session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CandidateError;

/// A session whose answer is being made.
pub(super) struct Opening {
    nonce: String,
    candidates: Vec<RTCIceCandidateInit>,
}

impl Opening {
    pub(super) fn new(nonce: &str, early: Vec<RTCIceCandidateInit>) -> Self {
        Self { nonce: nonce.to_owned(), candidates: early }
    }

    pub(super) fn into_candidates(self) -> Vec<RTCIceCandidateInit> {
        self.candidates
    }

    /// Keeps a candidate until the answer is made.
    fn add(
        &mut self,
        nonce: Option<&str>,
        candidate: Option<RTCIceCandidateInit>,
    ) -> Result<(), CandidateError> {
        check_nonce(nonce, &self.nonce)?;
        self.candidates.extend(candidate.filter(|_| self.candidates.len() < MAX_WAITING));
        Ok(())
    }
}

fn check_nonce(shown: Option<&str>, ours: &str) -> Result<(), CandidateError> {
    if shown.is_none_or(|shown| shown == ours) { Ok(()) } else { Err(CandidateError) }
}

impl Gateway {
    fn viewer_candidate(
        &mut self,
        id: &SessionId,
        nonce: Option<&str>,
        candidate: Option<RTCIceCandidateInit>,
    ) -> ResponseFuture<Result<(), CandidateError>> {
        let entry = self.viewers.get_mut(id);
        let entry = entry.filter(|entry| check_nonce(nonce, &entry.nonce).is_ok());
        match (entry.map(|entry| &mut entry.state), candidate.map(AddCandidate)) {
            (Some(ViewerState::Running(viewer)), Some(candidate)) => {
                let sending = viewer.send(candidate);
                // Closed: it ended a moment ago.
                Box::pin(async move { sending.await.map_err(|_| CandidateError) })
            }
            (Some(ViewerState::Opening(waiting)), candidate) => {
                waiting.extend(candidate.filter(|_| waiting.len() < MAX_WAITING));
                Box::pin(async { Ok(()) })
            }
            (Some(ViewerState::Running(_)), None) => Box::pin(async { Ok(()) }),
            (None, _) => Box::pin(async { Err(CandidateError) }),
        }
    }
}

impl Handler<Candidate> for Gateway {
    type Result = ResponseFuture<Result<(), CandidateError>>;

    fn handle(
        &mut self,
        Candidate { id, candidate, nonce, wait }: Candidate,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let nonce = nonce.as_deref();
        match self.sessions.get_mut(&id) {
            Some(Entry::Running { session, live, .. }) => {
                let (checked, session) = (check_nonce(nonce, &live.owner.nonce), session.clone());
                Box::pin(async move {
                    checked?;
                    let Some(candidate) = candidate else { return Ok(()) };
                    // Closed: the session ended a moment ago.
                    session.send(AddCandidate(candidate)).await.map_err(|_| CandidateError)
                })
            }
            Some(Entry::Opening(opening)) => {
                let added = opening.add(nonce, candidate);
                Box::pin(async { added })
            }
            // Nobody has its id.
            Some(Entry::Beginning(_)) => Box::pin(async { Err(CandidateError) }),
            None if self.viewers.contains_key(&id) => self.viewer_candidate(&id, nonce, candidate),
            None if !wait => Box::pin(async { Err(CandidateError) }),
            None => {
                let offered = self.early.put(Instant::now(), &id, candidate);
                Box::pin(async move {
                    let offered = timeout(ANSWER_WITHIN, offered.ok_or(CandidateError)?).await;
                    offered.ok().and_then(Result::ok).ok_or(CandidateError)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_the_answer_a_token_of_another_session_is_refused_too() {
        let candidate = || Some(RTCIceCandidateInit::default());
        let mut opening = Opening::new("ours", vec![RTCIceCandidateInit::default()]);
        assert_eq!(opening.add(Some("another"), candidate()), Err(CandidateError));
        assert_eq!(opening.add(Some(""), candidate()), Err(CandidateError));
        assert_eq!(opening.add(None, candidate()), Ok(()), "the id was enough");
        assert_eq!(opening.add(Some("ours"), candidate()), Ok(()));
        assert_eq!(opening.add(None, None), Ok(()), "the end of candidates");
        assert_eq!(opening.candidates.len(), 3);
        for _ in 0..2 * MAX_WAITING {
            assert_eq!(opening.add(None, candidate()), Ok(()));
        }
        assert_eq!(opening.into_candidates().len(), MAX_WAITING);
    }
}
