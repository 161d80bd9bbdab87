//! Hop 3 of 10: a frame is accepted, or skipped for a newer one. The frame, and the one bounded
//! queue that every hand-over between threads uses.
//! In:    decoded frames from `ingress`; results from `link::recv`.
//! Out:   `link::send`; the pacer.
//! Runs:  whichever thread pushes decides: for hop 3 the session's codec arbiter.
//! Full:  [`Policy::NewestWins`]: the newest takes the waiting one's place (`reason="skipped"`).
//!        [`Policy::Fifo`]: a further one is refused (`reason="overflow"`).
//! Clock: capture time since the session's first frame.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::codec::{Picture, Rotation};
use crate::telemetry::ledger::{Hop, Reason, Ticket};

/// Of RTP's 90 kHz clock.
pub(crate) fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos() * 9 / 100_000).unwrap_or(u64::MAX)
}

/// One picture of a session, from the decoder to the encoder.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Counts the session's decoded frames.
    pub(crate) seq: u64,
    /// When the browser captured it, on the session's own clock (zero is its first frame).
    pub(crate) captured: Duration,
    /// The browser's own capture time, if it sent one; it is returned with the result.
    pub(crate) stamp: Option<CaptureStamp>,
    /// The picture's rotation.
    pub(crate) rotation: Rotation,
    /// The pixels.
    pub(crate) picture: Picture,
    /// Its record in the ledger.
    pub(crate) ticket: Ticket,
    /// When it entered its current queue.
    pub(crate) since: Instant,
}

/// A capture time as an NTP time stamp (RFC 5905, section 6) of the sender's clock. Opaque here,
/// because clocks differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CaptureStamp([u8; 8]);

impl CaptureStamp {
    /// The first eight bytes; an estimate of the clock's offset may follow.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().copied().map(Self)
    }

    pub(crate) fn bytes(self) -> [u8; 8] {
        self.0
    }
}

/// The policy of a full queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// One frame waits; a newer one replaces it (`reason="skipped"`).
    NewestWins,
    /// This many wait in order; a further one is refused (`reason="overflow"`).
    Fifo(usize),
}

#[derive(Debug)]
struct Waiting {
    policy: Policy,
    frames: VecDeque<Frame>,
}

/// A bounded queue of frames between two threads. Frames wait here and never in a mailbox: a
/// mailbox is FIFO, cannot replace an element, and is bounded per sender. The message that is sent
/// in addition is only a wake-up, so losing one is harmless.
///
/// A frame that finds no room is counted at `hop`. The lock is held only for a push or a pop of one
/// element.
#[derive(Debug)]
pub(crate) struct FrameQueue {
    hop: Hop,
    waiting: Mutex<Waiting>,
    /// Frames that found no room or were replaced.
    skipped: AtomicU64,
}

impl FrameQueue {
    /// An empty queue in front of `hop`.
    #[must_use]
    pub(crate) fn new(hop: Hop, policy: Policy) -> Arc<Self> {
        let waiting = Mutex::new(Waiting { policy, frames: VecDeque::new() });
        Arc::new(Self { hop, waiting, skipped: AtomicU64::new(0) })
    }

    /// From now on another policy holds. With [`Policy::NewestWins`] the older ones of the frames
    /// that wait are skipped.
    pub(crate) fn set_policy(&self, policy: Policy) {
        let mut waiting = self.waiting.lock();
        waiting.policy = policy;
        let surplus = match policy {
            Policy::NewestWins => waiting.frames.len().saturating_sub(1),
            Policy::Fifo(bound) => waiting.frames.len().saturating_sub(bound),
        };
        let lost: Vec<Frame> = waiting.frames.drain(..surplus).collect();
        drop(waiting);
        lost.into_iter().for_each(|frame| self.skip(frame));
    }

    fn skip(&self, frame: Frame) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        frame.ticket.dropped(Reason::Skipped);
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// The FIFO is full; the frame was counted as dropped.
    pub(crate) fn push(&self, now: Instant, mut frame: Frame) -> Result<(), Overflow> {
        frame.ticket.enter(self.hop);
        frame.since = now;
        let mut waiting = self.waiting.lock();
        let lost = match waiting.policy {
            Policy::NewestWins => waiting.frames.pop_front(),
            Policy::Fifo(bound) if waiting.frames.len() >= bound => {
                drop(waiting);
                self.skipped.fetch_add(1, Ordering::Relaxed);
                frame.ticket.dropped(Reason::Overflow);
                return Err(Overflow);
            }
            Policy::Fifo(_) => None,
        };
        waiting.frames.push_back(frame);
        drop(waiting);
        lost.into_iter().for_each(|frame| self.skip(frame));
        Ok(())
    }

