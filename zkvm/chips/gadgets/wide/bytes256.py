"""
A number of 256 bits in bytes.

Given
-----
- count is 0 or 1.

Proves, where count = 1
-----------------------
- all 32 digits are bytes, and so the 16 limbs made of them are below 2^16: two bytes for each look-up in the byte table.

Padding
-------
- Where count = 0 nothing is sent, and the cells are free.
"""

from typing import Any

import numpy as np

from zkvm.air.columns import Columns, column
from zkvm.chips.buses import BYTE, ByteOperation
from zkvm.chips.counts import count_byte
from zkvm.chips.gadgets.limbs import limbs_of_bytes
from zkvm.chips.gadgets.wide.digits import Digits, of_bytes
from zkvm.kernels.policy import kernel

_AND = int(ByteOperation.AND)


class Bytes256(Columns):
    """The bytes, and what their look-up asks for."""

    byte = column("bytes, least significant first", 32)
    conjunction = column("AND of the two bytes of each limb, only because the byte table asks for it", 16)


def bytes256(air: Any, name: str, cells: Any, count: Any) -> Digits:
    """The number; `name` labels the messages."""
    for i in range(16):
        air.send(
            BYTE, ByteOperation.AND, cells.byte[2 * i], cells.byte[2 * i + 1], cells.conjunction[i], count=count,
            label=f"{name}: bytes of limb {i}",
        )  # fmt: skip
    return of_bytes(cells.byte)


def limbs_of(cells: Any) -> tuple[Any, ...]:
    """The 16 limbs of a Bytes256."""
    return limbs_of_bytes(cells.byte)


@kernel
def fill_bytes256(bytes_cells, conjunction_cells, digits, counts):
    """Writes the two arrays of a Bytes256 from (32,) int64 bytes, and counts its look-ups."""
    for i in range(16):
        low, high = digits[2 * i], digits[2 * i + 1]
        bytes_cells[2 * i] = low
        bytes_cells[2 * i + 1] = high
        conjunction_cells[i] = low & high
        count_byte(counts, _AND, low, high)


@kernel
def split_bytes(words, start, digits):
    """digits[0:32], int64, become the bytes of the four uint64 words[start:]."""
    for i in range(32):
        digits[i] = np.int64((words[start + i // 8] >> np.uint64(8 * (i % 8))) & np.uint64(0xFF))


@kernel
def split_limbs(words, start, digits):
    """digits, int64, four to a word, become the 16-bit limbs of the uint64 words[start:]."""
    for i in range(len(digits)):
        digits[i] = np.int64((words[start + i // 4] >> np.uint64(16 * (i % 4))) & np.uint64(0xFFFF))


@kernel
def fill_digits(cells, digits):
    """Copies int64 digits into uint32 cells."""
    for i in range(len(digits)):
        cells[i] = digits[i]


@kernel
def fill_checked_digits(cells, digits, counts):
    """Copies 16-bit limbs and counts their range checks."""
    for i in range(len(digits)):
        cells[i] = digits[i]
        counts.range[(np.int64(1) << 16) - 1 + digits[i]] += np.uint32(1)
