//! A session's outstanding frames and its worker's credits. It outlives the worker: the next one
//! takes it over.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{AcquireError, Notify, Semaphore, SemaphorePermit};

use super::convert::MAX_CREDITS;
use crate::media::frame::Frame;
use crate::telemetry::ledger::Reason;

/// > A worker's credits = those we may use + frames at the worker + answers that are still to be
/// > shown.
///
/// The last only in mode receive, where an answer's credit comes back when the metronome has used
/// it.
pub(crate) struct CreditWindow {
    /// Frames that the worker accepts now, or items that its generator may be asked for. Zero
    /// without a worker.
    credits: Semaphore,
    state: Mutex<State>,
    landed: Notify,
}

#[derive(Default)]
struct State {
    /// Outstanding frames, oldest first; bounded by the worker's credits.
    frames: VecDeque<Frame>,
    /// The worker's credits.
    given: usize,
    /// Mode receive: pictures that wait for their tick.
    pictures: usize,
    /// Mode receive: answers without a picture since the last tick.
    blanks: usize,
    /// Mode receive: the number of waiting pictures whose credits a previous worker gave. They
    /// return no credit to the present one.
    surplus: usize,
}

impl CreditWindow {
    pub(crate) fn new() -> Self {
        Self { credits: Semaphore::new(0), state: Mutex::default(), landed: Notify::new() }
    }

    /// A worker is there and gave `credits`. Frames that the last one did not answer are lost.
    pub(super) fn begin(&self, credits: usize) {
        self.lose();
        let mut state = self.state();
        (state.blanks, state.given) = (0, credits);
        // All permits of the old worker are removed; tasks that wait for one keep waiting.
        self.credits.forget_permits(Semaphore::MAX_PERMITS);
        self.credits.add_permits(credits.saturating_sub(state.pictures));
        state.surplus = state.pictures.saturating_sub(credits);
    }

    /// The worker is gone, and its outstanding frames are lost.
    pub(super) fn lose(&self) {
        let lost = std::mem::take(&mut self.state().frames);
        self.landed.notify_waiters();
        for frame in lost {
            frame.ticket.dropped(Reason::WorkerLost);
        }
    }

    /// Waits for a credit; the caller forgets it when it is used.
    pub(super) async fn credit(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.credits.acquire().await
    }

    /// A frame goes to the worker.
    pub(super) fn depart(&self, frame: Frame) {
        self.state().frames.push_back(frame);
    }

    /// The oldest frame at the worker is answered.
    pub(super) fn arrive(&self) -> Option<Frame> {
        let mut state = self.state();
        let frame = state.frames.pop_front();
        if state.frames.is_empty() {
            self.landed.notify_waiters();
        }
        frame
    }

    /// The worker has put another frame in the place of this one, wherever it stands.
    pub(super) fn superseded(&self, seq: u64) -> Option<Frame> {
        let mut state = self.state();
        let at = state.frames.iter().position(|frame| frame.seq == seq)?;
        let frame = state.frames.remove(at);
        if state.frames.is_empty() {
            self.landed.notify_waiters();
        }
        frame
    }

    /// The worker gives more credits, up to [`MAX_CREDITS`] with those that it has given.
    pub(super) fn give_more(&self, credits: usize) {
        let mut state = self.state();
        let more = credits.min(MAX_CREDITS.saturating_sub(state.given));
        state.given += more;
        self.credits.add_permits(more);
    }

    /// Resolves when no frame is outstanding. Cancel safe.
    pub(super) async fn landed(&self) {
        loop {
            let landed = self.landed.notified();
            if self.state().frames.is_empty() {
                return;
            }
            landed.await;
        }
    }

    /// An answered frame returns its credit at once.
    pub(super) fn give_back(&self) {
        self.credits.add_permits(1);
    }

    /// Mode receive: an answer came, whose credit is returned with a tick.
    pub(super) fn answered(&self, with_picture: bool) {
        let mut state = self.state();
        if with_picture {
            state.pictures += 1;
        } else {
            state.blanks += 1;
        }
    }

    /// Mode receive, at every tick of the metronome: asks the generator for as many items as were
    /// used since the last tick, `pictures` and the answers without one. So a generator that only
    /// fails runs no faster than one that works.
    pub(crate) fn shown(&self, pictures: usize) {
        let mut state = self.state();
        state.pictures = state.pictures.saturating_sub(pictures);
        let used = pictures + std::mem::take(&mut state.blanks);
        let given_back = used.saturating_sub(state.surplus);
        state.surplus -= used - given_back;
        self.credits.add_permits(given_back);
    }

    /// Whether answers without a picture wait for their tick.
    pub(crate) fn has_blanks(&self) -> bool {
        self.state().blanks > 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::frame::testing::frame;

    #[tokio::test]
    async fn the_next_workers_credits_are_its_own() {
        let window = CreditWindow::new();
        window.begin(2);
        window.credit().await.unwrap().forget();
        window.depart(frame(1));
        window.begin(3);
        assert_eq!(
            window.credits.available_permits(),
            3,
            "one of two is left, and none of them counts"
        );
        assert!(window.arrive().is_none(), "the frame went down with its worker");
        window.landed().await;
    }

    #[test]
    fn more_credits_are_bounded_whatever_a_worker_says() {
        let window = CreditWindow::new();
        window.begin(1);
        window.give_more(2);
        assert_eq!(window.credits.available_permits(), 3);
        window.give_more(usize::MAX);
        window.give_more(usize::MAX);
        assert_eq!(window.credits.available_permits(), MAX_CREDITS);
        window.begin(1);
        assert_eq!(window.credits.available_permits(), 1);
    }

    #[test]
    fn a_frame_may_be_superseded_before_an_older_one_is_answered() {
        let window = CreditWindow::new();
        window.begin(3);
        (1..=3).for_each(|seq| window.depart(frame(seq)));
        assert_eq!(window.superseded(2).unwrap().seq, 2);
        assert!(window.superseded(2).is_none());
        assert_eq!(window.arrive().unwrap().seq, 1);
        assert_eq!(window.arrive().unwrap().seq, 3);
    }

    #[test]
    fn pictures_that_wait_to_be_shown_keep_their_credit_through_a_change_of_workers() {
        let window = CreditWindow::new();
        window.begin(3);
        window.credits.forget_permits(3);
        window.answered(true);
        window.answered(false);
        window.answered(true);
        window.begin(3);
        assert_eq!(window.credits.available_permits(), 1, "two pictures still wait");
        window.shown(1);
        window.shown(1);
        assert_eq!(window.credits.available_permits(), 3);
        window.credits.forget_permits(3);
        (0..3).for_each(|_| window.answered(true));
        window.begin(1);
        (0..3).for_each(|_| window.shown(1));
        assert_eq!(window.credits.available_permits(), 1, "the next one gave no more");
    }
}
