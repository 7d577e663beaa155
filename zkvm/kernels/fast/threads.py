"""
One kernel over many chunks, on several threads.

Kernels hold no interpreter lock, so plain threads suffice. Chunks are small and handed out as threads become free:
with equal halves a busy second core would make everyone wait for it.
"""

import os
from collections.abc import Callable
from threading import Thread

from zkvm.kernels.errors import KernelInputError


def thread_count(threads: int | None) -> int:
    """The given count, or how many processors this process may use. Raises KernelInputError below 1."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise KernelInputError(f"{threads} threads cannot do anything")
    return threads


def run_chunks(work: Callable[[int, int], object], total: int, chunk: int, threads: int | None = None) -> None:
    """
    Calls work(start, stop) over [0, total) in pieces of `chunk`, which may run at the same time and in any order.

    The calling thread works too. The first error of any piece is raised here, when the pieces under way have ended; no
    further ones are begun.
    """
    count = min(thread_count(threads), -(-total // chunk))
    if count <= 1:
        if total:
            work(0, total)
        return
    # One iterator for all: taking the next of it is atomic under the interpreter lock.
    starts = iter(range(0, total, chunk))
    errors: list[BaseException] = []

    def drain() -> None:
        try:
            for start in starts:
                work(start, min(start + chunk, total))
        except BaseException as error:  # noqa: BLE001 (raised below, in the calling thread)
            errors.append(error)
            exhaust()

    def exhaust() -> None:
        for _ in starts:
            pass

    others = [Thread(target=drain, name="kernel") for _ in range(count - 1)]
    for other in others:
        other.start()
    try:
        drain()
        for other in others:
            other.join()
    finally:
        # A signal may have come while waiting: nobody may still write when this returns.
        exhaust()
        for other in others:
            other.join()
    if errors:
        raise errors[0]
