//! ECDSA over secp256k1 (SEC 1, 4.1; curve in SEC 2, 2.4.1) on the curve and 256-bit accelerators.
//!
//! The curve accelerators add and double affine points, trap on equal x coordinates and do not check that points are on the
//! curve. Everything else is decided here: infinity, equal points, opposite points, the curve equation, ranges.

use crate::keccak256;
use crate::syscall::{arith256, arith256_mod_at, secp256k1_add, secp256k1_double, Point};
use crate::uint256::{
    checked_inverse, from_be_bytes, hint_inverse, is_zero, less_than, multiply_add_mod, multiply_mod, overflowing_add,
    overflowing_sub, to_be_bytes, ONE, U256, ZERO,
};

/// The base field prime, 2^256 - 2^32 - 977.
pub const PRIME: U256 = crate::software::SECP256K1_PRIME;

/// The group order n.
pub const ORDER: U256 = [0xbfd25e8cd0364141, 0xbaaedce6af48a03b, 0xfffffffffffffffe, u64::MAX];

include!(concat!(env!("OUT_DIR"), "/generator_multiples.rs"));

/// The public key that signed `digest`, or None where there is none.
///
/// `signature` is r then s, 32 bytes each, most significant first; `recovery_id` is 0 to 3: its low bit is the parity of the
/// nonce point's y, its high bit says that the point's x is r + n. Any s in 1..n is accepted, high or low: which of
/// the two a transaction may carry is the caller's rule. The key is x then y, 32 bytes each (SEC 1, 4.1.6).
pub fn recover(digest: &[u8; 32], signature: &[u8; 64], recovery_id: u8) -> Option<[u8; 64]> {
    recover_hinted(digest, signature, recovery_id, hint_square_root, hint_inverse)
}

/// [`recover`], then the last 20 bytes of the key's Keccak-256: the Ethereum address.
pub fn recover_address(digest: &[u8; 32], signature: &[u8; 64], recovery_id: u8) -> Option<[u8; 20]> {
    recover(digest, signature, recovery_id).map(|key| keccak256(&key)[12..].try_into().unwrap())
}

/// [`recover`] with the two hints named: a square root modulo the prime, an inverse modulo a number.
///
/// Whatever they return, the result is right or None: the root is squared, the inverse multiplied. For tests that forge them.
#[inline(always)]
pub fn recover_hinted(
    digest: &[u8; 32],
    signature: &[u8; 64],
    recovery_id: u8,
    square_root: impl Fn(&U256) -> U256,
    inverse: impl Fn(&U256, &U256) -> U256,
) -> Option<[u8; 64]> {
    let (r, s) = parse_signature(signature)?;
    let x = nonce_x(&r, recovery_id)?;
    let square = curve_right_side(&x);
    let mut y = square_root(&square);
    if !less_than(&y, &PRIME) || multiply_mod(&y, &y, &PRIME) != square {
        return None;
    }
    // y is never 0: the group has odd order, so no point has order two.
    if (y[0] ^ recovery_id as u64) & 1 == 1 {
        y = overflowing_sub(&PRIME, &y).0;
    }
    let inverse_r = checked_inverse(&r, &ORDER, inverse(&r, &ORDER))?;
    // Q = r^-1 (s R - z G); the digest is any 256-bit number, reduced by the product.
    let u1 = multiply_mod(&from_be_bytes(digest), &overflowing_sub(&ORDER, &inverse_r).0, &ORDER);
    let u2 = multiply_mod(&s, &inverse_r, &ORDER);
    let key = generator_combination(&u1, &u2, &join(&x, &y))?;
    Some(key_bytes(&key))
}

/// Whether `key` (x, y) signed `digest`; any s in 1..n is accepted. A key that is no curve point verifies nothing.
pub fn verify(digest: &[u8; 32], signature: &[u8; 64], key: &[u8; 64]) -> bool {
    let Some((r, nonce)) = nonce_point(digest, signature, key) else { return false };
    multiply_mod(&split(&nonce).0, &ONE, &ORDER) == r
}

