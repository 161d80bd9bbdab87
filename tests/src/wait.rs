//! Bounded, level-triggered waiting: the one place of the harness that polls.
//!
//! A condition is looked at again and again until it holds; nothing is ever assumed to have
//! happened because some time has passed. What a wait was for is part of its failure text.

use std::time::Duration;

use tokio::time::Instant;

/// Between two looks at a condition that cannot wake us (another process, a scraped metric).
const POLL: Duration = Duration::from_millis(20);

/// Looks at `condition` until it gives a value, and returns that.
///
/// # Panics
/// When `timeout` has passed without one; the text names `what`.
#[track_caller]
pub fn eventually<T>(what: &str, timeout: Duration, condition: impl FnMut() -> Option<T>) -> T {
    // No closure around the panic: it would be told as the place, instead of the caller's.
    match try_eventually(timeout, condition) {
        Some(value) => value,
        None => panic!("not within {timeout:?}: {what}"),
    }
}

/// Like [`eventually`], for a condition that may fail to come true: `None` after `timeout`.
///
/// The condition is always looked at once more after the deadline, so that a long stall of this
/// process alone is not taken for a failure of the other.
pub fn try_eventually<T>(timeout: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + timeout;
    loop {
        let last = Instant::now() >= deadline;
        match condition() {
            Some(value) => return Some(value),
            None if last => return None,
            None => std::thread::park_timeout(POLL),
        }
    }
}

/// Lets time pass, for what is measured over time or sent at a rate: where nothing is waited for.
pub fn for_time(time: Duration) {
    try_eventually(time, || None::<()>);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_what_the_condition_gives() {
        let mut looks = 0;
        let value = eventually("three looks", Duration::from_secs(30), || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(value, 3);
    }

    #[test]
    fn looks_once_even_without_time() {
        assert_eq!(try_eventually(Duration::ZERO, || Some(1)), Some(1));
        assert_eq!(try_eventually(Duration::ZERO, || None::<u8>), None);
    }

    #[test]
    #[should_panic(expected = "the moon turns green")]
    fn says_what_it_waited_for() {
        eventually("the moon turns green", Duration::ZERO, || None::<()>);
    }
}
