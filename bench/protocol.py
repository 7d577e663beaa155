"""
How long the protocol takes at real parameters: seconds by stage, peak memory, proof size, verification.

One shard of a synthetic chip with the cells of a load instruction: 44 main columns, 19 look-ups in a range table,
degree 3.

    python bench/protocol.py [--log-height 18] [--chips 1] [--threads 2]
"""

import argparse
import itertools
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from zkvm.air import Bus, Chip, Columns, Phase, bit, boundary, column, fixed
from zkvm.protocol.batched import Batched
from zkvm.protocol.machine import Machine, ShardHeader, ShardKind, Slot, Statement
from zkvm.protocol.parameters import Parameters
from zkvm.protocol.prove import Options, Prover
from zkvm.protocol.setup import machine_tables, program_key
from zkvm.protocol.verify import verify

RANGE = Bus("range", 1, ("bits", "value"))
LOOKUPS = 19
TABLE_ROWS = 1 << 16


class LoadRow(Columns):
    is_real = bit("padding is not real")
    cells = column("range-checked cells", count=LOOKUPS)
    others = column("products", count=23)
    edge = boundary("one column of the boundary phase")


def constrain_load(air, row):
    for i in range(23):
        air.when(row.is_real).equal(
            f"product {i}", row.others[i], row.cells[i % LOOKUPS] * row.cells[(i + 1) % LOOKUPS]
        )
    air.zero("edge", row.edge)
    for cell in row.cells:
        air.send(RANGE, 16, cell, count=row.is_real)


class RangeRow(Columns):
    value = fixed("0 to 65535")
    multiplicity = column("how often")


def constrain_range(air, row):
    air.receive(RANGE, 16, row.value, count=row.multiplicity)


class Run:
    """One shard of random rows, made again on request."""

    identity = b"bench"

    def __init__(self, chips, height):
        self.statement = Statement(b"", (), (1,))
        self.chips, self.height = chips, height
        heights = tuple([height.bit_length() - 1] * len(chips) + [16])
        self.headers = [ShardHeader(1, 0, heights, ())]

    def boundary_matrices(self, shard):
        return {chip.name: chip.empty(Phase.BOUNDARY, self.height) for chip in self.chips}

    def matrices(self, shard):
        random = np.random.default_rng(1)
        multiplicities = np.zeros(TABLE_ROWS, dtype=np.uint32)
        rows = {}
        for chip in self.chips:
            main = chip.empty(Phase.MAIN, self.height)
            main["is_real"] = 1
            main["cells"] = random.integers(0, TABLE_ROWS, size=(self.height, LOOKUPS), dtype=np.uint32)
            cells = main["cells"].astype(np.uint64)
            for i in range(23):
                main["others"][:, i] = cells[:, i % LOOKUPS] * cells[:, (i + 1) % LOOKUPS] % (2**31 - 2**24 + 1)
            multiplicities += np.bincount(main["cells"].reshape(-1), minlength=TABLE_ROWS).astype(np.uint32)
            rows[chip.name] = {"main": main, "boundary": chip.empty(Phase.BOUNDARY, self.height)}
        rows["range"] = {"main": multiplicities.reshape(-1, 1)}
        return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log-height", type=int, default=18)
    parser.add_argument("--chips", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    chips = tuple(Chip(f"load {i}", LoadRow, constrain_load) for i in range(arguments.chips))
    range_chip = Chip("range", RangeRow, constrain_range)
    values = range_chip.empty(Phase.FIXED, TABLE_ROWS)
    values["value"] = np.arange(TABLE_ROWS)
    tables, kept = machine_tables([range_chip], {"range": values})
    slots = tuple(Slot(chip.name, required=True) for chip in (*chips, range_chip))
    machine = Machine("bench", (*chips, range_chip), (ShardKind("only", slots, ()),), tables)
    key, program = program_key(machine, {}, 0)
    run = Run(chips, 1 << arguments.log_height)
    fixed_tables = {"machine": kept, "program": program}

    marks = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "proof"
        small = Run(chips, 1 << 10)
        Prover(machine, key, fixed_tables, Parameters(), Options(threads=arguments.threads)).prove(small, path)
        verify(path, machine, arithmetic=Batched())
        options = Options(
            threads=arguments.threads, progress=lambda stage, *_: marks.append((stage, time.perf_counter()))
        )
        Prover(machine, key, fixed_tables, Parameters(), options).prove(run, path)
        marks.append(("end", time.perf_counter()))
        size = path.stat().st_size
        started = time.perf_counter()
        accepted = verify(path, machine, arithmetic=Batched())
        verify_seconds = time.perf_counter() - started

    main_cells = sum(chip.widths[Phase.MAIN] + chip.widths[Phase.BOUNDARY] for chip in chips)
    cells = (main_cells + sum(chip.auxiliary_width + 10 for chip in chips)) << arguments.log_height
    seconds = {stage: round(after - before, 3) for (stage, before), (_, after) in itertools.pairwise(marks)}
    total = marks[-1][1] - marks[0][1]
    print(
        json.dumps(
            {
                "rows": 1 << arguments.log_height,
                "cells": cells,
                "seconds by stage": seconds,
                "seconds": round(total, 2),
                "nanoseconds per cell": round(total / cells * 1e9, 1),
                "peak memory MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "proof bytes": size,
                "verify seconds": round(verify_seconds, 3),
                "bits": round(accepted.bits, 2),
                "limited by": accepted.security[0].layer and min(accepted.security, key=lambda r: r.bits).limiting.name,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
