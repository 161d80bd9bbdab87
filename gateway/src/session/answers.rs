//! The number of answers that are made at once: one for every two cores.
//!
//! Making an answer is pure CPU work on the media threads. More at once would take time from
//! streams, and with one for each core a flood of offers would keep every core busy.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::shares::{Share, Shares, network};

/// Offers that may wait for their turn, as many as the gateway actor's mailbox holds. Full: a
/// further one is refused (`busy`).
const MAX_WAITING: usize = 64;
/// Of those, offers from one client network, so that others wait behind at most this many. Full: as
/// above.
const MAX_WAITING_EACH: usize = 32;
/// How long an offer may wait before it is refused. A page gives up on an answer after three
/// seconds.
const TURN_WITHIN: Duration = Duration::from_secs(1);

/// One for each gateway.
#[derive(Debug)]
pub(crate) struct Answers {
    turns: Semaphore,
    places: Arc<Shares>,
}

impl Answers {
    /// For a machine with this many cores.
    pub(crate) fn new(cores: usize) -> Self {
        Self {
            turns: Semaphore::new(cores.div_ceil(2)),
            places: Shares::new(MAX_WAITING, MAX_WAITING_EACH),
        }
    }

    /// Waits for this client's turn, first come first served; `None` when the wait is too long.
    ///
    /// # Cancel safety
    /// When dropped before it is ready, it holds nothing.
    pub(crate) async fn turn(&self, client: Option<IpAddr>) -> Option<SemaphorePermit<'_>> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Some(turn);
        }
        let mut place = Share::new(&self.places, client.map(network));
        place.grow(1).ok()?;
        timeout(TURN_WITHIN, self.turns.acquire()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: usize) -> Option<IpAddr> {
        Some([192, 0, 2, u8::try_from(last).unwrap()].into())
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_as_cores_are_made_and_a_bounded_number_waits() {
        let answers = Arc::new(Answers::new(4));
        let turns =
            [answers.turn(client(9)).await.unwrap(), answers.turn(client(9)).await.unwrap()];
        let waiting: Vec<_> = (0..MAX_WAITING)
            .map(|n| {
                let answers = Arc::clone(&answers);
                tokio::spawn(
                    async move { answers.turn(client(n / MAX_WAITING_EACH)).await.is_some() },
                )
            })
            .collect();
        while answers.places.held() < MAX_WAITING {
            tokio::task::yield_now().await;
        }
        assert!(answers.turn(client(9)).await.is_none(), "at once: no place is free");
        drop(turns);
        for waited in waiting {
            assert!(waited.await.unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_does_not_have_all_places() {
        let answers = Arc::new(Answers::new(1));
        let turn = answers.turn(client(1)).await.unwrap();
        let wait = |last| {
            let answers = Arc::clone(&answers);
            tokio::spawn(async move { answers.turn(client(last)).await.is_some() })
        };
        let waiting: Vec<_> = (0..MAX_WAITING_EACH).map(|_| wait(1)).collect();
        while answers.places.held() < MAX_WAITING_EACH {
            tokio::task::yield_now().await;
        }
        assert!(answers.turn(client(1)).await.is_none());
        let other = wait(2);
        while answers.places.held() == MAX_WAITING_EACH {
            tokio::task::yield_now().await;
        }
        drop(turn);
        assert!(other.await.unwrap());
        for waited in waiting {
            assert!(waited.await.unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_refused_and_leaves_its_place() {
        let answers = Answers::new(1);
        let turn = answers.turn(None).await.unwrap();
        assert!(answers.turn(None).await.is_none());
        assert_eq!(answers.places.held(), 0);
        drop(turn);
        assert!(answers.turn(None).await.is_some());
    }
}
