"""
The precompiles, compiled: the same names and meaning as zkvm.machine.precompiles.

Each kernel reads its operands from `io[0:]`, in the order of PRECOMPILE_READS, and writes its result to
`io[RESULT:]`. io: (IO_WORDS,) uint64, owned by the caller; words beyond the operands are scratch. Kernels whose
operands may have no result return False then, and leave the result undefined.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zkvm.kernels.policy import HAVE_NUMBA, kernel
from zkvm.machine.precompiles import KECCAK_ROUND_CONSTANTS, SECP256K1_PRIME, SHA256_ROUND_CONSTANTS

RESULT: Final = 32
IO_WORDS: Final = 160

_SCRATCH: Final = 64

_U0 = np.uint64(0)
_U1 = np.uint64(1)
_U32 = np.uint64(32)
_U64 = np.uint64(64)
_LOW32 = np.uint64(0xFFFF_FFFF)
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)

_LIMB_BITS = 62
_LOW_LIMB = np.uint64(2**_LIMB_BITS - 1)

if HAVE_NUMBA:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def multiply_add(typing_context: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        """(high, low) words of a * b + c + d, which never exceeds 2^128 - 1; all uint64."""
        pair = types.UniTuple(types.uint64, 2)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            wide = ir.IntType(128)
            a, b, c, d = (builder.zext(argument, wide) for argument in arguments)
            total = builder.add(builder.add(builder.mul(a, b), c), d)
            high = builder.trunc(builder.lshr(total, ir.Constant(wide, 64)), ir.IntType(64))
            return context.make_tuple(builder, pair, (high, builder.trunc(total, ir.IntType(64))))

        return pair(types.uint64, types.uint64, types.uint64, types.uint64), generate

    @intrinsic
    def combine_limbs(typing_context: Any, u: Any, a: Any, v: Any, b: Any, s: Any, p: Any, carry: Any) -> Any:
        """
        (carry, limb) where 2^62 carry + limb = u a + v b + s p + carry and 0 <= limb < 2^62.

        All uint64 in two's complement; the sum between -2^125 and 2^125.
        """
        pair = types.UniTuple(types.uint64, 2)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            wide, word = ir.IntType(128), ir.IntType(64)
            u, a, v, b, s, p, carry = (builder.sext(argument, wide) for argument in arguments)
            total = builder.add(builder.mul(u, a), builder.mul(v, b))
            total = builder.add(builder.add(total, builder.mul(s, p)), carry)
            carry = builder.trunc(builder.ashr(total, ir.Constant(wide, _LIMB_BITS)), word)
            limb = builder.and_(builder.trunc(total, word), ir.Constant(word, int(_LOW_LIMB)))
            return context.make_tuple(builder, pair, (carry, limb))

        return pair(*[types.uint64] * 7), generate

    @intrinsic
    def trailing_zeros(typing_context: Any, word: Any) -> Any:
        """How many zeros stand below the lowest one of a uint64 that is not 0; int64."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            # The flag says that 0 needs no answer.
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

        return types.int64(types.uint64), generate

else:

    def multiply_add(a: Any, b: Any, c: Any, d: Any) -> Any:
        """(high, low) words of a * b + c + d, which never exceeds 2^128 - 1; all uint64."""
        total = int(a) * int(b) + int(c) + int(d)
        return np.uint64(total >> 64), np.uint64(total & 0xFFFF_FFFF_FFFF_FFFF)

    def combine_limbs(u: Any, a: Any, v: Any, b: Any, s: Any, p: Any, carry: Any) -> Any:
        """
        (carry, limb) where 2^62 carry + limb = u a + v b + s p + carry and 0 <= limb < 2^62.

        All uint64 in two's complement; the sum between -2^125 and 2^125.
        """
        u, a, v, b, s, p, carry = (int(np.int64(word)) for word in (u, a, v, b, s, p, carry))
        total = u * a + v * b + s * p + carry
        return np.uint64(total >> _LIMB_BITS & 0xFFFF_FFFF_FFFF_FFFF), np.uint64(total & int(_LOW_LIMB))

    def trailing_zeros(word: Any) -> Any:
        """How many zeros stand below the lowest one of a uint64 that is not 0; int64."""
        return np.int64((int(word) & -int(word)).bit_length() - 1)


