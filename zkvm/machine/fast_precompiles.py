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
from zkvm.machine.precompiles import KECCAK_ROUND_CONSTANTS, SHA256_ROUND_CONSTANTS

RESULT: Final = 32
IO_WORDS: Final = 160

_SCRATCH: Final = 64

_U0 = np.uint64(0)
_U1 = np.uint64(1)
_U32 = np.uint64(32)
_U64 = np.uint64(64)
_LOW32 = np.uint64(0xFFFF_FFFF)
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)

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

else:

    def multiply_add(a: Any, b: Any, c: Any, d: Any) -> Any:
        """(high, low) words of a * b + c + d, which never exceeds 2^128 - 1; all uint64."""
        total = int(a) * int(b) + int(c) + int(d)
        return np.uint64(total >> 64), np.uint64(total & 0xFFFF_FFFF_FFFF_FFFF)


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
def _reduce_once(r0, r1, r2, r3, overflow):
    """r + 2^256 overflow, below 2p, brought below p."""
    above = overflow | np.uint64((r3 == _ALL) & (r2 == _ALL) & (r1 == _ALL) & (r0 >= _P0))
    # Subtracting p is adding 2^256 - p and dropping the carry out.
    carry, r0 = multiply_add(above, _FOLD, r0, _U0)
    r1 = r1 + carry
    carry = np.uint64(r1 < carry)
    r2 = r2 + carry
    carry = np.uint64(r2 < carry)
    return r0, r1, r2, r3 + carry


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
    # With the carry, r + 2^256 c is below 2^256 + 2^67: one subtraction of p is enough.
    return _reduce_once(r0, r1, r2, r3, c)


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


# A curve operation is a list of steps on elements in `io`: (kind, out, a, b, count), the first four naming positions.
# One short loop runs them all; compiled one by one, the same steps would take seconds to compile.
_SUBTRACT, _MULTIPLY = 0, 1


def _multiply(out: int, a: int, b: int, count: int = 0) -> tuple[int, int, int, int, int]:
    """out = a^(2^count) * b."""
    return _MULTIPLY, out, a, b, count


def _subtract(out: int, a: int, b: int) -> tuple[int, int, int, int, int]:
    """out = a - b."""
    return _SUBTRACT, out, a, b, 0


def _invert(out: int, a: int, free: int) -> list[tuple[int, int, int, int, int]]:
    """
    out = a^(p-2), the inverse of a != 0; uses five elements from `free` on, and `out` must not be among them or a.

    p - 2 in binary is 223 ones, 0, 22 ones, 0000 1 0 11 0 1. Each run of ones comes from doubling shorter runs: with
    x_k = a^(2^k - 1), x_(j+k) = x_j^(2^k) x_k.
    """
    x2, x3, x22, x44, x = range(free, free + 20, 4)
    return [
        _multiply(x2, a, a, 1),
        _multiply(x3, x2, a, 1),
        _multiply(x, x3, x3, 3),  # x_6
        _multiply(x, x, x3, 3),  # x_9
        _multiply(x, x, x2, 2),  # x_11
        _multiply(x22, x, x, 11),
        _multiply(x44, x22, x22, 22),
        _multiply(x, x44, x44, 44),  # x_88
        _multiply(x, x, x, 88),  # x_176
        _multiply(x, x, x44, 44),  # x_220
        _multiply(x, x, x3, 3),  # x_223
        _multiply(x, x, x22, 23),
        _multiply(x, x, a, 5),
        _multiply(x, x, x2, 3),
        _multiply(out, x, a, 2),
    ]


def _third_point(x1: int, y1: int, x2: int, slope: int, t: int) -> list[tuple[int, int, int, int, int]]:
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
_T, _S, _U, _FREE = _SCRATCH, _SCRATCH + 4, _SCRATCH + 8, _SCRATCH + 12

_ADD_STEPS = np.array(
    [
        _subtract(_T, _X2, _X1),
        *_invert(_S, _T, _FREE),
        _subtract(_T, _Y2, _Y1),
        _multiply(_S, _T, _S),
        *_third_point(_X1, _Y1, _X2, _S, _T),
    ]
)

_DOUBLE_STEPS = np.array(
    [
        # Sums are differences of negatives: 2y = y - (0 - y), and 3x^2 likewise.
        _subtract(_U, _Y1, _Y1),
        _subtract(_T, _U, _Y1),
        _subtract(_T, _Y1, _T),
        *_invert(_S, _T, _FREE),
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
    """Runs steps, (n, 5) int64 as above, on the elements in io."""
    for step in range(steps.shape[0]):
        out, a, b = steps[step, 1], steps[step, 2], steps[step, 3]
        r0, r1, r2, r3 = io[a], io[a + 1], io[a + 2], io[a + 3]
        b0, b1, b2, b3 = io[b], io[b + 1], io[b + 2], io[b + 3]
        if steps[step, 0] == _SUBTRACT:
            r0, r1, r2, r3 = _field_subtract(r0, r1, r2, r3, b0, b1, b2, b3)
        else:
            for _ in range(steps[step, 4]):
                r0, r1, r2, r3 = _field_multiply(r0, r1, r2, r3, r0, r1, r2, r3)
            r0, r1, r2, r3 = _field_multiply(r0, r1, r2, r3, b0, b1, b2, b3)
        io[out], io[out + 1], io[out + 2], io[out + 3] = r0, r1, r2, r3


@kernel
def _is_reduced(io, position):
    """Whether the four words at io[position] are below the prime."""
    all_ones = io[position + 1] & io[position + 2] & io[position + 3]
    return not (all_ones == _ALL and io[position] >= _P0)


@kernel
def secp256k1_add(io: NDArray[np.uint64]) -> bool:
    """P + Q of x_P, y_P, x_Q, y_Q at io[0:16]; 8 words of result. False unless reduced and x_P != x_Q."""
    for position in range(0, 16, 4):
        if not _is_reduced(io, position):
            return False
    if io[0] == io[8] and io[1] == io[9] and io[2] == io[10] and io[3] == io[11]:
        return False
    _run_field_steps(io, _ADD_STEPS)
    return True


@kernel
def secp256k1_double(io: NDArray[np.uint64]) -> bool:
    """2P of x, y at io[0:8]; 8 words of result. False unless reduced and y != 0."""
    if not (_is_reduced(io, 0) and _is_reduced(io, 4)) or (io[4] | io[5] | io[6] | io[7]) == _U0:
        return False
    _run_field_steps(io, _DOUBLE_STEPS)
    return True


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
