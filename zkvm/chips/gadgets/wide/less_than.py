"""
One 256-bit number is less than another.

Given
-----
- the 16 limbs of both are below 2^16; count is 0 or 1.

Proves, where count = 1
-----------------------
- left < right. One limb is marked; above it all limbs are equal, and there right - left - 1 is a limb.

Padding
-------
- No message; cells of 0 hold.
"""

from collections.abc import Sequence
from typing import Any

from zkvm.air.columns import Columns, bit, column
from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.ranges import LIMB_BITS, check_range
from zkvm.kernels.policy import kernel


class LessThan256(Columns):
    """The mark and the difference there."""

    differs_at = bit("marks the highest limb in which the numbers differ", 16)
    difference = column("there, the larger minus the smaller")


def less_than(air: Any, name: str, cells: Any, left: Sequence[Any], right: Sequence[Any], count: Any) -> None:
    """left < right where count is 1."""
    passed: Any = 0
    difference: Any = 0
    for i in reversed(range(16)):
        passed = passed + cells.differs_at[i]
        if i:  # At limb 0 everything has passed, by "one mark".
            air.zero(f"{name}: limb {i} is equal above the mark", (count - passed) * (right[i] - left[i]))
        difference = difference + cells.differs_at[i] * (right[i] - left[i])
    air.equal(f"{name}: one mark", passed, count)
    air.equal(f"{name}: the difference at the mark", cells.difference, difference)
    check_range(air, f"{name}: difference", cells.difference - 1, LIMB_BITS, count)


@kernel
def fill_less_than(marks, left, right, counts):
    """
    Marks the limb, counts the look-up and returns the difference. marks: (16,) uint32, all 0; left < right: (16,)
    int64 limbs.
    """
    for i in range(15, -1, -1):
        if left[i] != right[i]:
            marks[i] = 1
            count_range(counts, LIMB_BITS, (right[i] - left[i] - 1) & 0xFFFF)
            return right[i] - left[i]
    return left[0] - left[0]