@kernel(inline=True)
def _rotate(value, amount):
    return value << np.uint64(amount) | value >> np.uint64(64 - amount)


_KECCAK_CONSTANTS = np.array(KECCAK_ROUND_CONSTANTS, dtype=np.uint64)


@kernel
def keccak_f(io: NDArray[np.uint64]) -> None:
    """Keccak-f[1600] of io[0:25]; lane (x, y) at x + 5y. Names: lane row letter y = a..e, column digit x = 0..4."""
    a0, a1, a2, a3, a4 = io[0], io[1], io[2], io[3], io[4]
    b0, b1, b2, b3, b4 = io[5], io[6], io[7], io[8], io[9]
    c0, c1, c2, c3, c4 = io[10], io[11], io[12], io[13], io[14]
    d0, d1, d2, d3, d4 = io[15], io[16], io[17], io[18], io[19]
    e0, e1, e2, e3, e4 = io[20], io[21], io[22], io[23], io[24]
    for i in range(24):
        # theta
        p0 = a0 ^ b0 ^ c0 ^ d0 ^ e0
        p1 = a1 ^ b1 ^ c1 ^ d1 ^ e1
        p2 = a2 ^ b2 ^ c2 ^ d2 ^ e2
        p3 = a3 ^ b3 ^ c3 ^ d3 ^ e3
        p4 = a4 ^ b4 ^ c4 ^ d4 ^ e4
        t0 = p4 ^ _rotate(p1, 1)
        t1 = p0 ^ _rotate(p2, 1)
        t2 = p1 ^ _rotate(p3, 1)
        t3 = p2 ^ _rotate(p4, 1)
        t4 = p3 ^ _rotate(p0, 1)
        # rho and pi: lane (x, y) goes to (y, 2x + 3y); then chi, row by row.
        p0 = a0 ^ t0
        p1 = _rotate(b1 ^ t1, 44)
        p2 = _rotate(c2 ^ t2, 43)
        p3 = _rotate(d3 ^ t3, 21)
        p4 = _rotate(e4 ^ t4, 14)
        q0 = _rotate(a3 ^ t3, 28)
        q1 = _rotate(b4 ^ t4, 20)
        q2 = _rotate(c0 ^ t0, 3)
        q3 = _rotate(d1 ^ t1, 45)
        q4 = _rotate(e2 ^ t2, 61)
        r0 = _rotate(a1 ^ t1, 1)
        r1 = _rotate(b2 ^ t2, 6)
        r2 = _rotate(c3 ^ t3, 25)
        r3 = _rotate(d4 ^ t4, 8)
        r4 = _rotate(e0 ^ t0, 18)
        s0 = _rotate(a4 ^ t4, 27)
        s1 = _rotate(b0 ^ t0, 36)
        s2 = _rotate(c1 ^ t1, 10)
        s3 = _rotate(d2 ^ t2, 15)
        s4 = _rotate(e3 ^ t3, 56)
        u0 = _rotate(a2 ^ t2, 62)
        u1 = _rotate(b3 ^ t3, 55)
        u2 = _rotate(c4 ^ t4, 39)
        u3 = _rotate(d0 ^ t0, 41)
        u4 = _rotate(e1 ^ t1, 2)
        a0 = p0 ^ (~p1 & p2) ^ _KECCAK_CONSTANTS[i]
        a1 = p1 ^ (~p2 & p3)
        a2 = p2 ^ (~p3 & p4)
        a3 = p3 ^ (~p4 & p0)
        a4 = p4 ^ (~p0 & p1)
        b0 = q0 ^ (~q1 & q2)
        b1 = q1 ^ (~q2 & q3)
        b2 = q2 ^ (~q3 & q4)
        b3 = q3 ^ (~q4 & q0)
        b4 = q4 ^ (~q0 & q1)
        c0 = r0 ^ (~r1 & r2)
        c1 = r1 ^ (~r2 & r3)
        c2 = r2 ^ (~r3 & r4)
        c3 = r3 ^ (~r4 & r0)
        c4 = r4 ^ (~r0 & r1)
        d0 = s0 ^ (~s1 & s2)
        d1 = s1 ^ (~s2 & s3)
        d2 = s2 ^ (~s3 & s4)
        d3 = s3 ^ (~s4 & s0)
        d4 = s4 ^ (~s0 & s1)
        e0 = u0 ^ (~u1 & u2)
        e1 = u1 ^ (~u2 & u3)
        e2 = u2 ^ (~u3 & u4)
        e3 = u3 ^ (~u4 & u0)
        e4 = u4 ^ (~u0 & u1)
    r = RESULT
    io[r], io[r + 1], io[r + 2], io[r + 3], io[r + 4] = a0, a1, a2, a3, a4
    io[r + 5], io[r + 6], io[r + 7], io[r + 8], io[r + 9] = b0, b1, b2, b3, b4
    io[r + 10], io[r + 11], io[r + 12], io[r + 13], io[r + 14] = c0, c1, c2, c3, c4
    io[r + 15], io[r + 16], io[r + 17], io[r + 18], io[r + 19] = d0, d1, d2, d3, d4
    io[r + 20], io[r + 21], io[r + 22], io[r + 23], io[r + 24] = e0, e1, e2, e3, e4


