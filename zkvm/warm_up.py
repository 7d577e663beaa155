"""
First-run compilation on two processors: `python -m zkvm.warm_up PART` compiles part of the kernels into the cache, and exits.

Numba compiles one function at a time in a process. A prover that finds its cache empty starts this beside itself for the fillers, which it needs last, and
finds them compiled when it gets there; if it gets there first, it compiles them itself and nothing is lost but time.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

from zkvm.kernels.policy import HAVE_NUMBA, cache_root

PARTS: Final = ("fillers", "field")


def compile_fillers() -> None:
    """Calls every chip's filler with no events."""
    from zkvm.air.expression import Phase
    from zkvm.chips.counts import new_counts
    from zkvm.isa.decoder import DECODED
    from zkvm.machine.events import EVENT
    from zkvm.machine_air import FAMILY_CHIPS, GROUPS

    decoded = np.zeros(1, dtype=DECODED)
    decoded.flags.writeable = False
    for family, chip in [*FAMILY_CHIPS.items(), *((family, group.chip) for family, group in GROUPS.items())]:
        events = np.zeros(0, dtype=EVENT[family])
        events.flags.writeable = False
        assert chip.fill is not None
        chip.fill(decoded, events, chip.empty(Phase.MAIN, max(32, chip.minimum_height)), new_counts(1))


def compile_field() -> None:
    """Calls the kernels that a proof is made of, on a small matrix."""
    from zkvm.kernels.fast import merkle, montgomery, ntt, poseidon2

    matrix = montgomery.to_montgomery(np.arange(64 * 8, dtype=np.uint32).reshape(64, 8))
    merkle.commit([ntt.low_degree_extension(matrix)])
    poseidon2.grind((1,) * 9, 1)


@contextmanager
def compiling_beside(part: str) -> Iterator[None]:
    """Compiles a part in another process while the body runs, if this cache has not seen it; the process is ended with the body."""
    marker = cache_root() / "kernels" / f".warm-{part}"
    process = None
    if HAVE_NUMBA and not marker.exists() and not os.environ.get("BLOCKPROOF_NO_WARM_UP"):
        process = subprocess.Popen(
            [sys.executable, "-m", "zkvm.warm_up", part], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    try:
        yield
    finally:
        if process is not None:
            process.terminate()
            process.wait()


def main(arguments: list[str]) -> int:
    """Compiles one part; exit code 2 for an unknown one."""
    if len(arguments) != 1 or arguments[0] not in PARTS:
        sys.stderr.write(f"usage: python -m zkvm.warm_up {'|'.join(PARTS)}\n")
        return 2
    compile_fillers() if arguments[0] == "fillers" else compile_field()
    marker = cache_root() / "kernels" / f".warm-{arguments[0]}"
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
