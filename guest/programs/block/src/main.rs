//! The block guest: validates an Ethereum block from a StatelessInput alone.
//!
//! Input and output: docs/specs/stateless-input.md. The exit code is 0 for every input; an invalid block is a flag, and
//! its reason is one line on the debug channel.
#![cfg_attr(target_os = "none", no_std, no_main)]

use blockproof_sdk::alloc::boxed::Box;
use blockproof_sdk::{
    entry, keccak256, on_out_of_memory, println, read_input, secp256k1, sha256, syscall::exit, write_output, Region,
};
use blockproof_stateless::{validate, Platform, StatePart, Verdict};
use core::cell::RefCell;
use core::sync::atomic::{AtomicU8, Ordering};
use revm::precompile::{Crypto, PrecompileHalt};
use revm::primitives::hex;

entry!(run);

/// revm's cryptography on the machine's accelerators; what has none stays revm's pure Rust.
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

/// Reports the phases of validation as profiling regions, and a test suite's post-states as lines of text.
#[derive(Default)]
struct Regions(RefCell<Option<Region>>);

/// The public output of a run that runs out of memory: flag 0, which says nothing of the block. Zeros until the input is
/// decoded.
static REFUSED: [AtomicU8; Verdict::OUTPUT_BYTES] = [const { AtomicU8::new(0) }; Verdict::OUTPUT_BYTES];

/// Allocates nothing.
fn refuse_for_lack_of_memory() -> ! {
    println!("invalid: out of memory");
    let mut output = [0; Verdict::OUTPUT_BYTES];
    for (to, from) in output.iter_mut().zip(&REFUSED) {
        *to = from.load(Ordering::Relaxed);
    }
    write_output(&output);
    exit(0)
}

impl Platform for Regions {
    fn decoded(&self, refused: [u8; Verdict::OUTPUT_BYTES]) {
        for (to, from) in REFUSED.iter().zip(refused) {
            to.store(from, Ordering::Relaxed);
        }
    }

    fn region_begin(&self, name: &'static str) {
        self.0.replace(Some(Region::enter(name)));
    }

    fn region_end(&self, _name: &'static str) {
        self.0.replace(None);
    }

    fn post_state(&self, part: StatePart<'_>) {
        match part {
            StatePart::Node(node) => println!("node {}", hex::encode(node)),
            StatePart::Code(code) => println!("code {}", hex::encode(code)),
        }
    }
}

fn run() {
    on_out_of_memory(refuse_for_lack_of_memory);
    revm::install_crypto(Accelerated);
    // Nothing is freed before the run ends: walking the state to drop it would be the last thing this guest does, for
    // nothing.
    let verdict = Box::leak(Box::new(validate(read_input(), &Regions::default())));
    match verdict {
        Verdict::Undecodable => println!("undecodable"),
        Verdict::Decoded { validity: Err(reason), .. } => println!("invalid: {reason}"),
        Verdict::Decoded { .. } => println!("valid"),
    }
    write_output(&verdict.output());
}
