//! From the machine's first step to the guest's function, and from a panic to an exit code.

use crate::syscall::exit;

// pc = entry, all registers 0. The stack pointer is the guest's own business.
#[cfg(not(feature = "qemu"))]
core::arch::global_asm!(
    ".section .text._start, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    "lui sp, 0x30000",
    "call {start}",
    start = sym start,
);

// Under Linux the stack must be mapped first: mmap(0x28000000, 0x8000000, read | write, private | anonymous | fixed |
// no reserve, -1, 0). The result is not checked; a missing stack faults at the first push.
#[cfg(feature = "qemu")]
core::arch::global_asm!(
    ".section .text._start, \"ax\", @progbits",
    ".globl _start",
    "_start:",
    "lui a0, 0x28000",
    "lui a1, 0x8000",
    "li a2, 3",
    "li a3, 0x4032",
    "li a4, -1",
    "li a5, 0",
    "li a7, 222",
    "ecall",
    "lui sp, 0x30000",
    "call {start}",
    start = sym start,
);

extern "C" {
    fn __blockproof_guest();
}

extern "C" fn start() -> ! {
    #[cfg(feature = "qemu")]
    crate::qemu::set_up();
    unsafe { __blockproof_guest() };
    exit(0)
}

#[panic_handler]
fn panic(information: &core::panic::PanicInfo) -> ! {
    crate::eprintln!("{}", information);
    exit(crate::PANIC_EXIT_CODE)
}
