//! 256-bit unsigned integers as four limbs, least significant first, on the arith256 accelerators.

use crate::syscall::{self, arith256_mod_at};

/// Four 64-bit limbs, least significant first.
pub type U256 = [u64; 4];

pub const ZERO: U256 = [0; 4];
pub const ONE: U256 = [1, 0, 0, 0];

/// From 32 bytes, most significant first.
#[inline]
pub fn from_be_bytes(bytes: &[u8; 32]) -> U256 {
    let limb = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    [limb(24), limb(16), limb(8), limb(0)]
}

/// To 32 bytes, most significant first.
#[inline]
pub fn to_be_bytes(value: &U256) -> [u8; 32] {
    let mut bytes = [0u8; 32];
    for i in 0..4 {
        bytes[8 * i..8 * i + 8].copy_from_slice(&value[3 - i].to_be_bytes());
    }
    bytes
}

#[inline]
pub fn is_zero(a: &U256) -> bool {
    (a[0] | a[1] | a[2] | a[3]) == 0
}

/// Whether a < b.
#[inline]
pub fn less_than(a: &U256, b: &U256) -> bool {
    for i in (0..4).rev() {
        if a[i] != b[i] {
            return a[i] < b[i];
        }
    }
    false
}

/// a + b modulo 2^256, and whether it wrapped.
#[inline]
pub fn overflowing_add(a: &U256, b: &U256) -> (U256, bool) {
    let mut sum = ZERO;
    let mut carry = false;
    for i in 0..4 {
        let (partial, first) = a[i].overflowing_add(b[i]);
        let (limb, second) = partial.overflowing_add(carry as u64);
        sum[i] = limb;
        carry = first | second;
    }
    (sum, carry)
}

/// a - b modulo 2^256, and whether it wrapped.
#[inline]
pub fn overflowing_sub(a: &U256, b: &U256) -> (U256, bool) {
    let mut difference = ZERO;
    let mut borrow = false;
    for i in 0..4 {
        let (partial, first) = a[i].overflowing_sub(b[i]);
        let (limb, second) = partial.overflowing_sub(borrow as u64);
        difference[i] = limb;
        borrow = first | second;
    }
    (difference, borrow)
}

/// a * b + c, 512 bits, low limb first.
#[inline]
pub fn multiply_add(a: &U256, b: &U256, c: &U256) -> [u64; 8] {
    let mut operands = [0u64; 12];
    operands[..4].copy_from_slice(a);
    operands[4..8].copy_from_slice(b);
    operands[8..].copy_from_slice(c);
    let mut wide = [0u64; 8];
    syscall::arith256(&operands, &mut wide);
    wide
}

/// (a * b + c) mod m for any a, b, c and m > 0 (m = 0 ends the run).
#[inline]
pub fn multiply_add_mod(a: &U256, b: &U256, c: &U256, m: &U256) -> U256 {
    let mut operands = [0u64; 16];
    operands[..4].copy_from_slice(a);
    operands[4..8].copy_from_slice(b);
    operands[8..12].copy_from_slice(c);
    operands[12..].copy_from_slice(m);
    let mut out = ZERO;
    syscall::arith256_mod(&operands, &mut out);
    out
}

/// (a * b) mod m.
#[inline]
pub fn multiply_mod(a: &U256, b: &U256, m: &U256) -> U256 {
    multiply_add_mod(a, b, &ZERO, m)
}

/// (a + b) mod m.
#[inline]
pub fn add_mod(a: &U256, b: &U256, m: &U256) -> U256 {
    multiply_add_mod(a, &ONE, b, m)
}

/// a^(2^count) mod m.
#[inline]
pub fn square_times_mod(a: &U256, count: usize, m: &U256) -> U256 {
    let mut operands = [0u64; 16];
    operands[..4].copy_from_slice(a);
    operands[12..].copy_from_slice(m);
    for _ in 0..count {
        operands.copy_within(0..4, 4);
        let pointer = operands.as_mut_ptr();
        // SAFETY: the result lies over a; the operands are read before it is written.
        unsafe { arith256_mod_at(pointer, pointer) };
    }
    operands[..4].try_into().unwrap()
}

