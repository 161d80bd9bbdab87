//! The order of decoding and encoding on a codec thread, whose tasks take turns. `governor`
//! decides.
//!
//! > Before each picture is encoded, all waiting frames are decoded, but for no longer than half
//! > the time that the last picture took to encode.
//!
//! Decoding comes first because packets that wait for a decoder grow old. Of the pictures that wait
//! for an encoder the newest wins, so the encoded one has just come. The limit is needed because
//! with more to decode than time, nothing would ever be shown. Encoders go in the order in which
//! they ask, and so do decoders that must wait.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::yield_now;

use crate::threads::governor::{Demand, Next};
use crate::threads::relief::{ReliefLevel, Work};

/// One for each codec thread. Only tasks of that thread use it, and the code that looks at its
/// load.
#[derive(Debug)]
pub(crate) struct CodecSchedule {
    /// One encoder at a time. Waiting: at most one for each of the thread's sessions.
    encoders: Semaphore,
    /// One decoder at a time: one that must wait for an encoder keeps its place. Waiting: as above.
    decoders: Semaphore,
    /// Encoders that wait for their turn or have it.
    waiting: AtomicUsize,
    /// Nanoseconds of decoding since a picture was last encoded.
    decoded: AtomicU64,
    /// Nanoseconds that the last picture took to encode.
    encoded: AtomicU64,
    /// Nanoseconds that all pictures took to encode.
    encoded_ever: AtomicU64,
    /// The other fields of [`Work`].
    pictures: AtomicU64,
    left_out: AtomicU64,
    late: AtomicU64,
    /// See `relief`.
    relief: watch::Sender<ReliefLevel>,
}

/// An encoder's turn, which ends with it.
pub(crate) struct EncoderTurn<'a> {
    schedule: &'a CodecSchedule,
    _waiting: Waiting<'a>,
    _permit: Option<SemaphorePermit<'a>>,
}

/// A decoder's turn, which ends with it.
pub(crate) struct DecoderTurn<'a> {
    schedule: &'a CodecSchedule,
    _permit: Option<SemaphorePermit<'a>>,
}

/// Counted in [`CodecSchedule::waiting`].
struct Waiting<'a>(&'a CodecSchedule);

impl<'a> Waiting<'a> {
    fn new(schedule: &'a CodecSchedule) -> Self {
        schedule.waiting.fetch_add(1, Ordering::Relaxed);
        Self(schedule)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for CodecSchedule {
    fn default() -> Self {
        Self {
            encoders: Semaphore::new(1),
            decoders: Semaphore::new(1),
            waiting: AtomicUsize::new(0),
            decoded: AtomicU64::new(0),
            encoded: AtomicU64::new(0),
            encoded_ever: AtomicU64::new(0),
            pictures: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            late: AtomicU64::new(0),
            relief: watch::Sender::default(),
        }
    }
}

impl CodecSchedule {
    /// Waits until a picture may be encoded. Take the newest one only then.
    ///
    /// Cancel safe.
    pub(crate) async fn encode(&self) -> EncoderTurn<'_> {
        let waiting = Waiting::new(self);
        // An error means a closed semaphore, and nobody closes it.
        let permit = self.encoders.acquire().await.ok();
        // Every decoder that has work is scheduled by now. One that has waited since the last
        // picture may go on.
        loop {
            yield_now().await;
            if self.next(self.decoders.available_permits() == 0, true) == Next::Encode {
                break;
            }
        }
        EncoderTurn { schedule: self, _waiting: waiting, _permit: permit }
    }

    /// Waits until a frame may be decoded: not at all, unless decoders had their time and an
    /// encoder waits. The turn ends when the returned value is dropped.
    ///
    /// Cancel safe.
    pub(crate) async fn decode(&self) -> DecoderTurn<'_> {
        let turn = DecoderTurn { schedule: self, _permit: self.decoders.acquire().await.ok() };
        while self.next(true, self.waiting.load(Ordering::Relaxed) > 0) == Next::Encode {
            // An encoder is scheduled: it goes on in this round or the next.
            yield_now().await;
        }
        turn
    }

    /// Whether to decode or to encode next.
    fn next(&self, decoder_waits: bool, encoder_waits: bool) -> Next {
        let decoded = Duration::from_nanos(self.decoded.load(Ordering::Relaxed));
        let encoded = Duration::from_nanos(self.encoded.load(Ordering::Relaxed));
        Demand { decoder_waits, encoder_waits, decoded, encoded }.next()
    }

    /// What this thread has done; it was at work for `worked`.
    pub(crate) fn work(&self, worked: Duration) -> Work {
        Work {
            worked,
            encoded: Duration::from_nanos(self.encoded_ever.load(Ordering::Relaxed)),
            pictures: self.pictures.load(Ordering::Relaxed),
            left_out: self.left_out.load(Ordering::Relaxed),
            late: self.late.load(Ordering::Relaxed),
        }
    }

    /// Pictures were not encoded, because newer ones came before their turn.
    pub(crate) fn left_out(&self, pictures: u64) {
        self.left_out.fetch_add(pictures, Ordering::Relaxed);
    }

    /// Packets were dropped because they had waited too long for a decoder.
    pub(crate) fn late(&self) {
        self.late.fetch_add(1, Ordering::Relaxed);
    }

    /// What is to be done less.
    pub(crate) fn relief(&self) -> ReliefLevel {
        *self.relief.borrow()
    }

    /// The level, and each change of it.
    pub(crate) fn reliefs(&self) -> watch::Receiver<ReliefLevel> {
        self.relief.subscribe()
    }

    /// Sets the level; gives the one before.
    pub(crate) fn relieve(&self, level: ReliefLevel) -> ReliefLevel {
        let before = self.relief();
        // Only a change wakes the sessions.
        if level != before {
            self.relief.send_replace(level);
        }
        before
    }
}

impl EncoderTurn<'_> {
    /// A picture took this long to encode. Not called for one that cost nothing: decoders would get
    /// no time for it.
    pub(crate) fn encoded(&self, took: Duration) {
        self.schedule.encoded.store(nanos(took), Ordering::Relaxed);
        self.schedule.encoded_ever.fetch_add(nanos(took), Ordering::Relaxed);
        self.schedule.pictures.fetch_add(1, Ordering::Relaxed);
        self.schedule.decoded.store(0, Ordering::Relaxed);
    }
}

impl DecoderTurn<'_> {
    /// A frame took this long to decode.
    pub(crate) fn decoded(&self, took: Duration) {
        self.schedule.decoded.fetch_add(nanos(took), Ordering::Relaxed);
    }
}

fn nanos(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
