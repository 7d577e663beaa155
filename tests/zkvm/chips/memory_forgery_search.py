"""
Finds forgeries of the load, store and ecall chips, as forgery_search.py does for the other instructions.

    python tests/zkvm/chips/memory_forgery_search.py SECONDS ROUNDS NAME ...

Writes forgeries/NAME.json: for each constraint or look-up the case of the nearest honest row, the cells that differ, and why the claim is false.
"""

import json
import random
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import forgery_search
from forgery_search import FOLDER, Search, support, with_foreign_lines, written
from instructions_kit import FIRST_PC, Judge
from memory_exemptions import EXEMPT
from memory_kit import CHIPS, claims_of_rows, ecall_cases, ecall_run, memory_cases, memory_run

from zkvm.air import Phase
from zkvm.chips import ecall
from zkvm.chips.buses import MEMORY, STATE, SYSCALL
from zkvm.field.koala_bear import PRIME
from zkvm.isa.instructions import Operation

forgery_search.falsehoods_of_rows = claims_of_rows


class MemorySearch(Search):
    """Candidates of one chip of this kind."""

    def __init__(self, name: str, seed: int, base_count: int) -> None:
        self.rng = random.Random(seed)
        self.chip = ecall.CHIP if name == "ecall" else CHIPS[name]
        if name == "ecall":
            self.cases: list[Any] = ecall_cases(seed, 3)
            self.run = ecall_run(self.cases, seed)  # type: ignore[assignment]
        else:
            pool = memory_cases(name, seed, 3)
            self.cases = self.rng.sample(pool, min(base_count, len(pool)))
            self.run = memory_run(name, self.cases, seed)  # type: ignore[assignment]
        self.judge = Judge(self.chip, foreign_lines(self.run.program, self.rng))
        self.bases = self.run.matrix[: len(self.cases) + 1].copy()
        self.number = len(self.chip.constraints)
        self.supports = [support([c.expression]) for c in self.chip.constraints]
        self.supports += [support([*m.values, m.count]) for m in self.chip.messages]
        self.cell_names = [cell.name for cell in self.chip.cells(Phase.MAIN)]
        # 8 (low - 1/8) = 8 low - 1: a misaligned address whose quotient, modulo p, is an address as well. Likewise bytes and signs.
        inverses = [pow(2**k, -1, PRIME) for k in (3, 7, 8)]
        self.kicks = [*(-x for x in inverses), *inverses, 1, -1, 65536, -65536, 32768, -32768, 256, -256, 2, 8, 4, 32512, -32512, 8192]


def foreign_lines(program: np.ndarray, rng: random.Random) -> np.ndarray:
    """The program with copies of some lines under other operations, unused fields set to 0 as the decoder would."""
    lines = with_foreign_lines(program, rng)
    operation = lines["operation"]
    lines["rd"][(operation >= Operation.SB) & (operation <= Operation.SD)] = 0
    lines["rs2"][(operation >= Operation.LB) & (operation <= Operation.LWU)] = 0
    return lines


def stored(search: MemorySearch, row: np.ndarray, problems: list[str]) -> dict[str, Any]:
    """A forgery as data."""
    nearest = int((search.bases != row).sum(axis=1).argmin())
    changed = {search.cell_names[i]: int(row[i]) for i in np.flatnonzero(search.bases[nearest] != row)}
    found: dict[str, Any] = {"false": problems, "case": None, "changed": changed}
    honest_pc = FIRST_PC
    if nearest < len(search.cases):
        found["case"] = asdict(search.cases[nearest])
        found["event"] = {
            n: int(search.run.events[n][nearest]) for n in search.run.events.dtype.names if n.startswith("previous")
        }
        honest_pc += 4 * nearest
    pc = int(row[search.cell_names.index("step.pc")])
    # The row moves to the first pc; what the program holds at its own pc moves along.
    index = (pc - FIRST_PC) // 4
    if (pc - FIRST_PC) % PRIME % 4 == 0 and 0 <= index < len(search.judge.program):
        line = search.judge.program[index]
        found["line"] = [pc, *(int(line[n]) for n in ("operation", "rd", "rs1", "rs2", "immediate"))]
    found["changed"]["step.pc"] = pc
    return found


def main(names: list[str], budget: float, rounds: int) -> None:
    for name in names:
        path = FOLDER / f"{name}.json"
        known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        chip = ecall.CHIP if name == "ecall" else CHIPS[name]
        items = [c.name for c in chip.constraints] + [m.label for m in chip.messages]
        skip = {m.label for m in chip.messages if m.bus in (STATE, MEMORY, SYSCALL)} | set(EXEMPT.get(name, {}))
        for attempt in range(rounds):
            search = MemorySearch(name, 100 + attempt, 24 if attempt == 0 else 48)
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