/// Whether `key` is exactly what [`recover`] would return: about a third cheaper than recovering, for whoever has a hint of the key.
pub fn is_recovered_key(digest: &[u8; 32], signature: &[u8; 64], recovery_id: u8, key: &[u8; 64]) -> bool {
    // R = s^-1 (z G + r Q) has one solution Q for a given R, and recover's R is fixed by its x and parity.
    let Some((r, nonce)) = nonce_point(digest, signature, key) else { return false };
    let (x, y) = split(&nonce);
    nonce_x(&r, recovery_id) == Some(x) && (y[0] ^ recovery_id as u64) & 1 == 0
}

/// r and s^-1 (z G + r Q), for a well-formed signature, a key on the curve, and a sum that is not infinity.
#[inline(always)]
fn nonce_point(digest: &[u8; 32], signature: &[u8; 64], key: &[u8; 64]) -> Option<(U256, Point)> {
    let (r, s) = parse_signature(signature)?;
    let x = from_be_bytes(key[..32].try_into().unwrap());
    let y = from_be_bytes(key[32..].try_into().unwrap());
    let reduced = less_than(&x, &PRIME) && less_than(&y, &PRIME);
    if !reduced || multiply_mod(&y, &y, &PRIME) != curve_right_side(&x) {
        return None;
    }
    let inverse_s = checked_inverse(&s, &ORDER, hint_inverse(&s, &ORDER))?;
    let u1 = multiply_mod(&from_be_bytes(digest), &inverse_s, &ORDER);
    let u2 = multiply_mod(&r, &inverse_s, &ORDER);
    Some((r, generator_combination(&u1, &u2, &join(&x, &y))?))
}

/// r and s, if both are in 1..n.
#[inline(always)]
fn parse_signature(signature: &[u8; 64]) -> Option<(U256, U256)> {
    let r = from_be_bytes(signature[..32].try_into().unwrap());
    let s = from_be_bytes(signature[32..].try_into().unwrap());
    let in_range = |value: &U256| !is_zero(value) && less_than(value, &ORDER);
    (in_range(&r) && in_range(&s)).then_some((r, s))
}

/// The nonce point's x: r, or r + n where the recovery id says so and it is below the prime.
#[inline(always)]
fn nonce_x(r: &U256, recovery_id: u8) -> Option<U256> {
    match recovery_id {
        0 | 1 => Some(*r),
        2 | 3 => {
            let (x, wrapped) = overflowing_add(r, &ORDER);
            (!wrapped && less_than(&x, &PRIME)).then_some(x)
        }
        _ => None,
    }
}

/// x^3 + 7 mod p.
#[inline(always)]
fn curve_right_side(x: &U256) -> U256 {
    multiply_add_mod(&multiply_mod(x, x, &PRIME), x, &[7, 0, 0, 0], &PRIME)
}

#[inline(always)]
fn join(x: &U256, y: &U256) -> Point {
    [x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3]]
}

#[inline(always)]
fn split(point: &Point) -> (U256, U256) {
    ([point[0], point[1], point[2], point[3]], [point[4], point[5], point[6], point[7]])
}

fn key_bytes(point: &Point) -> [u8; 64] {
    let (x, y) = split(point);
    let mut bytes = [0u8; 64];
    bytes[..32].copy_from_slice(&to_be_bytes(&x));
    bytes[32..].copy_from_slice(&to_be_bytes(&y));
    bytes
}

