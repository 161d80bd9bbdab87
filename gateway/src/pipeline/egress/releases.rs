//! The queue between the pacer and the encoder, and its copies for the encoders of viewers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::codec::Picture;
use crate::media::frame::CaptureStamp;
use crate::telemetry;
use crate::telemetry::ledger::{Hop, Reason, Ticket};

/// A picture that is due.
#[derive(Debug)]
pub(crate) struct PacedPicture {
    pub(crate) picture: Picture,
    /// 90 kHz, grows from release to release.
    pub(crate) pts: u64,
    pub(crate) released: Instant,
    /// When its packets leave; `None` is at once.
    pub(crate) leave_at: Option<Instant>,
    /// When the browser captured it, if it said so and this is not a re-emission.
    pub(crate) stamp: Option<CaptureStamp>,
    /// False for a re-emission.
    pub(crate) new: bool,
    /// `None` for a re-emission, and in a copy: the frame's end is that of the original.
    pub(crate) ticket: Option<Ticket>,
}

impl PacedPicture {
    fn copy(&self) -> Self {
        let Self { pts, released, leave_at, stamp, new, .. } = *self;
        Self { picture: self.picture.clone(), pts, released, leave_at, stamp, new, ticket: None }
    }
}

/// What waits between the pacer and the encoder.
pub(crate) struct PacedQueue {
    bound: usize,
    waiting: Mutex<VecDeque<PacedPicture>>,
    /// Results that gave way to newer ones since the last [`PacedQueue::take_left_out`].
    left_out: AtomicU64,
    /// Notified while something waits.
    pub(super) changed: Notify,
    /// Where copies of what is put in go to: one for each further encoding.
    copies: Mutex<Vec<Arc<Self>>>,
    /// There are some. So that those without pay for a look at a flag.
    copied: AtomicBool,
}

impl PacedQueue {
    /// `bound` of them may wait.
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            bound,
            waiting: Mutex::default(),
            left_out: AtomicU64::new(0),
            changed: Notify::new(),
            copies: Mutex::default(),
            copied: AtomicBool::new(false),
        }
    }

    /// Of a session whose own browser is shown nothing: nothing waits, and what is put in is
    /// consumed, once it has been copied.
    pub(crate) fn unshown() -> Self {
        Self::new(0)
    }

    /// From now on `copy` gets what this one gets.
    pub(crate) fn copy_to(&self, copy: Arc<Self>) {
        let mut copies = self.copies.lock();
        copies.push(copy);
        self.copied.store(true, Ordering::Relaxed);
    }

    /// From now on it does not.
    pub(crate) fn copy_no_more(&self, copy: &Arc<Self>) {
        let mut copies = self.copies.lock();
        copies.retain(|other| !Arc::ptr_eq(other, copy));
        self.copied.store(!copies.is_empty(), Ordering::Relaxed);
    }

    /// Puts a release in. If the queue is full, a re-emission is dropped, and a result takes the
    /// place of the oldest.
    pub(crate) fn push(&self, mut release: PacedPicture) {
        if self.copied.load(Ordering::Relaxed) {
            for copy in self.copies.lock().iter() {
                copy.push(release.copy());
            }
        }
        if self.bound == 0 {
            if let Some(ticket) = release.ticket {
                ticket.consumed();
            }
            return;
        }
        if let Some(ticket) = &mut release.ticket {
            ticket.enter(Hop::Egress);
        }
        let mut waiting = self.waiting.lock();
        let full = waiting.len() >= self.bound;
        if full && !release.new {
            return;
        }
        let lost = full.then(|| waiting.pop_front()).flatten();
        waiting.push_back(release);
        drop(waiting);
        if let Some(lost) = lost.filter(|lost| lost.new) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            match lost.ticket {
                Some(ticket) => ticket.dropped(Reason::Skipped),
                None => telemetry::viewers::rendition_skipped(),
            }
        }
        self.changed.notify_one();
    }

    /// Results that gave way to newer ones since the last call.
    pub(super) fn take_left_out(&self) -> u64 {
        self.left_out.swap(0, Ordering::Relaxed)
    }

    /// Takes the oldest.
    pub(super) fn pop(&self) -> Option<PacedPicture> {
        let mut waiting = self.waiting.lock();
        let next = waiting.pop_front();
        if !waiting.is_empty() {
            self.changed.notify_one();
        }
        next
    }
}

#[cfg(test)]
pub(super) mod testing {
    use bytes::Bytes;

    use super::*;

    /// A picture of 2x2, always the same one; a repeat has no ticket.
    pub(crate) fn release(pts: u64, repeat: bool) -> PacedPicture {
        let picture = Picture { width: 2, height: 2, data: Bytes::from_static(&[0; 6]) };
        let released = Instant::now();
        PacedPicture {
            picture,
            pts,
            released,
            leave_at: None,
            stamp: None,
            new: !repeat,
            ticket: (!repeat).then(|| Ticket::open(released)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::release;
    use super::*;

    #[test]
    fn a_result_replaces_and_a_repeat_gives_way() {
        let releases = PacedQueue::new(1);
        releases.push(release(1, true));
        releases.push(release(2, false));
        releases.push(release(3, true));
        assert_eq!(releases.pop().map(|r| r.pts), Some(2));
        releases.push(release(4, false));
        releases.push(release(5, false));
        assert_eq!(releases.pop().map(|r| r.pts), Some(5));
        assert_eq!((releases.take_left_out(), releases.take_left_out()), (1, 0));
        assert!(releases.pop().is_none());
    }

    #[test]
    fn early_ones_wait_in_order() {
        let releases = PacedQueue::new(3);
        (1..=4).for_each(|pts| releases.push(release(pts, false)));
        releases.push(release(5, true));
        let left: Vec<_> =
            std::iter::from_fn(|| releases.pop()).map(|release| release.pts).collect();
        assert_eq!(left, [2, 3, 4]);
    }
}
