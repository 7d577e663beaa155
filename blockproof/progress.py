"""Progress on standard error: one line by phase, with time left, rewritten in place on a terminal and thinned out elsewhere."""

import contextlib
import io
import sys
import time
from typing import Final, Self, TextIO

from zkvm.protocol.prove import STAGES

QUIET_SECONDS: Final = 15.0
"""Where no terminal rewrites the line, print one only so often."""


class ProgressLine:
    """Reports the prover's phases. Use as a context manager: the line is ended whatever happens."""

    def __init__(self, stream: TextIO | None = None, enabled: bool = True) -> None:
        # A process without standard error has None there.
        self._stream = stream or sys.stderr or io.StringIO()
        self._enabled = enabled
        self._is_terminal = self._stream.isatty()
        self._start = time.monotonic()
        self._proving_since: float | None = None
        self._first_shard = 0
        self._last_print = 0.0
        self._width = 0
        self._phase = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._enabled and self._is_terminal and self._width:
            self._write("\r" + " " * self._width + "\r")

    def __call__(self, phase: str, shard: int, count: int) -> None:
        """phase: what begins; shard of count: where, 0 where that means nothing yet."""
        if not self._enabled:
            return
        now = time.monotonic()
        text = phase
        if count and shard:
            text = f"{phase}, shard {shard} of {count}"
            if phase not in STAGES[:2]:
                text += self._left(phase, shard, count, now)
        elif shard:
            text = f"{phase}, shard {shard}"
        text = f"[{_clock(now - self._start)}] {text}"
        if self._is_terminal:
            self._write("\r" + text.ljust(self._width))
            self._width = len(text)
        elif phase != self._phase and (shard <= 1 or now - self._last_print > QUIET_SECONDS):
            self._write(text + "\n")
            self._last_print = now
        self._phase = phase

    def _write(self, text: str) -> None:
        # Where nobody reads any more there is nobody to tell; the proof goes on.
        with contextlib.suppress(OSError):
            self._stream.write(text)
            self._stream.flush()

    def _left(self, phase: str, shard: int, count: int, now: float) -> str:
        # Shards of one run are alike: what is left takes as long as what is done, by shards and phases.
        if self._proving_since is None:
            self._proving_since, self._first_shard = now, shard
            return ""
        phases = len(STAGES) - 2
        done = (shard - self._first_shard) * phases + STAGES.index(phase) - 2
        total = (count - self._first_shard + 1) * phases
        if done < 3:
            return ""
        return f", about {_clock((now - self._proving_since) / done * (total - done))} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
