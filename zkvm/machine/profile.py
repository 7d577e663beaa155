"""Where the steps of a run go: by region, by function, by instruction."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zkvm.isa.instructions import FAMILY_COUNT, INSTRUCTIONS, Family
from zkvm.machine.elf import Program

REGION_PATH_LIMIT: Final = 4096
REGION_DEPTH_LIMIT: Final = 64

NO_FUNCTION: Final = "(no symbol)"


@dataclass(frozen=True)
class RegionCount:
    """
    A named region and everything executed between its marks, inner regions included.

    path:  the names of the enclosing regions, outermost first, then its own.
    calls: how often it was entered. families: rows per family, precompile calls among them.
    """

    path: tuple[str, ...]
    calls: int
    families: dict[Family, int]

    @property
    def steps(self) -> int:
        """Instructions executed, ecalls included."""
        return steps_of(self.families)


@dataclass(frozen=True)
class FunctionCount:
    """Steps executed in one function's own code, callees not included."""

    name: str
    steps: int


def steps_of(families: dict[Family, int]) -> int:
    """The number of instructions behind rows per family: every step has one row up to ECALL."""
    return sum(count for family, count in families.items() if family <= Family.ECALL)


class RegionTally:
    """
    Adds up regions as their marks are reached.

    Marks are a profiling aid: one that does not match is dropped, never an error. An end without its begin is
    ignored; an end of an outer region also ends the inner ones; regions open at the end of the run end there.
    """

    def __init__(self) -> None:
        self._open: list[tuple[tuple[str, ...], NDArray[np.int64]]] = []
        self._calls: dict[tuple[str, ...], int] = {}
        self._rows: dict[tuple[str, ...], NDArray[np.int64]] = {}

    def begin(self, name: str, rows: NDArray[np.int64]) -> None:
        """Enters a region; rows: (FAMILY_COUNT,) rows per family executed so far in the run."""
        path = (*(self._open[-1][0] if self._open else ()), name)
        if len(path) > REGION_DEPTH_LIMIT or (path not in self._rows and len(self._rows) >= REGION_PATH_LIMIT):
            return
        self._open.append((path, rows.copy()))
        self._calls[path] = self._calls.get(path, 0) + 1
        self._rows.setdefault(path, np.zeros(FAMILY_COUNT, dtype=np.int64))

    def end(self, name: str, rows: NDArray[np.int64]) -> None:
        """Leaves the innermost open region of that name."""
        if all(path[-1] != name for path, _ in self._open):
            return
        while self._leave(rows) != name:
            pass

    def counts(self, rows: NDArray[np.int64]) -> tuple[RegionCount, ...]:
        """Closes what is open and returns every region, in the order of first entry."""
        while self._open:
            self._leave(rows)
        return tuple(RegionCount(path, self._calls[path], family_counts(total)) for path, total in self._rows.items())

    def _leave(self, rows: NDArray[np.int64]) -> str:
        path, at_entry = self._open.pop()
        self._rows[path] += rows - at_entry
        return path[-1]


def family_counts(rows: NDArray[np.int64]) -> dict[Family, int]:
    """(FAMILY_COUNT,) counts by name."""
    return {family: int(rows[family]) for family in Family}


def instruction_counts(program: Program, executions: NDArray[np.uint64]) -> dict[str, int]:
    """Steps per mnemonic, most first. executions: (n,) steps per instruction of the program."""
    totals = np.zeros(256, dtype=np.uint64)
    np.add.at(totals, program.decoded["mnemonic"], executions)
    counts = {line.mnemonic: int(totals[index]) for index, line in enumerate(INSTRUCTIONS) if totals[index]}
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def function_counts(program: Program, executions: NDArray[np.uint64]) -> tuple[FunctionCount, ...]:
    """Steps per function, most first; code that no symbol covers is counted as NO_FUNCTION."""
    total = int(executions.sum())
    prefix = np.concatenate([[np.uint64(0)], np.cumsum(executions, dtype=np.uint64)])
    steps: dict[str, int] = {}
    text_end = program.text_start + 4 * len(program.words)
    for position, symbol in enumerate(program.symbols):
        next_address = program.symbols[position + 1].address if position + 1 < len(program.symbols) else text_end
        # Symbols of size 0 reach to the next one; none reaches past it.
        end = min(next_address, symbol.address + symbol.size if symbol.size else next_address, text_end)
        first = (max(symbol.address, program.text_start) - program.text_start) // 4
        last = (end - program.text_start + 3) // 4
        if first < last:
            steps[symbol.name] = steps.get(symbol.name, 0) + int(prefix[last] - prefix[first])
    if rest := total - sum(steps.values()):
        steps[NO_FUNCTION] = rest
    ordered = sorted(steps.items(), key=lambda item: -item[1])
    return tuple(FunctionCount(name, count) for name, count in ordered if count)
