//! Every accelerator in plain Rust: what the ecalls compute, for runs outside the machine. Clear, not fast.

use crate::syscall::Point;

/// The secp256k1 base field prime, 2^256 - 2^32 - 977 (SEC 2, 2.4.1).
pub const SECP256K1_PRIME: [u64; 4] = [0xffff_fffe_ffff_fc2f, u64::MAX, u64::MAX, u64::MAX];

/// rho's rotation of lane (x, y), at x + 5y (FIPS 202, table 2, modulo 64).
const ROTATIONS: [u32; 25] = [
    0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14,
];

/// The round constants of iota, from the degree-8 shift register of FIPS 202, algorithm 5.
const ROUND_CONSTANTS: [u64; 24] = round_constants();

const fn round_constants() -> [u64; 24] {
    let mut constants = [0u64; 24];
    let mut register: u32 = 1;
    let mut round = 0;
    while round < 24 {
        let mut j = 0;
        while j <= 6 {
            if register & 1 == 1 {
                constants[round] |= 1 << ((1u32 << j) - 1);
            }
            register <<= 1;
            if register & 0x100 != 0 {
                register ^= 0x171;
            }
            j += 1;
        }
        round += 1;
    }
    constants
}

/// Keccak-f\[1600\] (FIPS 202, 3.3), lane (x, y) at x + 5y.
pub fn keccak_f(state: &mut [u64; 25]) {
    for constant in ROUND_CONSTANTS {
        let mut parity = [0u64; 5];
        for x in 0..5 {
            parity[x] = state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20];
        }
        for x in 0..5 {
            let theta = parity[(x + 4) % 5] ^ parity[(x + 1) % 5].rotate_left(1);
            for y in 0..5 {
                state[x + 5 * y] ^= theta;
            }
        }
        // pi: lane (x, y) goes to (y, 2x + 3y).
        let mut moved = [0u64; 25];
        for x in 0..5 {
            for y in 0..5 {
                moved[y + 5 * ((2 * x + 3 * y) % 5)] = state[x + 5 * y].rotate_left(ROTATIONS[x + 5 * y]);
            }
        }
        for y in 0..5 {
            for x in 0..5 {
                let row = 5 * y;
                state[row + x] = moved[row + x] ^ (!moved[row + (x + 1) % 5] & moved[row + (x + 2) % 5]);
            }
        }
        state[0] ^= constant;
    }
}