/// A square root of a modulo the prime where there is one: a^((p + 1) / 4), as p = 3 mod 4.
///
/// (p + 1) / 4 in binary is 223 ones, a zero, 22 ones, 0000, 11, 00; runs of ones are built by doubling their length.
pub fn hint_square_root(a: &U256) -> U256 {
    let mut field = Power::new();
    let ones2 = field.square_times_multiply(a, 1, a);
    let ones3 = field.square_times_multiply(&ones2, 1, a);
    let ones6 = field.square_times_multiply(&ones3, 3, &ones3);
    let ones9 = field.square_times_multiply(&ones6, 3, &ones3);
    let ones11 = field.square_times_multiply(&ones9, 2, &ones2);
    let ones22 = field.square_times_multiply(&ones11, 11, &ones11);
    let ones44 = field.square_times_multiply(&ones22, 22, &ones22);
    let ones88 = field.square_times_multiply(&ones44, 44, &ones44);
    let ones176 = field.square_times_multiply(&ones88, 88, &ones88);
    let ones220 = field.square_times_multiply(&ones176, 44, &ones44);
    let ones223 = field.square_times_multiply(&ones220, 3, &ones3);
    let upper = field.square_times_multiply(&ones223, 23, &ones22);
    let all = field.square_times_multiply(&upper, 6, &ones2);
    field.square_times_multiply(&all, 2, &ONE)
}

/// Operands of arith256_mod modulo the prime, kept in place between products: a, b, 0, p.
struct Power {
    operands: [u64; 16],
}

impl Power {
    fn new() -> Self {
        let mut operands = [0u64; 16];
        operands[12..].copy_from_slice(&PRIME);
        Power { operands }
    }

    /// base^(2^count) * factor mod p.
    #[inline(never)]
    fn square_times_multiply(&mut self, base: &U256, count: usize, factor: &U256) -> U256 {
        self.operands[..4].copy_from_slice(base);
        let pointer = self.operands.as_mut_ptr();
        for _ in 0..count {
            self.operands.copy_within(0..4, 4);
            // SAFETY: the result lies over operand a; operands are read before it is written.
            unsafe { arith256_mod_at(pointer, pointer) };
        }
        self.operands[4..8].copy_from_slice(factor);
        // SAFETY: as above.
        unsafe { arith256_mod_at(pointer, pointer) };
        [self.operands[0], self.operands[1], self.operands[2], self.operands[3]]
    }
}

// -- u1 G + u2 P -----------------------------------------------------------------------------------------------------

/// The endomorphism's eigenvalues: BETA^3 = 1 mod p, LAMBDA^3 = 1 mod n, LAMBDA (x, y) = (BETA x, y); here n - LAMBDA.
const BETA: U256 = [0xc1396c28719501ee, 0x9cf0497512f58995, 0x6e64479eac3434e9, 0x7ae96a2b657c0710];
const MINUS_LAMBDA: U256 = [0xe0cfc810b51283cf, 0xa880b9fc8ec739c2, 0x5ad9e3fd77ed9ba4, 0xac9c52b33fa3cf1f];

/// Two short vectors (a1, b1), (a2, b2) with a + b LAMBDA = 0 mod n (Euclid's algorithm on n and LAMBDA): -b1, -b2 mod n, and
/// b2 / n, -b1 / n scaled by 2^384.
const MINUS_B1: U256 = [0x6f547fa90abfe4c3, 0xe4437ed6010e8828, 0, 0];
const MINUS_B2: U256 = [0xd765cda83db1562c, 0x8a280ac50774346d, 0xfffffffffffffffe, u64::MAX];
const B2_SCALED: U256 = [0xe893209a45dbb031, 0x3daa8a1471e8ca7f, 0xe86c90e49284eb15, 0x3086d221a7d46bcd];
const MINUS_B1_SCALED: U256 = [0x1571b4ae8ac47f71, 0x221208ac9df506c6, 0x6f547fa90abfe4c4, 0xe4437ed6010e8828];

/// What turns unsigned digits into signed ones: a half-scalar plus `bias` has, as its plain digits, the signed digits plus
/// half the base, whatever its sign. `combined` is bias (1 + LAMBDA) mod n.
struct Bias {
    bias: U256,
    combined: U256,
}

