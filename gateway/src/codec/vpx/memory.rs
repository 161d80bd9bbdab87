//! libvpx's own allocations, where it is linked into this program.
//!
//! Its `vpx_calloc` fills with zeros what it got from `malloc`, and so touches all of it. A VP8
//! encoder asks for 22 MB at 720p that way, room for the tokens of the worst picture there could
//! be, and uses a tenth. Here large ones get pages that the kernel fills with zeros when they are
//! written to, also where such a page was used before.
//!
//! These four are all of libvpx's `vpx_mem`. Being here, they are found first, and the linker
//! leaves its own out of the program; each does as libvpx's header says. In a shared library they
//! are not asked (`build.rs`).

use std::ffi::{c_int, c_void};
use std::ptr;

/// Bytes from which on: below, zeros are written as fast as the kernel is asked for them.
const LARGE: usize = 1 << 20;
/// Of a page, or a multiple.
const PAGE: usize = 1 << 16;

#[unsafe(no_mangle)]
extern "C" fn vpx_malloc(size: usize) -> *mut c_void {
    // SAFETY: any size may be asked for.
    unsafe { libc::malloc(size) }
}

#[unsafe(no_mangle)]
extern "C" fn vpx_calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size).filter(|bytes| *bytes >= LARGE) else {
        // SAFETY: any number may be asked for; the C library too looks for an overflow of the
        // product.
        return unsafe { libc::calloc(count, size) };
    };
    let memory = vpx_memalign(PAGE, bytes);
    if memory.is_null() {
        return memory;
    }
    let pages = bytes / PAGE * PAGE;
    // SAFETY: whole pages of memory that is ours alone and has nothing in it: private pages that
    // are given back are read as zeros from then on. What is not asked of the kernel, or refused by
    // it, is written.
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
    // SAFETY: the place for the result is ours; an alignment that is none is refused, and then the
    // result stays null.
    unsafe { libc::posix_memalign(&raw mut memory, align.max(size_of::<*mut c_void>()), size) };
    memory
}

/// # Safety
/// `memory` is null, or of one of the functions above and not freed.
#[unsafe(no_mangle)]
unsafe extern "C" fn vpx_free(memory: *mut c_void) {
    // SAFETY: as the caller promises; all three take from one heap.
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
                // SAFETY: as many bytes as were asked for, freed below and not used after.
                let all = unsafe { std::slice::from_raw_parts_mut(memory, bytes) };
                assert!(all.iter().all(|byte| *byte == 0), "{bytes}");
                all.fill(0xff);
                // SAFETY: of `vpx_calloc`, once.
                unsafe { vpx_free(memory.cast()) };
            }
        }
    }
}
