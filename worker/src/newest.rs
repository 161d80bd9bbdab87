//! Where a session's newest frame waits while its handler waits for a model.
//!
//! Elsewhere that place is in the gateway, and no frame travels in vain. A model that works on
//! batches begins when others are ready too: a frame that has travelled by then is older than what
//! the camera has. So a session whose handler calls such a model is given more credits, each frame
//! travels at once, and one that is not worked on yet makes way for the next.
//!
//! > At most one frame waits here. Each is taken once, or answered as superseded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::message::{Job, MORE_CREDITS};

/// What the wait for a model is told.
pub(crate) trait Waiting: Send + Sync {
    /// A newer frame is here. Called on the thread that moves frames: it never waits, and runs none
    /// of the author's code.
    fn newer(&self);
}

/// One session's newest frame.
#[derive(Default)]
pub(crate) struct Newest {
    /// The stream's handler is given the newest frames only.
    skips: bool,
    on: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The credits that this takes were given.
    granted: bool,
    frame: Option<Job>,
    waiting: Option<Arc<dyn Waiting>>,
}

/// What became of a frame.
#[derive(Debug)]
pub(crate) enum Put {
    /// Frames do not wait here: it is given back.
    Off(Job),
    /// It is the first to wait: the actor must be told.
    Waits,
    /// It took the place of this one.
    Replaced(Job),
}

impl Newest {
    /// For a stream that skips frames, or one that does not: there it stays off.
    pub(crate) fn new(skips: bool) -> Self {
        Self { skips, ..Self::default() }
    }

    /// From now on frames wait here, as soon as the gateway has the credits. False where the stream
    /// wants every frame.
    pub(crate) fn turn_on(&self) -> bool {
        self.on.fetch_or(self.skips, Ordering::AcqRel);
        self.skips
    }

    /// The credits that the gateway is to be given beside the others: once.
    pub(crate) fn more_credits(&self) -> u32 {
        if !self.on.load(Ordering::Acquire) {
            return 0;
        }
        let granted = std::mem::replace(&mut self.state.lock().granted, true);
        if granted { 0 } else { MORE_CREDITS }
    }

    /// A frame has come.
    pub(crate) fn put(&self, job: Job) -> Put {
        if !self.on.load(Ordering::Acquire) {
            return Put::Off(job);
        }
        let mut state = self.state.lock();
        let replaced = state.frame.replace(job);
        let waiting = state.waiting.clone();
        drop(state);
        if let Some(waiting) = waiting {
            waiting.newer();
        }
        replaced.map_or(Put::Waits, Put::Replaced)
    }

    /// The frame that waits.
    pub(crate) fn take(&self) -> Option<Job> {
        self.state.lock().frame.take()
    }

    /// The session is over: nothing waits any more, even if the author keeps the session.
    pub(crate) fn clear(&self) {
        let state = std::mem::take(&mut *self.state.lock());
        drop(state);
    }

    /// Tells `waiting` of each frame that comes from now on; `None`: nobody.
    pub(crate) fn tell(&self, waiting: Option<Arc<dyn Waiting>>) {
        let before = std::mem::replace(&mut self.state.lock().waiting, waiting);
        drop(before);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn pull(seq: u64) -> Job {
        Job::Pull { seq, traceparent: String::new() }
    }

    struct Told(AtomicU32);

    impl Waiting for Told {
        fn newer(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_newer_frame_takes_the_place_of_the_one_that_waits() {
        let newest = Newest::new(true);
        assert!(matches!(newest.put(pull(0)), Put::Off(Job::Pull { seq: 0, .. })));
        assert_eq!(newest.more_credits(), 0);
        assert!(newest.turn_on() && newest.turn_on());
        assert_eq!((newest.more_credits(), newest.more_credits()), (MORE_CREDITS, 0));
        assert!(matches!(newest.put(pull(1)), Put::Waits));
        let told = Arc::new(Told(AtomicU32::new(0)));
        newest.tell(Some(Arc::clone(&told) as Arc<dyn Waiting>));
        assert!(matches!(newest.put(pull(2)), Put::Replaced(Job::Pull { seq: 1, .. })));
        newest.tell(None);
        assert!(matches!(newest.put(pull(3)), Put::Replaced(Job::Pull { seq: 2, .. })));
        assert_eq!(told.0.load(Ordering::Relaxed), 1);
        assert!(matches!(newest.take(), Some(Job::Pull { seq: 3, .. })));
        assert!(newest.take().is_none());
    }

    #[test]
    fn where_every_frame_counts_none_waits_here() {
        let newest = Newest::new(false);
        assert!(!newest.turn_on());
        assert_eq!(newest.more_credits(), 0);
        assert!(matches!(newest.put(pull(0)), Put::Off(_)));
    }
}
