"""
Where a run is cut into shards: docs/specs/shard-cuts.md.

`best_cuts` chooses among the times of a survey (zkvm.machine.shards.survey) those that make the fewest committed cells.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zkvm.machine.shards import Survey
from zkvm.protocol.parameters import MINIMUM_LOG_HEIGHT

SHARD_CELLS: Final = 25_000_000
"""What a shard costs beside its cells, in cells: the search for a nonce and the queries take about as long as committing to so many."""


@dataclass(frozen=True)
class Matrix:
    """
    A chip's matrix, as cuts see it.

    family: the place in a survey's rows. rows_per_event: of its events. cells_per_row: main, auxiliary and quotient.
    """

    family: int
    rows_per_event: int
    cells_per_row: int


def best_cuts(
    survey: Survey,
    matrices: Sequence[Matrix],
    *,
    fixed_cells: int,
    most_cells: float,
    most_rows: Mapping[int, int],
    most_ticks: int,
) -> tuple[int, ...]:
    """
    The times of a run, ascending, at which shards end; the end of the run is not among them.

    fixed_cells: of the tables in every shard. most_cells, most_ticks: of a shard. most_rows: events of a shard, by family. A single
    stretch that is more than that becomes a shard of its own, for the planner to divide.
    """
    times = np.concatenate(([0], survey.times))
    rows = np.vstack([np.zeros(survey.rows.shape[1], dtype=np.int64), survey.rows])
    limited = sorted(most_rows)
    limits, limited_rows = np.array([most_rows[family] for family in limited]), rows[:, limited]
    cost = _cost_function(rows, matrices)
    count = len(survey.times)
    best = np.full(count + 1, np.inf)
    best[0] = 0
    before = np.zeros(count + 1, dtype=np.int64)
    # How many stretches a shard may have, as far as is known: costs rise with every stretch, so there is a last that fits.
    reach = 64
    for start in range(count):
        while True:
            end = min(start + reach, count)
            cells = cost(start, end) + fixed_cells
            fits = (cells <= most_cells) & (times[start + 1 : end + 1] - times[start] <= most_ticks)
            fits &= (limited_rows[start + 1 : end + 1] - limited_rows[start] <= limits).all(axis=1)
            fits[0] = True
            if end == count or not fits[-1]:
                break
            reach *= 2
        ends = start + 1 + np.flatnonzero(fits)
        total = best[start] + cells[fits] + SHARD_CELLS
        is_better = total < best[ends]
        best[ends[is_better]] = total[is_better]
        before[ends[is_better]] = start
    cuts = []
    at = int(before[count])
    while at > 0:
        cuts.append(int(survey.times[at - 1]))
        at = int(before[at])
    return tuple(reversed(cuts))


def _cost_function(
    rows: NDArray[np.int64], matrices: Sequence[Matrix]
) -> Callable[[int, int], NDArray[np.float64]]:
    """cost(start, end): the cells of the shards from note `start` to each of start + 1 .. end, tables left out."""
    used = rows[:, [matrix.family for matrix in matrices]] * np.array([matrix.rows_per_event for matrix in matrices])
    weights = np.array([matrix.cells_per_row for matrix in matrices], dtype=np.float64)
    least = 1 << MINIMUM_LOG_HEIGHT

    def cost(start: int, end: int) -> NDArray[np.float64]:
        more = used[start + 1 : end + 1] - used[start]
        # The exponent of n - 1 is the number of its bits, and 2 to that the height of n rows.
        _, bits = np.frexp((np.maximum(more, least) - 1).astype(np.float64))
        return np.where(more > 0, np.ldexp(1.0, bits), 0.0) @ weights

    return cost