_SHA256_CONSTANTS = np.array(SHA256_ROUND_CONSTANTS, dtype=np.uint32)


@kernel(inline=True)
def _rotate_right_32(value, amount):
    return np.uint32(value >> np.uint32(amount)) | np.uint32(value << np.uint32(32 - amount))


@kernel(inline=True)
def _swap_bytes_32(value):
    value = np.uint32(value)
    return np.uint32(
        (value >> np.uint32(24))
        | ((value >> np.uint32(8)) & np.uint32(0xFF00))
        | ((value & np.uint32(0xFF00)) << np.uint32(8))
        | (value << np.uint32(24))
    )


@kernel
def sha256_compress(io: NDArray[np.uint64]) -> None:
    """The SHA-256 compression of the block io[4:12] into the state io[0:4]; 4 words of result."""
    # The schedule's 64 words stand in scratch, one to a word.
    w = _SCRATCH
    for i in range(8):
        word = io[4 + i]
        io[w + 2 * i] = np.uint64(_swap_bytes_32(word & _LOW32))
        io[w + 2 * i + 1] = np.uint64(_swap_bytes_32(word >> _U32))
    for i in range(w + 16, w + 64):
        w15, w2 = np.uint32(io[i - 15]), np.uint32(io[i - 2])
        small0 = _rotate_right_32(w15, 7) ^ _rotate_right_32(w15, 18) ^ np.uint32(w15 >> np.uint32(3))
        small1 = _rotate_right_32(w2, 17) ^ _rotate_right_32(w2, 19) ^ np.uint32(w2 >> np.uint32(10))
        io[i] = (io[i - 16] + np.uint64(small0) + io[i - 7] + np.uint64(small1)) & _LOW32
    a, b = np.uint32(io[0] & _LOW32), np.uint32(io[0] >> _U32)
    c, d = np.uint32(io[1] & _LOW32), np.uint32(io[1] >> _U32)
    e, f = np.uint32(io[2] & _LOW32), np.uint32(io[2] >> _U32)
    g, h = np.uint32(io[3] & _LOW32), np.uint32(io[3] >> _U32)
    for i in range(64):
        big1 = _rotate_right_32(e, 6) ^ _rotate_right_32(e, 11) ^ _rotate_right_32(e, 25)
        first = np.uint32(h + big1 + ((e & f) ^ (~e & g)) + _SHA256_CONSTANTS[i] + np.uint32(io[w + i]))
        big0 = _rotate_right_32(a, 2) ^ _rotate_right_32(a, 13) ^ _rotate_right_32(a, 22)
        second = np.uint32(big0 + ((a & b) ^ (a & c) ^ (b & c)))
        h = g
        g = f
        f = e
        e = np.uint32(d + first)
        d = c
        c = b
        b = a
        a = np.uint32(first + second)
    io[RESULT] = _add_halves(io[0], a, b)
    io[RESULT + 1] = _add_halves(io[1], c, d)
    io[RESULT + 2] = _add_halves(io[2], e, f)
    io[RESULT + 3] = _add_halves(io[3], g, h)


