"""
Bytes of doublewords, and the window that a narrow access opens on them.

Given
-----
- limbs are below 2^16; `flags` are bits of which at most one is 1, one for each (width, offset) of the chip.

Proves, where count = 1
-----------------------
- `bytes_of`: two bytes to each limb, limb = low + 256 high, both below 2^8.
- `selected`: byte j of the window: bytes[offset + j] if j < width, else 0.
- `replaced`: the bytes with data[j] at offset + j for j < width, the others as they were.

`selected` and `replaced` are expressions of degree 2.
"""

from collections.abc import Sequence
from typing import Any

from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.limbs import limb
from zkvm.chips.gadgets.ranges import check_range
from zkvm.kernels.policy import kernel

BYTE_BITS = 8

Window = tuple[int, int]
"""(width, offset) in bytes."""


def bytes_of(air: Any, name: str, limbs: Sequence[Any], high: Sequence[Any], count: Any) -> list[Any]:
    """The bytes of the limbs, least significant first; high[i] is the cell of limb i's upper byte. `name` labels the messages."""
    values = []
    for i, (whole, upper) in enumerate(zip(limbs, high, strict=True)):
        lower = whole - (1 << BYTE_BITS) * upper
        check_range(air, f"{name}: byte {2 * i}", lower, BYTE_BITS, count)
        check_range(air, f"{name}: byte {2 * i + 1}", upper, BYTE_BITS, count)
        values += [lower, upper]
    return values


def selected(flags: Sequence[Any], windows: Sequence[Window], values: Sequence[Any], position: int) -> Any:
    """Byte `position` of the window."""
    return sum(
        (flag * values[offset + position] for flag, (width, offset) in zip(flags, windows, strict=True) if position < width),
        start=0,
    )


def replaced(flags: Sequence[Any], windows: Sequence[Window], values: Sequence[Any], data: Sequence[Any]) -> list[Any]:
    """All bytes after a store."""
    return [
        old
        + sum(
            (
                flag * (data[i - offset] - old)
                for flag, (width, offset) in zip(flags, windows, strict=True)
                if offset <= i < offset + width
            ),
            start=0,
        )
        for i, old in enumerate(values)
    ]


@kernel(inline=True)
def fill_bytes(high, value, limb_count, counts):
    """Writes the upper bytes of the lowest `limb_count` limbs of a uint64 and counts both range checks of each."""
    for i in range(limb_count):
        whole = limb(value, i)
        high[i] = whole >> 8
        count_range(counts, BYTE_BITS, whole & 0xFF)
        count_range(counts, BYTE_BITS, whole >> 8)
