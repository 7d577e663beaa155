"""
Forgeries of loads and stores that the search does not find, each told as a story, written into forgeries/NAME.json beside the others.

    python tests/zkvm/chips/memory_forgeries_by_hand.py
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from forgery_search import FOLDER, written
from instructions_kit import FIRST_PC, UNREACHABLE, Judge
from memory_kit import CHIPS, MemoryCase, claims_of_rows, memory_run

from zkvm.air import Phase
from zkvm.chips import load_narrow, memory_crossing
from zkvm.field.koala_bear import PRIME
from zkvm.isa.instructions import Operation

Cells = dict[str, int]
Story = tuple[str, str, MemoryCase, Callable[[Cells], Cells]]
"""Chip, item, honest case, honest cells -> changed cells."""

WORD = 0x1716_1514_1312_1110
HIGH = 0x2726_2524_2322_2120
VALUE = 0x4746_4544_4342_4140
AT = 0x2900_0000


def fraction(numerator: int, bits: int) -> int:
    """numerator / 2^bits modulo p."""
    return numerator * pow(2**bits, -1, PRIME) % PRIME


def misaligned(cells: Cells) -> Cells:
    """The base is 1 less, and so is 8 low: the quotient of a misaligned address, modulo p, is the address of another doubleword in RAM."""
    return {"base[0]": cells["base[0]"] - 1, "address.low": cells["address.low"] - fraction(1, 3)}


def moved_byte(high: str, index: int, follow: Callable[[Cells, int], Cells] | None = None) -> Callable[[Cells], Cells]:
    """The limb's lower byte is 1 more, its upper byte 1/256 less."""

    def change(cells: Cells) -> Cells:
        cell = f"{high}[{index}]"
        changed = (cells[cell] - fraction(1, 8)) % PRIME
        return {cell: changed, **(follow(cells, changed) if follow else {})}

    return change


def flags(name: str, remove: int, negative: int, positive: tuple[int, int]) -> Callable[[Cells], Cells]:
    """One flag of -1 and two of 1 in the place of one: offsets and operations add up."""
    return lambda cells: {f"{name}[{remove}]": 0, f"{name}[{negative}]": PRIME - 1, **{f"{name}[{i}]": 1 for i in positive}}


def stories() -> Iterator[Story]:
    """All of them."""
    low = "address: low in range"
    yield "load_double", low, MemoryCase(Operation.LD, AT + 8, WORD), misaligned
    yield "store_double", low, MemoryCase(Operation.SD, AT + 8, WORD, value=VALUE), misaligned
    yield "load_narrow", low, MemoryCase(Operation.LW, AT + 10, WORD), misaligned
    yield "store_narrow", low, MemoryCase(Operation.SW, AT + 10, WORD, value=VALUE), misaligned
    yield "memory_crossing", low, MemoryCase(Operation.LW, AT + 13, WORD, HIGH), misaligned

    for i in range(4):
        # LBU of an odd byte: the fraction is the result.
        yield (
            "load_narrow", f"value: byte {2 * i + 1} in range", MemoryCase(Operation.LBU, AT + 2 * i + 1, WORD),
            moved_byte("high_byte", i, lambda _, changed: {"loaded[0]": changed, "low[0]": changed}),
        )  # fmt: skip
        # SB to an even byte borrows from the odd one beside it.
        yield "store_narrow", f"old: byte {2 * i + 1} in range", MemoryCase(Operation.SB, AT + 2 * i, WORD, value=VALUE), moved_byte("old_high_byte", i)
    # An even byte of rs2 is stored as 1 more.
    yield "store_narrow", "value: byte 1 in range", MemoryCase(Operation.SB, AT + 3, WORD, value=VALUE), moved_byte("value_high_byte", 0)
    yield "store_narrow", "value: byte 3 in range", MemoryCase(Operation.SW, AT + 1, WORD, value=VALUE), moved_byte("value_high_byte", 1)
    for i in range(4):
        yield (
            "memory_crossing", f"value: byte {2 * i + 1} in range", MemoryCase(Operation.SD, AT + 1, WORD, HIGH, VALUE),
            moved_byte("value_high_byte", i),
        )  # fmt: skip
    for i in range(8):
        # The lower byte of limb i of both doublewords is overwritten, the upper one beside it is not, or the other way round.
        offset = {0: 1, 1: 3, 2: 5, 3: 7}.get(i, 1)
        operation = Operation.SD
        if i >= 4:
            offset = 2 * (i - 4) + 1
        yield (
            "memory_crossing", f"old: byte {2 * i + 1} in range", MemoryCase(operation, AT + offset, WORD, HIGH, VALUE),
            moved_byte("old_high_byte", i),
        )  # fmt: skip

    windows = load_narrow.WINDOWS
    for width, negative, positive in ((1, 0, (1, 2)), (1, 7, (6, 4)), (2, 0, (1, 2)), (4, 0, (1, 2))):
        at = {w: k for k, w in enumerate(windows)}
        offset = sum(positive) - negative
        operation = {1: Operation.SB, 2: Operation.SH, 4: Operation.SW}[width]
        index = at[width, negative]
        yield (
            "store_narrow", f"window[{index}] is a bit", MemoryCase(operation, AT + offset, WORD, value=VALUE),
            flags("window", at[width, offset], index, (at[width, positive[0]], at[width, positive[1]])),
        )  # fmt: skip
    for kind, operations in (("load", memory_crossing.LOADS), ("store", memory_crossing.STORES)):
        at = {w: k for k, w in enumerate(memory_crossing.WINDOWS)}
        for width, negative, positive in (
            (4, 5, (6, 6)), (8, 1, (2, 3)), (8, 2, (3, 4)), (8, 3, (4, 5)), (8, 4, (5, 6)), (8, 5, (6, 4)), (8, 6, (5, 4)), (8, 7, (6, 5)),
        ):  # fmt: skip
            offset = sum(positive) - negative
            if positive[0] == positive[1] or (width, offset) not in at:
                continue
            index = at[width, negative]
            change = flags(kind, at[width, offset], index, (at[width, positive[0]], at[width, positive[1]]))
            case = MemoryCase(operations[width], AT + offset, WORD, HIGH, VALUE if kind == "store" else 0)
            if kind == "load":
                change = with_loaded(change, negative, positive)
            yield "memory_crossing", f"{kind}[{index}] is a bit", case, change


    # Offset 6 + 7 - 5 = 8: an aligned LW that reads the doubleword before the one addressed.
    change = with_loaded(flags("load", 3, 1, (2, 3)), 5, (6, 7), width=4)
    yield (
        "memory_crossing", "load[1] is a bit", MemoryCase(Operation.LW, AT + 7, WORD, HIGH),
        lambda cells: {**change(cells), "base[0]": cells["base[0]"] + 1},
    )  # fmt: skip
    # Under an `sb x0, ...` of the program an LD writes x0.
    yield (
        "memory_crossing", UNSIGNED_LD, MemoryCase(Operation.LD, AT + 5, WORD, HIGH, rd=0, rs2=0, rd_old=0),
        lambda cells: {"is_unsigned": 1},
    )  # fmt: skip


