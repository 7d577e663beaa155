"""
How fast the kernels are here: `python -m bench.kernels [--log-rows 18] [--columns 100] [--threads 1]`.

Prints, for each kernel, the least of several repeats in nanoseconds per unit, with the machine and the digest of the
kernel sources. A trace cell of the low-degree extension or the commitment stands for two of the extension, blowup
being 2. First calls, which compile or load, are reported apart.
"""

import argparse
import hashlib
import platform
import time
from pathlib import Path

import numpy as np

from zkvm.field.koala_bear import PRIME
from zkvm.kernels.fast import extension, fri, merkle, montgomery, ntt, poseidon2, simd

SEED = 1
REPEATS = 3


def timed(work, repeats=REPEATS):
    """(first call, least of the repeats after it), in seconds."""
    start = time.perf_counter()
    work()
    first = time.perf_counter() - start
    least = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - start)
    return first, least


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log-rows", type=int, default=18, help="log2 of the trace's height")
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    rows, columns, threads = 1 << arguments.log_rows, arguments.columns, arguments.threads

    sources = sorted(Path(simd.__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    print(f"{platform.machine()}, {simd.LANES} lanes, {threads} threads, kernels {digest}, seed {SEED}")
    print(f"trace of 2^{arguments.log_rows} rows and {columns} columns")
    print(f"{'kernel':44}{'ns':>9}  {'per':22}{'first call, s':>14}")

    random = np.random.default_rng(SEED)
    trace = random.integers(0, PRIME, (rows, columns), dtype=np.uint32)
    extended = np.empty((2 * rows, columns), dtype=np.uint32)
    vector = random.integers(0, PRIME, (2 * rows, 5), dtype=np.uint32)
    other = vector[::-1].copy()
    states = random.integers(0, PRIME, (1 << 14, 24), dtype=np.uint32)
    (point,) = extension.to_elements(vector[:1])
    coefficients = other[:columns].copy()
    inverses = extension.domain_inverses(point, arguments.log_rows + 1, threads=threads)
    grind_state = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    grind_tries = poseidon2.grind(grind_state, 16, threads) + 1
    cells = trace.size

    cases = [
        ("to_montgomery", lambda: montgomery.to_montgomery(trace, threads), cells, "cell"),
        (
            "low_degree_extension",
            lambda: ntt.low_degree_extension(trace, out=extended, threads=threads),
            cells,
            "trace cell",
        ),
        ("commit (leaves and tree)", lambda: merkle.commit([extended], threads), cells, "trace cell"),
        (
            "hash_rows",
            lambda: poseidon2.hash_rows([extended], threads),
            2 * rows * max(1, -(-columns // 15)),
            "permutation",
        ),
        ("permute", lambda: poseidon2.permute(states, threads), states.shape[0], "permutation"),
        ("grind", lambda: poseidon2.grind(grind_state, 16, threads), grind_tries, "try, about"),
        ("extension.multiply", lambda: extension.multiply(vector, other, threads=threads), 2 * rows, "element"),
        ("extension.batch_inverse", lambda: extension.batch_inverse(vector, threads=threads), 2 * rows, "element"),
        (
            "extension.domain_inverses",
            lambda: extension.domain_inverses(point, arguments.log_rows, threads=threads),
            rows,
            "element",
        ),
        (
            "extension.evaluate_columns, from the trace",
            lambda: extension.evaluate_columns(trace, point, 1, threads=threads),
            cells,
            "trace cell",
        ),
        (
            "extension.evaluate_columns, inverses given",
            lambda: extension.evaluate_columns(extended, point, 3, 2, inverses, threads),
            cells,
            "trace cell",
        ),
        (
            "extension.combine_columns",
            lambda: extension.combine_columns(extended, coefficients, vector, threads),
            cells,
            "trace cell",
        ),
        (
            "extension.deep_quotient",
            lambda: extension.deep_quotient(vector, point, inverses, other, threads),
            2 * rows,
            "element",
        ),
        ("fri.fold by 8", lambda: fri.fold(vector, point, 3, threads=threads), 2 * rows, "element"),
        ("fri.fold_rows by 8", lambda: fri.fold_rows(vector, 3), 2 * rows, "element"),
    ]
    for name, work, units, unit in cases:
        first, least = timed(work)
        print(f"{name:44}{least / units * 1e9:9.2f}  {unit:22}{first:14.2f}")


if __name__ == "__main__":
    main()
