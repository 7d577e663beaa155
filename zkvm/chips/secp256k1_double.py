"""
Doubling of a point of secp256k1: one row a call.

Given
-----
- limbs of memory tokens are below 2^16.
- the ecall row sends each call once, under its own clk, with 0 for a1.

Proves
------
- the words at a0 held P = (x, y), both below p, y not 0;
- at clk + 4 they hold the third point of the line through P with slope 3 x^2 / (2 y), mirrored: 2 P where P lies on
  the curve.

How: 2 slope y - 3 x^2 = (q + 2^256 (t - 4)) p as integers, 0 <= t < 8: the left side lies between -3 p^2 and 2 p^2. 2
y is not 0 modulo p, so the slope is one class modulo p.

Padding
-------
- a row of zeros holds; a row with is_real = 0 touches no bus.

Source: docs/specs/machine.md, "ecall"; SEC 1, version 2.0, section 2.2.1, with a = 0.
"""

from typing import Any

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, group, limbs
from zkvm.chips.buses import SYSCALL
from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.access import Access
from zkvm.chips.gadgets.ranges import check_limbs, check_range
from zkvm.chips.gadgets.wide.bytes256 import Bytes256, bytes256, copy_words, fill_bytes256, limbs_of, split_numbers
from zkvm.chips.gadgets.wide.carries import MINUS_ONE, ONE, add_product, fill_carries, is_zero
from zkvm.chips.gadgets.wide.curve import (
    NO_BYTES,
    NO_LIMBS,
    SUM_LENGTH,
    ThirdPoint,
    fill_canonical_cells,
    fill_third_point,
    third_point,
)
from zkvm.chips.gadgets.wide.digits import Digits, DigitSum, of_limbs, single, step_table
from zkvm.chips.gadgets.wide.operands import fill_accesses, replace
from zkvm.chips.gadgets.wide.prime_field import (
    BYTES,
    LIMBS,
    Canonical,
    add_multiple,
    add_small_multiple,
    canonical,
    fill_quotient,
    inverse_modulo_p,
)
from zkvm.kernels.policy import kernel
from zkvm.machine import precompiles
from zkvm.machine.events import PRECOMPILE_READ_SLOT
from zkvm.machine.fast_precompiles import _S as SLOPE
from zkvm.machine.fast_precompiles import IO_WORDS
from zkvm.machine.fast_precompiles import secp256k1_double as run_steps
from zkvm.machine.syscalls import Syscall

WORDS = 8
TOP_BITS = 3
TOP_OFFSET = 4


def slope_sum(slope: Digits, x: Digits, y: Digits, quotient: Digits, top: Any) -> DigitSum:
    """2 slope y - 3 x^2 - (q + 2^256 top) p; top in [-TOP_OFFSET, 2^TOP_BITS - TOP_OFFSET)."""
    total = DigitSum(SUM_LENGTH).add_product(slope, y, 2).add_product(x, x, -3)
    bounded = single(top, -TOP_OFFSET, (1 << TOP_BITS) - 1 - TOP_OFFSET)
    return add_multiple(add_multiple(total, quotient, -1), bounded, -1, BYTES)


_STEPS = slope_sum(NO_BYTES, NO_BYTES, NO_BYTES, NO_LIMBS, 0).steps()


class Row(Columns):
    is_real = bit("this row is a call")
    clk = column("time of the call")
    a0 = column("doubleword address of P")
    p_access = group(Access, "the access of P's words", WORDS)
    x = group(Bytes256, "x of P")
    y = group(Bytes256, "y of P")
    operand = group(Canonical, "x and y are below p", 2)
    y_inverse = column("inverse of the sum of y's limbs")
    third = group(ThirdPoint, "slope and result")
    quotient = limbs("q in the equation of the slope", LIMBS)
    top = column("t in the equation of the slope")
    carry = column("carries in the equation of the slope", len(_STEPS) - 1)


def constrain(air: Any, row: Any) -> None:
    real = row.is_real
    air.receive(SYSCALL, Syscall.SECP256K1_DOUBLE, row.clk, row.a0, 0, count=real, label="call")
    x = bytes256(air, "x", row.x, real)
    y = bytes256(air, "y", row.y, real)
    x_limbs, y_limbs = limbs_of(row.x), limbs_of(row.y)
    canonical(air, "x", row.operand[0], x_limbs, real)
    canonical(air, "y", row.operand[1], y_limbs, real)
    # 16 limbs add up to less than 2^20: only 0 gives 0.
    air.equal("y is not 0", row.y_inverse * sum(y_limbs), real)

    slope, result = third_point(air, row.third, x, of_limbs(y_limbs), x, real)
    check_limbs(air, "quotient of the slope", row.quotient, real)
    check_range(air, "top of the quotient", row.top, TOP_BITS, real)
    total = slope_sum(slope, x, y, of_limbs(row.quotient), row.top - TOP_OFFSET * real)
    is_zero(air, "slope", total, row.carry, real)

    replace(air, "P", row.p_access, row.a0, row.clk, (*x_limbs, *y_limbs), result, real)


_TABLE = step_table(_STEPS)


@kernel
def fill(program, events, rows, counts):
    """
    Writes row i from event i.

    program: not used (every filler has it). events: (n,) machine.events.PRECOMPILE_EVENT[SECP256K1_DOUBLE]. rows: (h,)
    records of Row, h >= n, all 0; rows past n stay padding. counts: chips.counts.Counts, added to.
    """
    io = np.zeros(IO_WORDS, dtype=np.uint64)
    point = np.zeros(WORDS, dtype=np.uint64)
    digits = np.zeros((2, BYTES), dtype=np.int64)
    limbs = np.zeros((2, LIMBS), dtype=np.int64)
    slope_digits = np.zeros((1, BYTES), dtype=np.int64)
    slope_limbs = np.zeros((1, LIMBS), dtype=np.int64)
    sums = np.zeros(SUM_LENGTH, dtype=np.int64)
    x, y, slope = limbs[0], limbs[1], slope_digits[0]
    for i in range(len(events)):
        event, row = events[i], rows[i]
        row.is_real = 1
        row.clk = event.clk
        row.a0 = event.a0 >> 3
        fill_accesses(row.p_access, event.previous_read, 0, event.clk + PRECOMPILE_READ_SLOT, counts)
        copy_words(event.read, io)
        copy_words(event.write, point)
        split_numbers(io, digits, limbs)
        fill_bytes256(row.x.byte, row.x.conjunction, digits[0], counts)
        fill_bytes256(row.y.byte, row.y.conjunction, digits[1], counts)
        total = np.int64(0)
        for k in range(LIMBS):
            total += y[k]
        row.y_inverse = inverse_modulo_p(total)
        fill_canonical_cells(row.operand[0], x, counts)
        fill_canonical_cells(row.operand[1], y, counts)

        run_steps(io)
        split_numbers(io[SLOPE:], slope_digits, slope_limbs)
        fill_third_point(row.third, slope, digits[0], x, y, x, point, counts)
        sums[:] = 0
        add_product(sums, slope, digits[1], 2 * ONE)
        add_product(sums, digits[0], digits[0], 3 * MINUS_ONE)
        top = fill_quotient(sums, row.quotient, counts)
        row.top = (top + TOP_OFFSET) & ((1 << TOP_BITS) - 1)
        count_range(counts, TOP_BITS, row.top)
        add_small_multiple(sums, -top, BYTES)
        fill_carries(sums, _TABLE, row.carry, counts)


CHIP = Chip("secp256k1_double", Row, constrain, fill=fill, reference=precompiles.secp256k1_double)
