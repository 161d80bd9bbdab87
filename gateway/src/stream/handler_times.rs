//! What one session's frames take at the worker, for the person in front of the browser.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Written by the link to the worker, read once a second.
#[derive(Debug, Default)]
pub(crate) struct HandlerTimes {
    sums: Mutex<Sums>,
    superseded: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    frames: u32,
    handler: Duration,
    turn: Duration,
    /// Frames that were in a batch, and the sizes of their batches.
    batched: u32,
    sizes: u64,
    waits: Duration,
}

/// The means of some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HandlerMeans {
    pub(crate) handler_ms: f64,
    /// How long frames waited for their turn; `None` where calls run in parallel.
    pub(crate) turn_ms: Option<f64>,
    pub(crate) batch: Option<BatchMeans>,
}

/// Of the frames that were in a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BatchMeans {
    pub(crate) size: f64,
    /// Until the model began.
    pub(crate) wait_ms: f64,
}

impl HandlerTimes {
    /// A frame was answered. `batch`: the size of its batch, and how long it waited for it.
    pub(crate) fn add(&self, handler: Duration, turn: Duration, batch: Option<(u32, Duration)>) {
        let mut sums = self.sums.lock();
        sums.frames = sums.frames.saturating_add(1);
        // They are the worker's word.
        sums.handler = sums.handler.saturating_add(handler);
        sums.turn = sums.turn.saturating_add(turn);
        if let Some((size, wait)) = batch {
            sums.batched = sums.batched.saturating_add(1);
            sums.sizes = sums.sizes.saturating_add(size.into());
            sums.waits = sums.waits.saturating_add(wait);
        }
    }

    /// A newer frame took the place of one that waited for a model.
    pub(crate) fn supersede(&self) {
        self.superseded.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have been.
    pub(crate) fn superseded(&self) -> u64 {
        self.superseded.load(Ordering::Relaxed)
    }

    /// The means since the last call; `None` without a frame.
    pub(crate) fn take(&self) -> Option<HandlerMeans> {
        let Sums { frames, handler, turn, batched, sizes, waits } =
            std::mem::take(&mut *self.sums.lock());
        let mean_ms = |sum: Duration, count: u32| sum.as_secs_f64() * 1_000.0 / f64::from(count);
        (frames > 0).then(|| HandlerMeans {
            handler_ms: mean_ms(handler, frames),
            turn_ms: (turn > Duration::ZERO).then(|| mean_ms(turn, frames)),
            batch: (batched > 0).then(|| BatchMeans {
                size: sizes as f64 / f64::from(batched),
                wait_ms: mean_ms(waits, batched),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_the_frames_since_the_last_time() {
        const MS: Duration = Duration::from_millis(1);
        let times = HandlerTimes::default();
        assert_eq!(times.take(), None);
        times.add(10 * MS, Duration::ZERO, None);
        let (turn_ms, batch) = (None, None);
        assert_eq!(times.take(), Some(HandlerMeans { handler_ms: 10.0, turn_ms, batch }));
        times.add(20 * MS, 3 * MS, Some((4, 6 * MS)));
        times.add(40 * MS, 5 * MS, Some((1, Duration::ZERO)));
        times.add(30 * MS, MS, None);
        let batch = Some(BatchMeans { size: 2.5, wait_ms: 3.0 });
        let means = HandlerMeans { handler_ms: 30.0, turn_ms: Some(3.0), batch };
        assert_eq!(times.take(), Some(means));
        assert_eq!(times.take(), None);
        (0..3)
            .for_each(|_| times.add(Duration::MAX, Duration::MAX, Some((u32::MAX, Duration::MAX))));
        assert!(times.take().is_some_and(|means| means.handler_ms.is_finite()));
    }
}
