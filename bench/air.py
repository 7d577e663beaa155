"""
Throughput of the tape interpreter: nanoseconds per row for auxiliary columns and quotient, on a synthetic chip.

    python bench/air.py [log2 height] [columns] [constraints] [messages] [threads]

Prints one line per kernel: seconds, ns per row, ns per instruction and row. The first call compiles and is not counted.
"""

import sys
import time

import numpy as np

from zkvm.air import Bus, Chip, Columns, column
from zkvm.air.backends import tape
from zkvm.field.extension import Extension
from zkvm.field.koala_bear import PRIME

BUS = Bus("bench", 1, ("a", "b", "c", "d"))


def sample_chip(column_count: int, constraint_count: int, message_count: int) -> Chip:
    """
    Constraints of three multiplications and six additions each, over neighbouring columns; messages of four values.
    """

    class Row(Columns):
        cells = column("synthetic cells", count=column_count)

    def constrain(air, row):
        cells = row.cells
        for i in range(constraint_count):
            a, b, c, d = (cells[(i * 3 + k * 5) % column_count] for k in range(4))
            air.zero(f"constraint {i}", (a + b - i - 1) * (c * d + a - b) + 5 * d - c)
        for i in range(message_count):
            air.send(
                BUS,
                *(cells[(i + 7 * k) % column_count] for k in range(4)),
                count=cells[i % column_count],
                maximum_count=1,
            )

    return Chip("bench", Row, constrain)


def main(log_height: int = 18, columns: int = 40, constraints: int = 25, messages: int = 0, threads: int = 1) -> None:
    """Runs and prints."""
    chip = sample_chip(columns, constraints, messages)
    generator = np.random.default_rng(1)
    challenge = Extension((3, 1, 4, 1, 5))
    challenges = {"local": (challenge, challenge * challenge)}

    def run(log_rows: int) -> dict[str, tuple[float, int, int]]:
        height = 1 << log_rows
        trace = {"main": generator.integers(0, PRIME, size=(height, columns), dtype=np.uint32)}
        extended = {"main": generator.integers(0, PRIME, size=(2 * height, columns), dtype=np.uint32)}
        times = {}
        sums: dict[str, Extension] = {}
        if messages:
            start = time.perf_counter()
            _, sums = tape.auxiliary_columns(chip, trace, {}, challenges, threads)
            program = tape.compile_fractions(chip)
            times["auxiliary"] = time.perf_counter() - start, height, program.instruction_count
            extended["auxiliary"] = generator.integers(
                0, PRIME, size=(2 * height, chip.auxiliary_width), dtype=np.uint32
            )
        start = time.perf_counter()
        tape.quotient(chip, extended, {}, challenges, sums, challenge, threads)
        times["quotient"] = time.perf_counter() - start, 2 * height, tape.compile_constraints(chip).instruction_count
        return times

    run(5)
    for name, (seconds, rows, instructions) in run(log_height).items():
        per_row = seconds / rows * 1e9
        sys.stdout.write(
            f"{name}: {seconds:.3f} s, {rows} rows, {per_row:.0f} ns a row, {instructions} instructions, "
            f"{per_row / instructions:.3f} ns per instruction and row\n"
        )


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
