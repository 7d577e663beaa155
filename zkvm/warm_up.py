"""
First-run compilation on two processors: `python -m zkvm.warm_up` compiles the chips' fillers into the cache, and exits.

Numba compiles one function at a time in a process. A prover that finds no compiled fillers starts this beside itself, since it needs them last, and finds them
compiled when it gets there; if it gets there first, it compiles them itself and nothing is lost but time.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from zkvm.kernels.policy import HAVE_NUMBA, cache_root, source_digest

_is_running = threading.Lock()


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


@contextmanager
def compiling_fillers_beside() -> Iterator[None]:
    """
    Compiles the fillers in another process while the body runs, unless those of these sources are in the cache; the process ends with the body. Within itself it
    does nothing.
    """
    process = None
    if HAVE_NUMBA and not _is_running.locked() and not _marker().exists():
        _is_running.acquire()
        process = subprocess.Popen(
            [sys.executable, "-m", "zkvm.warm_up"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        )  # fmt: skip
    try:
        yield
    finally:
        if process is not None:
            process.terminate()
            process.wait()
            _is_running.release()


def _marker() -> Path:
    """Says that the fillers of these very sources have been compiled. `cache clean` removes it with them."""
    return cache_root() / "kernels" / f"fillers-{source_digest(Path(__file__))[:24]}"


def main() -> int:
    """Compiles, then leaves the marker; where the cache cannot be written there is nothing to leave."""
    compile_fillers()
    try:
        _marker().parent.mkdir(parents=True, exist_ok=True)
        _marker().touch()
    except OSError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
