//! What a service has decided, for a while, and what it is being asked: each question once, however
//! many requests wait for its answer.
//!
//! > A request that ends takes no answer from the others: the question belongs to [`Asking`], which
//! > a task of its own carries to the answer, and whose drop tells those who wait.
//!
//! Each request that waits has a connection, so no more wait than `--max-connections` lets in.
//! Questions under way are as many as the HTTP client takes at once, and for a moment those that it
//! refuses.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::auth_service::AuthServiceError;
use crate::access::Grant;

/// For so long a decision holds without being asked for again: the page asks what it may see, then
/// opens.
const HOLDS_FOR: Duration = Duration::from_secs(10);
/// Decisions that are remembered. Full: those that no longer hold go, and if there are none, the
/// new one is not remembered.
const MAX_REMEMBERED: usize = 4_096;

/// A digest of all that is asked, so that no token stays in memory.
pub(super) type Question = [u8; 32];

/// `None` refuses.
pub(super) type Decision = Result<Option<Grant>, Arc<AuthServiceError>>;

/// See the module.
#[derive(Default)]
pub(super) struct Decisions(Mutex<Known>);

#[derive(Default)]
struct Known {
    decided: HashMap<Question, (Instant, Option<Grant>)>,
    /// Empty until the answer comes.
    asked: HashMap<Question, watch::Receiver<Option<Decision>>>,
}

/// What there is to a question.
pub(super) enum Found {
    Decided(Option<Grant>),
    /// Somebody has asked it.
    Asked(Waiting),
    /// It is to be asked now.
    New(Asking),
}

/// For the answer to a question that is being asked.
pub(super) struct Waiting(watch::Receiver<Option<Decision>>);

/// A question that is being asked.
pub(super) struct Asking {
    decisions: Arc<Decisions>,
    question: Question,
    since: Instant,
    answer: watch::Sender<Option<Decision>>,
}

impl Decisions {
    pub(super) fn find(self: &Arc<Self>, now: Instant, question: Question) -> Found {
        let mut known = self.0.lock();
        if let Some((until, decision)) = known.decided.get(&question)
            && now < *until
        {
            return Found::Decided(decision.clone());
        }
        if let Some(answer) = known.asked.get(&question) {
            return Found::Asked(Waiting(answer.clone()));
        }
        let (answer, waiting) = watch::channel(None);
        known.asked.insert(question, waiting);
        Found::New(Asking { decisions: Arc::clone(self), question, since: now, answer })
    }
}

impl Asking {
    pub(super) fn waiting(&self) -> Waiting {
        Waiting(self.answer.subscribe())
    }

    /// Tells those who wait, and remembers what was decided.
    pub(super) fn answered(self, decision: Decision) {
        if let Ok(decision) = &decision {
            let mut known = self.decisions.0.lock();
            let decided = &mut known.decided;
            if decided.len() >= MAX_REMEMBERED {
                decided.retain(|_, (until, _)| self.since < *until);
            }
            if decided.len() < MAX_REMEMBERED {
                decided.insert(self.question, (self.since + HOLDS_FOR, decision.clone()));
            }
        }
        self.answer.send_replace(Some(decision));
    }
}

impl Drop for Asking {
    /// The next request that has this question finds its decision, or asks.
    fn drop(&mut self) {
        self.decisions.0.lock().asked.remove(&self.question);
    }
}

impl Waiting {
    /// # Errors
    /// Those of the question; or it was dropped, as when its thread ends.
    ///
    /// # Cancel safety
    /// Others go on waiting.
    pub(super) async fn decision(mut self) -> Decision {
        let answer = self.0.wait_for(Option::is_some).await;
        let answer = answer.ok().and_then(|answer| answer.clone());
        answer.unwrap_or_else(|| Err(Arc::new(AuthServiceError::Dropped)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: Question = [1; 32];

    fn new(decisions: &Arc<Decisions>, now: Instant) -> Asking {
        match decisions.find(now, QUESTION) {
            Found::New(asking) => asking,
            _ => panic!("it is not new"),
        }
    }

    fn waiting(decisions: &Arc<Decisions>, now: Instant) -> Waiting {
        match decisions.find(now, QUESTION) {
            Found::Asked(waiting) => waiting,
            _ => panic!("nobody asks it"),
        }
    }

    fn grant() -> Option<Grant> {
        Some(Grant::open_only(Some("ada".to_owned())))
    }

    #[tokio::test]
    async fn those_who_wait_have_one_answer_which_then_holds_for_a_while() {
        let (decisions, now) = (Arc::<Decisions>::default(), Instant::now());
        let asking = new(&decisions, now);
        let waiting = [asking.waiting(), waiting(&decisions, now), waiting(&decisions, now)];
        assert!(matches!(decisions.find(now, [2; 32]), Found::New(_)), "another question");
        asking.answered(Ok(grant()));
        for one in waiting {
            assert_eq!(one.decision().await.unwrap(), grant());
        }
        let remembered = |at| match decisions.find(at, QUESTION) {
            Found::Decided(decision) => decision,
            _ => panic!("it was decided"),
        };
        assert_eq!(remembered(now + HOLDS_FOR - Duration::from_millis(1)), grant());
        drop(new(&decisions, now + HOLDS_FOR));
    }

    #[tokio::test]
    async fn an_error_is_told_to_all_and_not_remembered() {
        let (decisions, now) = (Arc::<Decisions>::default(), Instant::now());
        let asking = new(&decisions, now);
        let first = waiting(&decisions, now);
        asking.answered(Err(Arc::new(AuthServiceError::Often)));
        assert!(matches!(&*first.decision().await.unwrap_err(), AuthServiceError::Often));
        // The thread that asked has ended.
        let asking = new(&decisions, now);
        let second = waiting(&decisions, now);
        drop(asking);
        assert!(matches!(&*second.decision().await.unwrap_err(), AuthServiceError::Dropped));
        new(&decisions, now).answered(Ok(None));
        assert!(matches!(decisions.find(now, QUESTION), Found::Decided(None)));
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let (decisions, now) = (Arc::<Decisions>::default(), Instant::now());
        let ask = |n: usize, now| {
            let mut question = [0; 32];
            question[..8].copy_from_slice(&n.to_le_bytes());
            match decisions.find(now, question) {
                Found::New(asking) => asking.answered(Ok(None)),
                _ => panic!("it is new"),
            }
        };
        (0..MAX_REMEMBERED + 3).for_each(|n| ask(n, now));
        let count = || {
            let known = decisions.0.lock();
            (known.decided.len(), known.asked.len())
        };
        assert_eq!(count(), (MAX_REMEMBERED, 0));
        ask(0, now + HOLDS_FOR);
        assert_eq!(count(), (1, 0));
    }
}
