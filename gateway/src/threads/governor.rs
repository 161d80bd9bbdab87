//! How codec threads share their time among streams: pure.
//!
//! It decides three things. Whether another session is admitted, and to which thread: the one with
//! the least [`Load`], and never one that is relieved already. How much less each stream of a
//! thread gets: [`Relief`]. And whether a thread decodes or encodes next: [`Demand::next`], which
//! is called for each frame and so needs no lock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::threads::load::{Load, Place};
use crate::threads::relief::{Relief, ReliefLevel, Work};

/// What a thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Decode,
    Encode,
}

/// What waits for a thread, and what the thread did last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    /// Whether a frame waits to be decoded.
    pub(super) decoder_waits: bool,
    /// Whether a picture waits to be encoded.
    pub(super) encoder_waits: bool,
    /// Time spent on decoding since a picture was last encoded.
    pub(super) decoded: Duration,
    /// Time that the last picture took to encode.
    pub(super) encoded: Duration,
}

impl Demand {
    /// Decoding comes first, because packets that wait grow old. But before each picture it gets no
    /// more than half of the time that the last picture took: otherwise, with more to decode than
    /// there is time, no picture would ever be encoded.
    pub(super) fn next(self) -> Next {
        let decoders_had_their_time = self.decoded >= self.encoded / 2;
        let encode = self.encoder_waits && (decoders_had_their_time || !self.decoder_waits);
        if encode { Next::Encode } else { Next::Decode }
    }
}

/// See the module. One for all codec threads.
#[derive(Debug)]
pub(super) struct Governor {
    load: Load,
    /// Of each thread.
    reliefs: Vec<Relief>,
}

impl Governor {
    /// For `threads` (at least one) that have not worked yet. `max_load` is a share, above 0 and up
    /// to 1; 1 is no limit.
    pub(super) fn new(now: Instant, threads: usize, max_load: f64) -> Self {
        let reliefs = (0..threads).map(|_| Relief::new(now)).collect();
        Self { load: Load::new(now, threads, max_load), reliefs }
    }

    /// Takes a place for a session; `encrypted` says that DTLS has shown that its browser is there.
    ///
    /// # Errors
    /// The load with this session, if that is above the limit.
    pub(super) fn admit(&mut self, now: Instant, encrypted: bool) -> Result<Arc<Place>, f64> {
        let reliefs = &self.reliefs;
        // A relieved thread may look idle. It has little to do because it was relieved.
        self.load.take(now, encrypted, |thread| !reliefs[thread].level().is_none())
    }

    /// Records what each thread has done up to `now`, and decides [`Self::relief_level`]. Returns
    /// the mean load. Call it every [`crate::threads::load::LOOK_INTERVAL`].
    pub(super) fn look(&mut self, now: Instant, threads: &[Work]) -> f64 {
        let load = self.load.look(now, threads.iter().map(|work| work.worked).collect());
        for (thread, (relief, work)) in self.reliefs.iter_mut().zip(threads).enumerate() {
            // New sessions must not get less because of those that have left.
            if self.load.is_empty(thread) {
                *relief = Relief::new(now);
            }
            relief.look(now, *work);
        }
        load
    }

    /// What the streams of this thread do less, as decided at the last look.
    pub(super) fn relief_level(&self, thread: usize) -> ReliefLevel {
        self.reliefs[thread].level()
    }
}

#[cfg(test)]
#[path = "governor_tests.rs"]
mod tests;
