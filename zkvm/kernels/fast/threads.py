"""
One kernel over many chunks, on several threads.

Kernels hold no interpreter lock, so plain threads suffice. Chunks are small and handed out as threads become free:
with equal halves a busy second core would make everyone wait for it.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

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

    The first error of any piece is raised here.
    """
    count = min(thread_count(threads), -(-total // chunk))
    if count <= 1:
        if total:
            work(0, total)
        return
    with ThreadPoolExecutor(count) as pool:
        pieces = [pool.submit(work, start, min(start + chunk, total)) for start in range(0, total, chunk)]
        for piece in pieces:
            piece.result()
