//! The n-th Fibonacci number, step by step.
//!
//! Input: n, little-endian, 4 or 8 bytes. Output: fib(n) mod 2^64, 8 bytes, little-endian; fib(0) = 0, fib(1) = 1.
#![cfg_attr(target_os = "none", no_std, no_main)]

use blockproof_sdk::{entry, read_input, write_output};

entry!(run);

fn run() {
    let input = read_input();
    let count = match input.len() {
        4 => u32::from_le_bytes(input.try_into().unwrap()) as u64,
        8 => u64::from_le_bytes(input.try_into().unwrap()),
        length => panic!("the input is n in 4 or 8 bytes, not {length}"),
    };
    let (mut current, mut next) = (0u64, 1u64);
    for _ in 0..count {
        (current, next) = (next, current.wrapping_add(next));
    }
    write_output(&current.to_le_bytes());
}
