"""What the table-like chips share: multiplicities, limbs, look-up counts; all on whole NumPy columns."""

from collections.abc import Mapping

import numpy as np

from zkvm.field.koala_bear import PRIME


def fill_multiplicity(rows: np.ndarray, counts: Mapping[str, np.ndarray]) -> None:
    """
    Writes look-up counts into a table's multiplicity columns and 0 into the rows past them.

    rows: (n,) records with a uint32 field of each name; counts: for each name (at most n,) non-negative integers.

    Raises ValueError for more counts than rows, or a count that reaches p: the shard is too large for its buses.
    """
    for name, column in counts.items():
        if len(column) > len(rows):
            raise ValueError(f"{len(column)} counts for the {len(rows)} rows of a table")
        if len(column) and int(column.max()) >= PRIME:
            raise ValueError(f"a count of {int(column.max())} reaches the field's order")
        rows[name][: len(column)] = column
        rows[name][len(column) :] = 0


def split_limbs(values: np.ndarray) -> np.ndarray:
    """(n,) uint64 -> (n, 4) uint32, 16 bits a limb, least significant first."""
    shifts = np.array([0, 16, 32, 48], dtype=np.uint64)
    return ((values[:, None] >> shifts) & np.uint64(0xFFFF)).astype(np.uint32)


def add_range_counts(range_counts: np.ndarray, bits: int, values: np.ndarray) -> None:
    """Counts a look-up of (bits, value) for each value, all below 2^bits, in the array `Counts.range`."""
    length = 1 << bits
    range_counts[length - 1 : 2 * length - 1] += np.bincount(values.ravel(), minlength=length).astype(range_counts.dtype)
