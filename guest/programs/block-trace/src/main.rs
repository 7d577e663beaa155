//! The block guest with a trace on its debug channel: for `blockproof diff`, never for a proof.
//!
//! Input: the index of the transaction whose opcodes are traced, 8 bytes, little endian (2^64 - 1: none); then what the
//! block guest takes. Debug channel: the lines of the library's trace; last the verdict's. Output: as the block guest's.
#![cfg_attr(target_os = "none", no_std, no_main)]

use blockproof_sdk::alloc::boxed::Box;
use blockproof_sdk::{entry, keccak256, println, read_input, secp256k1, sha256, write_output};
use blockproof_stateless::{validate, Platform, Verdict};
use core::fmt;
use revm::precompile::{Crypto, PrecompileHalt};

entry!(run);

/// As in the block guest.
#[derive(Debug)]
struct Accelerated;

impl Crypto for Accelerated {
    fn sha256(&self, input: &[u8]) -> [u8; 32] {
        sha256(input)
    }

    fn secp256k1_ecrecover(
        &self,
        signature: &[u8; 64],
        recovery_id: u8,
        message: &[u8; 32],
    ) -> Result<[u8; 32], PrecompileHalt> {
        let key = secp256k1::recover(message, signature, recovery_id).ok_or(PrecompileHalt::Secp256k1RecoverFailed)?;
        let mut address = keccak256(&key);
        address[..12].fill(0);
        Ok(address)
    }
}

struct Lines(Option<usize>);

impl Platform for Lines {
    fn traced_transaction(&self) -> Option<usize> {
        self.0
    }

    fn trace(&self, line: fmt::Arguments<'_>) {
        println!("{line}");
    }
}

fn run() {
    revm::install_crypto(Accelerated);
    let (index, input) = match read_input().split_first_chunk::<8>() {
        Some((index, input)) => (u64::from_le_bytes(*index) as usize, input),
        None => (usize::MAX, read_input()),
    };
    let verdict = Box::leak(Box::new(validate(input, &Lines(Some(index)))));
    match verdict {
        Verdict::Undecodable => println!("undecodable"),
        Verdict::Decoded { validity: Err(reason), .. } => println!("invalid: {reason}"),
        Verdict::Decoded { .. } => println!("valid"),
    }
    write_output(&verdict.output());
}
