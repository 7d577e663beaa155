"""Shards are cut where they make the fewest cells, and the plan has exactly the shards that the cuts say."""

import itertools
import math
import random
from pathlib import Path

import numpy as np
import pytest
from run_kit import load

from zkvm.cuts import SHARD_CELLS, Matrix, best_cuts
from zkvm.isa.instructions import FAMILY_COUNT, Family
from zkvm.machine import ShardLimits, Survey, plan_shards, survey
from zkvm.machine.events import CLK_LIMIT, ECALL_TICKS, STEP_TICKS
from zkvm.prover import ShardShape, plan_run

MATRICES = (Matrix(0, 1, 9_000), Matrix(1, 1, 5_000), Matrix(2, 24, 2_000))

# Phases of different kinds: additions, then stores and loads, then precompile calls.
PHASES = """
    li s0, 900
    li sp, 0x30000000
adding:
    add t0, t0, s0
    xor t1, t0, s0
    addi s0, s0, -1
    bne s0, x0, adding
    li s0, 500
storing:
    sd t0, -8(sp)
    ld t1, -8(sp)
    addi s0, s0, -1
    bne s0, x0, storing
    li s0, 6
    li a0, 0x30000000
    li a7, 0x2001
calling:
    ecall
    addi s0, s0, -1
    bne s0, x0, calling
    li a0, 0
    li a7, 93
    ecall
"""


def reference(noted: Survey, matrices: tuple[Matrix, ...], cuts: tuple[int, ...], fixed: int) -> list[int]:
    """The cells of each shard that these cuts make."""
    ends = [*cuts, int(noted.times[-1])]
    places = [noted.times.tolist().index(end) for end in ends]
    cells, before = [], np.zeros(noted.rows.shape[1], dtype=np.int64)
    for place in places:
        used = noted.rows[place] - before
        before = noted.rows[place]
        rows = [int(used[matrix.family]) * matrix.rows_per_event for matrix in matrices]
        heights = [2 ** max(5, math.ceil(math.log2(count))) if count else 0 for count in rows]
        cells.append(fixed + sum(height * m.cells_per_row for height, m in zip(heights, matrices, strict=True)))
    return cells


def random_survey(source: random.Random, count: int) -> Survey:
    times = np.cumsum([source.randrange(100, 200) for _ in range(count)])
    rows = np.cumsum([[source.choice([0, source.randrange(3000)]) for _ in range(3)] for _ in range(count)], axis=0)
    return Survey(times.astype(np.int64), rows.astype(np.int64))


@pytest.mark.parametrize("seed", range(30))
def test_no_other_cuts_make_fewer_cells(seed: int) -> None:
    source = random.Random(seed)
    noted = random_survey(source, 9)
    fixed = source.choice([0, 10_000_000, 300_000_000])
    most = source.choice([math.inf, 400_000_000, 900_000_000])
    cuts = best_cuts(noted, MATRICES, fixed_cells=fixed, most_cells=most, most_rows={1: 6000}, most_ticks=700)
    stretch_ends = noted.times[:-1].tolist()

    def cost(chosen: tuple[int, ...]) -> float:
        """Infinite where a shard of several stretches passes a limit."""
        ends = [*chosen, int(noted.times[-1])]
        places = [-1, *(noted.times.tolist().index(end) for end in ends)]
        cells = reference(noted, MATRICES, chosen, fixed)
        for first, last, shard in itertools.zip_longest(places, places[1:], cells):
            if last is None or last - first == 1:
                continue
            start, rows = (0, 0) if first < 0 else (int(noted.times[first]), int(noted.rows[first, 1]))
            if shard > most or int(noted.rows[last, 1]) - rows > 6000 or int(noted.times[last]) - start > 700:
                return math.inf
        return sum(cells) + len(cells) * SHARD_CELLS

    every = itertools.chain.from_iterable(itertools.combinations(stretch_ends, size) for size in range(len(stretch_ends) + 1))
    assert cost(cuts) == min(cost(chosen) for chosen in every) < math.inf