/// Base 16: 34 digits 8.
const NIBBLES: Bias = Bias {
    bias: [0x8888888888888888, 0x8888888888888888, 0x88, 0],
    combined: [0xda7e62b46f1f6db4, 0x9b3102a218650ea9, 0x17e824cc8dd043b7, 0x2c1dfbb7fb5436d7],
};
/// Base 256: 17 digits 128.
const BYTES: Bias = Bias {
    bias: [0x8080808080808080, 0x8080808080808080, 0x80, 0],
    combined: [0x60744457c020c571, 0xd94778e25d8180a3, 0xcb34d7571c0f4eca, 0x3894b0ad28c7bb24],
};

/// Digits of a half-scalar, biased, 17 bytes.
const DIGIT_BYTES: usize = 17;

/// k1 + bias and k2 + bias with k = k1 + k2 LAMBDA mod n and |k1|, |k2| below 2^130, as little-endian bytes.
#[inline(always)]
fn decompose(k: &U256, bias: &Bias) -> ([u8; 32], [u8; 32]) {
    // The nearest lattice point is only a hint: whatever multiples c1, c2 are taken, the sum is right modulo n.
    let (c1, c2) = (high_part(k, &B2_SCALED), high_part(k, &MINUS_B1_SCALED));
    let k2 = multiply_add_mod(&c2, &MINUS_B2, &multiply_add_mod(&c1, &MINUS_B1, &bias.bias, &ORDER), &ORDER);
    let k1 = multiply_add_mod(&k2, &MINUS_LAMBDA, &multiply_add_mod(k, &ONE, &bias.combined, &ORDER), &ORDER);
    // Shortness matters too: digits above the 34th are not looked at.
    assert!((k1[2] | k2[2]) >> 8 == 0 && (k1[3] | k2[3]) == 0, "secp256k1: half-scalar too long");
    (little_endian(&k1), little_endian(&k2))
}

fn little_endian(value: &U256) -> [u8; 32] {
    let mut bytes = [0u8; 32];
    for i in 0..4 {
        bytes[8 * i..8 * i + 8].copy_from_slice(&value[i].to_le_bytes());
    }
    bytes
}

/// k * scaled / 2^384, rounded down.
#[inline(always)]
fn high_part(k: &U256, scaled: &U256) -> U256 {
    let mut operands = [0u64; 12];
    operands[..4].copy_from_slice(k);
    operands[4..8].copy_from_slice(scaled);
    let mut wide = [0u64; 8];
    arith256(&operands, &mut wide);
    [wide[6], wide[7], 0, 0]
}

/// A running sum that may be infinity.
struct Sum {
    point: Point,
    infinite: bool,
}

impl Sum {
    #[inline(always)]
    fn add(&mut self, other: &Point) {
        if self.infinite {
            self.point = *other;
            self.infinite = false;
        } else if self.point[0] != other[0] {
            // Different low limbs, so different x: the accelerator's case.
            secp256k1_add(&mut self.point, other);
        } else {
            self.add_similar(other);
        }
    }

    /// Points whose x agree at least in the low limb: nearly always the same or opposite ones.
    #[cold]
    #[inline(never)]
    fn add_similar(&mut self, other: &Point) {
        if self.point[..4] != other[..4] {
            secp256k1_add(&mut self.point, other);
        } else if self.point[4..] == other[4..] {
            secp256k1_double(&mut self.point);
        } else {
            self.infinite = true;
        }
    }

    #[inline(always)]
    fn double_four_times(&mut self) {
        if !self.infinite {
            // y is not 0: no point has order two.
            secp256k1_double(&mut self.point);
            secp256k1_double(&mut self.point);
            secp256k1_double(&mut self.point);
            secp256k1_double(&mut self.point);
        }
    }
}

