"""Chunks on several threads: each once, errors raised where they belong, nobody left working."""

import signal
import threading
import time

import pytest

from zkvm.kernels.fast.threads import run_chunks


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(("total", "chunk"), [(0, 4), (1, 4), (4, 4), (1003, 4), (7, 100)])
def test_every_row_once(total: int, chunk: int, threads: int) -> None:
    seen: list[int] = []
    run_chunks(lambda start, stop: seen.extend(range(start, stop)), total, chunk, threads)
    assert sorted(seen) == list(range(total))


@pytest.mark.parametrize("guilty", [0, 57, 99])
def test_an_error_is_raised_and_ends_the_work(guilty: int) -> None:
    begun: list[int] = []

    def work(start: int, stop: int) -> None:
        begun.append(start)
        time.sleep(0.001)
        if start == guilty:
            raise ValueError(f"piece {guilty}")

    before = threading.active_count()
    with pytest.raises(ValueError, match=f"piece {guilty}"):
        run_chunks(work, 100_000, 1, 3)
    assert threading.active_count() == before and len(begun) < guilty + 50


def test_an_interrupt_ends_the_work_first() -> None:
    """Ctrl-C reaches the caller only when no thread writes any more."""
    finished = []

    def work(start: int, stop: int) -> None:
        time.sleep(0.02)
        finished.append(start)

    previous = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        before = threading.active_count()
        with pytest.raises(KeyboardInterrupt):
            run_chunks(work, 1000, 1, 2)
        assert threading.active_count() == before
        count = len(finished)
        time.sleep(0.1)
        assert len(finished) == count < 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
