"""
How often the filled rows look into the tables: the multiplicity columns of the program, range and byte tables.

A filler counts each message that its rows send to a table. Fillers that run at the same time take a `Counts` each;
`merge` adds them up.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zkvm.kernels.policy import kernel

RANGE_COUNT_LENGTH = 1 << 17
"""(bits, value) stands at index 2^bits - 1 + value, as in the range table; the last index is unused."""

BYTE_COUNT_SHAPE = (3, 1 << 16)
"""(operation, a, b) stands at index [operation, 256 a + b]."""


class Counts(NamedTuple):
    """
    Multiplicities, all uint32.

    range:   (2^17,) index 2^bits - 1 + value.
    byte:    (3, 2^16) index [ByteOperation, 256 a + b].
    program: (m,) index of the decoded instruction.
    """

    range: NDArray[np.uint32]
    byte: NDArray[np.uint32]
    program: NDArray[np.uint32]


def new_counts(instruction_count: int) -> Counts:
    """All zero, for a program of `instruction_count` decoded instructions."""
    return Counts(
        np.zeros(RANGE_COUNT_LENGTH, dtype=np.uint32),
        np.zeros(BYTE_COUNT_SHAPE, dtype=np.uint32),
        np.zeros(instruction_count, dtype=np.uint32),
    )


def merge(total: Counts, parts: Iterable[Counts]) -> None:
    """Adds the parts to `total`, in place. The parts are for the same program."""
    for part in parts:
        for array, added in zip(total, part, strict=True):
            array += added


@kernel(inline=True)
def count_range(counts, bits, value):
    """Counts the message (bits, value) of the range bus; 0 <= bits <= 16, 0 <= value < 2^bits."""
    counts.range[(np.int64(1) << np.int64(bits)) - 1 + np.int64(value)] += np.uint32(1)


@kernel(inline=True)
def count_byte(counts, operation, a, b):
    """Counts the message (operation, a, b, a operation b) of the byte bus; a and b are bytes."""
    counts.byte[operation, np.int64(a) * 256 + np.int64(b)] += np.uint32(1)
