"""
What the precompiles compute, in plain Python integers: the meaning that kernels and chips are compared with.

Every function takes and returns lists of 64-bit words as they stand in memory, least significant word first, and
returns None where the operands have no result (the caller traps with InvalidOperand).
"""

from collections.abc import Sequence
from typing import Final

MASK64: Final = (1 << 64) - 1
MASK32: Final = (1 << 32) - 1

SECP256K1_PRIME: Final = 2**256 - 2**32 - 977
"""The field of secp256k1. Source: SEC 2, version 2.0, section 2.4.1."""


def integer(words: Sequence[int]) -> int:
    """The integer whose base-2^64 digits are `words`, least significant first."""
    return sum(word << 64 * position for position, word in enumerate(words))


def words_of(value: int, count: int) -> list[int]:
    """The `count` base-2^64 digits of value, least significant first; 0 <= value < 2^(64 count)."""
    return [value >> 64 * position & MASK64 for position in range(count)]


def _keccak_round_constants() -> tuple[int, ...]:
    """The 24 constants of iota, from the LFSR x^8 + x^6 + x^5 + x^4 + 1. Source: FIPS 202, algorithms 5 and 6."""
    constants, state = [], 1
    for _ in range(24):
        constant = 0
        for position in range(7):
            if state & 1:
                constant |= 1 << (1 << position) - 1
            state = state << 1 ^ (0x171 if state >> 7 else 0)
        constants.append(constant)
    return tuple(constants)


KECCAK_ROUND_CONSTANTS: Final = _keccak_round_constants()


def _keccak_rotations() -> tuple[int, ...]:
    """rho's offset of each lane, at x + 5y. Source: FIPS 202, algorithm 2."""
    offsets = [0] * 25
    x, y = 1, 0
    for step in range(24):
        offsets[x + 5 * y] = (step + 1) * (step + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return tuple(offsets)


KECCAK_ROTATIONS: Final = _keccak_rotations()


def _rotate_left(value: int, amount: int) -> int:
    return (value << amount | value >> 64 - amount) & MASK64


def keccak_f(lanes: Sequence[int]) -> list[int]:
    """Keccak-f[1600] of 25 lanes, lane (x, y) at x + 5y. Source: FIPS 202, section 3."""
    a = list(lanes)
    for round_constant in KECCAK_ROUND_CONSTANTS:
        column = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        theta = [column[(x + 4) % 5] ^ _rotate_left(column[(x + 1) % 5], 1) for x in range(5)]
        b = [0] * 25
        for y in range(5):
            for x in range(5):
                lane = a[x + 5 * y] ^ theta[x]
                b[y + 5 * ((2 * x + 3 * y) % 5)] = _rotate_left(lane, KECCAK_ROTATIONS[x + 5 * y])
        a = [
            b[x + 5 * y] ^ (~b[(x + 1) % 5 + 5 * y] & MASK64 & b[(x + 2) % 5 + 5 * y])
            for y in range(5)
            for x in range(5)
        ]
        a[0] ^= round_constant
    return a


def _root_digits(value: int, degree: int) -> int:
    """The first 32 bits of the fractional part of the degree-th root of value, by Newton-free bisection."""
    low, high = 0, 1 << 40
    scaled = value << 32 * degree
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= scaled else (low, middle - 1)
    return low & MASK32


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


SHA256_ROUND_CONSTANTS: Final = tuple(_root_digits(prime, 3) for prime in _primes(64))
"""Source: FIPS 180-4, section 4.2.2: the cube roots of the first 64 primes."""

SHA256_INITIAL_STATE: Final = tuple(_root_digits(prime, 2) for prime in _primes(8))
"""Source: FIPS 180-4, section 5.3.3: the square roots of the first 8 primes. The guest's, here for tests."""


def _rotate_right_32(value: int, amount: int) -> int:
    return (value >> amount | value << 32 - amount) & MASK32


def sha256_compress(words: Sequence[int]) -> list[int]:
    """
    The SHA-256 compression function. Source: FIPS 180-4, section 6.2.2.

    words: 4 words of state (eight u32, the first in the low half), then 8 words of block bytes. Returns 4 words.
    """
    state = [word >> shift & MASK32 for word in words[:4] for shift in (0, 32)]
    block = b"".join(word.to_bytes(8, "little") for word in words[4:12])
    schedule = [int.from_bytes(block[4 * i : 4 * i + 4], "big") for i in range(16)]
    for i in range(16, 64):
        w15, w2 = schedule[i - 15], schedule[i - 2]
        small0 = _rotate_right_32(w15, 7) ^ _rotate_right_32(w15, 18) ^ w15 >> 3
        small1 = _rotate_right_32(w2, 17) ^ _rotate_right_32(w2, 19) ^ w2 >> 10
        schedule.append((schedule[i - 16] + small0 + schedule[i - 7] + small1) & MASK32)
    a, b, c, d, e, f, g, h = state
    for constant, word in zip(SHA256_ROUND_CONSTANTS, schedule, strict=True):
        big1 = _rotate_right_32(e, 6) ^ _rotate_right_32(e, 11) ^ _rotate_right_32(e, 25)
        first = h + big1 + (e & f ^ ~e & g) + constant + word
        big0 = _rotate_right_32(a, 2) ^ _rotate_right_32(a, 13) ^ _rotate_right_32(a, 22)
        second = big0 + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (first + second) & MASK32, a, b, c, (d + first) & MASK32, e, f, g
    result = [(old + new) & MASK32 for old, new in zip(state, (a, b, c, d, e, f, g, h), strict=True)]
    return [result[2 * i] | result[2 * i + 1] << 32 for i in range(4)]


def secp256k1_add(words: Sequence[int]) -> list[int] | None:
    """
    P + Q by the chord rule. words: x_P, y_P, x_Q, y_Q, 4 words each; returns x, y.

    None unless all coordinates are below the prime and x_P != x_Q. Whether the points lie on the curve is not checked.
    """
    p = SECP256K1_PRIME
    x1, y1, x2, y2 = (integer(words[4 * i : 4 * i + 4]) for i in range(4))
    if max(x1, y1, x2, y2) >= p or x1 == x2:
        return None
    slope = (y2 - y1) * pow(x2 - x1, -1, p) % p
    x3 = (slope * slope - x1 - x2) % p
    return words_of(x3, 4) + words_of((slope * (x1 - x3) - y1) % p, 4)


def secp256k1_double(words: Sequence[int]) -> list[int] | None:
    """2P by the tangent rule (a = 0). words: x, y, 4 words each. None unless both are below the prime and y != 0."""
    p = SECP256K1_PRIME
    x, y = integer(words[:4]), integer(words[4:8])
    if max(x, y) >= p or y == 0:
        return None
    slope = 3 * x * x * pow(2 * y, -1, p) % p
    x3 = (slope * slope - 2 * x) % p
    return words_of(x3, 4) + words_of((slope * (x - x3) - y) % p, 4)


def arith256(words: Sequence[int]) -> list[int]:
    """a * b + c as 8 words. words: a, b, c, 4 words each, any values."""
    a, b, c = (integer(words[4 * i : 4 * i + 4]) for i in range(3))
    return words_of(a * b + c, 8)


def arith256_mod(words: Sequence[int]) -> list[int] | None:
    """(a * b + c) mod m as 4 words, in [0, m). words: a, b, c, m, 4 words each. None if m = 0."""
    a, b, c, m = (integer(words[4 * i : 4 * i + 4]) for i in range(4))
    return words_of((a * b + c) % m, 4) if m else None
