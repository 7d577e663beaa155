"""
a b + c of 256-bit numbers, 512 bits: one row a call.

Given
-----
- limbs of memory tokens are below 2^16.
- the ecall row sends each call once, under its own clk.

Proves
------
- the words at a0 held a, b, c at clk + 3;
- at clk + 4 the eight words at a1 hold a b + c, which is below 2^512; words of a, b, c among them are read before.

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
from zkvm.chips.gadgets.wide.operands import fill_accesses, read, write
from zkvm.kernels.policy import kernel
from zkvm.machine import precompiles
from zkvm.machine.events import PRECOMPILE_READ_SLOT, PRECOMPILE_WRITE_SLOT
from zkvm.machine.syscalls import Syscall

READS = 12
WRITES = 8
BYTES = 32
LIMBS = 16


def difference(a: Digits, b: Digits, c: Digits, result: Digits) -> DigitSum:
    """a b + c - result."""
    return DigitSum(2 * BYTES).add_product(a, b).add(c).add(result, -1)


_NO_BYTES = of_bytes([0] * BYTES)
_STEPS = difference(_NO_BYTES, _NO_BYTES, of_limbs([0] * LIMBS), of_limbs([0] * 2 * LIMBS)).steps()


class Row(Columns):
    is_real = bit("this row is a call")
    clk = column("time of the call")
    a0 = column("doubleword address of a, b, c")
    a1 = column("doubleword address of the result")
    read = group(Access, "the access of the operands' words", READS)
    written = group(Access, "the access of the result's words", WRITES)
    a = group(Bytes256, "first factor")
    b = group(Bytes256, "second factor")
    c = limbs("summand", LIMBS)
    old = limbs("what the result overwrites", 2 * LIMBS)
    result = limbs("a b + c", 2 * LIMBS)
    carry = column("carries", len(_STEPS) - 1)


def constrain(air: Any, row: Any) -> None:
    real = row.is_real
    air.receive(SYSCALL, Syscall.ARITH256, row.clk, row.a0, row.a1, count=real, label="call")
    a, b = bytes256(air, "a", row.a, real), bytes256(air, "b", row.b, real)
    check_limbs(air, "result", row.result, real)
    is_zero(air, "product", difference(a, b, of_limbs(row.c), of_limbs(row.result)), row.carry, real)
    read(air, "operand", row.read, row.a0, row.clk, (*limbs_of(row.a), *limbs_of(row.b), *row.c), real)
    write(air, "result", row.written, row.a1, row.clk, row.old, row.result, real)


_TABLE = step_table(_STEPS)


@kernel
def fill(program, events, rows, counts):
    """
    Writes row i from event i.

    program: not used (every filler has it). events: (n,) machine.events.PRECOMPILE_EVENT[ARITH256]. rows: (h,) records
    of Row, h >= n, all 0; rows past n stay padding. counts: chips.counts.Counts, added to.
    """
    words = np.zeros(READS, dtype=np.uint64)
    digits = np.zeros((3, BYTES), dtype=np.int64)
    limbs = np.zeros((3, LIMBS), dtype=np.int64)
    wide_digits = np.zeros((2, BYTES), dtype=np.int64)
    wide_limbs = np.zeros((2, LIMBS), dtype=np.int64)
    wide = wide_limbs.reshape(2 * LIMBS)
    sums = np.zeros(2 * BYTES, dtype=np.int64)
    a, b, c = digits[0], digits[1], limbs[2]
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
        fill_digits(row.c, c)
        copy_words(event.write_old, words)
        split_numbers(words, wide_digits, wide_limbs)
        fill_digits(row.old, wide)
        copy_words(event.write, words)
        split_numbers(words, wide_digits, wide_limbs)
        fill_checked_digits(row.result, wide, counts)
        sums[:] = 0
        add_product(sums, a, b, ONE)
        add_limbs(sums, c, ONE)
        add_limbs(sums, wide, MINUS_ONE)
        fill_carries(sums, _TABLE, row.carry, counts)


CHIP = Chip("arith256", Row, constrain, fill=fill, reference=precompiles.arith256)
