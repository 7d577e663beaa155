//! A chain of Keccak-256 hashes: a guest that is nearly all accelerator, reached through tiny-keccak's interface.
//!
//! Input: n as u32, little-endian, then the seed, any length. Output: 32 bytes, keccak256 applied n times; n is at least 1.
#![cfg_attr(target_os = "none", no_std, no_main)]

use blockproof_sdk::{entry, read_input, region, write_output};
use tiny_keccak::{Hasher, Keccak};

entry!(run);

fn run() {
    let (count, seed) = read_input().split_first_chunk::<4>().expect("the input starts with n in 4 bytes");
    let count = u32::from_le_bytes(*count);
    assert!(count > 0, "n is at least 1");
    let digest = region!("chain", {
        let mut digest = keccak256(seed);
        for _ in 1..count {
            digest = keccak256(&digest);
        }
        digest
    });
    write_output(&digest);
}

fn keccak256(data: &[u8]) -> [u8; 32] {
    let mut digest = [0u8; 32];
    let mut hasher = Keccak::v256();
    hasher.update(data);
    hasher.finalize(&mut digest);
    digest
}