/// a^exponent mod m for m > 0, by windows of four bits; 0^0 is 1 mod m.
pub fn power_mod(a: &U256, exponent: &U256, m: &U256) -> U256 {
    let one = multiply_mod(&ONE, &ONE, m);
    let mut powers = [one; 16];
    for i in 1..16 {
        powers[i] = multiply_mod(&powers[i - 1], a, m);
    }
    let mut result = one;
    let mut started = false;
    for window in (0..64).rev() {
        let digit = (exponent[window / 16] >> (4 * (window % 16)) & 15) as usize;
        if started {
            result = square_times_mod(&result, 4, m);
        }
        if digit != 0 {
            result = if started { multiply_mod(&result, &powers[digit], m) } else { powers[digit] };
            started = true;
        }
    }
    result
}

/// a^-1 mod m, or None where there is none (gcd(a, m) > 1; m is 0 or 1).
///
/// The candidate comes from [`hint_inverse`]; what is returned satisfies a * a^-1 = 1 mod m by the accelerator's check.
#[inline]
pub fn inverse_mod(a: &U256, m: &U256) -> Option<U256> {
    if is_zero(m) || *m == ONE {
        return None;
    }
    checked_inverse(a, m, hint_inverse(&multiply_mod(a, &ONE, m), m))
}

/// `candidate`, if it is the inverse of a modulo m (m > 1).
#[inline]
pub fn checked_inverse(a: &U256, m: &U256, candidate: U256) -> Option<U256> {
    (less_than(&candidate, m) && multiply_mod(a, &candidate, m) == ONE).then_some(candidate)
}

/// x^-1 mod m where it exists (any value where not), for x < m, m > 1: Lehmer's form of Euclid's algorithm.
///
/// The leading 64 bits of two remainders decide most quotients; their 2 x 2 matrix, entries below 2^32, is applied to the
/// long numbers once per about 32 bits (Knuth, The Art of Computer Programming 2, 4.5.2, algorithm L; the condition that ends
/// a matrix is Collins'). Unchecked: see [`checked_inverse`].
pub fn hint_inverse(x: &U256, m: &U256) -> U256 {
    // Invariants: u = +-s x, v = +-t x (mod m), with opposite signs; `negative` is t's sign. u > v.
    let (mut u, mut v) = (*m, *x);
    let (mut s, mut t) = (ZERO, ONE);
    let mut negative = false;
    while u[1] | u[2] | u[3] != 0 && !is_zero(&v) {
        // Leading 64 bits of u, and v's bits at the same place.
        let mut top = 3;
        while u[top] == 0 {
            top -= 1;
        }
        let shift = leading_zeros(u[top]);
        let lead = |w: &U256| {
            if shift == 0 {
                w[top]
            } else {
                w[top] << shift | w[top - 1] >> (64 - shift)
            }
        };
        let (mut x0, mut x1) = (lead(&u), lead(&v));
        // Matrix (a, b; c, d) of magnitudes: u' = +-(a u - b v), v' = -+(c u - d v).
        let (mut a, mut b, mut c, mut d) = (1u64, 0u64, 0u64, 1u64);
        let mut odd = false;
        while x1 != 0 {
            let quotient = x0 / x1;
            let rest = x0 - quotient * x1;
            // Entries stay below 2^32 (c never passes d), and the step is taken only where its result surely is Euclid's.
            let next_d = b.wrapping_add(quotient.wrapping_mul(d));
            if (quotient | next_d) >> 32 != 0 || rest < next_d || x1 - rest < next_d + d {
                break;
            }
            let next_c = a + quotient * c;
            (x0, x1) = (x1, rest);
            (a, b, c, d) = (c, d, next_c, next_d);
            odd = !odd;
        }
        if b == 0 {
            // The leading words decide nothing (a huge quotient): one long division step.
            let (quotient, rest) = divide(&u, &v);
            (u, v) = (v, rest);
            let next = multiply_add(&quotient, &t, &s);
            (s, t) = (t, [next[0], next[1], next[2], next[3]]);
            negative = !negative;
        } else {
            let (next_u, next_v) = if odd {
                (combine_subtract(&v, b, &u, a), combine_subtract(&u, c, &v, d))
            } else {
                (combine_subtract(&u, a, &v, b), combine_subtract(&v, d, &u, c))
            };
            (u, v) = (next_u, next_v);
            (s, t) = (combine_add(&s, a, &t, b), combine_add(&s, c, &t, d));
            negative ^= odd;
        }
    }
    // Remainders of one word are exact: gather quotients into one matrix while it fits.
    let (mut y0, mut y1) = (u[0], v[0]);
    while y1 != 0 {
        let (mut a, mut b, mut c, mut d) = (1u64, 0u64, 0u64, 1u64);
        let mut odd = false;
        while y1 != 0 {
            let quotient = y0 / y1;
            if quotient >> 32 != 0 || c >> 31 != 0 || d >> 31 != 0 {
                break;
            }
            let (next_c, next_d) = (quotient * c, quotient * d);
            if next_c >> 62 != 0 || next_d >> 62 != 0 {
                break;
            }
            (y0, y1) = (y1, y0 - quotient * y1);
            (a, b, c, d) = (c, d, a + next_c, b + next_d);
            odd = !odd;
        }
        if b == 0 {
            let quotient = y0 / y1;
            (y0, y1) = (y1, y0 - quotient * y1);
            (s, t) = (t, combine_add(&s, 1, &t, quotient));
            negative = !negative;
        } else {
            (s, t) = (combine_add(&s, a, &t, b), combine_add(&s, c, &t, d));
            negative ^= odd;
        }
    }
    // Now u = gcd with cofactor s, whose sign is opposite to t's.
    if negative {
        s
    } else {
        overflowing_sub(m, &s).0
    }
}

