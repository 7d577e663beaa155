"""The memory map (docs/specs/machine.md): which byte addresses exist. All ends are exclusive."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

TEXT_START: Final = 0x0020_0000
TEXT_END: Final = 0x0800_0000
DATA_START: Final = 0x0800_0000
DATA_END: Final = 0x1000_0000
INPUT_START: Final = 0x1000_0000
INPUT_END: Final = 0x2000_0000
OUTPUT_START: Final = 0x2000_0000
OUTPUT_END: Final = 0x2008_0000
RAM_START: Final = 0x2800_0000
RAM_END: Final = 0xF000_0000

READABLE_REGIONS: Final = (
    (DATA_START, DATA_END),
    (INPUT_START, INPUT_END),
    (OUTPUT_START, OUTPUT_END),
    (RAM_START, RAM_END),
)
"""Where loads, stores and precompiles may go; TEXT is not among them."""

ADDRESS_BITS: Final = 32
"""Every readable byte address is below 2^32."""

PAGE_BYTES: Final = 4096
"""The unit in which touched memory is counted; no protocol meaning."""

OUTPUT_LENGTH_LIMIT: Final = 256
"""Bytes of public output, after the 8 bytes of their count."""

INPUT_LENGTH_LIMIT: Final = INPUT_END - INPUT_START - 8
"""Bytes of private input, after the 8 bytes of their count."""


def region_of(address: int) -> tuple[int, int] | None:
    """The readable region (start, end) that holds a byte address, or None."""
    return next((region for region in READABLE_REGIONS if region[0] <= address < region[1]), None)


def is_readable(address: int, byte_count: int) -> bool:
    """Whether [address, address + byte_count) lies within one readable region; byte_count >= 1."""
    region = region_of(address)
    return region is not None and address + byte_count <= region[1]


def words_are_readable(address: int, byte_count: int) -> bool:
    """Whether every doubleword of [address, address + byte_count), both multiples of 8, lies in a readable region."""
    return all(region_of(word) is not None for word in range(address, address + byte_count, 8))


def input_words(private_input: bytes) -> NDArray[np.uint64]:
    """The INPUT region's initial doublewords: the length, then the bytes, zero-padded."""
    padded = len(private_input).to_bytes(8, "little") + private_input + bytes(-len(private_input) % 8)
    return np.frombuffer(padded, dtype="<u8")
