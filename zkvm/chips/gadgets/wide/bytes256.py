"""
A number of 256 bits in bytes.

Given
-----
- count is 0 or 1.

Proves, where count = 1
-----------------------
- all 32 digits are bytes, and so the 16 limbs made of them are below 2^16: two bytes for each look-up in the byte
  table.

Padding
-------
- Where count = 0 nothing is sent, and the cells are free.
"""

from typing import Any

import numpy as np

from zkvm.air.columns import Columns, column
from zkvm.chips.buses import BYTE, ByteOperation
from zkvm.chips.counts import count_byte, count_range
from zkvm.chips.gadgets.limbs import limbs_of_bytes
from zkvm.chips.gadgets.ranges import LIMB_BITS
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


@kernel(inline=True)
def copy_words(words, target):
    """
    target[0:len(words)] = words, uint64: the record's own array has a type of its own, for which nothing else need be
    compiled.
    """
    for i in range(len(words)):
        target[i] = words[i]


@kernel
def split_numbers(words, digits, limbs):
    """The bytes, (n, 32) int64, and 16-bit limbs, (n, 16) int64, of the n numbers in words, (4 n or more,) uint64."""
    for k in range(len(digits)):
        for i in range(32):
            word = words[4 * k + i // 8]
            digits[k, i] = np.int64((word >> np.uint64(8 * (i % 8))) & np.uint64(0xFF))
        for i in range(16):
            limbs[k, i] = digits[k, 2 * i] | digits[k, 2 * i + 1] << 8


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
        count_range(counts, LIMB_BITS, digits[i])
