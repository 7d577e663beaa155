//! The machine's surroundings, made of Linux system calls, so that a guest runs under qemu-user.

use crate::layout::*;

const READ: usize = 63;
const WRITE: usize = 64;
const MMAP: usize = 222;
const PROT_READ_WRITE: usize = 3;
const MAP_PRIVATE_FIXED_ANONYMOUS_NORESERVE: usize = 0x02 | 0x10 | 0x20 | 0x4000;
const PAGE: usize = 4096;

extern "C" {
    static __heap_start: u8;
}

unsafe fn linux(number: usize, arguments: [usize; 6]) -> isize {
    let result: isize;
    core::arch::asm!(
        "ecall",
        in("a7") number,
        inlateout("a0") arguments[0] as isize => result,
        in("a1") arguments[1],
        in("a2") arguments[2],
        in("a3") arguments[3],
        in("a4") arguments[4],
        in("a5") arguments[5],
        options(nostack),
    );
    result
}

unsafe fn map(start: usize, end: usize) -> bool {
    let flags = MAP_PRIVATE_FIXED_ANONYMOUS_NORESERVE;
    linux(MMAP, [start, end - start, PROT_READ_WRITE, flags, usize::MAX, 0]) == start as isize
}

fn fail(message: &str) -> ! {
    unsafe {
        linux(WRITE, [2, message.as_ptr() as usize, message.len(), 0, 0, 0]);
        linux(93, [102, 0, 0, 0, 0, 0]);
    }
    loop {}
}

/// Maps INPUT, OUTPUT and the heap, and reads stdin into INPUT. (`_start` has mapped the stack.)
pub fn set_up() {
    unsafe {
        let heap = (core::ptr::addr_of!(__heap_start) as usize + PAGE - 1) & !(PAGE - 1);
        if !map(INPUT_START, INPUT_END) || !map(OUTPUT_START, OUTPUT_START + PAGE) || !map(heap, HEAP_END) {
            fail("qemu: a region of the machine's memory map is taken\n");
        }
        let limit = INPUT_END - INPUT_START - 8;
        let mut length = 0;
        loop {
            let got = linux(READ, [0, INPUT_START + 8 + length, limit - length, 0, 0, 0]);
            if got < 0 {
                fail("qemu: stdin cannot be read\n");
            }
            if got == 0 {
                break;
            }
            length += got as usize;
            if length == limit {
                fail("qemu: stdin is longer than the input region\n");
            }
        }
        (INPUT_START as *mut u64).write(length as u64);
    }
}

/// Writes the public output to stdout, if the run succeeds.
pub fn flush_output(code: u64) {
    if code != 0 {
        return;
    }
    unsafe {
        let length = (OUTPUT_START as *const u64).read() as usize;
        let mut written = 0;
        while written < length {
            let got = linux(WRITE, [1, OUTPUT_START + 8 + written, length - written, 0, 0, 0]);
            if got <= 0 {
                fail("qemu: stdout cannot be written\n");
            }
            written += got as usize;
        }
    }
}
