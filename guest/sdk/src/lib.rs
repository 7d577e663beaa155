//! The guest side of the blockproof machine.
//!
//! A guest reads its private input, computes, writes at most 256 public bytes and returns:
//!
//! ```ignore
//! #![cfg_attr(target_os = "none", no_std, no_main)]
//! blockproof_sdk::entry!(run);
//!
//! fn run() {
//!     let input = blockproof_sdk::read_input();
//!     blockproof_sdk::write_output(&blockproof_sdk::sha256(input));
//! }
//! ```
//!
//! The same source runs in three places with the same output: in the machine, natively (`cargo run`: input from stdin,
//! output to stdout), and under qemu-user (feature `qemu`). Outside the machine the accelerators are computed in software.

#![cfg_attr(target_os = "none", no_std)]

pub extern crate alloc;

mod debug;
mod io;
pub mod keccak;
pub mod layout;
mod region;
pub mod secp256k1;
pub mod sha256;
pub mod software;
pub mod syscall;
pub mod uint256;

#[cfg(target_os = "none")]
mod allocator;
#[cfg(target_os = "none")]
mod c_interface;
#[cfg(target_os = "none")]
mod memory;
#[cfg(not(target_os = "none"))]
pub mod native;
#[cfg(all(target_os = "none", feature = "qemu"))]
mod qemu;
#[cfg(target_os = "none")]
pub mod start;

#[cfg(target_os = "none")]
pub use allocator::on_out_of_memory;

/// Natively the system says what happens where memory is lacking.
#[cfg(not(target_os = "none"))]
pub fn on_out_of_memory(_handler: fn() -> !) {}

#[doc(hidden)]
pub use debug::write_line as __write_line;
pub use debug::{debug_write, DebugChannel};
pub use io::{read_input, write_output};
pub use keccak::keccak256;
pub use region::Region;
pub use sha256::sha256;

/// Exit code of a guest that panicked.
pub const PANIC_EXIT_CODE: u64 = 101;

/// Names the function that is the guest: `entry!(run);` with `fn run()`.
///
/// In the machine it runs with an empty heap and 128 MiB of stack; its return is `exit(0)`. Natively this macro defines
/// `main`, so the function itself needs another name.
#[macro_export]
macro_rules! entry {
    ($function:path) => {
        #[cfg(target_os = "none")]
        #[no_mangle]
        extern "C" fn __blockproof_guest() {
            let guest: fn() = $function;
            guest();
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            $crate::native::run($function);
        }
    };
}
