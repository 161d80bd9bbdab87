//! Memory that two processes share: slots for pictures, each way.
//!
//! ```text
//! | states of the slots, one page | frames: SLOTS x SLOT_BYTES | results: SLOTS x SLOT_BYTES |
//! ```
//!
//! A slot's state is 0 while it is free, and otherwise the generation of the picture in it. The
//! sender fills a free slot and then sets its state; the receiver copies the picture out and then
//! clears the state.
//!
//! > Whatever the other process does, nothing is read or written outside of the mapping, and nobody
//! > waits: sizes and indices are checked here, the file can neither shrink nor grow, and no byte
//! > of it decides where another is read.
//!
//! The pixels are only ever copied, from and to memory of our own, and never borrowed: a process
//! that writes where it should not only spoils its own pictures. Virtual machine monitors treat
//! their guests' memory in the same way.
//!
//! The file is as large as the largest pictures need, but a page of it takes no memory before it is
//! written, and the lowest free slot is used: a session uses as many pages as its pictures need.

#![expect(unsafe_code, reason = "memory shared with another process")]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, fstatfs, ftruncate,
    memfd_create,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::MAX_PICTURE_BYTES;
use crate::v1::Slot;

/// Pictures in flight in one direction: one more than the most credits of any worker (3, for a
/// generator).
const SLOTS: usize = 4;
const PAGE_BYTES: usize = 4096;
/// Bytes of one slot: the largest picture, in whole pages.
const SLOT_BYTES: usize = MAX_PICTURE_BYTES.next_multiple_of(PAGE_BYTES);
const BYTES: usize = PAGE_BYTES + 2 * SLOTS * SLOT_BYTES;
/// A slot's state; generations begin at 1.
const FREE: u64 = 0;
/// Seals. Without them one process could make the other fault (`SIGBUS`) by truncating the file.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);
/// `f_type` of memory files, statfs(2). Files of huge pages have another type, and fault when no
/// huge page is left.
const TMPFS: i128 = 0x0102_1994;

/// Why memory was refused.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// It is not a sealed memory file of the right size.
    #[error("not a sealed memory file of {BYTES} bytes")]
    File,
    /// The token is zero or in use.
    #[error("a token that is taken, or none")]
    Token,
    /// The system cannot map it.
    #[error("cannot be mapped")]
    Map(#[from] io::Error),
}

/// The mapping.
#[derive(Debug)]
pub(super) struct Memory(NonNull<u8>);

// SAFETY: it is reached through atomics and raw copies only, and unmapped once, by the last owner.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// New memory, empty and sealed.
    pub(super) fn create() -> io::Result<(Self, OwnedFd)> {
        let file =
            memfd_create("reframe-pictures", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, BYTES as u64)?;
        fcntl_add_seals(&file, SEALS)?;
        Ok((Self::map(&file)?, file))
    }

    /// Memory of another process.
    pub(super) fn of(file: OwnedFd) -> Result<Self, NotOurs> {
        let sound = || {
            let sealed = fcntl_get_seals(&file)?.contains(SEALS);
            let plain = i128::from(fstatfs(&file)?.f_type) == TMPFS;
            rustix::io::Result::Ok(
                sealed && plain && usize::try_from(fstat(&file)?.st_size) == Ok(BYTES),
            )
        };
        // Only memory files have seals.
        if sound() != Ok(true) {
            return Err(NotOurs::File);
        }
        Ok(Self::map(&file)?)
    }

    fn map(file: impl AsFd) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the system's choice takes nobody's.
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                0,
            )
        }?;
        NonNull::new(base.cast()).map(Self).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    fn state(&self, place: usize) -> &AtomicU64 {
        assert!(place < 2 * SLOTS);
        // SAFETY: within the first page, aligned, and only ever used as an atomic, by both
        // processes.
        unsafe { self.0.cast::<AtomicU64>().add(place).as_ref() }
    }

    /// The address of a slot, of which the caller may copy `len` bytes.
    fn slot(&self, place: usize, len: usize) -> *mut u8 {
        assert!(place < 2 * SLOTS && len <= SLOT_BYTES);
        // SAFETY: within the mapping: `BYTES` has room for all slots.
        unsafe { self.0.add(PAGE_BYTES + place * SLOT_BYTES) }.as_ptr()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and nobody has it any more. It cannot fail
        // then.
        unsafe { munmap(self.0.as_ptr().cast(), BYTES) }.ok();
    }
}

/// One direction of the exchange.
#[derive(Debug)]
pub(super) struct Lane {
    memory: Arc<Memory>,
    /// Of its slots among all.
    first: usize,
    /// Pictures sent so far. Locked while one is copied in, so that two never use the same slot.
    given: Mutex<u64>,
}

impl Lane {
    /// Frames and results.
    pub(super) fn both(memory: Memory) -> [Self; 2] {
        let memory = Arc::new(memory);
        [0, SLOTS].map(|first| Self { memory: Arc::clone(&memory), first, given: Mutex::new(0) })
    }

    /// `None` when no slot is free.
    pub(super) fn write(&self, picture: &[u8]) -> Option<Slot> {
        let mut given = self.given.lock();
        let free =
            |index: &usize| self.memory.state(self.first + index).load(Ordering::Acquire) == FREE;
        let index = (0..SLOTS).find(free).filter(|_| picture.len() <= SLOT_BYTES)?;
        let place = self.first + index;
        *given += 1;
        // SAFETY: `slot` has checked place and length; `picture` cannot be in memory that is mapped
        // here, because nobody borrows that.
        unsafe {
            ptr::copy_nonoverlapping(
                picture.as_ptr(),
                self.memory.slot(place, picture.len()),
                picture.len(),
            )
        };
        self.memory.state(place).store(*given, Ordering::Release);
        Some(Slot { index: u32::try_from(index).ok()?, generation: *given })
    }

    /// `None` when the picture is not there.
    pub(super) fn read(&self, slot: Slot, len: usize) -> Option<Vec<u8>> {
        let index =
            usize::try_from(slot.index).ok().filter(|index| *index < SLOTS && len <= SLOT_BYTES)?;
        let place = self.first + index;
        let state = self.memory.state(place);
        if slot.generation == FREE || state.load(Ordering::Acquire) != slot.generation {
            return None;
        }
        let mut picture = Vec::with_capacity(len);
        // SAFETY: `slot` has checked place and length, and the new memory has room for it. The
        // other process may write there, against the rules: then these bytes are of no picture, but
        // they are bytes.
        unsafe {
            ptr::copy_nonoverlapping(self.memory.slot(place, len), picture.as_mut_ptr(), len);
            picture.set_len(len);
        }
        // Another generation in it means that the other process broke the rules.
        state.compare_exchange(slot.generation, FREE, Ordering::Release, Ordering::Relaxed).ok()?;
        Some(picture)
    }
}
