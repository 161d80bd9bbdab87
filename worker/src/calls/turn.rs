//! Whose turn it is to run the author's code, where calls run one at a time.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::lock_api::ArcMutexGuard;
use parking_lot::{FairMutex, RawFairMutex};
use tokio::time::Instant;

/// Given in the order of asking. A plain `Mutex` may be taken again and again by one thread while
/// others wait: a session could starve.
pub(super) type Lock = Arc<FairMutex<()>>;

/// This thread's turn.
struct Turn {
    lock: Lock,
    /// `None` while it is put [`aside`].
    held: Option<ArcMutexGuard<RawFairMutex, ()>>,
    waited: Waited,
}

/// How long a thread waited in a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waited {
    /// For its turn, before and within the call.
    pub(super) turn: Duration,
    /// The part of `turn` that was within the call.
    pub(super) again: Duration,
    /// For what it had put its turn [`aside`] for.
    pub(super) aside: Duration,
}

thread_local! {
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// Waits until it is this thread's turn.
pub(super) fn take(lock: &Lock) {
    let asked = Instant::now();
    let held = lock.lock_arc();
    let waited = Waited { turn: asked.elapsed(), ..Waited::default() };
    TURN.set(Some(Turn { lock: Arc::clone(lock), held: Some(held), waited }));
}

/// Ends this thread's turn, if it has one.
pub(super) fn end() {
    TURN.take();
}

/// How long this thread waited since its turn began.
pub(super) fn waited() -> Waited {
    TURN.with_borrow(|turn| turn.as_ref().map(|turn| turn.waited).unwrap_or_default())
}

/// Lets others have their turn while this thread waits for them in `wait`. On a thread without a
/// turn it only calls `wait`.
pub(crate) fn aside<T>(wait: impl FnOnce() -> T) -> T {
    let held = TURN.with_borrow_mut(|turn| {
        turn.as_mut().and_then(|turn| Some((turn.held.take()?, Arc::clone(&turn.lock))))
    });
    let Some((held, lock)) = held else { return wait() };
    let _resume = Resume { lock, left: Instant::now() };
    drop(held);
    wait()
}

/// Takes a turn again that was put aside. By its drop, so also when the wait panics: what comes
/// after it is the author's code.
struct Resume {
    lock: Lock,
    left: Instant,
}

impl Drop for Resume {
    fn drop(&mut self) {
        let asked = Instant::now();
        let held = self.lock.lock_arc();
        let again = asked.elapsed();
        TURN.with_borrow_mut(|turn| {
            if let Some(turn) = turn {
                turn.held = Some(held);
                turn.waited.aside += asked - self.left;
                turn.waited.again += again;
                turn.waited.turn += again;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn others_have_their_turn_while_one_waits_for_them() {
        let lock = Lock::default();
        take(&lock);
        assert!(lock.try_lock().is_none());
        let (done, other) = mpsc::channel();
        let others = Arc::clone(&lock);
        aside(|| {
            let thread = thread::spawn(move || {
                take(&others);
                done.send(()).unwrap();
                end();
            });
            other.recv_timeout(PATIENCE).unwrap();
            // Nobody's turn within another's: it only calls.
            assert_eq!(aside(|| 3), 3);
            thread.join().unwrap();
        });
        assert!(lock.try_lock().is_none(), "its turn again");
        let Waited { turn, again, .. } = waited();
        assert!(turn >= again);
        end();
        assert!(lock.try_lock().is_some());
        assert_eq!(waited(), Waited::default());
    }

    #[test]
    fn a_panic_of_what_is_waited_for_leaves_the_turn_where_it_was() {
        let lock = Lock::default();
        take(&lock);
        let panicked =
            std::panic::catch_unwind(|| aside(|| std::panic::resume_unwind(Box::new(()))));
        assert!(panicked.is_err() && lock.try_lock().is_none());
        end();
        assert!(lock.try_lock().is_some());
    }
}
