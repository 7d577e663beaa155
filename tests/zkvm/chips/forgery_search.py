"""
Finds, for each constraint and each look-up of an instruction chip, a false row that only this one refuses.

    python tests/zkvm/chips/forgery_search.py SECONDS ROUNDS NAME ...

SECONDS is the time per item in the first round; later rounds start from more honest rows and take longer. What is known
stays.

A search from honest rows: break the constraint in one cell, then repair what else fails by solving for one more cell at
a time, best candidates first. A row counts only if `falsehoods` calls the step it claims false. What is found is
stored; the tests only check it. What is not found needs a forgery by hand (forgeries_by_hand.py) or a proof that it is
implied (exemptions.py).
"""

import heapq
import json
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from exemptions import EXEMPT
from instructions_kit import (
    FIRST_PC,
    UNREACHABLE,
    Judge,
    cases,
    chip_named,
    falsehoods_of_rows,
    padded_to_power_of_two,
    run,
)

from zkvm.air import Chip, Phase
from zkvm.air.backends.interpret import evaluate_rows
from zkvm.air.expression import Operation, reachable
from zkvm.chips.buses import BYTE, MEMORY, PROGRAM, RANGE, STATE
from zkvm.field.koala_bear import PRIME
from zkvm.isa.instructions import IMMEDIATE_FLAG

FOLDER = Path(__file__).parent / "forgeries"


def support(roots: Any) -> list[int]:
    """The main columns that expressions are made of."""
    return sorted(
        {n.value[1] for n in reachable(roots) if n.operation is Operation.COLUMN and n.value[0] is Phase.MAIN}
    )


