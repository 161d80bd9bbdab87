//! Who codes next on a codec thread, where all tasks take turns by themselves.
//!
//! > Before each picture that is encoded, whoever has video to decode decodes; but no longer than half of what the last
//! > picture took to encode.
//!
//! The first, because packets that wait for a decoder grow old, while of pictures that wait for an encoder the newest wins:
//! what is then encoded has just come. The second, because there may be more to decode than there is time, and then
//! nothing would ever be shown. Encoders go in the order in which they ask, and so do decoders where they must wait.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::yield_now;

use crate::threads::relief::Steps;

/// One for each codec thread. Only tasks of that thread use it, and whoever looks at its load.
#[derive(Debug)]
pub(crate) struct Turns {
    /// One encoder at a time. Waiting: at most one for each of the thread's sessions.
    encoders: Semaphore,
    /// One decoder at a time: who must wait for an encoder keeps its place. Waiting: as above.
    decoders: Semaphore,
    /// Encoders that wait for their turn or have it.
    waiting: AtomicUsize,
    /// Nanoseconds of decoding since a picture was last encoded.
    decoded: AtomicU64,
    /// Nanoseconds that the last picture took to encode.
    encoded: AtomicU64,
    /// Nanoseconds that all of them took.
    encoded_ever: AtomicU64,
    /// See `relief`.
    relief: watch::Sender<Steps>,
}

/// An encoder's turn, which ends with it.
pub(crate) struct EncoderTurn<'a> {
    turns: &'a Turns,
    _waiting: Waiting<'a>,
    _permit: Option<SemaphorePermit<'a>>,
}

/// A decoder's turn, which ends with it.
pub(crate) struct DecoderTurn<'a> {
    turns: &'a Turns,
    _permit: Option<SemaphorePermit<'a>>,
}

/// Counted in [`Turns::waiting`].
struct Waiting<'a>(&'a Turns);

impl<'a> Waiting<'a> {
    fn new(turns: &'a Turns) -> Self {
        turns.waiting.fetch_add(1, Ordering::Relaxed);
        Self(turns)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            encoders: Semaphore::new(1),
            decoders: Semaphore::new(1),
            waiting: AtomicUsize::new(0),
            decoded: AtomicU64::new(0),
            encoded: AtomicU64::new(0),
            encoded_ever: AtomicU64::new(0),
            relief: watch::Sender::default(),
        }
    }
}

impl Turns {
    /// Waits until a picture may be encoded; ask for the newest only then.
    ///
    /// Cancel safe.
    pub(crate) async fn encode(&self) -> EncoderTurn<'_> {
        let waiting = Waiting::new(self);
        // An error is a closed semaphore, and nobody closes it.
        let permit = self.encoders.acquire().await.ok();
        // Every decoder that has something to do is scheduled by now; one that waits since the last picture may go on.
        loop {
            yield_now().await;
            if self.decoders.available_permits() > 0 || self.decoders_had_their_time() {
                break;
            }
        }
        EncoderTurn { turns: self, _waiting: waiting, _permit: permit }
    }

    /// Waits until a frame may be decoded: at once, unless decoders had their time and an encoder waits. The turn ends with what
    /// it gives.
    ///
    /// Cancel safe.
    pub(crate) async fn decode(&self) -> DecoderTurn<'_> {
        let turn = DecoderTurn { turns: self, _permit: self.decoders.acquire().await.ok() };
        while self.waiting.load(Ordering::Relaxed) > 0 && self.decoders_had_their_time() {
            // One is scheduled: it goes on in this round, or in the next.
            yield_now().await;
        }
        turn
    }

    fn decoders_had_their_time(&self) -> bool {
        self.decoded.load(Ordering::Relaxed) >= self.encoded.load(Ordering::Relaxed) / 2
    }

    /// How long this thread has encoded.
    pub(crate) fn encoded_ever(&self) -> Duration {
        Duration::from_nanos(self.encoded_ever.load(Ordering::Relaxed))
    }

    /// What is to be done less.
    pub(crate) fn relief(&self) -> Steps {
        *self.relief.borrow()
    }

    /// The steps, and whenever they change.
    pub(crate) fn reliefs(&self) -> watch::Receiver<Steps> {
        self.relief.subscribe()
    }

    /// Gives the steps that were set before.
    pub(crate) fn relieve(&self, steps: Steps) -> Steps {
        let before = self.relief();
        // Only a change wakes the sessions.
        if steps != before {
            self.relief.send_replace(steps);
        }
        before
    }
}

