"""
Whether an expression is zero.

Given
-----
- Nothing: both cells are pinned, except the inverse where the value is zero (it is then free).

Proves
------
- is_zero = 1 if value = 0, else 0.
"""

from typing import Any

from zkvm.air.columns import Columns, bit, column


class ZeroTest(Columns):
    """A zero test's cells."""

    is_zero = bit("the value is zero")
    inverse = column("the value's inverse; 0 where the value is zero")


def test_zero(air: Any, claim: str, cells: Any, value: Any, count: Any = 1) -> Any:
    """Returns cells.is_zero, which is 1 exactly where value is 0; on rows with count 0 it may also be 0 with value 0."""
    air.equal(f"{claim}: a value that is not zero has an inverse", value * cells.inverse, count - cells.is_zero)
    air.zero(f"{claim}: zero means zero", cells.is_zero * value)
    return cells.is_zero