@kernel(inline=True)
def _add_halves(word, low, high):
    """The two u32 halves of a word, each plus its own addend mod 2^32."""
    return (word + np.uint64(low)) & _LOW32 | ((word >> _U32) + np.uint64(high)) << _U32


# --- secp256k1: elements of the field are four words, least significant first, below the prime -----------------------

_FOLD = np.uint64(2**32 + 977)
"""2^256 mod p."""

_P0 = np.uint64(2**64 - 2**32 - 977)
"""The prime's lowest word; the other three are all ones."""


@kernel(inline=True)
def _field_multiply(a0, a1, a2, a3, b0, b1, b2, b3):
    """a * b mod p; operands below p, result below p."""
    c, t0 = multiply_add(a0, b0, _U0, _U0)
    c, t1 = multiply_add(a0, b1, c, _U0)
    c, t2 = multiply_add(a0, b2, c, _U0)
    t4, t3 = multiply_add(a0, b3, c, _U0)
    c, t1 = multiply_add(a1, b0, t1, _U0)
    c, t2 = multiply_add(a1, b1, t2, c)
    c, t3 = multiply_add(a1, b2, t3, c)
    t5, t4 = multiply_add(a1, b3, t4, c)
    c, t2 = multiply_add(a2, b0, t2, _U0)
    c, t3 = multiply_add(a2, b1, t3, c)
    c, t4 = multiply_add(a2, b2, t4, c)
    t6, t5 = multiply_add(a2, b3, t5, c)
    c, t3 = multiply_add(a3, b0, t3, _U0)
    c, t4 = multiply_add(a3, b1, t4, c)
    c, t5 = multiply_add(a3, b2, t5, c)
    t7, t6 = multiply_add(a3, b3, t6, c)
    # Fold the high half: 2^256 = FOLD mod p. The first fold leaves a fifth word below 2^34.
    c, r0 = multiply_add(t4, _FOLD, t0, _U0)
    c, r1 = multiply_add(t5, _FOLD, t1, c)
    c, r2 = multiply_add(t6, _FOLD, t2, c)
    c, r3 = multiply_add(t7, _FOLD, t3, c)
    c, r0 = multiply_add(c, _FOLD, r0, _U0)
    r1 = r1 + c
    c = np.uint64(r1 < c)
    r2 = r2 + c
    c = np.uint64(r2 < c)
    r3 = r3 + c
    c = np.uint64(r3 < c)
    # With the carry, r + 2^256 c is below 2^256 + 2^67: one subtraction of p is enough. Subtracting p is adding
    # 2^256 - p and dropping the carry out.
    c |= np.uint64((r3 == _ALL) & (r2 == _ALL) & (r1 == _ALL) & (r0 >= _P0))
    c, r0 = multiply_add(c, _FOLD, r0, _U0)
    r1 = r1 + c
    c = np.uint64(r1 < c)
    r2 = r2 + c
    c = np.uint64(r2 < c)
    return r0, r1, r2, r3 + c


