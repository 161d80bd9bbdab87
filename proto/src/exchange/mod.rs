//! Pictures between a gateway and a worker of one machine: not in the messages, but where both can
//! reach them.
//!
//! The gateway makes an exchange for each session at a worker and names its token in `Open`. Within
//! one process it is a table that [`open`](Exchange::open) lists and the pictures are handed over;
//! between processes of one host it is [memory](Exchange::share) that the gateway [passes](pass) to
//! the worker beforehand, and they are copied in and out. A worker that [finds](Exchange::join) it
//! says so in `Opened`; from then on a message may say in which [`Slot`] its pixels are. Any other
//! worker finds nothing, and whatever finds no room goes as ever, in the message.
//!
//! > A picture is taken once or not at all: what nobody takes goes with the exchange, which lives
//! > as long as the call.
//!
//! No queue: as many pictures as credits are under way, each way.

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

/// All that can be joined in this process, by token.
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

/// One direction.
#[derive(Debug)]
pub struct Pictures(Carrier);

#[derive(Debug)]
enum Carrier {
    /// Within this process.
    Table(Mutex<Table>),
    /// To or from another.
    Memory(Lane),
}

/// Pictures by generation, of which there were so many.
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

    /// A new one with another process of this host, and the memory to [`pass`] to it. It costs what
    /// is written: a picture each way for each that is under way at once.
    ///
    /// # Errors
    /// When the system has no such memory, or none left.
    pub fn share() -> io::Result<(Arc<Self>, OwnedFd)> {
        let (memory, file) = Memory::create()?;
        Ok((Arc::new(Self::over(token(), memory)), file))
    }

    /// One that another process of this host shares, for [`Exchange::join`] as long as this is
    /// held.
    ///
    /// # Errors
    /// When `file` is not memory as [`Exchange::share`] makes it, which cannot shrink under who
    /// reads it; when `token` is taken.
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

    /// The one with `token` that was opened or admitted in this process, as long as somebody has
    /// it.
    #[must_use]
    pub fn join(token: u64) -> Option<Arc<Self>> {
        OPEN.lock().get(&token).and_then(Weak::upgrade)
    }

    /// For `Open`. Random, so that only who was told it can find it.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut open = OPEN.lock();
        // One that was refused, or is only shared from here, is not listed; another may be, with
        // its token.
        if open.get(&self.token).is_some_and(|listed| listed.strong_count() == 0) {
            open.remove(&self.token);
        }
    }
}

impl Pictures {
    /// Leaves a picture for the other side, and says where.
    ///
    /// # Errors
    /// The picture, when it finds no room: it is too large, or the other side has not taken those
    /// before it.
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
    /// none, or it was taken.
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

/// From the operating system's randomness, by the standard library's own use of it for hash maps. 0
/// is none.
fn token() -> u64 {
    let random = || RandomState::new().hash_one(std::process::id());
    std::iter::repeat_with(random).find(|token| *token != 0).unwrap_or(1)
}

#[cfg(test)]
mod tests;
