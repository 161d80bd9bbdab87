//! How many answers are made at once: one for each core.
//!
//! Making an answer is all CPU, and runs where media does: more of them at once would only take time from streams.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Offers that wait for their turn. Full: a further one is refused (`busy`). As many as the gateway actor's mailbox holds.
const MAX_WAITING: usize = 64;
/// How long one may wait; longer, and it is refused too. A page gives up on an answer after three seconds.
const TURN_WITHIN: Duration = Duration::from_secs(1);

/// One for each gateway.
#[derive(Debug)]
pub(crate) struct Answers {
    turns: Semaphore,
    places: Semaphore,
}

impl Answers {
    /// For a machine of so many cores.
    pub(super) fn new(cores: usize) -> Self {
        Self { turns: Semaphore::new(cores), places: Semaphore::new(MAX_WAITING) }
    }

    /// Waits for a turn, in the order of asking; `None` when it is not to be had in time.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it holds nothing.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Some(turn);
        }
        let _place = self.places.try_acquire().ok()?;
        timeout(TURN_WITHIN, self.turns.acquire()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn as_many_as_cores_are_made_and_a_bounded_number_waits() {
        let answers = Arc::new(Answers::new(2));
        let turns = [answers.turn().await.unwrap(), answers.turn().await.unwrap()];
        let waiting: Vec<_> = (0..MAX_WAITING)
            .map(|_| {
                let answers = Arc::clone(&answers);
                tokio::spawn(async move { answers.turn().await.is_some() })
            })
            .collect();
        while answers.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(answers.turn().await.is_none(), "at once: no place is free");
        drop(turns);
        for waited in waiting {
            assert!(waited.await.unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_refused_and_leaves_its_place() {
        let answers = Answers::new(1);
        let turn = answers.turn().await.unwrap();
        assert!(answers.turn().await.is_none());
        assert_eq!(answers.places.available_permits(), MAX_WAITING);
        drop(turn);
        assert!(answers.turn().await.is_some());
    }
}
