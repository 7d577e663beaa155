"""
(a b + c) mod m of 256-bit numbers: one row a call.

Given
-----
- limbs of memory tokens are below 2^16.
- the ecall row sends each call once, under its own clk.

Proves
------
- the words at a0 held a, b, c, m at clk + 3, and m is not 0;
- at clk + 4 the four words at a1 hold r < m with a b + c = q m + r, q below 2^512; words of the operands among them
  are read before.

That r < m leaves no proof for m = 0. q needs 512 bits where m is small: a b + c < 2^512.

Padding
-------
- a row of zeros holds; a row with is_real = 0 touches no bus.

Source: docs/specs/machine.md, "ecall".
"""

from typing import Any

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, group, limbs
from zkvm.chips.buses import SYSCALL
from zkvm.chips.gadgets.access import Access
from zkvm.chips.gadgets.ranges import check_limbs
from zkvm.chips.gadgets.wide.bytes256 import (
    Bytes256,
    bytes256,
    copy_words,
    fill_bytes256,
    fill_checked_digits,
    fill_digits,
    limbs_of,
    split_numbers,
)
from zkvm.chips.gadgets.wide.carries import MINUS_ONE, ONE, add_limbs, add_product, fill_carries, is_zero
from zkvm.chips.gadgets.wide.digits import Digits, DigitSum, of_bytes, of_limbs, step_table
from zkvm.chips.gadgets.wide.less_than import LessThan256, fill_less_than, less_than
from zkvm.chips.gadgets.wide.operands import fill_accesses, read, write
from zkvm.kernels.policy import kernel
from zkvm.machine import precompiles
from zkvm.machine.events import PRECOMPILE_READ_SLOT, PRECOMPILE_WRITE_SLOT
from zkvm.machine.syscalls import Syscall

READS = 16
WRITES = 4
BYTES = 32
LIMBS = 16
QUOTIENT_PARTS = 2


def difference(a: Digits, b: Digits, c: Digits, quotient: Digits, modulus: Digits, result: Digits) -> DigitSum:
    """a b + c - q m - r."""
    total = DigitSum((1 + QUOTIENT_PARTS) * BYTES).add_product(a, b).add(c)
    return total.add_product(quotient, modulus, -1).add(result, -1)


_NO_BYTES, _NO_LIMBS = of_bytes([0] * BYTES), of_limbs([0] * LIMBS)
_STEPS = difference(
    _NO_BYTES, _NO_BYTES, _NO_LIMBS, of_bytes([0] * QUOTIENT_PARTS * BYTES), _NO_BYTES, _NO_LIMBS
).steps()


class Row(Columns):
    is_real = bit("this row is a call")
    clk = column("time of the call")
    a0 = column("doubleword address of a, b, c, m")
    a1 = column("doubleword address of the result")
    read = group(Access, "the access of the operands' words", READS)
    written = group(Access, "the access of the result's words", WRITES)
    a = group(Bytes256, "first factor")
    b = group(Bytes256, "second factor")
    c = limbs("summand", LIMBS)
    m = group(Bytes256, "modulus")
    old = limbs("what the result overwrites", LIMBS)
    result = limbs("r", LIMBS)
    order = group(LessThan256, "r is less than m")
    quotient = group(Bytes256, "q, the lower half first", QUOTIENT_PARTS)
    carry = column("carries", len(_STEPS) - 1)


def constrain(air: Any, row: Any) -> None:
    real = row.is_real
    air.receive(SYSCALL, Syscall.ARITH256_MOD, row.clk, row.a0, row.a1, count=real, label="call")
    a, b, m = (bytes256(air, name, cells, real) for name, cells in (("a", row.a), ("b", row.b), ("m", row.m)))
    parts = [bytes256(air, f"quotient {i}", part, real) for i, part in enumerate(row.quotient)]
    quotient = of_bytes([value for part in parts for value in part.values])
    check_limbs(air, "result", row.result, real)
    less_than(air, "result", row.order, row.result, limbs_of(row.m), real)
    is_zero(air, "division", difference(a, b, of_limbs(row.c), quotient, m, of_limbs(row.result)), row.carry, real)
    operands = (*limbs_of(row.a), *limbs_of(row.b), *row.c, *limbs_of(row.m))
    read(air, "operand", row.read, row.a0, row.clk, operands, real)
    write(air, "result", row.written, row.a1, row.clk, row.old, row.result, real)


_TABLE = step_table(_STEPS)