@kernel
def _field_subtract(a0, a1, a2, a3, b0, b1, b2, b3):
    """a - b mod p; operands below p, result below p."""
    r0 = a0 - b0
    borrow = np.uint64(a0 < b0)
    r1 = a1 - b1 - borrow
    borrow = np.uint64(a1 < b1) | (np.uint64(a1 == b1) & borrow)
    r2 = a2 - b2 - borrow
    borrow = np.uint64(a2 < b2) | (np.uint64(a2 == b2) & borrow)
    r3 = a3 - b3 - borrow
    borrow = np.uint64(a3 < b3) | (np.uint64(a3 == b3) & borrow)
    # A borrow leaves 2^256 too much, and adding p is subtracting FOLD mod 2^256.
    fold = borrow * _FOLD
    s0 = r0 - fold
    borrow = np.uint64(r0 < fold)
    s1 = r1 - borrow
    borrow = np.uint64(r1 < borrow)
    s2 = r2 - borrow
    borrow = np.uint64(r2 < borrow)
    return s0, s1, s2, r3 - borrow


# Their inverses come from division steps. On odd f and any g, from delta = 1 on, a step is
#     (delta, f, g) -> (1 - delta, g, (g - f) / 2)               if delta > 0 and g is odd,
#     (delta, f, g) -> (1 + delta, f, (g + (g mod 2) f) / 2)     otherwise.
# It keeps gcd(f, g), up to its sign, and ends in g = 0. The lowest 62 bits of f and g decide the next 62 steps, which
# are linear: they are taken on words, and then applied to the numbers as one matrix. How long that takes depends on
# the numbers; nothing here is secret.
# Source: Bernstein and Yang, Fast constant-time gcd computation and modular inversion, 2019.
#
# f, g and what goes with them are five limbs in `io`, of 62 bits each but for the last, least significant first. Limbs
# and matrices are signed: words in two's complement.

_LIMBS = 5

_BATCHES = 12
"""
After these many batches of 62 steps g = 0. Numbers below 2^d take at most floor((49 d + 57) / 17) steps where d >= 46
(section 11 of the source): with d = 256, 741 steps. Nine batches are the rule, ten are rare.
"""

_U2 = np.uint64(2)

_PRIME_LIMBS = np.array([2**64 - 2**32 - 977, 0, 0, 0, 2**8], dtype=np.uint64)
"""The prime as 2^256 - FOLD, so that most limbs are 0: the first is negative."""

_PRIME_INVERSE = np.uint64(pow(SECP256K1_PRIME, -1, 2**_LIMB_BITS))
"""1 / p mod 2^62."""


@kernel(inline=True)
def _sign(word):
    """All ones for a negative word, else 0."""
    return np.uint64(np.int64(word) >> np.int64(63))


@kernel
def _division_steps(delta, f, g):
    """
    Takes 62 steps. Returns delta after them and the matrix (u, v; q, r), signed words: 2^62 times the new f is
    u f + v g, 2^62 times the new g is q f + r g. |u| + |v| and |q| + |r| are at most 2^62.

    delta: int64. f, g: uint64, right in their lowest 62 bits; f is odd.
    """
    u, v, q, r = _U1, _U0, _U0, _U1
    left = _LIMB_BITS
    while True:
        # While g is even, steps only halve it. f's row is doubled instead: all halving is left to the end.
        zeros = trailing_zeros(g | _ALL << np.uint64(left))
        g >>= np.uint64(zeros)
        u <<= np.uint64(zeros)
        v <<= np.uint64(zeros)
        delta += zeros
        left -= zeros
        if left == 0:
            return delta, u, v, q, r
        if delta > 0:
            # With f and g swapped like this, the step is one of the second kind.
            delta = -delta
            f, g = g, _U0 - f
            u, q = q, _U0 - u
            v, r = r, _U0 - v
        # While delta <= 0, for 1 - delta steps, f stays: all that they add to g is one multiple of f, which clears as
        # many bits of g. At most six here: f^2 = 1 mod 8, so f (f^2 - 2) is -1 / f mod 64. The next round takes those
        # steps. One bit is cleared at least, so that the rounds end.
        bits = _ALL >> np.uint64(64 - min(1 - delta, left))
        multiple = f * (f * f - _U2) * g & np.uint64(63) & bits
        g += f * multiple
        q += u * multiple
        r += v * multiple


