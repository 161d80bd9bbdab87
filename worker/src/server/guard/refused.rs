//! Counts of who was turned away, and why. Peers decide how often that is, so the log has a line of
//! sums.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::interval;

/// Between two lines of the log, if there is anything to say.
const EVERY: Duration = Duration::from_secs(10);

/// Why a connection was closed, or a call refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RefusalReason {
    /// All connections are taken.
    NoRoom,
    /// A connection on which nothing was asked in time.
    Silent,
    /// A connection or call that has waited longest, when there were too many.
    Displaced,
    /// A call that was not finished in time.
    Unfinished,
    /// A call that is, or says that it will be, too long.
    TooLong,
}

/// How many, since the last line.
#[derive(Debug, Default)]
pub(crate) struct Refused([AtomicU64; 5]);

impl Refused {
    pub(crate) fn count(&self, reason: RefusalReason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Writes the lines, for ever.
    pub(crate) async fn report(&self) {
        let mut interval = interval(EVERY);
        loop {
            interval.tick().await;
            let [no_room, silent, displaced, unfinished, too_long] = self.take();
            if no_room + silent + displaced + unfinished + too_long > 0 {
                tracing::warn!(
                    no_room,
                    silent,
                    displaced,
                    unfinished,
                    too_long,
                    "peers were turned away"
                );
            }
        }
    }

    fn take(&self) -> [u64; 5] {
        self.0.each_ref().map(|count| count.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_count_until_it_was_told() {
        let refused = Refused::default();
        for (times, reason) in [
            RefusalReason::NoRoom,
            RefusalReason::Silent,
            RefusalReason::Displaced,
            RefusalReason::Unfinished,
            RefusalReason::TooLong,
        ]
        .iter()
        .enumerate()
        {
            (0..times).for_each(|_| refused.count(*reason));
        }
        assert_eq!(refused.take(), [0, 1, 2, 3, 4]);
        assert_eq!(refused.take(), [0; 5]);
    }
}
