//! A chain of SHA-256 hashes: a guest that is nearly all accelerator, reached through sha2's interface.
//!
//! Input: n as u32, little-endian, then the seed, any length. Output: 32 bytes, sha256 applied n times; n is at least 1.
#![cfg_attr(target_os = "none", no_std, no_main)]

use blockproof_sdk::{entry, read_input, region, write_output};
use sha2::{Digest, Sha256};

entry!(run);

fn run() {
    let (count, seed) = read_input().split_first_chunk::<4>().expect("the input starts with n in 4 bytes");
    let count = u32::from_le_bytes(*count);
    assert!(count > 0, "n is at least 1");
    let digest = region!("chain", {
        let mut digest = Sha256::digest(seed);
        for _ in 1..count {
            digest = Sha256::digest(digest);
        }
        digest
    });
    write_output(&digest);
}