UNSIGNED_LD = "unsigned loads are narrow"
"""Without this, LD + UNSIGNED_STEP is SB."""


def with_loaded(change: Callable[[Cells], Cells], negative: int, positive: tuple[int, int], width: int = 8) -> Callable[[Cells], Cells]:
    """A load's bytes as the three flags select them."""
    content = WORD.to_bytes(8, "little") + HIGH.to_bytes(8, "little")
    loaded = {
        f"loaded[{j}]": content[positive[0] + j] + content[positive[1] + j] - content[negative + j] for j in range(width)
    }
    return lambda cells: {**change(cells), **loaded}


def main() -> None:
    known: dict[str, dict[str, Any]] = {}
    for name, item, case, change in stories():
        path = FOLDER / f"{name}.json"
        of_chip = known.setdefault(name, json.loads(path.read_text()) if path.exists() else {})
        if item in of_chip:
            continue
        chip = CHIPS[name]
        run = memory_run(name, [case])
        columns = [cell.name for cell in chip.cells(Phase.MAIN)]
        row = run.matrix[0].copy()
        changed = {c: v % PRIME for c, v in change({c: int(row[i]) for i, c in enumerate(columns)}).items()}
        for column, value in changed.items():
            row[columns.index(column)] = value
        if item == UNSIGNED_LD:
            run.program["operation"] = int(Operation.SB)
        judge = Judge(chip, run.program)
        [problems] = claims_of_rows(judge, row[None])
        refusals = judge.refused_by(row)
        if refusals != [item] or not problems or problems[0] == UNREACHABLE:
            sys.stderr.write(f"{name}, {item}: {refusals}, {problems}\n")
            continue
        fields = {n: int(run.events[n][0]) for n in run.events.dtype.names if n.startswith("previous")}
        line = run.program[0]
        stored_line = [FIRST_PC, *(int(line[n]) for n in ("operation", "rd", "rs1", "rs2", "immediate"))]
        of_chip[item] = {"false": problems, "case": asdict(case), "changed": changed, "event": fields, "line": stored_line}
    for name, forgeries in known.items():
        chip = CHIPS[name]
        items = [c.name for c in chip.constraints] + [m.label for m in chip.messages]
        (FOLDER / f"{name}.json").write_text(written(forgeries, items))


if __name__ == "__main__":
    main()