@kernel
def fill(program, events, rows, counts):
    """
    Writes row i from event i.

    program: not used (every filler has it). events: (n,) machine.events.PRECOMPILE_EVENT[ARITH256_MOD]. rows: (h,)
    records of Row, h >= n, all 0; rows past n stay padding. counts: chips.counts.Counts, added to.
    """
    words = np.zeros(READS, dtype=np.uint64)
    digits = np.zeros((4, BYTES), dtype=np.int64)
    limbs = np.zeros((4, LIMBS), dtype=np.int64)
    result_digits = np.zeros((1, BYTES), dtype=np.int64)
    result_limbs = np.zeros((1, LIMBS), dtype=np.int64)
    quotient = np.zeros(QUOTIENT_PARTS * BYTES, dtype=np.int64)
    sums = np.zeros((1 + QUOTIENT_PARTS) * BYTES, dtype=np.int64)
    a, b, c, m, result = digits[0], digits[1], limbs[2], digits[3], result_limbs[0]
    for i in range(len(events)):
        event, row = events[i], rows[i]
        row.is_real = 1
        row.clk = event.clk
        row.a0 = event.a0 >> 3
        row.a1 = event.a1 >> 3
        fill_accesses(row.read, event.previous_read, 0, event.clk + PRECOMPILE_READ_SLOT, counts)
        fill_accesses(row.written, event.previous_write, 0, event.clk + PRECOMPILE_WRITE_SLOT, counts)
        copy_words(event.read, words)
        split_numbers(words, digits, limbs)
        fill_bytes256(row.a.byte, row.a.conjunction, a, counts)
        fill_bytes256(row.b.byte, row.b.conjunction, b, counts)
        fill_bytes256(row.m.byte, row.m.conjunction, m, counts)
        fill_digits(row.c, c)
        copy_words(event.write_old, words)
        split_numbers(words, result_digits, result_limbs)
        fill_digits(row.old, result)
        copy_words(event.write, words)
        split_numbers(words, result_digits, result_limbs)
        fill_checked_digits(row.result, result, counts)
        row.order.difference = fill_less_than(row.order.differs_at, result, limbs[3], counts) & 0xFFFF
        sums[:] = 0
        add_product(sums, a, b, ONE)
        add_limbs(sums, c, ONE)
        add_limbs(sums, result, MINUS_ONE)
        divide_exactly(sums, m, quotient)
        for part in range(QUOTIENT_PARTS):
            half = quotient[part * BYTES : (part + 1) * BYTES]
            fill_bytes256(row.quotient[part].byte, row.quotient[part].conjunction, half, counts)
        add_product(sums, quotient, m, MINUS_ONE)
        fill_carries(sums, _TABLE, row.carry, counts)


@kernel
def divide_exactly(sums, m, quotient):
    """
    quotient = sums / m in 64 bytes, where sums, (96,) int64 by byte position, is a multiple q m of m, q < 2^512; all
    digits int64.

    Both are shifted right until m is odd; then each byte of the quotient follows from the lowest byte left, since m
    has an inverse modulo 2^8. For m = 0, which has no quotient, the result is 0.
    """
    size = len(quotient)
    quotient[:] = 0
    low = 0
    while low < BYTES and m[low] == 0:
        low += 1
    if low == BYTES:
        return
    shift = 0
    while (m[low] >> shift) & 1 == 0:
        shift += 1
    # The lowest `size` bytes of sums / 256^low, one more to shift in from; and m likewise.
    digits = np.zeros(size + 1, dtype=np.int64)
    odd = np.zeros(BYTES, dtype=np.int64)
    carry = np.int64(0)
    for k in range(low + size + 1):
        carry += sums[k] if k < len(sums) else 0
        if k >= low:
            digits[k - low] = carry & 0xFF
        carry >>= 8
    for k in range(size):
        digits[k] = ((digits[k] | digits[k + 1] << 8) >> shift) & 0xFF
    for k in range(low, BYTES):
        above = m[k + 1] if k + 1 < BYTES else np.int64(0)
        odd[k - low] = ((m[k] | above << 8) >> shift) & 0xFF
    inverse = odd[0]
    # x -> x (2 - odd x) doubles the number of right bits; odd[0] is right in three.
    inverse = (inverse * (2 - odd[0] * inverse)) & 0xFF
    inverse = (inverse * (2 - odd[0] * inverse)) & 0xFF
    carry = np.int64(0)
    for k in range(size):
        total = digits[k] + carry
        for j in range(1, min(k, BYTES - 1) + 1):
            total -= quotient[k - j] * odd[j]
        quotient[k] = (total * inverse) & 0xFF
        carry = (total - quotient[k] * odd[0]) >> 8


CHIP = Chip("arith256_mod", Row, constrain, fill=fill, reference=precompiles.arith256_mod)
