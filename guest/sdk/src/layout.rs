//! The memory map, as docs/specs/machine.md fixes it and guest/link.ld uses it.

/// The private input: a little-endian `u64` length, then the bytes.
pub const INPUT_START: usize = 0x1000_0000;
/// First address after the input region.
pub const INPUT_END: usize = 0x2000_0000;
/// The public output: a little-endian `u64` length, then up to [`OUTPUT_LIMIT`] bytes.
pub const OUTPUT_START: usize = 0x2000_0000;
/// Most bytes that a run can make public.
pub const OUTPUT_LIMIT: usize = 256;
/// First address of RAM; the stack may grow down to here.
pub const RAM_START: usize = 0x2800_0000;
/// The stack starts here and grows down; `.bss` and then the heap lie above.
pub const STACK_TOP: usize = 0x3000_0000;
/// First address after the heap.
pub const HEAP_END: usize = 0xF000_0000;
