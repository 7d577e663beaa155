"""
Addition of two points of secp256k1 with different x: one row a call.

Given
-----
- limbs of memory tokens are below 2^16.
- the ecall row sends each call once, under its own clk.

Proves
------
- the words at a0 held P = (x1, y1), those at a1 Q = (x2, y2), all below p, x1 != x2, and no word is in both;
- at clk + 4 the words at a0 hold the third point of the line through P and Q, mirrored: P + Q where both lie on the
  curve.

How: slope (x2 - x1) - (y2 - y1) = (q - 2^256 s) p as integers, with a bit s. x2 - x1 is not 0 modulo p, so the slope
is one class modulo p.

Padding
-------
- a row of zeros holds; a row with is_real = 0 touches no bus.

Source: docs/specs/machine.md, "ecall"; SEC 1, version 2.0, section 2.2.1.
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
    fill_digits,
    limbs_of,
    split_numbers,
)
from zkvm.chips.gadgets.wide.carries import MINUS_ONE, ONE, add_limbs, add_product, fill_carries, is_zero
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
from zkvm.chips.gadgets.wide.operands import fill_accesses, read, replace
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
from zkvm.machine.fast_precompiles import secp256k1_add as run_steps
from zkvm.machine.syscalls import Syscall

WORDS = 8
SIDE = 4
"""The 16 limbs of x2 - x1 as a square."""


def slope_sum(
    slope: Digits, x1: Digits, x2: Digits, y1: Digits, y2: Digits, quotient: Digits, is_negative: Any
) -> DigitSum:
    """slope (x2 - x1) - (y2 - y1) - (q - 2^256 s) p."""
    total = DigitSum(SUM_LENGTH).add_product(slope, x2 - x1).add(y2, -1).add(y1)
    return add_multiple(add_multiple(total, quotient, -1), single(is_negative, 0, 1), 1, BYTES)


_STEPS = slope_sum(NO_BYTES, NO_BYTES, NO_BYTES, NO_LIMBS, NO_LIMBS, NO_LIMBS, 0).steps()


class Row(Columns):
    is_real = bit("this row is a call")
    clk = column("time of the call")
    a0 = column("doubleword address of P")
    a1 = column("doubleword address of Q")
    p_access = group(Access, "the access of P's words", WORDS)
    q_access = group(Access, "the access of Q's words", WORDS)
    x1 = group(Bytes256, "x of P")
    y1 = limbs("y of P", LIMBS)
    x2 = group(Bytes256, "x of Q")
    y2 = limbs("y of Q", LIMBS)
    operand = group(Canonical, "x1, y1, x2, y2 are below p", 4)
    row_weight = column("weights of the four rows of x2 - x1", SIDE)
    column_weight = column("weights of its four columns; weighted, its limbs add up to 1", SIDE)
    third = group(ThirdPoint, "slope and result")
    quotient = limbs("q in the equation of the slope", LIMBS)
    is_negative = bit("s in the equation of the slope")
    carry = column("carries in the equation of the slope", len(_STEPS) - 1)


def constrain(air: Any, row: Any) -> None:
    real = row.is_real
    air.receive(SYSCALL, Syscall.SECP256K1_ADD, row.clk, row.a0, row.a1, count=real, label="call")
    x1 = bytes256(air, "x1", row.x1, real)
    x2 = bytes256(air, "x2", row.x2, real)
    x1_limbs, x2_limbs = limbs_of(row.x1), limbs_of(row.x2)
    y1, y2 = of_limbs(row.y1), of_limbs(row.y2)
    for name, cells, number in zip(
        ("x1", "y1", "x2", "y2"), row.operand, (x1_limbs, row.y1, x2_limbs, row.y2), strict=True
    ):
        canonical(air, name, cells, number, real)

    # Were all limbs equal, no weights would do; where one is not, its inverse and a 1 do.
    weighted = sum(
        row.row_weight[i] * row.column_weight[j] * (x2_limbs[SIDE * i + j] - x1_limbs[SIDE * i + j])
        for i in range(SIDE)
        for j in range(SIDE)
    )
    air.equal("x1 and x2 differ", weighted, real)

    slope, result = third_point(air, row.third, x1, y1, x2, real)
    check_limbs(air, "quotient of the slope", row.quotient, real)
    total = slope_sum(slope, x1, x2, y1, y2, of_limbs(row.quotient), row.is_negative)
    is_zero(air, "slope", total, row.carry, real)

    replace(air, "P", row.p_access, row.a0, row.clk, (*x1_limbs, *row.y1), result, real)
    read(air, "Q", row.q_access, row.a1, row.clk, (*x2_limbs, *row.y2), real)


_TABLE = step_table(_STEPS)


@kernel
def fill(program, events, rows, counts):
    """
    Writes row i from event i.

    program: not used (every filler has it). events: (n,) machine.events.PRECOMPILE_EVENT[SECP256K1_ADD]. rows: (h,)
    records of Row, h >= n, all 0; rows past n stay padding. counts: chips.counts.Counts, added to.
    """
    io = np.zeros(IO_WORDS, dtype=np.uint64)
    point = np.zeros(WORDS, dtype=np.uint64)
    digits = np.zeros((4, BYTES), dtype=np.int64)
    limbs = np.zeros((4, LIMBS), dtype=np.int64)
    slope_digits = np.zeros((1, BYTES), dtype=np.int64)
    slope_limbs = np.zeros((1, LIMBS), dtype=np.int64)
    sums = np.zeros(SUM_LENGTH, dtype=np.int64)
    x1, y1, x2, y2, slope = limbs[0], limbs[1], limbs[2], limbs[3], slope_digits[0]
    for i in range(len(events)):
        event, row = events[i], rows[i]
        row.is_real = 1
        row.clk = event.clk
        row.a0 = event.a0 >> 3
        row.a1 = event.a1 >> 3
        time = event.clk + PRECOMPILE_READ_SLOT
        fill_accesses(row.p_access, event.previous_read, 0, time, counts)
        fill_accesses(row.q_access, event.previous_read, WORDS, time, counts)
        copy_words(event.read, io)
        copy_words(event.write, point)
        split_numbers(io, digits, limbs)
        for k in range(4):
            fill_canonical_cells(row.operand[k], limbs[k], counts)
        fill_bytes256(row.x1.byte, row.x1.conjunction, digits[0], counts)
        fill_bytes256(row.x2.byte, row.x2.conjunction, digits[2], counts)
        fill_digits(row.y1, y1)
        fill_digits(row.y2, y2)
        for k in range(LIMBS):
            if x1[k] != x2[k]:
                row.row_weight[k // SIDE] = 1
                row.column_weight[k % SIDE] = inverse_modulo_p(x2[k] - x1[k])
                break

        run_steps(io)
        split_numbers(io[SLOPE:], slope_digits, slope_limbs)
        fill_third_point(row.third, slope, digits[0], x1, y1, x2, point, counts)
        sums[:] = 0
        add_product(sums, slope, digits[2], ONE)
        add_product(sums, slope, digits[0], MINUS_ONE)
        add_limbs(sums, y2, MINUS_ONE)
        add_limbs(sums, y1, ONE)
        top = fill_quotient(sums, row.quotient, counts)
        row.is_negative = top & 1
        add_small_multiple(sums, -top, BYTES)
        fill_carries(sums, _TABLE, row.carry, counts)


CHIP = Chip("secp256k1_add", Row, constrain, fill=fill, reference=precompiles.secp256k1_add)