    /// Takes the next frame.
    pub(crate) fn pop(&self) -> Option<Frame> {
        self.waiting.lock().frames.pop_front()
    }

    /// Frames that found no room or were replaced so far.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Whether a frame waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.lock().frames.is_empty()
    }
}

/// The FIFO is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A frame of one pixel.
    pub(crate) fn frame(seq: u64) -> Frame {
        let picture = Picture { width: 1, height: 1, data: bytes::Bytes::from_static(&[0; 3]) };
        let now = Instant::now();
        let (captured, stamp, rotation) = (Duration::ZERO, None, Rotation::Upright);
        Frame { seq, captured, stamp, rotation, picture, ticket: Ticket::open(now), since: now }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::frame;
    use super::*;

    #[test]
    fn the_newest_takes_the_place_of_the_waiting_one() {
        let queue = FrameQueue::new(Hop::Session, Policy::NewestWins);
        for seq in 0..5 {
            queue.push(Instant::now(), frame(seq)).unwrap();
        }
        assert_eq!(queue.pop().map(|f| f.seq), Some(4));
        assert!(queue.pop().is_none());
        assert_eq!(queue.skipped(), 4);
    }

    #[test]
    fn a_fifo_keeps_order_and_refuses_beyond_its_bound() {
        let queue = FrameQueue::new(Hop::Session, Policy::Fifo(3));
        let results: Vec<_> = (0..5).map(|seq| queue.push(Instant::now(), frame(seq))).collect();
        assert_eq!(results, [Ok(()), Ok(()), Ok(()), Err(Overflow), Err(Overflow)]);
        let seqs: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|f| f.seq).collect();
        assert_eq!(seqs, [0, 1, 2]);
    }

    #[test]
    fn another_policy_holds_for_the_frames_that_wait_too() {
        let queue = FrameQueue::new(Hop::Session, Policy::Fifo(3));
        (0..3).for_each(|seq| queue.push(Instant::now(), frame(seq)).unwrap());
        queue.set_policy(Policy::NewestWins);
        assert_eq!(queue.skipped(), 2);
        queue.push(Instant::now(), frame(3)).unwrap();
        queue.set_policy(Policy::Fifo(3));
        queue.push(Instant::now(), frame(4)).unwrap();
        let seqs: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|f| f.seq).collect();
        assert_eq!(seqs, [3, 4]);
    }

    /// A camera, the queue, and a worker with one credit, in virtual time. Returns (number, age at
    /// handler start).
    fn simulate(
        seed: u64,
        policy: Policy,
        handler_ms: std::ops::Range<u64>,
    ) -> Vec<(u64, Duration)> {
        use rand::{RngExt, SeedableRng};
        let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
        let queue = FrameQueue::new(Hop::Session, policy);
        let start = Instant::now();
        let (mut worker_free, mut started) = (start, Vec::new());
        for number in 0..900 {
            let now = start + Duration::from_micros(33_333 * number);
            // What the worker did since the last frame came.
            while worker_free <= now {
                let Some(taken) = queue.pop() else { break };
                let begins = worker_free.max(taken.since);
                started.push((taken.seq, begins - taken.since));
                worker_free =
                    begins + Duration::from_millis(random.random_range(handler_ms.clone()));
            }
            queue.push(now, frame(number)).ok();
        }
        started
    }

    #[test]
    fn a_slow_handler_always_starts_on_the_present() {
        for seed in 0..20 {
            let started = simulate(seed, Policy::NewestWins, 150..250);
            assert!((145..=155).contains(&started.len()), "{} of 30 s at 200 ms", started.len());
            assert!(started.is_sorted_by_key(|(number, _)| *number));
            let oldest = started.iter().map(|(_, age)| *age).max().unwrap();
            assert!(
                oldest <= Duration::from_micros(33_334),
                "seed {seed}: {oldest:?} is more than one frame interval"
            );
        }
    }

    #[test]
    fn a_handler_that_keeps_up_sees_every_frame_in_order_through_its_stalls() {
        for seed in 0..20 {
            let started = simulate(seed, Policy::Fifo(8), 5..50);
            let numbers: Vec<u64> = started.iter().map(|(number, _)| *number).collect();
            assert!(
                numbers.iter().copied().eq(0..numbers.len() as u64),
                "seed {seed}: a frame is missing"
            );
            assert!(numbers.len() >= 890);
        }
    }
}
