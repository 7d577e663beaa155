"""
The doubleword that a load or store names.

Given
-----
- base is the 64-bit value of rs1 in limbs; the immediate is the program table's: a limb, then three times 0 or three times 2^16 - 1.
- offset is an integer 0..7 by constraints of the chip.

Proves
------
- where count = 1:
  base + immediate = 8 doubleword + offset modulo 2^64, and doubleword < 2^29, so the byte address is below 2^32 and
  the doubleword one field element. That it lies in a region follows from the images: no other address has a token.

Source: docs/specs/machine.md, "Memory map" and "Memory checking".
"""

from typing import Any

from zkvm.air.columns import Columns, column
from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.limbs import ALL_ONES, add
from zkvm.chips.gadgets.ranges import LIMB_BITS, check_range
from zkvm.kernels.policy import kernel

LOW_BITS = LIMB_BITS - 3
"""The low limb of a byte address without the offset within its doubleword."""


class Address(Columns):
    """Where a load or store goes."""

    immediate_low = column("lowest limb of the sign-extended immediate")
    immediate_sign = column("1 if the immediate is negative, else 0")
    low = column("byte address / 8, low 13 bits")
    high = column("byte address / 8, high 16 bits")


def immediate(cells: Any) -> tuple[Any, ...]:
    """The four limbs of the immediate, for the program table. Its lines hold nothing but sign-extended 12-bit immediates here."""
    extension = ALL_ONES * cells.immediate_sign
    return cells.immediate_low, extension, extension, extension


def doubleword(air: Any, cells: Any, base: Any, offset: Any, count: Any) -> Any:
    """The doubleword's address, as an expression."""
    check_range(air, "address: low", cells.low, LOW_BITS, count)
    check_range(air, "address: high", cells.high, LIMB_BITS, count)
    add(air, "address", base, immediate(cells), (8 * cells.low + offset, cells.high, 0, 0))
    return cells.low + (1 << LOW_BITS) * cells.high


@kernel(inline=True)
def fill_address(cells, doubleword, immediate, counts):
    """Writes all cells; doubleword < 2^29, immediate: uint64, a sign-extended 12-bit number."""
    cells.immediate_low = immediate & 0xFFFF
    cells.immediate_sign = immediate >> 63
    cells.low = doubleword & 0x1FFF
    cells.high = doubleword >> 13
    count_range(counts, LOW_BITS, cells.low)
    count_range(counts, LIMB_BITS, cells.high)