@kernel
def _field_invert(io, out, a, prime):
    """
    out = 1 / a mod p, below p; a is below p and not 0. out and a name positions.

    prime: _PRIME_LIMBS, as an argument because the compiler does not know its length then: it would write the long loop
           over the limbs out, here and again in all that calls this, which costs more to compile than it gains.
    Scratch: the twenty words from io[_D] on.
    """
    # Throughout, a d = f and a e = g mod p; f and g are from -p to p, d and e above -2p and below p.
    for i in range(_LIMBS):
        io[_D + i], io[_E + i], io[_F + i] = _U0, _U0, prime[i]
    io[_E] = _U1
    carry = _U0
    for i in range(4):
        io[_G + i] = (io[a + i] << np.uint64(2 * i) | carry) & _LOW_LIMB
        carry = io[a + i] >> np.uint64(_LIMB_BITS - 2 * i)
    io[_G + 4] = carry

    # A bare 1 would be a type of its own, and compile the steps twice.
    delta = np.int64(1)
    for _ in range(_BATCHES):
        delta, u, v, q, r = _division_steps(delta, io[_F], io[_G])
        # s p and t p make u d + v e and q d + r e divisible by 2^62. First p is added to a negative d or e, so that
        # both are between -p and p; then it is subtracted less than 2^62 times.
        d_sign, e_sign = _sign(io[_D + 4]), _sign(io[_E + 4])
        s = (u & d_sign) + (v & e_sign)
        t = (q & d_sign) + (r & e_sign)
        s -= (u * io[_D] + v * io[_E]) * _PRIME_INVERSE + s & _LOW_LIMB
        t -= (q * io[_D] + r * io[_E]) * _PRIME_INVERSE + t & _LOW_LIMB
        for x, y in ((_D, _E), (_F, _G)):
            x_carry, y_carry = _U0, _U0
            for i in range(len(prime)):
                x_limb, y_limb = io[x + i], io[y + i]
                x_carry, x_new = combine_limbs(u, x_limb, v, y_limb, s, prime[i], x_carry)
                y_carry, y_new = combine_limbs(q, x_limb, r, y_limb, t, prime[i], y_carry)
                # The lowest limb is 0, and dropping it divides.
                if i > 0:
                    io[x + i - 1], io[y + i - 1] = x_new, y_new
            io[x + 4], io[y + 4] = x_carry, y_carry
            # f and g need no p.
            s, t = _U0, _U0
        if io[_G] | io[_G + 1] | io[_G + 2] | io[_G + 3] | io[_G + 4] == _U0:
            break

    # f is 1 or -1 now, and d f the inverse, once p is added to d and then to d f where they are negative.
    f = _sign(io[_F + 4]) | _U1
    for _ in range(2):
        s = f & _sign(io[_D + 4])
        carry = _U0
        for i in range(_LIMBS):
            carry, io[_D + i] = combine_limbs(f, io[_D + i], s, prime[i], _U0, _U0, carry)
        io[_D + 4] |= carry << np.uint64(_LIMB_BITS)
        f = _U1
    for i in range(4):
        io[out + i] = io[_D + i] >> np.uint64(2 * i) | io[_D + i + 1] << np.uint64(_LIMB_BITS - 2 * i)


# A curve operation is a list of steps on elements in `io`: (kind, out, a, b), the last three naming positions. One
# short loop runs them all; compiled one by one, the same steps would take seconds to compile.
_REQUIRE, _SUBTRACT, _MULTIPLY, _INVERT = 0, 1, 2, 3