/// First 32 bits of the fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2).
const SHA256_CONSTANTS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// The SHA-256 compression function (FIPS 180-4, 6.2.2).
pub fn sha256_compress(state: &mut [u32; 8], block: &[u8; 64]) {
    let mut schedule = [0u32; 64];
    for (word, bytes) in schedule.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    for t in 16..64 {
        let (early, late) = (schedule[t - 15], schedule[t - 2]);
        let small0 = early.rotate_right(7) ^ early.rotate_right(18) ^ (early >> 3);
        let small1 = late.rotate_right(17) ^ late.rotate_right(19) ^ (late >> 10);
        schedule[t] = small1.wrapping_add(schedule[t - 7]).wrapping_add(small0).wrapping_add(schedule[t - 16]);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for t in 0..64 {
        let big1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choose = (e & f) ^ (!e & g);
        let first = h
            .wrapping_add(big1)
            .wrapping_add(choose)
            .wrapping_add(SHA256_CONSTANTS[t])
            .wrapping_add(schedule[t]);
        let big0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        let second = big0.wrapping_add(majority);
        (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(first), c, b, a, first.wrapping_add(second));
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(add);
    }
}

/// `a * b + c`, 512 bits; cannot overflow: (2^256 - 1)^2 + 2^256 - 1 < 2^512.
pub fn arith256(operands: &[u64; 12], result: &mut [u64; 8]) {
    let mut wide = [0u64; 8];
    wide[..4].copy_from_slice(&operands[8..12]);
    for i in 0..4 {
        let mut carry = 0u128;
        for j in 0..4 {
            let sum = operands[i] as u128 * operands[4 + j] as u128 + wide[i + j] as u128 + carry;
            wide[i + j] = sum as u64;
            carry = sum >> 64;
        }
        for limb in wide.iter_mut().skip(i + 4) {
            let sum = *limb as u128 + carry;
            *limb = sum as u64;
            carry = sum >> 64;
        }
    }
    *result = wide;
}

/// `(a * b + c) mod m`; panics when m is 0.
pub fn arith256_mod(operands: &[u64; 16]) -> [u64; 4] {
    let modulus = limbs(&operands[12..]);
    assert!(modulus != [0; 4], "arith256_mod: modulus is 0");
    let mut first = [0u64; 12];
    first.copy_from_slice(&operands[..12]);
    let mut wide = [0u64; 8];
    arith256(&first, &mut wide);
    remainder(&wide, &modulus)
}

fn limbs(words: &[u64]) -> [u64; 4] {
    [words[0], words[1], words[2], words[3]]
}

/// Long division in base 2^64 (Knuth, The Art of Computer Programming 2, 4.3.1, algorithm D), remainder only.
fn remainder(wide: &[u64; 8], modulus: &[u64; 4]) -> [u64; 4] {
    let length = 4 - modulus.iter().rev().take_while(|limb| **limb == 0).count();
    let mut rest = [0u64; 9];
    rest[..8].copy_from_slice(wide);
    if length == 1 {
        let mut r = 0u128;
        for limb in wide.iter().rev() {
            r = ((r << 64) | *limb as u128) % modulus[0] as u128;
        }
        return [r as u64, 0, 0, 0];
    }
    // Normalise: the divisor's top bit is set, so a quotient digit is estimated from two limbs, at most two too large.
    let shift = modulus[length - 1].leading_zeros();
    let mut divisor = [0u64; 4];
    for i in 0..length {
        let low = if i > 0 && shift > 0 { modulus[i - 1] >> (64 - shift) } else { 0 };
        divisor[i] = (modulus[i] << shift) | low;
    }
    for i in (0..9).rev() {
        let low = if i > 0 && shift > 0 { rest[i - 1] >> (64 - shift) } else { 0 };
        rest[i] = (rest[i] << shift) | low;
    }
    for j in (0..=8 - length).rev() {
        let top = ((rest[j + length] as u128) << 64) | rest[j + length - 1] as u128;
        let mut digit = top / divisor[length - 1] as u128;
        let mut left = top % divisor[length - 1] as u128;
        while digit >> 64 != 0 || digit * divisor[length - 2] as u128 > (left << 64) + rest[j + length - 2] as u128 {
            digit -= 1;
            left += divisor[length - 1] as u128;
            if left >> 64 != 0 {
                break;
            }
        }
        let mut borrow = 0i128;
        let mut carry = 0u128;
        for i in 0..length {
            let product = digit * divisor[i] as u128 + carry;
            carry = product >> 64;
            let difference = rest[i + j] as i128 - (product as u64) as i128 + borrow;
            rest[i + j] = difference as u64;
            borrow = difference >> 64;
        }
        let difference = rest[j + length] as i128 - carry as i128 + borrow;
        rest[j + length] = difference as u64;
        if difference < 0 {
            let mut carry = 0u128;
            for i in 0..length {
                let sum = rest[i + j] as u128 + divisor[i] as u128 + carry;
                rest[i + j] = sum as u64;
                carry = sum >> 64;
            }
            rest[j + length] = rest[j + length].wrapping_add(carry as u64);
        }
    }
    let mut out = [0u64; 4];
    for i in 0..length {
        let high = if shift > 0 { rest[i + 1] << (64 - shift) } else { 0 };
        out[i] = if i + 1 < length || shift > 0 { (rest[i] >> shift) | high } else { rest[i] };
    }
    out
}

fn multiply(a: &[u64; 4], b: &[u64; 4]) -> [u64; 4] {
    multiply_add(a, b, &[0; 4])
}

fn multiply_add(a: &[u64; 4], b: &[u64; 4], c: &[u64; 4]) -> [u64; 4] {
    let mut operands = [0u64; 16];
    operands[..4].copy_from_slice(a);
    operands[4..8].copy_from_slice(b);
    operands[8..12].copy_from_slice(c);
    operands[12..].copy_from_slice(&SECP256K1_PRIME);
    arith256_mod(&operands)
}

/// `a - b mod p` for b < p.
fn subtract(a: &[u64; 4], b: &[u64; 4]) -> [u64; 4] {
    // p - b is below 2^256, so it is an operand as it stands: a * 1 + (p - b).
    let mut negative = [0u64; 4];
    let mut borrow = 0i128;
    for i in 0..4 {
        let difference = SECP256K1_PRIME[i] as i128 - b[i] as i128 + borrow;
        negative[i] = difference as u64;
        borrow = difference >> 64;
    }
    multiply_add(a, &[1, 0, 0, 0], &negative)
}

/// a^(p - 2) (Fermat).
fn invert(a: &[u64; 4]) -> [u64; 4] {
    let mut exponent = SECP256K1_PRIME;
    exponent[0] -= 2;
    let mut power = [1, 0, 0, 0];
    for bit in (0..256).rev() {
        power = multiply(&power, &power);
        if exponent[bit / 64] >> (bit % 64) & 1 == 1 {
            power = multiply(&power, a);
        }
    }
    power
}

fn below_prime(a: &[u64; 4]) -> bool {
    a.iter().rev().lt(SECP256K1_PRIME.iter().rev())
}

fn from_slope(slope: &[u64; 4], p: &Point, other_x: &[u64; 4]) -> Point {
    let (x1, y1) = (limbs(&p[..4]), limbs(&p[4..]));
    let x3 = subtract(&subtract(&multiply(slope, slope), &x1), other_x);
    let y3 = subtract(&multiply(slope, &subtract(&x1, &x3)), &y1);
    let mut out = [0u64; 8];
    out[..4].copy_from_slice(&x3);
    out[4..].copy_from_slice(&y3);
    out
}

/// `p := p + q`; panics where the ecall traps.
pub fn secp256k1_add(p: &mut Point, q: &Point) {
    let (x1, y1, x2, y2) = (limbs(&p[..4]), limbs(&p[4..]), limbs(&q[..4]), limbs(&q[4..]));
    assert!([&x1, &y1, &x2, &y2].into_iter().all(below_prime), "secp256k1_add: coordinate not below the prime");
    assert!(x1 != x2, "secp256k1_add: equal x coordinates");
    let slope = multiply(&subtract(&y2, &y1), &invert(&subtract(&x2, &x1)));
    *p = from_slope(&slope, p, &x2);
}

/// `p := 2p`; panics where the ecall traps.
pub fn secp256k1_double(p: &mut Point) {
    let (x, y) = (limbs(&p[..4]), limbs(&p[4..]));
    assert!(below_prime(&x) && below_prime(&y), "secp256k1_double: coordinate not below the prime");
    assert!(y != [0; 4], "secp256k1_double: y is 0");
    let numerator = multiply(&multiply(&x, &x), &[3, 0, 0, 0]);
    let slope = multiply(&numerator, &invert(&multiply(&y, &[2, 0, 0, 0])));
    *p = from_slope(&slope, p, &x);
}