impl EncoderTurn<'_> {
    /// A picture took so long to encode. Not for one that cost nothing: decoders would get nothing for it.
    pub(crate) fn encoded(&self, took: Duration) {
        self.turns.encoded.store(nanos(took), Ordering::Relaxed);
        self.turns.encoded_ever.fetch_add(nanos(took), Ordering::Relaxed);
        self.turns.decoded.store(0, Ordering::Relaxed);
    }
}

impl DecoderTurn<'_> {
    /// A frame took so long to decode.
    pub(crate) fn decoded(&self, took: Duration) {
        self.turns.decoded.fetch_add(nanos(took), Ordering::Relaxed);
    }
}

fn nanos(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::task::LocalSet;
    use tokio_util::sync::CancellationToken;

    use super::*;

    const DECODING: Duration = Duration::from_millis(2);
    const ENCODING: Duration = Duration::from_millis(10);
    /// As often as `ingress` lets its neighbours in.
    const FRAMES_OF_A_TURN: usize = 25;

    /// What was done, in order: a letter each.
    type Log = Arc<Mutex<String>>;

    fn note(log: &Log, what: char) {
        log.lock().push(what);
    }

    /// Has always more to decode.
    async fn decoder(turns: Arc<Turns>, log: Log, name: char, stop: CancellationToken) {
        while !stop.is_cancelled() {
            for _ in 0..FRAMES_OF_A_TURN {
                let turn = turns.decode().await;
                note(&log, name);
                turn.decoded(DECODING);
            }
            yield_now().await;
        }
    }

    /// Has `pictures` to encode, each as soon as the one before is done.
    async fn encoder(turns: Arc<Turns>, log: Log, name: char, pictures: usize) {
        for _ in 0..pictures {
            let turn = turns.encode().await;
            note(&log, name);
            turn.encoded(ENCODING);
        }
    }

    #[tokio::test]
    async fn with_more_than_time_encoders_go_in_turn_and_decoders_get_half_of_their_time() {
        let (turns, log, stop) = (Arc::<Turns>::default(), Log::default(), CancellationToken::new());
        let all = LocalSet::new();
        for name in ['a', 'b', 'c', 'd', 'e'] {
            all.spawn_local(decoder(Arc::clone(&turns), Arc::clone(&log), name, stop.clone()));
        }
        let encoders: Vec<_> =
            ['A', 'B', 'C'].map(|name| all.spawn_local(encoder(Arc::clone(&turns), Arc::clone(&log), name, 20))).into();
        all.run_until(async {
            for encoder in encoders {
                encoder.await.unwrap();
            }
        })
        .await;
        stop.cancel();
        let log = log.lock().clone();
        let encoded: String = log.chars().filter(char::is_ascii_uppercase).collect();
        assert_eq!(encoded, "ABC".repeat(20));
        let between: Vec<_> = log.split(|what: char| what.is_ascii_uppercase()).map(str::len).collect();
        // Before the first and behind the last nobody waits. 3 x 2 ms is the first that is half of 10.
        assert!(between[1..60].iter().all(|decoded| *decoded == 3), "{between:?}");
        // From the first picture to the last 177 frames, of five.
        let waited = &log[log.find('A').unwrap()..log.rfind('C').unwrap()];
        for name in ['a', 'b', 'c', 'd', 'e'] {
            let decoded = waited.matches(name).count();
            assert!((33..=40).contains(&decoded), "{name}: {decoded} in {waited}");
        }
    }

    #[tokio::test]
    async fn who_has_video_to_decode_is_first() {
        let (turns, log) = (Arc::<Turns>::default(), Log::default());
        let all = LocalSet::new();
        all.spawn_local(encoder(Arc::clone(&turns), Arc::clone(&log), 'A', 1));
        // Scheduled behind it.
        for _ in 0..3 {
            let (turns, log) = (Arc::clone(&turns), Arc::clone(&log));
            turns.encoded.store(u64::MAX, Ordering::Relaxed);
            all.spawn_local(async move {
                let turn = turns.decode().await;
                note(&log, 'd');
                turn.decoded(DECODING);
            });
        }
        all.await;
        assert_eq!(*log.lock(), "dddA");
    }

    #[tokio::test]
    async fn who_gives_up_waiting_keeps_nobody() {
        let turns = Turns::default();
        let turn = turns.encode().await;
        turn.encoded(ENCODING);
        turns.decode().await.decoded(ENCODING);
        assert!(futures_util::poll!(std::pin::pin!(turns.encode())).is_pending());
        assert!(futures_util::poll!(std::pin::pin!(turns.decode())).is_pending(), "this turn is not over");
        drop(turn);
        assert!(futures_util::poll!(std::pin::pin!(turns.decode())).is_ready());
        drop(turns.encode().await);
        assert_eq!(turns.encoded_ever(), ENCODING);
    }
}