/// `u1 G + u2 P` for u1, u2 < n and P on the curve; None is infinity.
///
/// Each scalar is split in halves over the endomorphism, and the four half-scalars share 132 doublings (Straus): 8-bit signed
/// digits with a fixed table for G, 4-bit ones with a table made here for P.
pub fn generator_combination(u1: &U256, u2: &U256, point: &Point) -> Option<Point> {
    let (g1, g2) = decompose(u1, &BYTES);
    let (p1, p2) = decompose(u2, &NIBBLES);
    let (table, lambda_table) = signed_multiples(point);
    let mut sum = Sum { point: [0; 8], infinite: true };
    for i in (0..DIGIT_BYTES).rev() {
        sum.double_four_times();
        for (digits, multiples) in [(&p1, &table), (&p2, &lambda_table)] {
            let digit = (digits[i] >> 4) as usize;
            if digit != 8 {
                sum.add(&multiples[digit]);
            }
        }
        sum.double_four_times();
        for (digits, multiples) in [(&p1, &table), (&p2, &lambda_table)] {
            let digit = (digits[i] & 15) as usize;
            if digit != 8 {
                sum.add(&multiples[digit]);
            }
        }
        for (digits, multiples) in [(&g1, &GENERATOR_MULTIPLES), (&g2, &LAMBDA_GENERATOR_MULTIPLES)] {
            let digit = digits[i] as usize;
            if digit != 128 {
                sum.add(&multiples[digit]);
            }
        }
    }
    (!sum.infinite).then_some(sum.point)
}

/// Entry i is (i - 8) P, and the same with x times BETA; entry 8 is not used.
#[inline(always)]
fn signed_multiples(point: &Point) -> ([Point; 16], [Point; 16]) {
    let mut table = [[0u64; 8]; 16];
    let mut lambda_table = [[0u64; 8]; 16];
    // P has prime order n, so 1 P .. 8 P are finite, and neighbours have different x.
    let mut multiple = *point;
    for i in 1..=8 {
        if i == 2 {
            secp256k1_double(&mut multiple);
        } else if i > 2 {
            secp256k1_add(&mut multiple, point);
        }
        let (x, y) = split(&multiple);
        let lambda_x = multiply_mod(&x, &BETA, &PRIME);
        let minus_y = overflowing_sub(&PRIME, &y).0;
        if i < 8 {
            table[8 + i] = multiple;
            lambda_table[8 + i] = join(&lambda_x, &y);
        }
        table[8 - i] = join(&x, &minus_y);
        lambda_table[8 - i] = join(&lambda_x, &minus_y);
    }
    (table, lambda_table)
}

