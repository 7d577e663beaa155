"""
Byte table: AND, OR and XOR of every pair of bytes.

Proves
------
- (operation, a, b, c) on the byte bus: a, b and c are bytes and c = a operation b.

Row 256 a + b holds the pair (a, b) and its three results.
"""

from typing import Any, Final

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, column, fixed
from zkvm.chips.buses import BYTE, ByteOperation
from zkvm.chips.tables import fill_multiplicity

HEIGHT: Final = 1 << 16


class Row(Columns):
    a = fixed("first byte")
    b = fixed("second byte")
    conjunction = fixed("a AND b")
    disjunction = fixed("a OR b")
    exclusive = fixed("a XOR b")
    and_multiplicity = column("how often this shard looks up a AND b")
    or_multiplicity = column("how often this shard looks up a OR b")
    xor_multiplicity = column("how often this shard looks up a XOR b")


def constrain(air: Any, row: Any) -> None:
    air.receive(BYTE, ByteOperation.AND, row.a, row.b, row.conjunction, count=row.and_multiplicity, label="and")
    air.receive(BYTE, ByteOperation.OR, row.a, row.b, row.disjunction, count=row.or_multiplicity, label="or")
    air.receive(BYTE, ByteOperation.XOR, row.a, row.b, row.exclusive, count=row.xor_multiplicity, label="xor")


def fixed_fill() -> np.ndarray:
    """The (HEIGHT,) fixed records."""
    rows = np.zeros(HEIGHT, dtype=Row.fixed_dtype)
    a, b = np.divmod(np.arange(HEIGHT, dtype=np.uint32), 256)
    rows["a"], rows["b"] = a, b
    rows["conjunction"], rows["disjunction"], rows["exclusive"] = a & b, a | b, a ^ b
    return rows


def fill(rows: np.ndarray, counts: np.ndarray) -> None:
    """rows: (HEIGHT,) records of Row; counts: (3, HEIGHT) look-ups, `Counts.byte`."""
    fill_multiplicity(
        rows,
        {
            "and_multiplicity": counts[ByteOperation.AND],
            "or_multiplicity": counts[ByteOperation.OR],
            "xor_multiplicity": counts[ByteOperation.XOR],
        },
    )


def reference(operation: int, a: int, b: int) -> int:
    """a operation b for bytes a, b."""
    return {ByteOperation.AND: a & b, ByteOperation.OR: a | b, ByteOperation.XOR: a ^ b}[ByteOperation(operation)]


CHIP = Chip("byte", Row, constrain, fill=fill, fixed_fill=fixed_fill, reference=reference)
