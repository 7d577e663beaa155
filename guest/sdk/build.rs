//! Makes the multiples of the secp256k1 generator that src/secp256k1.rs adds: computed from the curve's definition, so that no table
//! of unexplained numbers has to be believed.

use std::fmt::Write;

#[path = "src/software.rs"]
#[allow(dead_code)]
mod software;

mod syscall {
    pub type Point = [u64; 8];
}
// software.rs names its neighbours by `crate::`, and this file is the crate here.

/// SEC 2, 2.4.1: the base point, least significant limb first.
const GENERATOR: [u64; 8] = [
    0x59f2815b16f81798, 0x029bfcdb2dce28d9, 0x55a06295ce870b07, 0x79be667ef9dcbbac,
    0x9c47d08ffb10d4b8, 0xfd17b448a6855419, 0x5da4fbfc0e1108a8, 0x483ada7726a3c465,
];

/// A cube root of 1 modulo the prime: (x, y) -> (BETA x, y) multiplies a curve point by LAMBDA (Gallant, Lambert, Vanstone 2001).
const BETA: [u64; 4] = [0xc1396c28719501ee, 0x9cf0497512f58995, 0x6e64479eac3434e9, 0x7ae96a2b657c0710];

fn multiply(a: &[u64], b: &[u64], c: [u64; 4]) -> [u64; 4] {
    let mut operands = [0u64; 16];
    operands[..4].copy_from_slice(a);
    operands[4..8].copy_from_slice(b);
    operands[8..12].copy_from_slice(&c);
    operands[12..].copy_from_slice(&software::SECP256K1_PRIME);
    software::arith256_mod(&operands)
}

/// p - a for 0 < a < p.
fn negate(a: &[u64]) -> [u64; 4] {
    let mut minus_one = software::SECP256K1_PRIME;
    minus_one[0] -= 1;
    multiply(a, &minus_one, [0; 4])
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/software.rs");
    // [1 G, .., 128 G]
    let mut multiples = vec![GENERATOR];
    let mut point = GENERATOR;
    software::secp256k1_double(&mut point);
    while multiples.len() < 128 {
        multiples.push(point);
        software::secp256k1_add(&mut point, &GENERATOR);
    }
    let mut text = String::new();
    for (name, with_lambda) in [("GENERATOR_MULTIPLES", false), ("LAMBDA_GENERATOR_MULTIPLES", true)] {
        // Entry i is (i - 128) times the point; entry 128, infinity, is never used.
        writeln!(text, "static {name}: [Point; 256] = [").unwrap();
        for i in 0..256i32 {
            let digit = i - 128;
            let mut entry = [0u64; 8];
            if digit != 0 {
                entry = multiples[digit.unsigned_abs() as usize - 1];
                if with_lambda {
                    let x = multiply(&entry[..4], &BETA, [0; 4]);
                    entry[..4].copy_from_slice(&x);
                }
                if digit < 0 {
                    let y = negate(&entry[4..]);
                    entry[4..].copy_from_slice(&y);
                }
            }
            writeln!(text, "    {entry:?},").unwrap();
        }
        writeln!(text, "];").unwrap();
    }
    let path = std::path::Path::new(&std::env::var("OUT_DIR").unwrap()).join("generator_multiples.rs");
    std::fs::write(path, text).unwrap();
}