def test_long_reaches_are_found() -> None:
    """A shard may be longer than the search looks ahead at first."""
    times = np.arange(1, 401, dtype=np.int64) * 100
    noted = Survey(times, np.stack([times, times, times], axis=1) // 100)
    limits = {"fixed_cells": 10**9, "most_cells": math.inf, "most_rows": {}}
    assert best_cuts(noted, MATRICES, **limits, most_ticks=1 << 30) == ()
    assert best_cuts(noted, MATRICES, **limits, most_ticks=30_000) != ()


def test_a_survey_counts_the_run(tmp_path: Path) -> None:
    program = load(PHASES)
    noted = survey(program, b"", 1000)
    result = plan_shards(program, b"", ShardLimits(), tmp_path).result
    assert noted.rows.shape == (len(noted.times), FAMILY_COUNT)
    assert noted.rows[-1].tolist() == [result.families[family] for family in Family]
    assert (np.diff(noted.times, prepend=0) > 0).all() and (np.diff(noted.times) < 1000 + ECALL_TICKS).all()
    steps = noted.rows[:, : Family.ECALL + 1].sum(axis=1)
    assert (noted.times == STEP_TICKS * steps + (ECALL_TICKS - STEP_TICKS) * noted.rows[:, Family.ECALL]).all()


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 100])
def test_a_thinned_survey_ends_where_the_run_does(count: int) -> None:
    noted = random_survey(random.Random(count), count)
    for most in (1, 3, 8, 200):
        thin = noted.thinned(most)
        assert 1 <= len(thin.times) <= most and len(thin.rows) == len(thin.times)
        assert thin.times[-1] == noted.times[-1] and (thin.rows[-1] == noted.rows[-1]).all()
        assert set(thin.times.tolist()) <= set(noted.times.tolist())
        if count <= most:
            assert (thin.times == noted.times).all()


def test_a_plan_ends_its_shards_at_the_cuts(tmp_path: Path) -> None:
    program = load(PHASES)
    noted = survey(program, b"", 1000)
    cuts = [int(time) for time in noted.times[2:-1:3]]
    plan = plan_shards(program, b"", ShardLimits(), tmp_path, cuts=cuts)
    assert np.cumsum([shard.end_clk for shard in plan.shards]).tolist() == [*cuts, int(noted.times[-1])]
    totals = np.cumsum([[shard.families[family] for family in Family] for shard in plan.shards], axis=0)
    assert totals.tolist() == noted.rows[[*range(2, len(noted.times) - 1, 3), -1]].tolist()


def test_limits_hold_between_cuts(tmp_path: Path) -> None:
    program = load(PHASES)
    cut = int(survey(program, b"", 4000).times[1])
    plan = plan_shards(program, b"", ShardLimits(rows={Family.ADD: 300}), tmp_path, cuts=[cut])
    assert all(shard.families[Family.ADD] <= 300 for shard in plan.shards)
    assert cut in np.cumsum([shard.end_clk for shard in plan.shards])


def test_a_shape_bounds_every_shard(tmp_path: Path) -> None:
    program = load(PHASES)
    plan = plan_run(program, b"", ShardShape(9), tmp_path)
    assert len(plan.shards) > 2
    assert all(rows <= ShardShape(9).most_rows[family] for shard in plan.shards for family, rows in shard.families.items())
    assert all(shard.end_clk < CLK_LIMIT for shard in plan.shards)


def test_more_memory_makes_larger_shards_of_no_more_cells() -> None:
    shapes = [ShardShape.for_memory(gigabytes << 30) for gigabytes in (0, 1, 2, 4, 8, 16, 1024)]
    for small, large in itertools.pairwise(shapes):
        assert small.cells <= large.cells and small.log_rows <= large.log_rows and small.boundary_rows <= large.boundary_rows
    assert shapes[0].log_rows >= 14 and shapes[-1].log_rows == 21