def _require(a: int) -> tuple[int, int, int, int]:
    """There is a result only if a is below the prime."""
    return _REQUIRE, a, a, a


def _subtract(out: int, a: int, b: int) -> tuple[int, int, int, int]:
    """out = a - b."""
    return _SUBTRACT, out, a, b


def _multiply(out: int, a: int, b: int) -> tuple[int, int, int, int]:
    """out = a * b."""
    return _MULTIPLY, out, a, b


def _invert(out: int, a: int) -> tuple[int, int, int, int]:
    """out = 1 / a; a is not 0."""
    return _INVERT, out, a, a


def _third_point(x1: int, y1: int, x2: int, slope: int, t: int) -> list[tuple[int, int, int, int]]:
    """RESULT = the point where the line through (x1, y1) with that slope meets the curve a third time, mirrored."""
    x3, y3 = RESULT, RESULT + 4
    return [
        _multiply(t, slope, slope),
        _subtract(t, t, x1),
        _subtract(x3, t, x2),
        _subtract(t, x1, x3),
        _multiply(t, slope, t),
        _subtract(y3, t, y1),
    ]


_X1, _Y1, _X2, _Y2 = 0, 4, 8, 12
_T, _S, _U = _SCRATCH, _SCRATCH + 4, _SCRATCH + 8
_D, _E, _F, _G = range(_SCRATCH + 12, _SCRATCH + 12 + 4 * _LIMBS, _LIMBS)

_ADD_STEPS = np.array(
    [
        *map(_require, (_X1, _Y1, _X2, _Y2)),
        _subtract(_T, _X2, _X1),
        _invert(_S, _T),
        _subtract(_T, _Y2, _Y1),
        _multiply(_S, _T, _S),
        *_third_point(_X1, _Y1, _X2, _S, _T),
    ]
)

_DOUBLE_STEPS = np.array(
    [
        *map(_require, (_X1, _Y1)),
        # Sums are differences of negatives: 2y = y - (0 - y), and 3x^2 likewise.
        _subtract(_U, _Y1, _Y1),
        _subtract(_T, _U, _Y1),
        _subtract(_T, _Y1, _T),
        _invert(_S, _T),
        _multiply(_T, _X1, _X1),
        _subtract(_U, _U, _T),
        _subtract(_T, _T, _U),
        _subtract(_T, _T, _U),
        _multiply(_S, _T, _S),
        *_third_point(_X1, _Y1, _X1, _S, _T),
    ]
)


@kernel
def _run_field_steps(io, steps):
    """Runs steps, (n, 4) int64 as above, on the elements in io. False, and no more steps, where one has no result."""
    for step in range(steps.shape[0]):
        kind, out, a, b = steps[step, 0], steps[step, 1], steps[step, 2], steps[step, 3]
        if kind == _INVERT:
            _field_invert(io, out, a, _PRIME_LIMBS)
            continue
        a0, a1, a2, a3 = io[a], io[a + 1], io[a + 2], io[a + 3]
        b0, b1, b2, b3 = io[b], io[b + 1], io[b + 2], io[b + 3]
        if kind == _SUBTRACT:
            r0, r1, r2, r3 = _field_subtract(a0, a1, a2, a3, b0, b1, b2, b3)
        elif kind == _MULTIPLY:
            r0, r1, r2, r3 = _field_multiply(a0, a1, a2, a3, b0, b1, b2, b3)
        elif (a1 & a2 & a3) == _ALL and a0 >= _P0:
            return False
        else:
            continue
        io[out], io[out + 1], io[out + 2], io[out + 3] = r0, r1, r2, r3
    return True


@kernel
def secp256k1_add(io: NDArray[np.uint64]) -> bool:
    """P + Q of x_P, y_P, x_Q, y_Q at io[0:16]; 8 words of result. False unless reduced and x_P != x_Q."""
    if io[0] == io[8] and io[1] == io[9] and io[2] == io[10] and io[3] == io[11]:
        return False
    return _run_field_steps(io, _ADD_STEPS)