/// Zero bits above the highest one, for word > 0. rv64im has no such instruction; six halvings are its cheapest form.
#[inline(always)]
fn leading_zeros(word: u64) -> u32 {
    let (mut word, mut count) = (word, 0);
    for half in [32, 16, 8, 4, 2, 1] {
        if word >> (64 - half) == 0 {
            word <<= half;
            count += half;
        }
    }
    count
}

/// x * a - y * b modulo 2^256; a, b below 2^63.
#[inline(always)]
fn combine_subtract(x: &U256, a: u64, y: &U256, b: u64) -> U256 {
    let mut out = ZERO;
    let (mut high_x, mut high_y) = (0u64, 0u64);
    for i in 0..4 {
        let product_x = x[i] as u128 * a as u128 + high_x as u128;
        let product_y = y[i] as u128 * b as u128 + high_y as u128;
        let (difference, borrow) = (product_x as u64).overflowing_sub(product_y as u64);
        out[i] = difference;
        high_x = (product_x >> 64) as u64;
        high_y = (product_y >> 64) as u64 + borrow as u64;
    }
    out
}

/// x * a + y * b modulo 2^256; a, b below 2^63.
#[inline(always)]
fn combine_add(x: &U256, a: u64, y: &U256, b: u64) -> U256 {
    let mut out = ZERO;
    let mut carry = 0u128;
    for i in 0..4 {
        // Below 2 * 2^64 * 2^63 + 2^64: fits.
        carry += x[i] as u128 * a as u128 + y[i] as u128 * b as u128;
        out[i] = carry as u64;
        carry >>= 64;
    }
    out
}

/// Quotient and remainder for v > 0; by shift and subtract beyond 128 bits, which only a rare long quotient needs.
fn divide(u: &U256, v: &U256) -> (U256, U256) {
    if u[2] | u[3] == 0 {
        let (long, short) = (u[0] as u128 | (u[1] as u128) << 64, v[0] as u128 | (v[1] as u128) << 64);
        let split = |value: u128| [value as u64, (value >> 64) as u64, 0, 0];
        return (split(long / short), split(long % short));
    }
    let (mut quotient, mut rest) = (ZERO, ZERO);
    for bit in (0..256).rev() {
        // The remainder stays below v <= 2^256 - 1; doubling may carry out of 256 bits.
        let carry = rest[3] >> 63;
        for i in (1..4).rev() {
            rest[i] = rest[i] << 1 | rest[i - 1] >> 63;
        }
        rest[0] = rest[0] << 1 | (u[bit / 64] >> (bit % 64) & 1);
        if carry == 1 || !less_than(&rest, v) {
            rest = overflowing_sub(&rest, v).0;
            quotient[bit / 64] |= 1 << (bit % 64);
        }
    }
    (quotient, rest)
}
