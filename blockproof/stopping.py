"""Ctrl-C and a polite kill end long commands alike, with what is done kept and a word on how to go on."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from blockproof.errors import StoppedError


@contextlib.contextmanager
def stoppable(cause: str, mend: str) -> Iterator[None]:
    """Raises StoppedError with these words where the block is interrupted by SIGINT or SIGTERM."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, stop) if threading.current_thread() is threading.main_thread() else None
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(cause, mend) from None
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
