"""
Range checks.

Given
-----
- count is 0 or 1.

Proves
------
- where count = 1: 0 <= value < 2^bits as an integer in [0, p); bits itself is one of 0..16.
"""

from typing import Any

from zkvm.chips.buses import RANGE

LIMB_BITS = 16
LIMB = 1 << LIMB_BITS


def check_range(air: Any, label: str, value: Any, bits: Any, count: Any) -> None:
    """value < 2^bits where count is 1; bits may be an expression, the table then also bounds it by 16."""
    air.send(RANGE, bits, value, count=count, label=f"{label} in range")


def check_limbs(air: Any, label: str, limbs: Any, count: Any) -> None:
    """Every limb is below 2^16 where count is 1."""
    for i, limb in enumerate(limbs):
        check_range(air, f"{label}[{i}]", limb, LIMB_BITS, count)
