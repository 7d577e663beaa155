"""
Less than and equality of two 64-bit numbers.

Given
-----
- The limbs of a and b are below 2^16; is_signed and is_real are 0 or 1.

Proves, where is_real = 1
-------------------------
- is_less = 1 exactly if a < b, both read as signed numbers if is_signed, else as unsigned ones.
- The returned equality is 1 exactly if a = b.

The highest limb that differs decides. `differs_at` marks one limb at most; limbs not yet passed by the mark are equal;
at the mark, larger - smaller - 1 is range-checked, so it is not negative and the limbs do differ.

Padding
-------
- No message; the signs are bits but otherwise free.
"""

from typing import Any

import numpy as np

from zkvm.air.columns import Columns, bit, column
from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.limbs import limb
from zkvm.chips.gadgets.ranges import LIMB, LIMB_BITS, check_range
from zkvm.chips.gadgets.sign import fill_signed_top, signed_top
from zkvm.kernels.policy import kernel


class Comparison(Columns):
    """A comparison's cells."""

    is_less = bit("a < b")
    a_is_negative = bit("a is negative and read as signed")
    b_is_negative = bit("b is negative and read as signed")
    differs_at = bit("marks the highest limb in which a and b differ", count=4)
    difference = column("at that limb: the larger minus the smaller; 0 if a = b")


def compare(air: Any, cells: Any, a: Any, b: Any, is_signed: Any, is_real: Any) -> tuple[Any, Any]:
    """Returns (is_less, is_equal), both of degree 1. a, b: 4 limbs."""
    a = (*a[:3], signed_top(air, "comparison: top limb of a", a[3], cells.a_is_negative, is_signed, is_real))
    b = (*b[:3], signed_top(air, "comparison: top limb of b", b[3], cells.b_is_negative, is_signed, is_real))

    passed = 0
    signed_difference = 0
    for i in reversed(range(4)):
        passed = passed + cells.differs_at[i]
        air.zero(f"comparison: limb {i} is equal above the mark", (1 - passed) * (a[i] - b[i]))
        signed_difference = signed_difference + cells.differs_at[i] * (b[i] - a[i])
    air.bit("comparison: one mark at most", passed)
    air.equal("comparison: the difference at the mark", cells.difference, (2 * cells.is_less - 1) * signed_difference)
    air.zero("comparison: equal numbers are not less", (1 - passed) * cells.is_less)
    # Top limbs read as signed lie in [-2^15, 2^15), so a difference is at most 2^16 - 1 in every case.
    check_range(air, "comparison: difference", cells.difference - passed, LIMB_BITS, is_real)
    return cells.is_less, 1 - passed


@kernel(inline=True)
def fill_comparison(cells, a, b, is_signed, counts):
    """Writes a Comparison of two uint64 and counts its look-ups."""
    a_sign = fill_signed_top(limb(a, 3), is_signed, counts)
    b_sign = fill_signed_top(limb(b, 3), is_signed, counts)
    cells.a_is_negative = a_sign
    cells.b_is_negative = b_sign
    for i in range(4):
        cells.differs_at[i] = 0
    cells.is_less = 0
    cells.difference = 0
    if a == b:
        count_range(counts, LIMB_BITS, 0)
    for i in range(3, -1, -1):
        x = np.int64(limb(a, i)) - (LIMB * a_sign if i == 3 else 0)
        y = np.int64(limb(b, i)) - (LIMB * b_sign if i == 3 else 0)
        if x != y:
            cells.differs_at[i] = 1
            cells.is_less = 1 if x < y else 0
            difference = y - x if x < y else x - y
            cells.difference = difference
            count_range(counts, LIMB_BITS, difference - 1)
            break
