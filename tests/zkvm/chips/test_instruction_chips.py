"""
What every instruction chip has to pass: honest rows are accepted, look-ups are counted, forged steps are refused, every
cell of a real row is bound, and every constraint, message and range check is needed.
"""

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exemptions import EXEMPT, FREE_CELLS
from instructions_kit import (
    FIRST_PC,
    NAMES,
    UNREACHABLE,
    Judge,
    Run,
    cases,
    chip_named,
    expected,
    falsehoods_of_rows,
    honest,
    operations_of,
    program_of,
    run,
    tables,
)

from zkvm.air import Phase
from zkvm.air.backends.interpret import ExtraMessage, Trace, report, traffic
from zkvm.air.chip import as_matrix
from zkvm.air.testing import assert_every_cell_matters, judge, recorded_traffic
from zkvm.chips.buses import BYTE, MEMORY, PROGRAM, RANGE, STATE
from zkvm.chips.counts import new_counts
from zkvm.field.koala_bear import PRIME
from zkvm.isa.decoder import DECODED
from zkvm.isa.instructions import IMMEDIATE_FLAG, Operation
from zkvm.machine.events import STEP_EVENT

FORGERIES = Path(__file__).parent / "forgeries"

CELLS_PER_ROW = {
    "add": 90, "add_word": 84, "bitwise": 113, "shift": 133, "less_than": 94, "branch": 78, "jump": 76, "multiply": 208,
    "divide": 203,
}  # fmt: skip
"""Main, auxiliary and quotient. The design's estimates to meet: add 96, bitwise 118, mul 212."""

each_chip = pytest.mark.parametrize("name", NAMES)


@each_chip
def test_honest_rows_are_accepted(name: str) -> None:
    chosen = honest(name)
    assert report(chosen.chip, {Phase.MAIN: chosen.rows}).is_valid
    judge_of_tables = Judge(chosen.chip, chosen.program)
    assert not judge_of_tables.refusals(chosen.matrix).any()
    assert not any(falsehoods_of_rows(judge_of_tables, chosen.matrix))


@each_chip
def test_every_operation_and_form_occurs(name: str) -> None:
    chosen = honest(name)
    seen = set(chosen.program["operation"].tolist())
    assert {o % IMMEDIATE_FLAG for o in seen} == set(operations_of(name))


