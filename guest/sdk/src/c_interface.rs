//! The C names of eth-act/zkvm-standards (IO interface; zkvm_accelerators.h), for guests in C and assembly and for Rust crates
//! that declare them. Byte arrays come with any alignment; outputs are the caller's memory.
//!
//! What the header names and this file lacks (RIPEMD-160, modexp, BN254, BLAKE2, KZG, BLS12-381, secp256r1) is not defined, so
//! that a guest which needs it fails at link, not in a proof.

use crate::{keccak, secp256k1, sha256};
use core::slice;

/// `zkvm_status`: done.
const EOK: i32 = 0;
/// `zkvm_status`: the operation has no result for these arguments.
const EFAIL: i32 = -1;

/// # Safety
/// `data` points to `length` readable bytes, or `length` is 0.
unsafe fn bytes<'a>(data: *const u8, length: usize) -> &'a [u8] {
    if length == 0 {
        &[]
    } else {
        slice::from_raw_parts(data, length)
    }
}

/// Where the private input lies; nothing is copied and every call answers the same.
#[no_mangle]
unsafe extern "C" fn read_input(buffer: *mut *const u8, size: *mut usize) {
    let input = crate::read_input();
    *buffer = input.as_ptr();
    *size = input.len();
}

/// Appends to the public output; ends the run with a failure beyond 256 bytes.
#[no_mangle]
unsafe extern "C" fn write_output(output: *const u8, size: usize) {
    crate::write_output(bytes(output, size));
}

#[no_mangle]
unsafe extern "C" fn zkvm_keccak256(data: *const u8, length: usize, output: *mut [u8; 32]) -> i32 {
    *output = keccak::keccak256(bytes(data, length));
    EOK
}

#[no_mangle]
unsafe extern "C" fn zkvm_sha256(data: *const u8, length: usize, output: *mut [u8; 32]) -> i32 {
    *output = sha256::sha256(bytes(data, length));
    EOK
}

#[no_mangle]
unsafe extern "C" fn zkvm_secp256k1_verify(
    message: *const [u8; 32],
    signature: *const [u8; 64],
    key: *const [u8; 64],
    verified: *mut bool,
) -> i32 {
    *verified = secp256k1::verify(&*message, &*signature, &*key);
    EOK
}

#[no_mangle]
unsafe extern "C" fn zkvm_secp256k1_ecrecover(
    message: *const [u8; 32],
    signature: *const [u8; 64],
    recovery_id: u8,
    output: *mut [u8; 64],
) -> i32 {
    match secp256k1::recover(&*message, &*signature, recovery_id) {
        Some(key) => {
            *output = key;
            EOK
        }
        None => EFAIL,
    }
}

/// The hook by which alloy-primitives (feature `native-keccak`) hashes.
#[no_mangle]
unsafe extern "C" fn native_keccak256(data: *const u8, length: usize, output: *mut u8) {
    output.cast::<[u8; 32]>().write_unaligned(keccak::keccak256(bytes(data, length)));
}