@kernel
def secp256k1_double(io: NDArray[np.uint64]) -> bool:
    """2P of x, y at io[0:8]; 8 words of result. False unless reduced and y != 0."""
    if (io[4] | io[5] | io[6] | io[7]) == _U0:
        return False
    return _run_field_steps(io, _DOUBLE_STEPS)


# --- 256-bit integers ------------------------------------------------------------------------------------------------


@kernel
def arith256(io: NDArray[np.uint64]) -> None:
    """a * b + c of io[0:12]; 8 words of result."""
    for i in range(4):
        io[RESULT + i] = io[8 + i]
        io[RESULT + 4 + i] = _U0
    for i in range(4):
        carry = _U0
        for j in range(4):
            carry, io[RESULT + i + j] = multiply_add(io[i], io[4 + j], io[RESULT + i + j], carry)
        io[RESULT + i + 4] = carry


@kernel
def arith256_mod(io: NDArray[np.uint64]) -> bool:
    """
    (a * b + c) mod m of io[0:16]; 4 words of result. False if m = 0.

    Long division in base 2^32. Source: Knuth, The Art of Computer Programming, volume 2, section 4.3.1, algorithm D.
    """
    if (io[12] | io[13] | io[14] | io[15]) == _U0:
        return False
    arith256(io)
    # Digits of the modulus and, one digit longer, of the dividend, both shifted so that the modulus' top bit is set.
    v, u = _SCRATCH, _SCRATCH + 8
    for i in range(4):
        io[v + 2 * i] = io[12 + i] & _LOW32
        io[v + 2 * i + 1] = io[12 + i] >> _U32
    n = 8
    while io[v + n - 1] == _U0:
        n -= 1
    shift = _U0
    while (io[v + n - 1] << shift) >> np.uint64(31) == _U0:
        shift += _U1
    carry = _U0
    for i in range(n):
        digit = io[v + i] << shift | carry
        io[v + i] = digit & _LOW32
        carry = digit >> _U32
    carry = _U0
    for i in range(8):
        low = (io[RESULT + i] & _LOW32) << shift | carry
        high = (io[RESULT + i] >> _U32) << shift | low >> _U32
        io[u + 2 * i] = low & _LOW32
        io[u + 2 * i + 1] = high & _LOW32
        carry = high >> _U32
    io[u + 16] = carry

    top = io[v + n - 1]
    below = io[v + n - 2] if n > 1 else _U0
    for j in range(16 - n, -1, -1):
        head = io[u + j + n] << _U32 | io[u + j + n - 1]
        quotient = head // top
        remainder = head - quotient * top
        third = io[u + j + n - 2] if n > 1 else _U0
        while quotient > _LOW32 or quotient * below > (remainder << _U32 | third):
            quotient -= _U1
            remainder += top
            if remainder > _LOW32:
                break
        # u -= quotient * v at digit j; the estimate is at most one too large.
        borrow = _U0
        for i in range(n):
            product = quotient * io[v + i] + borrow
            digit = io[u + j + i] - (product & _LOW32)
            io[u + j + i] = digit & _LOW32
            borrow = (product >> _U32) + (digit >> _U32 & _U1)
        digit = io[u + j + n] - borrow
        io[u + j + n] = digit & _LOW32
        if digit >> _U32 != _U0:
            carry = _U0
            for i in range(n):
                total = io[u + j + i] + io[v + i] + carry
                io[u + j + i] = total & _LOW32
                carry = total >> _U32
            io[u + j + n] = (io[u + j + n] + carry) & _LOW32

    for i in range(n, 9):
        io[u + i] = _U0
    for i in range(4):
        low, high, above = io[u + 2 * i], io[u + 2 * i + 1], io[u + 2 * i + 2]
        joined = low | high << _U32
        if shift != _U0:
            joined = joined >> shift | above << (_U64 - shift)
        io[RESULT + i] = joined
    return True
