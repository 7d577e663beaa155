"""
Arithmetic on numbers of 16-bit limbs.

Given
-----
- Every limb named is below 2^16: operands by the memory bus's invariant, results by a range check of the chip.

Proves
------
- `add`: left + right = total modulo 2^(16 n), n the number of limbs; the carry out of the last limb is returned.
- `negate`: the same with total = 0: right = -left modulo 2^(16 n).
- `limb_of_bytes`: low + 256 high.
"""

from typing import Any

import numpy as np

from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.ranges import LIMB, LIMB_BITS
from zkvm.kernels.policy import kernel

ALL_ONES = LIMB - 1
"""The limb of sign extension."""


def add(air: Any, claim: str, left: Any, right: Any, total: Any) -> Any:
    """
    left + right = total modulo 2^(16 n). `air` may be guarded; a guard of degree 1 gives constraints of degree 3.

    carry = (x + y + carry_in - z) / 2^16 has no cell. If it is 0 or 1, then x + y + carry_in - z is 0 or 2^16 modulo p,
    and as an integer it lies in (-2^16, 2^17), far from p: so it *is* 0 or 2^16.
    """
    carry = 0
    for i, (x, y, z) in enumerate(zip(left, right, total, strict=True)):
        carry = (x + y + carry - z) / LIMB
        air.bit(f"{claim}: carry out of limb {i}", carry)
    return carry


def negate(air: Any, claim: str, left: Any, right: Any) -> Any:
    """left + right = 0 modulo 2^(16 n)."""
    return add(air, claim, left, right, (0,) * len(left))


def limb_of_bytes(low: Any, high: Any) -> Any:
    """The 16-bit limb of two bytes."""
    return low + 256 * high


def limbs_of_bytes(values: Any) -> tuple[Any, ...]:
    """The limbs of an even number of bytes, least significant first."""
    return tuple(limb_of_bytes(values[i], values[i + 1]) for i in range(0, len(values), 2))


@kernel(inline=True)
def limb(value, index):
    """Limb `index` of a uint64."""
    return np.uint32((np.uint64(value) >> np.uint64(16 * index)) & np.uint64(0xFFFF))


@kernel(inline=True)
def byte(value, index):
    """Byte `index` of a uint64."""
    return np.uint32((np.uint64(value) >> np.uint64(8 * index)) & np.uint64(0xFF))


@kernel(inline=True)
def fill_limbs(cells, value):
    """Writes the four limbs of a uint64."""
    for i in range(4):
        cells[i] = limb(value, i)


@kernel(inline=True)
def fill_checked_limbs(cells, value, counts):
    """Writes the four limbs of a uint64 and counts their range checks."""
    for i in range(4):
        cells[i] = limb(value, i)
        count_range(counts, LIMB_BITS, limb(value, i))