@each_chip
def test_fill_counts_what_the_rows_look_up(name: str) -> None:
    chosen = honest(name)
    counts = new_counts(len(chosen.program))
    for index, _, tuples, multiplicities in traffic(Trace(chosen.chip, {Phase.MAIN: chosen.rows})):
        bus = chosen.chip.messages[index].bus
        fields = tuples.astype(np.int64).T
        if bus == RANGE:
            np.add.at(counts.range, (1 << fields[0]) - 1 + fields[1], multiplicities.astype(np.uint32))
        elif bus == BYTE:
            np.add.at(counts.byte, (fields[0], 256 * fields[1] + fields[2]), multiplicities.astype(np.uint32))
        elif bus == PROGRAM:
            np.add.at(counts.program, (fields[0] - FIRST_PC) // 4, multiplicities.astype(np.uint32))
    for filled, wanted in zip(chosen.counts, counts, strict=True):
        np.testing.assert_array_equal(filled, wanted)


@each_chip
def test_padding_sends_nothing(name: str) -> None:
    chip = chip_named(name)
    rows = chip.empty("main", 4)
    assert report(chip, {Phase.MAIN: rows}).is_valid
    assert all(len(found) == 0 for _, found, _, _ in traffic(Trace(chip, {Phase.MAIN: rows})))


@each_chip
def test_cells_per_row(name: str) -> None:
    chip = chip_named(name)
    assert chip.widths[Phase.MAIN] + chip.auxiliary_width + 10 == CELLS_PER_ROW[name]
    assert chip.degree <= 3


def forged_runs(name: str) -> Run:
    """Steps whose result (BRANCH, JUMP: next pc, too) is wrong, everything else filled in as if it were right."""
    rng = random.Random(7)
    chosen = honest(name, random_count=12)
    events = np.repeat(chosen.events, 4)
    program = chosen.program
    for i, event in enumerate(events):
        line = program[event["instruction"]]
        right = int(event["result"])
        kind = i % 4
        if name == "branch":
            target, following = int(line["immediate"]), int(event["pc"]) + 4
            wrong = [following if right == target else target, right + 4, right ^ (1 << 16), int(event["pc"])][kind]
        else:
            wrong = [right ^ 1 << rng.randrange(64), -right, right ^ 0xFFFF_FFFF << 32, rng.getrandbits(64)][
                kind
            ] % 2**64
            if name == "jump" and kind < 2:
                event["b"] = (int(event["b"]) + 4) % 2**30
                wrong = right
        event["result"] = wrong
    rows = chosen.chip.empty("main", 1 << len(events).bit_length())
    counts = new_counts(len(program))
    assert chosen.chip.fill is not None
    chosen.chip.fill(program, events, rows, counts)
    if name == "less_than":
        # Its filler compares by itself: turn the answer round afterwards, with the difference that then belongs to it.
        comparison = rows["comparison"][: len(events)]
        comparison["is_less"] = 1 - comparison["is_less"]
        comparison["difference"] = (PRIME - comparison["difference"].astype(np.int64)) % PRIME
    return Run(chosen.chip, program, events, rows, counts)


@each_chip
def test_forged_results_are_refused(name: str) -> None:
    """A row that claims another result, its other cells filled honestly, fails wherever the claim is false."""
    forged = forged_runs(name)
    tables_judge = Judge(forged.chip, forged.program)
    refused = tables_judge.refusals(forged.matrix).any(axis=1)
    false = np.array([bool(f) for f in falsehoods_of_rows(tables_judge, forged.matrix)])
    assert false.sum() > len(forged.events) // 2
    assert refused[false].all()
    assert not refused[~false].any()


@each_chip
def test_another_operations_flag_is_refused(name: str) -> None:
    """Each operation's row under each other operation's flag: the program holds another instruction at pc."""
    chosen = honest(name)
    columns = [cell.name for cell in chosen.chip.cells(Phase.MAIN)]
    flags = [i for i, column in enumerate(columns) if is_operation_flag(column)]
    rows = []
    for row in chosen.matrix[: len(chosen.events)]:
        for flag in flags:
            if row[flag] == 0:
                forged = row.copy()
                forged[flags] = 0
                forged[flag] = 1
                rows.append(forged)
    tables_judge = Judge(chosen.chip, chosen.program)
    refused = tables_judge.refusals(np.array(rows))
    assert refused.any(axis=1).all()
    if name != "shift":
        assert refused[:, tables_judge.names.index("instruction")].all()


@each_chip
def test_two_flags_are_refused(name: str) -> None:
    chosen = honest(name)
    columns = [cell.name for cell in chosen.chip.cells(Phase.MAIN)]
    flags = [i for i, column in enumerate(columns) if is_operation_flag(column)]
    rows = []
    for row in chosen.matrix[: len(chosen.events) : 7]:
        for flag in flags:
            if row[flag] == 0:
                forged = row.copy()
                forged[flag] = 1
                rows.append(forged)
    tables_judge = Judge(chosen.chip, chosen.program)
    refused = tables_judge.refusals(np.array(rows))
    at_most_one = next(
        i for i, n in enumerate(tables_judge.names) if n in ("one operation at most", "one mark at most")
    )
    assert refused[:, at_most_one].all()


@each_chip
def test_without_a_flag_nothing_is_said(name: str) -> None:
    """A row with all operation bits 0 is refused or silent on the machine's buses, whatever its other cells hold."""
    chosen = honest(name)
    columns = [cell.name for cell in chosen.chip.cells(Phase.MAIN)]
    matrix = chosen.matrix[: len(chosen.events)].copy()
    matrix[:, [i for i, column in enumerate(columns) if is_operation_flag(column)]] = 0
    tables_judge = Judge(chosen.chip, chosen.program)
    _, messages = tables_judge.values(matrix)
    refused = tables_judge.refusals(matrix).any(axis=1)
    for message, (_, count) in zip(chosen.chip.messages, messages, strict=True):
        if message.bus in (STATE, PROGRAM, MEMORY):
            assert not (count[~refused] != 0).any()


def is_operation_flag(column: str) -> bool:
    """Whether a column's name is that of an operation bit."""
    modifiers = ("is_immediate", "is_arithmetic")
    return column.startswith("is_") and column not in modifiers


@each_chip
def test_every_cell_matters(name: str) -> None:
    """A change of any cell of a real row is noticed by a constraint, a table or the neighbours, but for FREE_CELLS."""
    chip = chip_named(name)
    groups: dict[str, list[Any]] = {}
    for case in cases(name, 3, 25):
        plain = Operation(case.operation % IMMEDIATE_FLAG)
        form = "immediate" if case.operation >= IMMEDIATE_FLAG else plain.name if name == "jump" else "register"
        groups.setdefault(form, []).append(case)
    rng = random.Random(5)
    for form, group in groups.items():
        sample = rng.sample(group, min(28, len(group)))
        chosen = run(chip, sample, 3)
        free = FREE_CELLS.get((name, form), FREE_CELLS.get(("*", form), {}))
        assert_every_cell_matters(
            chip, {Phase.MAIN: chosen.rows}, rows=range(len(sample)), tables=tables(chosen.program), free=free
        )


# Necessity.


@cache
def forgeries(name: str) -> dict[str, Any]:
    """The stored forgeries of a chip, by the constraint or message that refuses them."""
    return json.loads((FORGERIES / f"{name}.json").read_text())


def rebuilt(name: str, forgery: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(program, one-row matrix) of a stored forgery: an honest step's row with some cells changed."""
    chip = chip_named(name)
    program = np.zeros(1, dtype=DECODED)
    event = np.zeros(0, dtype=STEP_EVENT)
    if forgery["line"] is not None:
        pc, operation, rd, rs1, rs2, immediate = forgery["line"]
        program[0] = (operation, rd, rs1, rs2, 0, (0, 0, 0), immediate)
        event = np.zeros(1, dtype=STEP_EVENT)
        for field, value in forgery["event"].items():
            event[field] = value
        event["pc"] = pc
    rows = chip.empty("main", 1)
    assert chip.fill is not None
    chip.fill(program, event, rows, new_counts(1))
    matrix = as_matrix(rows)
    columns = [cell.name for cell in chip.cells(Phase.MAIN)]
    for column, value in forgery["changed"].items():
        matrix[0, columns.index(column)] = value
    return program_of(forgery.get("program") or forgery["line"]), matrix


@each_chip
def test_each_constraint_and_look_up_is_needed(name: str) -> None:
    """
    Each stored forgery claims a step that is none, is refused by its constraint or message alone, and is accepted
    without it. The neighbours agree with whatever the row sends and takes; the program may hold any line, not only what
    the decoder makes.
    """
    chip = chip_named(name)
    constraints = {c.name for c in chip.constraints}
    for item, forgery in forgeries(name).items():
        program, matrix = rebuilt(name, forgery)
        tables_judge = Judge(chip, program)
        problems = falsehoods_of_rows(tables_judge, matrix)[0]
        assert problems and problems[0] != UNREACHABLE, f"{item}: the step is not false: {problems}"
        holds = tables(program)
        trace = Trace(chip, {Phase.MAIN: matrix})
        neighbours = recorded_traffic(trace, holds)
        full = judge([trace], neighbours, holds)
        if item in constraints:
            assert full.constraints == (item,) and full.buses.is_balanced, f"{item}:\n{full}"
            weaker = chip.without_constraint(item)
        else:
            assert not full.constraints and not full.buses.is_balanced, f"{item}:\n{full}"
            weaker = chip.without_message(item)
        assert judge([Trace(weaker, {Phase.MAIN: matrix})], neighbours, holds).accepted, item


@each_chip
def test_nothing_is_without_a_forgery_or_a_proof(name: str) -> None:
    """Every constraint and message has a stored forgery, a test of tokens below, or a proof that it is implied."""
    chip = chip_named(name)
    items = {c.name for c in chip.constraints} | {m.label for m in chip.messages if m.bus not in (STATE, MEMORY)}
    known, exempt = set(forgeries(name)), set(EXEMPT.get(name, {}))
    assert items - known - exempt == set()
    assert known & exempt == set()
    assert (known | exempt) - items == set()
    tokens = {m.label for m in chip.messages if m.bus in (STATE, MEMORY)}
    assert tokens == {label for pair in token_pairs(name) for label in pair}


def token_pairs(name: str) -> list[tuple[str, str]]:
    """
    The messages that move a token: (in, out).

    One of a pair is never missing alone: every real row would then add a token to the bus or remove one, and the bus
    could not balance; so they are needed, and are removed, together.
    """
    chip = chip_named(name)
    labels = [m.label for m in chip.messages if m.bus in (STATE, MEMORY)]
    return [(one, other) for one in labels for other in labels if one.endswith(" in") and other == one[:-2] + "out"]


@each_chip
def test_each_token_is_needed(name: str) -> None:
    """
    Given a world with the tokens of an honest step. When the row reads a value, overwrites an old one or starts at a
    time that is not in the world, with everything else as it follows. Then the bus refuses it, unless the two messages
    of that token are removed.
    """
    chip = chip_named(name)
    reads_rs2 = name != "jump"
    case = next(
        c for c in cases(name, 11, 20)
        if c.operation < IMMEDIATE_FLAG and c.operation != Operation.JAL and c.rs1 and len({c.rs1, c.rs2, c.rd}) == 3
        and (c.rs2 or not reads_rs2)
    )  # fmt: skip
    true = run(chip, [case], 1)
    holds = tables(true.program)
    world = recorded_traffic(Trace(chip, {Phase.MAIN: true.rows}), holds)
    assert judge([Trace(chip, {Phase.MAIN: true.rows})], world, holds).accepted
    for pair in token_pairs(name):
        event = true.events.copy()
        if pair[0] == "state in":
            event["clk"] += 8
            for field in ("previous_rs1", "previous_rs2", "previous_rd"):
                event[field] = np.maximum(event[field], 0)
        elif pair[0].startswith("rd"):
            event["rd_old"] ^= np.uint64(1)
        else:
            operand = "a" if pair[0].startswith("rs1") else "b"
            event[operand] ^= np.uint64(4 if name == "jump" else 1)
            a, b = int(event["a"][0]), int(event["b"][0])
            next_pc, result = expected(chip, case.operation, int(event["pc"][0]), a, b, case.immediate)
            event["result"] = next_pc if result is None else result
            if name == "jump":
                event["b"] = next_pc
        rows = chip.empty("main", 2)
        assert chip.fill is not None
        chip.fill(true.program, event, rows, new_counts(1))
        forged = Trace(chip, {Phase.MAIN: rows})
        # What follows from the forged token is what the neighbours expect; the token itself is that of the true world.
        messages = {m.label: m for m in chip.messages}
        mine = [said for label in pair for said in spoken(Trace(chip, {Phase.MAIN: true.rows}), label)]
        others = [
            said for label in messages if label not in pair and messages[label].bus in (STATE, MEMORY)
            for said in spoken(forged, label)
        ]  # fmt: skip
        full = judge([forged], mine + others, holds)
        assert not full.constraints and not full.buses.is_balanced, pair
        weaker = chip.without_message(pair[0]).without_message(pair[1])
        # Without the pair the row leaves the token where it is: whoever made it keeps it.
        assert judge([Trace(weaker, {Phase.MAIN: rows})], others, holds).accepted, pair


def spoken(trace: Trace, label: str) -> list[ExtraMessage]:
    """What the world says for one message of a trace to balance."""
    found = []
    for index, _, tuples, counts in traffic(trace):
        message = trace.chip.messages[index]
        if message.label == label:
            found += [
                ExtraMessage(message.bus, tuple(values), -count, "neighbour")
                for values, count in zip(tuples.tolist(), counts.tolist(), strict=True)
            ]
    return found
