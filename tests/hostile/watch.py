"""Bounds on time and on what may be raised, for code that is given hostile input."""

from __future__ import annotations

import contextlib
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from witness.errors import WitnessError

SECONDS_PER_CASE = 30.0


class Hang(BaseException):
    """A case took longer than it may. No Exception, so that no handler under test takes it for its own."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with one case. what: one line; encoded: the input that shows it; detail: more, a traceback for one."""

    target: str
    what: str
    encoded: bytes
    detail: str = ""


@contextlib.contextmanager
def at_most(seconds: float = SECONDS_PER_CASE) -> Iterator[None]:
    """Raises Hang in the block after so many seconds of wall clock; only in the main thread, elsewhere it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise Hang(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def refusal_of(
    action: Callable[[], object], allowed: tuple[type[Exception], ...] = (WitnessError,)
) -> tuple[object, Exception | None, str]:
    """
    (value, refusal, fault): what the action returned, or the typed refusal that it raised, or what it did wrong.

    fault: "" unless the action hung or raised anything else.
    """
    try:
        with at_most():
            return action(), None, ""
    except allowed as refusal:
        return None, refusal, ""
    except (Hang, Exception) as error:  # noqa: BLE001 - what escapes is the finding
        return None, None, f"{type(error).__name__}: {error!s:.300}\n{traceback.format_exc(limit=-6)}"
