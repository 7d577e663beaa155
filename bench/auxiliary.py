"""
What the number of LogUp fractions in an auxiliary column costs, on the chip of LD: the spike of the design's section 4.

    python bench/auxiliary.py [--log-height 17] [--threads 1] [--chip load_double]

For 1, 2 and 3 fractions within degree 3: auxiliary columns, cells of a row, and processor seconds for making, extending and committing the auxiliary columns and the quotient. Cells
of the trace are random: times do not depend on them. Then, by arithmetic alone, what a higher degree would change. docs/performance.md draws the conclusion.
"""

import argparse
import time
from dataclasses import replace

import numpy as np

from zkvm.air.backends import tape
from zkvm.air.backends.parameters import QUOTIENT_COLUMNS, parameters
from zkvm.air.chip import Chip
from zkvm.air.expression import Phase
from zkvm.field.extension import DEGREE, Extension
from zkvm.field.koala_bear import PRIME
from zkvm.kernels.fast import merkle, ntt
from zkvm.machine_air import CHIPS

CHALLENGE = Extension((3, 1, 4, 1, 5))


def seconds_of(chip: Chip, log_height: int, threads: int) -> tuple[float, float]:
    """(auxiliary, quotient): made, extended and committed, on random rows."""
    generator = np.random.default_rng(1)
    width = chip.widths[Phase.MAIN]
    trace = generator.integers(0, PRIME, size=(1 << log_height, width), dtype=np.uint32)
    extended = {"main": ntt.low_degree_extension(trace, threads=threads)}
    challenges = {"local": (CHALLENGE, CHALLENGE * CHALLENGE)}
    start = time.process_time()
    columns, sums = tape.auxiliary_columns(chip, {"main": trace}, {}, challenges, threads, is_montgomery=True)
    extended["auxiliary"] = ntt.low_degree_extension(columns, threads=threads)
    merkle.commit([extended["auxiliary"]], threads)
    between = time.process_time()
    values = tape.quotient(chip, extended, {}, challenges, sums, CHALLENGE, threads)
    merkle.commit([tape.quotient_chunks(values, threads)], threads)
    return between - start, time.process_time() - between


def by_arithmetic(chip: Chip, fractions: int) -> tuple[int, int, int]:
    """
    (degree, auxiliary columns, quotient columns) were so many fractions of linear fingerprints to share a column.

    c d_1 .. d_k has degree k + 1, and the quotient of a constraint of degree k + 1 has k chunks.
    """
    degree = max(3, fractions + 1)
    columns = sum(-(-sum(m.bus.scope == scope for m in chip.messages) // fractions) for scope in ("local", "global"))
    return degree, DEGREE * columns, DEGREE * (degree - 1)


def main() -> None:
    """The command; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log-height", type=int, default=17)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--chip", default="load_double")
    arguments = parser.parse_args()
    declared = next(chip for chip in CHIPS if chip.name == arguments.chip)
    rows = 1 << arguments.log_height
    print(f"{declared.name}: {len(declared.messages)} messages, {declared.widths[Phase.MAIN]} main columns, 2^{arguments.log_height} rows, {arguments.threads} thread(s)")
    print("fractions  auxiliary  cells a row  auxiliary ns/row  quotient ns/row  together")
    for fractions in (1, 2, 3):
        chip = replace(declared, fractions_per_column=fractions)
        seconds_of(chip, 6, arguments.threads)
        auxiliary, quotient = min((seconds_of(chip, arguments.log_height, arguments.threads) for _ in range(3)), key=sum)
        print(
            f"{fractions:9d}  {chip.auxiliary_width:9d}  {parameters(chip).cells_per_row:11d}  {auxiliary / rows * 1e9:16.0f}  "
            f"{quotient / rows * 1e9:15.0f}  {(auxiliary + quotient) / rows * 1e9:8.0f}"
        )
    print("\nby arithmetic, whatever the machine allows")
    print("fractions  degree  auxiliary  quotient  cells a row")
    own = parameters(declared).cells_per_row - declared.auxiliary_width - QUOTIENT_COLUMNS
    for fractions in (1, 2, 3, 4, 8):
        degree, auxiliary_columns, quotient_columns = by_arithmetic(declared, fractions)
        print(f"{fractions:9d}  {degree:6d}  {auxiliary_columns:9d}  {quotient_columns:8d}  {own + auxiliary_columns + quotient_columns:11d}")


if __name__ == "__main__":
    main()
