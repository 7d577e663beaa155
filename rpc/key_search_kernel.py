"""The compiled search of rpc.key_search. Apart, because importing it loads the compiler."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zkvm.kernels.policy import kernel, prange
from zkvm.machine.fast_precompiles import IO_WORDS, RESULT, keccak_f

_U0 = np.uint64(0)
_U1 = np.uint64(1)
_BYTE = np.uint64(0xFF)
_LAST_OF_RATE = np.uint64(1 << 63)

_PARTS = 64
_PART = 1 << 14
CHUNK = _PARTS * _PART
"""Numbers that one call of `search` tries: half a second on one core."""


@kernel
def _search_part(
    io: NDArray[np.uint64], key_bytes: int, mask: np.uint64, wanted: np.uint64, start: int, count: int
) -> int:
    """
    The first number in start..start+count-1 whose Keccak-256, as a big-endian key, agrees with `wanted` under `mask`.

    io: (IO_WORDS,) uint64, scratch; key_bytes: 20 or 32; mask, wanted: over the first 8 bytes of the hash, little endian;
    numbers below 2^32, so that they lie in the key's last four bytes. Returns -1 where there is none.
    """
    for number in range(start, start + count):
        for lane in range(25):
            io[lane] = _U0
        for index in range(4):
            byte = np.uint64(number) >> np.uint64(8 * (3 - index)) & _BYTE
            at = key_bytes - 4 + index
            io[at // 8] |= byte << np.uint64(8 * (at % 8))
        # Padding: 1 after the key, the highest bit of the rate's last word.
        io[key_bytes // 8] |= _U1 << np.uint64(8 * (key_bytes % 8))
        io[16] = _LAST_OF_RATE
        keccak_f(io)
        if io[RESULT] & mask == wanted:
            return number
    return -1


@kernel(parallel=True)
def _search_parts(
    found: NDArray[np.int64], key_bytes: int, mask: np.uint64, wanted: np.uint64, start: int, count: int
) -> None:
    """_search_part on consecutive parts of `count` numbers; found: (parts,) int64, filled with their results."""
    for part in prange(found.shape[0]):
        io = np.zeros(IO_WORDS, dtype=np.uint64)
        found[part] = _search_part(io, key_bytes, mask, wanted, start + part * count, count)


def search(key_bytes: int, mask: int, wanted: int, start: int) -> int | None:
    """The first number in start..start+CHUNK-1 that _search_part finds, None where there is none; on all cores."""
    found = np.empty(_PARTS, dtype=np.int64)
    _search_parts(found, key_bytes, np.uint64(mask), np.uint64(wanted), start, _PART)
    hits = found[found >= 0]
    return int(hits[0]) if hits.size else None
