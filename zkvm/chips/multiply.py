"""
Multiply: MUL, MULH, MULHSU, MULHU, MULW.

Given
-----
- The frame (gadgets/registers.py): a is rs1, b is rs2; their limbs are below 2^16.

Proves
------
- product = a b as a 128-bit number modulo 2^128, where a is read as signed for MULH and MULHSU and b for MULH.
- result = the lower half (MUL), the upper half (MULH, MULHSU, MULHU), or the lower 32 bits with bit 31 copied into the
  upper half (MULW); rd holds it after the step, its limbs below 2^16.

How: a in 16-bit limbs times b in bytes, so that a partial product is below 2^24. The sum at byte position m is
S_m = sum over 2 i + j = m of a_i b_j, at most four terms: S_m < 2^26. The even ones stand at limb boundaries; an odd
one, half a limb up, is cut, S_(2n+1) = low + 2^11 high, since 2^8 S = 2^8 low + 2^16 (8 high): nothing overflows.

Padding
-------
- All operation bits are 0: no message is sent.

Source: RISC-V Unprivileged ISA, M extension.
"""

from typing import Any

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, group, limbs
from zkvm.chips.buses import BYTE, ByteOperation
from zkvm.chips.counts import count_byte, count_range
from zkvm.chips.gadgets.limbs import ALL_ONES, byte, fill_limbs, limb, limbs_of_bytes
from zkvm.chips.gadgets.ranges import LIMB, LIMB_BITS, check_range
from zkvm.chips.gadgets.registers import Frame, fill_frame, frame
from zkvm.chips.gadgets.sign import TOP_BIT, fill_signed_top, signed_top
from zkvm.field.koala_bear import PRIME
from zkvm.isa.instructions import Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import STEP_TICKS

CUT_BITS = 11
"""Where an odd sum is cut. 11 and 15 bits hold S < 2^26."""

HIGH_BITS = 15

CARRY_BITS = 11
"""
A limb's total is below S + 2^8 low + 8 high + carry < 2^26 + 2^19 + 2^18 + 2^11 < 2^16 (2^11 - 2).
"""

CARRY_OFFSET = 2
"""The signs subtract up to two limbs, so a carry may be negative, but not below -2."""

SPLIT_COUNT = 7
"""Odd positions 1, 3, .., 13."""


class Row(Columns):
    is_mul = bit("this row proves MUL")
    is_mulh = bit("this row proves MULH")
    is_mulhsu = bit("this row proves MULHSU")
    is_mulhu = bit("this row proves MULHU")
    is_mulw = bit("this row proves MULW")
    frame = group(Frame, "the instruction around the operation")
    a = limbs("first operand: rs1")
    b = column("bytes of the second operand: rs2", 8)
    b_and = column("for each limb of b: its two bytes' AND, only because the byte table asks for it", 4)
    a_is_negative = bit("a is negative and read as signed")
    b_is_negative = bit("b is negative and read as signed")
    low = column("odd sums' lower 11 bits", SPLIT_COUNT)
    high = column("odd sums' upper 15 bits", SPLIT_COUNT)
    product = limbs("the product", 8)
    carry = column("carry out of each limb of the product", 8)
    word_sign = bit("bit 31 of the product in MULW, else 0")
    result = limbs("what is written to rd")


def constrain(air: Any, row: Any) -> None:
    is_upper = row.is_mulh + row.is_mulhsu + row.is_mulhu
    is_real = row.is_mul + is_upper + row.is_mulw
    air.bit("one operation at most", is_real)
    operation = (
        row.is_mul * Operation.MUL + row.is_mulh * Operation.MULH + row.is_mulhsu * Operation.MULHSU
        + row.is_mulhu * Operation.MULHU + row.is_mulw * Operation.MULW
    )  # fmt: skip
    b_limbs = limbs_of_bytes(row.b)
    frame(air, row.frame, operation, is_real, 0, row.a, b_limbs, row.result)

    for i in range(4):
        air.send(
            BYTE,
            ByteOperation.AND,
            row.b[2 * i],
            row.b[2 * i + 1],
            row.b_and[i],
            count=is_real,
            label=f"bytes of b[{i}]",
        )
    signed_top(air, "top limb of a", row.a[3], row.a_is_negative, row.is_mulh + row.is_mulhsu, is_real)
    signed_top(air, "top limb of b", b_limbs[3], row.b_is_negative, row.is_mulh, is_real)

    sums = partial_sums(row.a, row.b)
    for n in range(SPLIT_COUNT):
        # S < 2^26 and low + 2^11 high < 2^26, both far below p: equal as integers.
        air.equal(f"sum {2 * n + 1} is cut", sums[2 * n + 1], row.low[n] + 2**CUT_BITS * row.high[n])
        check_range(air, f"low[{n}]", row.low[n], CUT_BITS, is_real)
        check_range(air, f"high[{n}]", row.high[n], HIGH_BITS, is_real)

    # Limb n: S_2n + 2^8 low_n + 8 high_(n-1) + carry_(n-1) - signs = product_n + 2^16 carry_n. Both sides lie in
    # (-2^19, 2^28): equal as integers. A negative a stands for a - 2^64, which takes b off the upper half, and b's sign
    # takes off a.
    for n in range(8):
        total: Any = sums[2 * n] if n < SPLIT_COUNT else 0
        total = total + 2**8 * row.low[n] if n < SPLIT_COUNT else total
        total = total + 2 ** (CUT_BITS - 8) * row.high[n - 1] + row.carry[n - 1] if n else total
        if n >= 4:
            total = total - row.a_is_negative * b_limbs[n - 4] - row.b_is_negative * row.a[n - 4]
        air.equal(f"limb {n} of the product", total, row.product[n] + LIMB * row.carry[n])
        if n < 7:
            offset = CARRY_OFFSET if n >= 4 else 0
            check_range(air, f"carry[{n}]", row.carry[n] + offset * is_real, CARRY_BITS, is_real)
    # a b - 2^64 (a + b) = (2^64 - a)(2^64 - b) - 2^128 >= -2^128: the signs take off at most one 2^128.
    air.zero("the last carry is 0 or -1", row.carry[7] * (row.carry[7] + 1))

    # MULW's sign is the top bit of product[1], which is range-checked in the same message.
    air.zero("only MULW has a word sign", row.word_sign * (1 - row.is_mulw))
    for n in range(8):
        if n == 1:
            check_range(air, "product[1]", row.product[1] - TOP_BIT * row.word_sign, LIMB_BITS - row.is_mulw, is_real)
        else:
            check_range(air, f"product[{n}]", row.product[n], LIMB_BITS, is_real)

    for i in range(4):
        word = row.is_mulw * row.product[i] if i < 2 else ALL_ONES * row.word_sign
        air.equal(f"result[{i}]", row.result[i], row.is_mul * row.product[i] + is_upper * row.product[4 + i] + word)