def square_root(value: int) -> int | None:
    """A root of value modulo p, or None (Tonelli and Shanks)."""
    value %= PRIME
    if value == 0:
        return 0
    if pow(value, (PRIME - 1) // 2, PRIME) != 1:
        return None
    q, s = 127, 24
    z = pow(3, q, PRIME)
    m, c, t, r = s, z, pow(value, q, PRIME), pow(value, (q + 1) // 2, PRIME)
    while t != 1:
        i, u = 0, t
        while u != 1:
            u = u * u % PRIME
            i += 1
        b = pow(c, 1 << (m - i - 1), PRIME)
        m, c, t, r = i, b * b % PRIME, t * b * b % PRIME, r * b % PRIME
    return r


def roots_of(values: list[int]) -> list[int]:
    """The roots of a polynomial of degree 2 at most (3: only if 0 is one), given its values at 0, 1, 2, 3."""
    half = pow(2, -1, PRIME)
    sixth = pow(6, -1, PRIME)
    v0, v1, v2, v3 = values
    d3 = (v3 - 3 * v2 + 3 * v1 - v0) * sixth % PRIME
    d2 = ((v2 - 2 * v1 + v0) * half - 3 * d3) % PRIME
    d1 = (v1 - v0 - d2 - d3) % PRIME
    d0 = v0 % PRIME
    if d3:
        if d0:
            return []
        return [0, *quadratic(d3, d2, d1)]
    return quadratic(d2, d1, d0)


def quadratic(a: int, b: int, c: int) -> list[int]:
    if a == 0:
        return [] if b == 0 else [-c * pow(b, -1, PRIME) % PRIME]
    root = square_root(b * b - 4 * a * c)
    if root is None:
        return []
    inverse = pow(2 * a, -1, PRIME)
    return [(-b + root) * inverse % PRIME, (-b - root) * inverse % PRIME]


@dataclass(order=True)
class State:
    score: float
    number: int
    row: Any = None
    changed: frozenset[int] = frozenset()
    failing: tuple[int, ...] = ()


class Search:
    """Candidates of one chip."""

    def __init__(self, chip: Chip, seed: int, base_count: int) -> None:
        self.rng = random.Random(seed)
        chosen = cases(chip.name, seed, 30)
        by_operation: dict[int, list[Any]] = {}
        for case in chosen:
            by_operation.setdefault(case.operation, []).append(case)
        per = max(2, base_count // len(by_operation))
        picked = [c for group in by_operation.values() for c in self.rng.sample(group, min(per, len(group)))]
        self.run = run(chip, picked, seed)
        self.judge = Judge(chip, with_foreign_lines(self.run.program, self.rng))
        self.bases = self.run.matrix[: len(picked) + 1].copy()
        self.chip = chip
        number = len(chip.constraints)
        self.supports = [support([c.expression]) for c in chip.constraints] + [
            support([*m.values, m.count]) for m in chip.messages
        ]
        self.number = number
        self.cell_names = [cell.name for cell in chip.cells(Phase.MAIN)]
        self.kicks: list[int] = [1, -1, 65536, -65536, 32768, -32768, 256, -256, 2, 32512, -32512]

    def failing(self, rows: np.ndarray) -> list[tuple[int, ...]]:
        refused = self.judge.refusals(rows)
        return [tuple(np.flatnonzero(r)) for r in refused]

    def find(self, target: int, budget: float) -> tuple[np.ndarray, list[str]] | None:
        start = time.time()
        frontier: list[State] = []
        seen: set[bytes] = set()
        counter = 0
        kicked: list[tuple[np.ndarray, frozenset[int]]] = []
        for base in self.bases:
            for cell in self.supports[target]:
                h = int(base[cell])
                options = {(h + k) % PRIME for k in self.kicks} | {0, 1, PRIME - 1, 1 - h if h < 2 else 0}
                options |= {self.rng.randrange(65536), self.rng.randrange(PRIME)}
                if self.cell_names[cell] == "is_immediate":
                    # The immediate flag adds 64 to an operation: such a multiple makes it another operation.
                    options |= {k * pow(IMMEDIATE_FLAG, -1, PRIME) % PRIME for k in range(-47, 48) if k}
                for value in options - {h}:
                    row = base.copy()
                    row[cell] = value
                    kicked.append((row, frozenset((cell,))))
        if target >= self.number:
            for base in self.bases:
                kicked += self.solve(base, frozenset(), target, break_it=True)
        pending = kicked
        while time.time() - start < budget:
            for at in range(0, len(pending), 8192):
                part = pending[at : at + 8192]
                failing = self.failing(np.array([row for row, _ in part]))
                complete = [i for i, f in enumerate(failing) if f == (target,)]
                if complete:
                    rows = np.array([part[i][0] for i in complete])
                    for row, problems in zip(rows, falsehoods_of_rows(self.judge, rows), strict=True):
                        if problems and problems[0] != UNREACHABLE:
                            return row, problems
                for (row, changed), f in zip(part, failing, strict=True):
                    key = row.tobytes()
                    if key in seen or (target not in f and len(changed) > 1):
                        continue
                    seen.add(key)
                    others = [y for y in f if y != target]
                    # A true row may be pushed on by changing more.
                    penalty = 0.0 if target in f else 1.0
                    counter += 1
                    score = len(others) + 0.4 * len(changed) + penalty + 0.3 * self.rng.random()
                    heapq.heappush(frontier, State(score, counter, row, changed, tuple(f)))
            if not frontier:
                return None
            pending = []
            for _ in range(min(40, len(frontier))):
                state = heapq.heappop(frontier)
                if len(state.changed) > 8:
                    continue
                others = [y for y in state.failing if y != target]
                for y in others[:2] + others[-1:]:
                    pending += self.solve(state.row, state.changed, y, break_it=False)
            if not pending and not frontier:
                return None
        return None

    def solve(self, row: np.ndarray, changed: frozenset[int], y: int, break_it: bool) -> list[Any]:
        """Rows in which one more cell makes item y hold (or, for a look-up, fail)."""
        cells = [c for c in self.supports[y] if c not in changed]
        if not cells:
            return []
        probes = np.repeat(row[None], 4 * len(cells), axis=0)
        for i, cell in enumerate(cells):
            probes[4 * i : 4 * i + 4, cell] = (0, 1, 2, 3)
        found: list[Any] = []

        def add(cell: int, value: int) -> None:
            if value % PRIME != int(row[cell]):
                new = row.copy()
                new[cell] = value % PRIME
                found.append((new, changed | {cell}))

        if y < self.number:
            [values] = evaluate(self.chip, [self.chip.constraints[y].expression], probes)
            for i, cell in enumerate(cells):
                for value in roots_of([int(v) for v in values[4 * i : 4 * i + 4]]):
                    add(cell, value)
            return found
        message = self.chip.messages[y - self.number]
        fields = evaluate(self.chip, message.values, probes)
        current = [int(v[0]) for v in evaluate(self.chip, message.values, row[None])]
        for position, values in enumerate(fields):
            for i, cell in enumerate(cells):
                v = [int(x) for x in values[4 * i : 4 * i + 2]]
                slope = (v[1] - v[0]) % PRIME
                if slope == 0:
                    continue
                for wanted in self.wanted(message.bus, current, position, break_it):
                    add(cell, (wanted - v[0]) * pow(slope, -1, PRIME))
        return found

    def wanted(self, bus: Any, current: list[int], position: int, break_it: bool) -> list[int]:
        rng = self.rng
        if bus == RANGE and position == 1:
            bits = min(current[0], 16)
            if break_it:
                return [
                    1 << bits,
                    (1 << bits) + 1,
                    -1,
                    -2,
                    -65536,
                    65536,
                    rng.randrange(PRIME),
                    2 << bits,
                    -(1 << bits),
                ]
            return [0, (1 << bits) - 1, current[1] % (1 << bits), rng.randrange(1 << bits)]
        if bus == BYTE:
            operation, a, b, _ = current
            result = {0: a & b, 1: a | b, 2: a ^ b}.get(operation, 0)
            if break_it:
                return [
                    256,
                    -1,
                    rng.randrange(PRIME),
                    result ^ 1,
                    3,
                    1 if operation == 0 else 0,
                    current[position] + 256,
                ]
            if position == 3:
                return [result]
            return [0, 1, 2, 255, rng.randrange(256)] if position else [0, 1, 2]
        if bus == PROGRAM:
            if position == 0 and not break_it:
                alike = (self.judge.program_tuples()[:, 1:] == np.array(current[1:], dtype=np.uint64)).all(axis=1)
                return [FIRST_PC + 4 * int(i) for i in np.flatnonzero(alike)[:4]]
            index = (current[0] - FIRST_PC) // 4
            if not 0 <= index < len(self.judge.program):
                return []
            line = [int(x) for x in self.judge.program_tuples()[index]]
            if break_it:
                other = [int(x) for x in self.judge.program_tuples()[rng.randrange(len(self.judge.program))]]
                return [other[position], line[position] + 1, line[position] + 64, line[position] - 64]
            return [line[position]]
        return []


def evaluate(chip: Chip, roots: Any, matrix: np.ndarray) -> list[np.ndarray]:
    return [v[: len(matrix)] for v in evaluate_rows(chip, roots, {Phase.MAIN: padded_to_power_of_two(matrix)}, {})]


def with_foreign_lines(program: np.ndarray, rng: random.Random) -> np.ndarray:
    """The program with more lines: some of its own with every other operation in place of theirs."""
    lines = [program]
    for at in rng.sample(range(len(program)), min(6, len(program))):
        copies = np.repeat(program[at : at + 1], 112, axis=0)
        copies["operation"] = np.arange(1, 113)
        lines.append(copies[[i for i in range(112) if i < 48 or 64 <= i < 80]])
    return np.concatenate(lines)


def stored(search: Search, row: np.ndarray, problems: list[str]) -> dict[str, Any]:
    """
    A forgery as data: the nearest honest step, the cells that differ from its row, and why the claim is false.

    line:    (pc, operation, rd, rs1, rs2, immediate) of the honest step, or None for a row of padding.
    program: the line at the forged row's pc, where it is another.
    event:   the fields of the honest step's STEP_EVENT that are not 0.
    """
    names = [cell.name for cell in search.chip.cells(Phase.MAIN)]
    nearest = int((search.bases != row).sum(axis=1).argmin())
    changed = {names[i]: int(row[i]) for i in np.flatnonzero(search.bases[nearest] != row)}
    line, event = None, None
    if nearest < len(search.run.events):
        honest_event = search.run.events[nearest]
        line = line_of(search.run.program, int(honest_event["pc"]))
        names_of_event = [n for n in honest_event.dtype.names if n not in ("pc", "instruction")]
        event = {n: int(honest_event[n]) for n in names_of_event if honest_event[n]}
    found: dict[str, Any] = {"false": problems, "line": line, "event": event, "changed": changed}
    pc = int(row[next(i for i, n in enumerate(names) if n.endswith("step.pc"))])
    if line and pc != line[0] and 0 <= (pc - FIRST_PC) // 4 < len(search.judge.program):
        found["program"] = line_of(search.judge.program, pc)
    return found


def line_of(program: np.ndarray, pc: int) -> list[int]:
    """(pc, operation, rd, rs1, rs2, immediate)."""
    entry = program[(pc - FIRST_PC) // 4]
    return [pc, *(int(entry[n]) for n in ("operation", "rd", "rs1", "rs2", "immediate"))]


def written(known: dict[str, Any], items: list[str]) -> str:
    """The file's text: one forgery a line."""
    lines = [f" {json.dumps(item)}: {json.dumps(known[item])}" for item in items if item in known]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main(names: list[str], budget: float, rounds: int) -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in names:
        chip = chip_named(name)
        path = FOLDER / f"{name}.json"
        known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        items = [c.name for c in chip.constraints] + [m.label for m in chip.messages]
        skip = {m.label for m in chip.messages if m.bus in (STATE, MEMORY)} | set(EXEMPT.get(name, {}))
        for attempt in range(rounds):
            search = Search(chip, 100 + attempt, 24 if attempt == 0 else 48)
            for target, item in enumerate(items):
                if item in skip or item in known:
                    continue
                found = search.find(target, budget * (1 + attempt))
                if found:
                    known[item] = stored(search, *found)
                    path.write_text(written(known, items))
        missing = [i for i in items if i not in known and i not in skip]
        sys.stderr.write(f"{name}: {len(known)} found, missing {len(missing)}: {missing}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    main(sys.argv[3:], float(sys.argv[1]), int(sys.argv[2]))
