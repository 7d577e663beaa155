//! Knowledge of a secret: whoever proves this run knows 32 bytes with that SHA-256.
//!
//! Input: the secret, 32 bytes. Output: its SHA-256, 32 bytes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use blockproof_sdk::{entry, read_input, sha256, write_output};

entry!(run);

fn run() {
    let secret: &[u8; 32] = read_input().try_into().expect("the secret is 32 bytes");
    write_output(&sha256(secret));
}
