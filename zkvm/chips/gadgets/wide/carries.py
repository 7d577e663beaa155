"""
A sum of digits is 0 as an integer.

Given
-----
- every digit in the sum keeps the bounds that it was declared with, on every row with count 1; count is 0 or 1.

Proves, where count = 1
-----------------------
- the integer sum of 256^m e_m is 0: step by step, the total with the carry in is 256^width times the carry out, and
  the last total is 0. That no step wraps modulo p is checked by `DigitSum.steps`, from exact bounds, when the chip is
  declared.

Padding
-------
- the totals are 0 where all digits are.

Source: the usual carry chain of multi-precision arithmetic in a small field; bounds by interval arithmetic.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.ranges import check_range
from zkvm.chips.gadgets.wide.digits import DigitSum
from zkvm.field.koala_bear import PRIME
from zkvm.kernels.policy import kernel


def is_zero(air: Any, name: str, total: DigitSum, carries: Sequence[Any], count: Any) -> None:
    """carries: one cell for each step but the last. Raises ValueError if there are more or fewer."""
    steps = total.steps()
    carry: Any = 0
    for i, (step, cell) in enumerate(zip(steps, [*carries, None], strict=True)):
        value = carry + sum(256**j * total.values[step.start + j] for j in range(step.width))
        if step.bits is None or step.offset is None:
            air.zero(f"{name}: the rest is 0", value)
        else:
            air.equal(f"{name}: step {i}", value, 256**step.width * cell)
            check_range(air, f"{name}: carry {i}", cell + step.offset, step.bits, count)
            carry = cell


@kernel
def fill_carries(sums, table, cells, counts):
    """
    Writes the carries of a digit sum that is 0, and counts their look-ups.

    sums: (length,) int64, by byte position. table: (n, 4) of digits.step_table. cells: (n,) uint32.
    """
    carry = np.int64(0)
    for i in range(len(table)):
        start, width = table[i, 0], table[i, 1]
        total = carry
        for j in range(width):
            total += sums[start + j] << (8 * j)
        carry = total >> (8 * width)
        cells[i] = carry if carry >= 0 else carry + PRIME
        # Only rows that claim something false have a carry out of range: they are counted somewhere.
        count_range(counts, table[i, 3], (carry + table[i, 2]) & ((np.int64(1) << table[i, 3]) - 1))


@kernel
def add_product(sums, a, b, weight):
    """Adds weight a b to sums; a, b: (32,) or longer int64 digits by byte position."""
    for i in range(len(a)):
        for j in range(len(b)):
            sums[i + j] += weight * a[i] * b[j]


@kernel
def add_limbs(sums, limbs, weight):
    """Adds weight times the number with these 16-bit limbs, int64."""
    for i in range(len(limbs)):
        sums[2 * i] += weight * limbs[i]


ONE, MINUS_ONE = np.array([1, -1], dtype=np.int64)
"""Weights. As int64 they do not have `add_product` and `add_limbs` compiled for every literal."""
