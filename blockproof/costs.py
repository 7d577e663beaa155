"""
What proving a run would cost, from the counts of its execution alone.

Cells are committed field elements of 4 bytes: main, auxiliary and quotient columns times rows, fixed columns not counted. Time and memory are extrapolated
from rates that bench/ measures on two cores; they are estimates and say so.
"""

from dataclasses import dataclass
from typing import Final

from zkvm.air.backends.parameters import parameters
from zkvm.isa.instructions import Family
from zkvm.machine_air import FAMILY_CHIPS, GROUPS
from zkvm.prover import BYTES_PER_CELL, DEFAULT_MEMORY, FIXED_BYTES, ShardShape

NANOSECONDS_PER_CELL: Final = 65.0
"""Wall time per committed cell on two cores, everything included; docs/performance.md."""

FILL: Final = 0.8
"""Share of cells that are not padding: what cutting reaches in runs of several shards."""


@dataclass(frozen=True)
class Cost:
    """
    cells: by family, without padding. unproven: families with rows but without a chip. total_cells: padding included. seconds, memory_bytes: estimates
    of proving on two cores.
    """

    cells: dict[Family, int]
    unproven: tuple[Family, ...]
    total_cells: int
    seconds: float
    memory_bytes: int


def cost_of(families: dict[Family, int]) -> Cost:
    """The cost of a run with these rows per family."""
    cells = {family: rows * CELLS_PER_ROW[family] for family, rows in families.items() if rows and family in CELLS_PER_ROW}
    unproven = tuple(family for family, rows in families.items() if rows and family not in CELLS_PER_ROW)
    total = int(sum(cells.values()) / FILL)
    largest_shard = min(total, ShardShape.for_memory(DEFAULT_MEMORY).cells or total)
    return Cost(cells, unproven, total, total * NANOSECONDS_PER_CELL / 1e9, FIXED_BYTES + largest_shard * BYTES_PER_CELL)


CELLS_PER_ROW: Final[dict[Family, int]] = {
    family: parameters(chip).cells_per_row
    + (GROUPS[family].rows_per_call * parameters(GROUPS[family].chip).cells_per_row if family in GROUPS else 0)
    for family, chip in FAMILY_CHIPS.items()
}
"""Committed cells of one event, by family; families without a chip are missing."""
