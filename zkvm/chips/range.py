"""
Range table: every value below 2^bits, for bits 0 to 16.

Proves
------
- (bits, value) on the range bus: 0 <= value < 2^bits, as an integer in [0, p).

Row 2^bits - 1 + value holds (bits, value); the last of the 2^17 rows repeats (0, 0), which is true as well.
"""

from typing import Any, Final

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, column, fixed
from zkvm.chips.buses import RANGE
from zkvm.chips.tables import fill_multiplicity

LARGEST_BITS: Final = 16
HEIGHT: Final = 1 << (LARGEST_BITS + 1)


class Row(Columns):
    bits = fixed("number of bits, 0 to 16")
    value = fixed("a value below 2^bits")
    multiplicity = column("how often this shard looks it up")


def constrain(air: Any, row: Any) -> None:
    air.receive(RANGE, row.bits, row.value, count=row.multiplicity, label="value in range")


def fixed_fill() -> np.ndarray:
    """The (HEIGHT,) fixed records."""
    rows = np.zeros(HEIGHT, dtype=Row.fixed_dtype)
    for bits in range(LARGEST_BITS + 1):
        block = slice((1 << bits) - 1, (2 << bits) - 1)
        rows["bits"][block] = bits
        rows["value"][block] = np.arange(1 << bits)
    return rows


def fill(rows: np.ndarray, counts: np.ndarray) -> None:
    """rows: (HEIGHT,) records of Row; counts: look-ups by row, as zkvm/chips/counts.py numbers them."""
    fill_multiplicity(rows, {"multiplicity": counts})


def reference(bits: int, value: int) -> bool:
    """Whether the table holds the tuple."""
    return 0 <= bits <= LARGEST_BITS and 0 <= value < 1 << bits


CHIP = Chip("range", Row, constrain, fill=fill, fixed_fill=fixed_fill)
