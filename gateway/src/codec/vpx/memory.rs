//! Replaces libvpx's allocation functions where it is linked statically.
//!
//! libvpx's `vpx_calloc` writes zeros over memory from `malloc`, and so touches all of it. At 720p
//! a VP8 encoder allocates 22 MB that way, for the tokens of the worst possible picture, and uses a
//! tenth. Here large allocations get pages that the kernel zeroes when they are first written, even
//! pages that were used before.
//!
//! These four are all functions of libvpx's `vpx_mem`, and each does what libvpx's header says. The
//! linker finds them first and leaves libvpx's own out. A shared libvpx does not call them
//! (`build.rs`).

use std::ffi::{c_int, c_void};
use std::ptr;

/// Bytes. Smaller allocations are zeroed as fast by writing as by asking the kernel.
const LARGE: usize = 1 << 20;
/// The page size, or a multiple of it.
const PAGE: usize = 1 << 16;

#[unsafe(no_mangle)]
extern "C" fn vpx_malloc(size: usize) -> *mut c_void {
    // SAFETY: any size is allowed.
    unsafe { libc::malloc(size) }
}

#[unsafe(no_mangle)]
extern "C" fn vpx_calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size).filter(|bytes| *bytes >= LARGE) else {
        // SAFETY: any arguments are allowed; the C library checks the product for overflow too.
        return unsafe { libc::calloc(count, size) };
    };
    let memory = vpx_memalign(PAGE, bytes);
    if memory.is_null() {
        return memory;
    }
    let pages = bytes / PAGE * PAGE;
    // SAFETY: these are whole pages of memory that is ours alone and holds nothing yet. Private
    // pages that are given back read as zeros afterwards. The rest, or all if the kernel refuses,
    // is written.
    unsafe {
        let given: c_int = libc::madvise(memory, pages, libc::MADV_DONTNEED);
        let written = if given == 0 { pages } else { 0 };
        ptr::write_bytes(memory.cast::<u8>().add(written), 0, bytes - written);
    }
    memory
}

#[unsafe(no_mangle)]
extern "C" fn vpx_memalign(align: usize, size: usize) -> *mut c_void {
    let mut memory = ptr::null_mut();
    // SAFETY: the place for the result is ours. An invalid alignment is refused, and then the
    // result stays null.
    unsafe { libc::posix_memalign(&raw mut memory, align.max(size_of::<*mut c_void>()), size) };
    memory
}

/// # Safety
/// `memory` is null, or came from one of the functions above and is not freed yet.
#[unsafe(no_mangle)]
unsafe extern "C" fn vpx_free(memory: *mut c_void) {
    // SAFETY: as the caller promises; all three allocate from one heap.
    unsafe { libc::free(memory) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_zeros_also_where_something_was() {
        for bytes in [1, 4_096, LARGE - 1, LARGE, LARGE + 1, 5 * LARGE + 12_345] {
            for _ in 0..3 {
                let memory = vpx_calloc(bytes, 1).cast::<u8>();
                assert!(!memory.is_null() && memory.addr().is_multiple_of(16));
                // SAFETY: `bytes` bytes were allocated; they are freed below and not used after.
                let all = unsafe { std::slice::from_raw_parts_mut(memory, bytes) };
                assert!(all.iter().all(|byte| *byte == 0), "{bytes}");
                all.fill(0xff);
                // SAFETY: allocated by `vpx_calloc`, and freed once.
                unsafe { vpx_free(memory.cast()) };
            }
        }
    }
}