/// a^-1 mod p for 0 < a < p by one curve addition: the line through (0, 0) and (a, 1) has slope 1 / a.
///
/// The accelerator does not ask whether points are on the curve. It returns x3 = a^-2 - a, so a^-1 = (x3 + a) a.
pub fn field_inverse(a: &U256) -> U256 {
    let mut sum: Point = [0; 8];
    secp256k1_add(&mut sum, &join(a, &ONE));
    let inverse_square = multiply_add_mod(a, &ONE, &split(&sum).0, &PRIME);
    multiply_add_mod(&inverse_square, a, &ZERO, &PRIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_times_generator_is_infinity() {
        let generator = GENERATOR_MULTIPLES[129];
        let minus_one = overflowing_sub(&ORDER, &ONE).0;
        assert_eq!(generator_combination(&minus_one, &ONE, &generator), None);
        assert_eq!(generator_combination(&ZERO, &ZERO, &generator), None);
        assert_eq!(generator_combination(&ONE, &ONE, &generator), Some(GENERATOR_MULTIPLES[130]));
        assert_eq!(generator_combination(&ZERO, &[5, 0, 0, 0], &generator), Some(GENERATOR_MULTIPLES[133]));
    }

    #[test]
    fn inverse_by_a_curve_addition() {
        for a in [[1, 0, 0, 0], [2, 0, 0, 0], [7, 8, 9, 10], overflowing_sub(&PRIME, &ONE).0] {
            assert_eq!(multiply_mod(&a, &field_inverse(&a), &PRIME), ONE);
        }
    }

    #[test]
    fn hints_are_checked() {
        // Key 1: Q = G. Nonce 2, digest 3: r = x(2 G), s = (3 + r) / 2.
        let two = GENERATOR_MULTIPLES[130];
        let r = multiply_mod(&split(&two).0, &ONE, &ORDER);
        let half = crate::uint256::inverse_mod(&[2, 0, 0, 0], &ORDER).unwrap();
        let s = multiply_mod(&multiply_add_mod(&r, &ONE, &[3, 0, 0, 0], &ORDER), &half, &ORDER);
        let mut signature = [0u8; 64];
        signature[..32].copy_from_slice(&to_be_bytes(&r));
        signature[32..].copy_from_slice(&to_be_bytes(&s));
        let digest = to_be_bytes(&[3, 0, 0, 0]);
        let parity = (two[4] & 1) as u8;
        let expected = key_bytes(&GENERATOR_MULTIPLES[129]);
        assert_eq!(recover(&digest, &signature, parity), Some(expected));
        assert!(verify(&digest, &signature, &expected));
        assert!(is_recovered_key(&digest, &signature, parity, &expected));
        assert!(!is_recovered_key(&digest, &signature, parity ^ 1, &expected));

        // The other root is as good a hint; everything else is refused.
        let honest = |a: &U256| hint_square_root(a);
        let other = |a: &U256| overflowing_sub(&PRIME, &hint_square_root(a)).0;
        assert_eq!(recover_hinted(&digest, &signature, parity, other, hint_inverse), Some(expected));
        for change in [[1, 0, 0, 0], [0, 0, 0, 1 << 63], PRIME] {
            let forged = |a: &U256| overflowing_add(&hint_square_root(a), &change).0;
            assert_eq!(recover_hinted(&digest, &signature, parity, forged, hint_inverse), None);
        }
        for change in [[1, 0, 0, 0], ORDER, [0, 1, 0, 0]] {
            let forged = |a: &U256, m: &U256| overflowing_add(&hint_inverse(a, m), &change).0;
            assert_eq!(recover_hinted(&digest, &signature, parity, honest, forged), None);
        }
        assert_eq!(recover_hinted(&digest, &signature, parity, |_| ZERO, hint_inverse), None);
        assert_eq!(recover_hinted(&digest, &signature, parity, honest, |_, _| ZERO), None);
    }

    #[test]
    fn inverses_agree_with_fermat() {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state ^ state >> 29
        };
        let exponent = overflowing_sub(&ORDER, &[2, 0, 0, 0]).0;
        for round in 0..600 {
            let mut a = [next(), next(), next(), next()];
            // Short and lopsided numbers too.
            for limb in a.iter_mut().skip(round % 5) {
                *limb >>= (round * 7) % 64;
            }
            if round % 3 == 0 {
                a[3] = 0;
            }
            if round % 7 == 0 {
                a = [a[0], 0, 0, 0];
            }
            let a = multiply_mod(&a, &ONE, &ORDER);
            if is_zero(&a) {
                continue;
            }
            assert_eq!(hint_inverse(&a, &ORDER), crate::uint256::power_mod(&a, &exponent, &ORDER), "{a:x?}");
            let minus = overflowing_sub(&ORDER, &a).0;
            assert_eq!(multiply_mod(&hint_inverse(&minus, &ORDER), &minus, &ORDER), ONE);
        }
        for a in 1..200u64 {
            assert_eq!(multiply_mod(&hint_inverse(&[a, 0, 0, 0], &ORDER), &[a, 0, 0, 0], &ORDER), ONE);
        }
        assert_eq!(crate::uint256::inverse_mod(&[6, 0, 0, 0], &[9, 0, 0, 0]), None);
        assert_eq!(crate::uint256::inverse_mod(&[2, 0, 0, 0], &[9, 0, 0, 0]), Some([5, 0, 0, 0]));
    }
}