def partial_sums(a: Any, b: Any) -> list[Any]:
    """S_0 .. S_13: S_m is the sum of a[i] b[j] over 2 i + j = m, i < 4, j < 8."""
    sums: list[Any] = [0] * 14
    for i in range(4):
        for j in range(8):
            sums[2 * i + j] = sums[2 * i + j] + a[i] * b[j]
    return sums


@kernel
def fill(program, events, rows, counts):
    """Writes row i from event i; arguments as in `add.fill`."""
    for i in range(len(events)):
        event = events[i]
        line = program[event.instruction]
        row = rows[i]
        operation = line.operation
        is_mulw = operation == Operation.MULW.value
        is_mul = operation == Operation.MUL.value
        row.is_mul = is_mul
        row.is_mulh = operation == Operation.MULH.value
        row.is_mulhsu = operation == Operation.MULHSU.value
        row.is_mulhu = operation == Operation.MULHU.value
        row.is_mulw = is_mulw
        fill_frame(row.frame, event, line, counts)
        fill_limbs(row.a, event.a)
        for j in range(8):
            row.b[j] = byte(event.b, j)
        for j in range(4):
            row.b_and[j] = byte(event.b, 2 * j) & byte(event.b, 2 * j + 1)
            count_byte(counts, ByteOperation.AND.value, byte(event.b, 2 * j), byte(event.b, 2 * j + 1))
        a_is_signed = operation == Operation.MULH.value or operation == Operation.MULHSU.value
        a_sign = fill_signed_top(limb(event.a, 3), a_is_signed, counts)
        b_sign = fill_signed_top(limb(event.b, 3), operation == Operation.MULH.value, counts)
        row.a_is_negative = a_sign
        row.b_is_negative = b_sign

        carry = np.int64(0)
        for n in range(8):
            total = carry
            if n > 0:
                total += np.int64(row.high[n - 1]) << (CUT_BITS - 8)
            if n < SPLIT_COUNT:
                total += fill_cut(row.low, row.high, n, event.a, event.b, counts)
            if n >= 4:
                total -= a_sign * np.int64(limb(event.b, n - 4)) + b_sign * np.int64(limb(event.a, n - 4))
            value = total & 0xFFFF
            carry = total >> 16
            row.product[n] = value
            row.carry[n] = carry if carry >= 0 else carry + PRIME
            if n < 7:
                count_range(counts, CARRY_BITS, carry + CARRY_OFFSET if n >= 4 else carry)
            if n == 1 and is_mulw:
                row.word_sign = value >= TOP_BIT
                count_range(counts, LIMB_BITS - 1, value & (TOP_BIT - 1))
            else:
                count_range(counts, LIMB_BITS, value)
        fill_limbs(row.result, event.result)


@kernel(inline=True)
def fill_cut(low, high, n, a, b, counts):
    """Cuts the odd sum 2 n + 1 of a in limbs times b in bytes, and returns S_2n + 2^8 low[n]."""
    even = partial_sum(a, b, 2 * n)
    odd = partial_sum(a, b, 2 * n + 1)
    low[n] = odd & ((1 << CUT_BITS) - 1)
    high[n] = odd >> CUT_BITS
    count_range(counts, CUT_BITS, odd & ((1 << CUT_BITS) - 1))
    count_range(counts, HIGH_BITS, odd >> CUT_BITS)
    return even + ((odd & ((1 << CUT_BITS) - 1)) << 8)


@kernel(inline=True)
def partial_sum(a, b, m):
    """S_m of two uint64: the sum of limb i of a times byte j of b over 2 i + j = m."""
    total = np.int64(0)
    for i in range(4):
        j = m - 2 * i
        if 0 <= j < 8:
            total += np.int64(limb(a, i)) * np.int64(byte(b, j))
    return total


def reference(operation: Operation, a: int, b: int) -> int:
    """The result of a multiplication of two 64-bit numbers."""
    if operation in (Operation.MULH, Operation.MULHSU):
        a -= a >> 63 << 64
    if operation == Operation.MULH:
        b -= b >> 63 << 64
    product = a * b
    if operation == Operation.MUL:
        return product % 2**64
    if operation == Operation.MULW:
        word = product % 2**32
        return (word - (word >> 31 << 32)) % 2**64
    return (product >> 64) % 2**64


CHIP = Chip("multiply", Row, constrain, fill=fill, reference=reference, clk_increment=STEP_TICKS)
