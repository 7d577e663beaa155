//! The heap: a bump allocator that takes back only the last block.
//!
//! A guest runs once and briefly, and fresh memory costs nothing until it is touched, so keeping books on freed blocks
//! would cost more steps than it saves. Taking back the last block makes a growing `Vec` and a stack-like use free.

use crate::layout::HEAP_END;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;

extern "C" {
    static __heap_start: u8;
}

struct Bump {
    /// First free address; 0 before the first allocation.
    top: UnsafeCell<usize>,
    /// Highest `top` ever: memory above it was never written, so it is still zero.
    high: UnsafeCell<usize>,
}

// SAFETY: the machine has one thread and no interrupts.
unsafe impl Sync for Bump {}

#[global_allocator]
static HEAP: Bump = Bump { top: UnsafeCell::new(0), high: UnsafeCell::new(0) };

/// What ends the run where the heap is full, if anything does.
struct Hook(UnsafeCell<Option<fn() -> !>>);

// SAFETY: as above.
unsafe impl Sync for Hook {}

static OUT_OF_MEMORY: Hook = Hook(UnsafeCell::new(None));

/// Names the function that ends the run where the heap is full; it must not allocate. Without one the allocation fails,
/// which is a panic almost everywhere.
pub fn on_out_of_memory(handler: fn() -> !) {
    // SAFETY: one thread.
    unsafe { *OUT_OF_MEMORY.0.get() = Some(handler) };
}

#[cold]
#[inline(never)]
fn exhausted() -> *mut u8 {
    // SAFETY: one thread.
    if let Some(handler) = unsafe { *OUT_OF_MEMORY.0.get() } {
        handler();
    }
    ptr::null_mut()
}

impl Bump {
    #[inline(always)]
    unsafe fn take(&self, size: usize, align: usize) -> *mut u8 {
        let mut top = *self.top.get();
        if top == 0 {
            top = ptr::addr_of!(__heap_start) as usize;
        }
        // At least 8: the machine counts and charges misaligned accesses, and accelerators refuse them.
        let align = if align < 8 { 8 } else { align };
        let start = (top + align - 1) & !(align - 1);
        // Cannot overflow: start <= HEAP_END + align, and the layout's size is below 2^63.
        let end = start + size;
        if end > HEAP_END {
            return exhausted();
        }
        *self.top.get() = end;
        start as *mut u8
    }

    #[inline(always)]
    unsafe fn note_high(&self) {
        let top = *self.top.get();
        if top > *self.high.get() {
            *self.high.get() = top;
        }
    }
}

unsafe impl GlobalAlloc for Bump {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size(), layout.align())
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if pointer as usize + layout.size() == *self.top.get() {
            // Only here can memory become free again, so only here `high` must learn what was used.
            self.note_high();
            *self.top.get() = pointer as usize;
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let pointer = self.take(layout.size(), layout.align());
        let high = *self.high.get();
        if !pointer.is_null() && (pointer as usize) < high {
            let used = (high - pointer as usize).min(layout.size());
            ptr::write_bytes(pointer, 0, used);
        }
        pointer
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let start = pointer as usize;
        if start + layout.size() == *self.top.get() {
            if new_size > HEAP_END - start {
                return exhausted();
            }
            if new_size < layout.size() {
                self.note_high();
            }
            *self.top.get() = start + new_size;
            return pointer;
        }
        if new_size <= layout.size() {
            return pointer;
        }
        let moved = self.take(new_size, layout.align());
        if !moved.is_null() {
            ptr::copy_nonoverlapping(pointer, moved, layout.size());
        }
        moved
    }
}
