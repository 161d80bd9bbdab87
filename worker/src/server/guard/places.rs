//! Places for what waits: with none left, whoever has waited longest loses its own to the newcomer.
//!
//! Not the newcomer: whoever means well waits for milliseconds, so those that fill all places are
//! old.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A fixed number of places.
#[derive(Debug)]
pub(crate) struct Places {
    /// The oldest first. A sender that is dropped takes the place away; one whose receiver was
    /// dropped is free.
    taken: Mutex<VecDeque<oneshot::Sender<()>>>,
    max: usize,
}

/// One of them, until it is dropped or lost.
#[derive(Debug)]
pub(crate) struct Place(oneshot::Receiver<()>);

impl Places {
    pub(crate) const fn new(max: usize) -> Self {
        Self { taken: Mutex::new(VecDeque::new()), max }
    }

    /// Takes one, from another if need be.
    pub(crate) fn take(&self) -> Place {
        let (taken, place) = oneshot::channel();
        // Nothing that can panic runs under the lock.
        let mut all = self.taken.lock();
        if all.len() >= self.max {
            all.retain(|place| !place.is_closed());
        }
        if all.len() >= self.max {
            drop(all.pop_front());
        }
        all.push_back(taken);
        Place(place)
    }
}

impl Place {
    /// Ready when it is lost.
    pub(crate) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Nothing is ever sent.
        Pin::new(&mut self.0).poll(cx).map(drop)
    }

    /// Waits until it is lost.
    ///
    /// # Cancel safety
    /// Nothing is lost with the future.
    pub(crate) async fn lost(&mut self) {
        poll_fn(|cx| self.poll_lost(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::iter::repeat_with;

    use super::*;

    async fn is_lost(place: &mut Place) -> bool {
        tokio::select! {
            biased;
            () = place.lost() => true,
            () = ready(()) => false,
        }
    }

    #[tokio::test]
    async fn the_oldest_makes_room_and_only_with_none_left() {
        let places = Places::new(3);
        let mut taken: VecDeque<_> = repeat_with(|| places.take()).take(3).collect();
        // Free places are found, wherever they are.
        drop(taken.remove(1));
        taken.push_back(places.take());
        for place in &mut taken {
            assert!(!is_lost(place).await);
        }
        let mut newest = places.take();
        assert!(is_lost(&mut taken[0]).await);
        assert!(
            !is_lost(&mut taken[1]).await
                && !is_lost(&mut taken[2]).await
                && !is_lost(&mut newest).await
        );
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let places = Places::new(2);
        let all: Vec<_> = repeat_with(|| places.take()).take(1_000).collect();
        assert_eq!(places.taken.lock().len(), 2);
        drop(all);
        repeat_with(|| places.take()).take(1_000).for_each(drop);
        assert!(places.taken.lock().len() <= 2);
    }
}
