//! Pictures between a gateway and a worker of one process: handed over, not serialised.
//!
//! The gateway [opens](Exchange::open) one for each session at a worker and names its token in `Open`. A worker that
//! finds it is in the same process, and says so in `Opened`; from then on frames and results carry no pixels, these are
//! in the exchange, by number. Any other worker finds nothing, and pixels come in the messages.
//!
//! > A picture is taken once or not at all: what nobody takes goes with the exchange, which lives as long as the call.
//!
//! No queue: as many pictures as credits are under way, each way.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use prost::bytes::Bytes;

/// All of this process, by token.
static OPEN: LazyLock<Mutex<HashMap<u64, Weak<Exchange>>>> = LazyLock::new(Mutex::default);

/// One session's pictures under way.
#[derive(Debug)]
pub struct Exchange {
    token: u64,
    /// To the worker.
    pub frames: Pictures,
    /// To the gateway.
    pub results: Pictures,
}

/// One direction, by the number of the frame or pull.
#[derive(Debug, Default)]
pub struct Pictures(Mutex<HashMap<u64, Bytes>>);

impl Exchange {
    /// A new one. Its token is random, so that only who was told it can find it.
    #[must_use]
    pub fn open() -> Arc<Self> {
        let mut open = lock(&OPEN);
        // From the operating system's randomness, by the standard library's own use of it for hash maps. 0 is none.
        let token = std::iter::repeat_with(|| RandomState::new().hash_one(open.len()))
            .find(|token| *token != 0 && !open.contains_key(token))
            .unwrap_or_default();
        let exchange = Arc::new(Self { token, frames: Pictures::default(), results: Pictures::default() });
        open.insert(token, Arc::downgrade(&exchange));
        exchange
    }

    /// The one that was opened in this process with `token`, as long as its opener has it.
    #[must_use]
    pub fn join(token: u64) -> Option<Arc<Self>> {
        lock(&OPEN).get(&token).and_then(Weak::upgrade)
    }

    /// For `Open`.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        lock(&OPEN).remove(&self.token);
    }
}

impl Pictures {
    /// Leaves the picture of `seq` for the other side.
    pub fn give(&self, seq: u64, picture: Bytes) {
        lock(&self.0).insert(seq, picture);
    }

    /// Takes the picture of `seq`; `None` when there is none, or it was taken.
    #[must_use]
    pub fn take(&self, seq: u64) -> Option<Bytes> {
        lock(&self.0).remove(&seq)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic runs under the locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_taken_once_by_who_knows_the_token() {
        let exchange = Exchange::open();
        let joined = Exchange::join(exchange.token()).unwrap();
        assert!(Exchange::join(exchange.token().wrapping_add(1)).is_none());
        let picture = Bytes::from_static(b"picture");
        exchange.frames.give(7, picture.clone());
        assert_eq!((joined.frames.take(8), joined.results.take(7)), (None, None));
        let taken = joined.frames.take(7).unwrap();
        assert_eq!((&taken, taken.as_ptr()), (&picture, picture.as_ptr()), "handed over, not copied");
        assert_eq!(joined.frames.take(7), None);
    }

    #[test]
    fn nothing_is_left_of_an_exchange() {
        let exchange = Exchange::open();
        let token = exchange.token();
        let joined = Exchange::join(token);
        drop(exchange);
        assert!(Exchange::join(token).is_some(), "the worker may still answer");
        drop(joined);
        assert!(Exchange::join(token).is_none());
    }
}
