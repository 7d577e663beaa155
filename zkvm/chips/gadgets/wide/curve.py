"""
The third point of a line: where the line of a slope through two points (or a tangent) meets the curve again, mirrored.

Given
-----
- x1, x2 are numbers below p in bytes, y1 one in limbs; count is 0 or 1.

Proves, where count = 1
-----------------------
- the slope is a number of 32 bytes, not necessarily below p, since only its class modulo p matters;
- x = slope^2 - x1 - x2 and y = slope (x1 - x) - y1 modulo p; x and y are below p, their limbs below 2^16.

How: slope^2 - x1 - x2 - x + 3 p = Q p, where Q < 2^256 exists because the left side is not negative and below p^2 + 3
p for a slope below p; slope (x1 - x) - y1 - y = (Q - 2^256 s) p with a bit s. Both are equal as integers (`carries`).

Padding
-------
- No message; cells of 0 hold.

Source: SEC 1, version 2.0, section 2.2.1.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from zkvm.air.columns import Columns, bit, column, group, limbs
from zkvm.chips.gadgets.ranges import check_limbs
from zkvm.chips.gadgets.wide.bytes256 import (
    Bytes256,
    bytes256,
    fill_bytes256,
    fill_checked_digits,
    limbs_of,
    split_numbers,
)
from zkvm.chips.gadgets.wide.carries import MINUS_ONE, ONE, add_limbs, add_product, fill_carries, is_zero
from zkvm.chips.gadgets.wide.digits import Digits, DigitSum, of_bytes, of_limbs, single, step_table
from zkvm.chips.gadgets.wide.prime_field import (
    BYTES,
    LIMBS,
    Canonical,
    add_multiple,
    add_small_multiple,
    canonical,
    fill_canonical,
    fill_quotient,
)
from zkvm.kernels.policy import kernel

SUM_LENGTH: Final = 2 * BYTES + 1
"""Byte positions of a product of two numbers below 2^256, with a sign."""

X_OFFSET: Final = 3
"""Multiples of p added so that slope^2 - x1 - x2 - x is not negative."""


def x_sum(slope: Digits, x1: Digits, x2: Digits, x: Digits, quotient: Digits, count: Any) -> DigitSum:
    """slope^2 - x1 - x2 - x - (Q - X_OFFSET) p."""
    total = DigitSum(SUM_LENGTH).add_product(slope, slope).add(x1, -1).add(x2, -1).add(x, -1)
    return add_multiple(add_multiple(total, quotient, -1), single(count, 0, 1), X_OFFSET)


def y_sum(slope: Digits, x1: Digits, x: Digits, y1: Digits, y: Digits, quotient: Digits, is_negative: Any) -> DigitSum:
    """slope (x1 - x) - y1 - y - (Q - 2^256 s) p."""
    total = DigitSum(SUM_LENGTH).add_product(slope, x1 - x).add(y1, -1).add(y, -1)
    return add_multiple(add_multiple(total, quotient, -1), single(is_negative, 0, 1), 1, BYTES)


NO_BYTES: Final = of_bytes([0] * BYTES)
NO_LIMBS: Final = of_limbs([0] * LIMBS)
"""Stand for any number where only bounds matter."""

_X_STEPS = x_sum(NO_BYTES, NO_BYTES, NO_BYTES, NO_BYTES, NO_LIMBS, 0).steps()
_Y_STEPS = y_sum(NO_BYTES, NO_BYTES, NO_BYTES, NO_LIMBS, NO_LIMBS, NO_LIMBS, 0).steps()


class ThirdPoint(Columns):
    """The slope, the point, and why they belong together."""

    slope = group(Bytes256, "slope of the line")
    x = group(Bytes256, "x of the third point")
    y = limbs("y of the third point", LIMBS)
    x_canonical = group(Canonical, "x is below p")
    y_canonical = group(Canonical, "y is below p")
    x_quotient = limbs("Q in the equation of x", LIMBS)
    x_carry = column("carries in the equation of x", len(_X_STEPS) - 1)
    y_quotient = limbs("Q in the equation of y", LIMBS)
    y_is_negative = bit("s in the equation of y")
    y_carry = column("carries in the equation of y", len(_Y_STEPS) - 1)


def third_point(air: Any, cells: Any, x1: Digits, y1: Digits, x2: Digits, count: Any) -> tuple[Digits, Sequence[Any]]:
    """Returns the slope, and the 32 limbs of the point: x, then y."""
    slope = bytes256(air, "slope", cells.slope, count)
    x = bytes256(air, "x3", cells.x, count)
    x_limbs = limbs_of(cells.x)
    check_limbs(air, "y3", cells.y, count)
    canonical(air, "x3", cells.x_canonical, x_limbs, count)
    canonical(air, "y3", cells.y_canonical, cells.y, count)
    check_limbs(air, "quotient of x3", cells.x_quotient, count)
    check_limbs(air, "quotient of y3", cells.y_quotient, count)
    is_zero(air, "x3", x_sum(slope, x1, x2, x, of_limbs(cells.x_quotient), count), cells.x_carry, count)
    y_total = y_sum(slope, x1, x, y1, of_limbs(cells.y), of_limbs(cells.y_quotient), cells.y_is_negative)
    is_zero(air, "y3", y_total, cells.y_carry, count)
    return slope, (*x_limbs, *cells.y)


_X_MULTIPLES = np.int64(X_OFFSET)
_X_TABLE = step_table(_X_STEPS)
_Y_TABLE = step_table(_Y_STEPS)


@kernel(inline=True)
def fill_canonical_cells(cells, limbs, counts):
    """Writes a Canonical of (16,) int64 limbs."""
    cells.is_large, cells.is_largest, cells.inverse, cells.rest = fill_canonical(limbs, counts)


@kernel(inline=True)
def fill_third_point(cells, slope, x1_bytes, x1, y1, x2, point, counts):
    """
    Writes a ThirdPoint; slope, x1_bytes: (32,) int64 bytes; x1, y1, x2: (16,) int64 limbs; point: eight uint64, x and
    y.
    """
    digits = np.zeros((2, BYTES), dtype=np.int64)
    limbs = np.zeros((2, LIMBS), dtype=np.int64)
    split_numbers(point, digits, limbs)
    x, y = limbs[0], limbs[1]
    fill_bytes256(cells.slope.byte, cells.slope.conjunction, slope, counts)
    fill_bytes256(cells.x.byte, cells.x.conjunction, digits[0], counts)
    fill_checked_digits(cells.y, y, counts)
    fill_canonical_cells(cells.x_canonical, x, counts)
    fill_canonical_cells(cells.y_canonical, y, counts)

    sums = np.zeros(SUM_LENGTH, dtype=np.int64)
    add_product(sums, slope, slope, ONE)
    add_limbs(sums, x1, MINUS_ONE)
    add_limbs(sums, x2, MINUS_ONE)
    add_limbs(sums, x, MINUS_ONE)
    add_small_multiple(sums, _X_MULTIPLES, 0)
    fill_quotient(sums, cells.x_quotient, counts)
    fill_carries(sums, _X_TABLE, cells.x_carry, counts)

    sums[:] = 0
    add_product(sums, slope, x1_bytes, ONE)
    add_product(sums, slope, digits[0], MINUS_ONE)
    add_limbs(sums, y1, MINUS_ONE)
    add_limbs(sums, y, MINUS_ONE)
    top = fill_quotient(sums, cells.y_quotient, counts)
    cells.y_is_negative = top & 1
    add_small_multiple(sums, -top, BYTES)
    fill_carries(sums, _Y_TABLE, cells.y_carry, counts)
