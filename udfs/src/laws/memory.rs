//! A counting allocator, so that `size()` can be compared with what was really allocated by this thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: isize) {
    // A thread that is being torn down has no counter any more; what it frees is of no interest.
    if LIVE_BYTES.try_with(|live| live.set(live.get() + bytes)).is_err() {}
}

// Safety: every call is forwarded unchanged to the system allocator; the counter is a plain thread-local integer that
// never allocates.
#[expect(unsafe_code, reason = "a global allocator cannot be written without it; test builds only")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes this thread has allocated and not freed.
pub(super) fn live_bytes() -> isize {
    LIVE_BYTES.with(Cell::get)
}
