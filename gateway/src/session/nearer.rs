//! When a session looks for a nearer worker. Pure.
//!
//! > A session moves nearer, never farther, except when its worker goes. So it does not swing
//! > between two workers while both stay.

use std::time::Duration;

use tokio::time::Instant;

/// From one look to the next, on average; also from when a session has a worker to the first. A
/// worker that has come back has answered for as long by then.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(20);
/// A worker that is lost so soon after the session moved to it was no good reason to move.
const SOON: Duration = Duration::from_secs(60);
/// By how much the time to the next look grows at most, by twofold each time that such a worker is
/// lost or does not start its handler: five minutes at most.
const LONGEST: u32 = 16;

/// The looks of one session.
#[derive(Debug)]
pub(super) struct Looks {
    /// `None`: it may not be moved.
    every: Option<Duration>,
    times: u32,
    due: Option<Instant>,
    /// When it moved to the worker that it has, if it did so to be nearer.
    moved: Option<Instant>,
}

impl Looks {
    /// For a session that may be moved if there is a time between two looks.
    pub(super) fn new(every: Option<Duration>) -> Self {
        Self { every, times: 1, due: None, moved: None }
    }

    /// When the next look is due, while it has a worker.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// It has a worker; `moved`: it moved there to be nearer.
    pub(super) fn attached(&mut self, now: Instant, moved: bool) {
        self.moved = moved.then_some(now);
        self.due = self.next(now);
    }

    /// It has lost its worker.
    pub(super) fn lost(&mut self, now: Instant) {
        match self.moved.take() {
            Some(moved) if now.saturating_duration_since(moved) < SOON => self.back_off(),
            _ => self.times = 1,
        }
        self.due = None;
    }

    /// A look has ended without a move; `refused`: a nearer worker had room, but did not take it.
    pub(super) fn looked(&mut self, now: Instant, refused: bool) {
        if refused {
            self.back_off();
        }
        self.due = self.next(now);
    }

    fn back_off(&mut self) {
        self.times = (self.times * 2).min(LONGEST);
    }

    fn next(&self, now: Instant) -> Option<Instant> {
        self.every.map(|every| now + every * self.times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_may_not_be_moved_never_looks() {
        let mut looks = Looks::new(None);
        looks.attached(Instant::now(), false);
        assert_eq!(looks.due(), None);
    }

    #[test]
    fn workers_that_die_soon_after_a_move_attract_ever_less() {
        let (mut now, mut looks) = (Instant::now(), Looks::new(Some(LOOK_EVERY)));
        let mut waits = Vec::new();
        looks.attached(now, false);
        for _ in 0..7 {
            waits.push((looks.due().unwrap() - now).as_secs());
            now = looks.due().unwrap();
            looks.attached(now, true);
            now += SOON / 2;
            looks.lost(now);
            assert_eq!(looks.due(), None, "it has no worker");
            looks.attached(now, false);
        }
        assert_eq!(waits, [20, 40, 80, 160, 320, 320, 320]);
        looks.attached(now, true);
        looks.lost(now + SOON);
        looks.attached(now, false);
        assert_eq!(looks.due(), Some(now + LOOK_EVERY), "that one was good");
        looks.looked(now, true);
        assert_eq!(looks.due(), Some(now + LOOK_EVERY * 2), "its handler did not start");
        looks.looked(now, false);
        assert_eq!(looks.due(), Some(now + LOOK_EVERY * 2), "nothing was learnt");
    }
}
