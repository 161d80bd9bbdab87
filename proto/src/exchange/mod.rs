//! Pictures between a gateway and a worker on one machine, passed through memory that both can
//! reach instead of in messages.
//!
//! The gateway creates an exchange for each session at a worker and names its token in `Open`.
//! Within one process it is a table that [`open`](Exchange::open) creates, and the pictures are
//! handed over. Between processes of one host it is [memory](Exchange::share) that the gateway
//! [passes](pass) to the worker beforehand, and pictures are copied in and out. A worker that
//! [finds](Exchange::join) the exchange says so in `Opened`; after that a message may name the
//! [`Slot`] of its pixels. Any other worker finds nothing, and a picture that finds no room goes in
//! its message.
//!
//! > A picture is taken once or not at all: what nobody takes goes with the exchange, which lives
//! > as long as the call.
//!
//! There is no queue: as many pictures are in flight in each direction as there are credits.

mod memory;
pub mod pass;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;
use prost::bytes::Bytes;

pub use self::memory::NotOurs;
use self::memory::{Lane, Memory};
use crate::v1::Slot;

/// All exchanges that can be joined in this process, by token.
static OPEN: LazyLock<Mutex<HashMap<u64, Weak<Exchange>>>> = LazyLock::new(Mutex::default);

/// One session's pictures in flight.
#[derive(Debug)]
pub struct Exchange {
    token: u64,
    /// To the worker.
    pub frames: Pictures,
    /// To the gateway.
    pub results: Pictures,
}

/// One direction.
#[derive(Debug)]
pub struct Pictures(Carrier);

#[derive(Debug)]
enum Carrier {
    /// Within this process.
    Table(Mutex<Table>),
    /// To or from another process.
    Memory(Lane),
}

/// Pictures by generation, and the number of generations so far.
#[derive(Debug, Default)]
struct Table(HashMap<u64, Bytes>, u64);

impl Exchange {
    /// A new one within this process.
    #[must_use]
    pub fn open() -> Arc<Self> {
        let table = || Pictures(Carrier::Table(Mutex::default()));
        let exchange = Arc::new(Self { token: token(), frames: table(), results: table() });
        OPEN.lock().insert(exchange.token, Arc::downgrade(&exchange));
        exchange
    }

    /// A new one with another process of this host, and the memory to [`pass`] to it. It takes as
    /// much memory as is written: one picture in each direction for each that is in flight.
    ///
    /// # Errors
    /// The system has no such memory, or none left.
    pub fn share() -> io::Result<(Arc<Self>, OwnedFd)> {
        let (memory, file) = Memory::create()?;
        Ok((Arc::new(Self::over(token(), memory)), file))
    }

    /// Admits the exchange that another process of this host shares. [`Exchange::join`] finds it as
    /// long as the returned value is held.
    ///
    /// # Errors
    /// `file` is not memory as [`Exchange::share`] makes it, which cannot shrink while it is read;
    /// or `token` is in use.
    pub fn admit(token: u64, file: OwnedFd) -> Result<Arc<Self>, NotOurs> {
        let exchange = Arc::new(Self::over(token, Memory::of(file)?));
        let mut open = OPEN.lock();
        if token == 0 || open.contains_key(&token) {
            return Err(NotOurs::Token);
        }
        open.insert(token, Arc::downgrade(&exchange));
        Ok(exchange)
    }

    fn over(token: u64, memory: Memory) -> Self {
        let [frames, results] = Lane::both(memory).map(|lane| Pictures(Carrier::Memory(lane)));
        Self { token, frames, results }
    }

    /// The exchange with `token` that was opened or admitted in this process, as long as it is
    /// held.
    #[must_use]
    pub fn join(token: u64) -> Option<Arc<Self>> {
        OPEN.lock().get(&token).and_then(Weak::upgrade)
    }

    /// For `Open`. Random, so that only a process that was told it can find the exchange.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut open = OPEN.lock();
        // An exchange that was refused, or is only shared from here, is not listed; another one
        // with its token may be.
        if open.get(&self.token).is_some_and(|listed| listed.strong_count() == 0) {
            open.remove(&self.token);
        }
    }
}

impl Pictures {
    /// Leaves a picture for the other side, and returns its place.
    ///
    /// # Errors
    /// The picture, if there is no room: it is too large, or the other side has not taken earlier
    /// ones.
    pub fn give(&self, picture: Bytes) -> Result<Slot, Bytes> {
        match &self.0 {
            Carrier::Table(table) => {
                let mut table = table.lock();
                table.1 += 1;
                let generation = table.1;
                table.0.insert(generation, picture);
                Ok(Slot { index: 0, generation })
            }
            Carrier::Memory(lane) => lane.write(&picture).ok_or(picture),
        }
    }

    /// Takes the picture of `len` bytes that the other side has left there; `None` when there is
    /// none, or it was already taken.
    #[must_use]
    pub fn take(&self, slot: Slot, len: usize) -> Option<Bytes> {
        match &self.0 {
            Carrier::Table(table) => {
                table.lock().0.remove(&slot.generation).filter(|picture| picture.len() == len)
            }
            Carrier::Memory(lane) => lane.read(slot, len).map(Bytes::from),
        }
    }
}

/// From the operating system's randomness, through the standard library's hash maps. 0 means no
/// token.
fn token() -> u64 {
    let random = || RandomState::new().hash_one(std::process::id());
    std::iter::repeat_with(random).find(|token| *token != 0).unwrap_or(1)
}

#[cfg(test)]
mod tests;
