"""
Loads, stores and crossings: honest rows of every width and offset are accepted and mean what the manual says; forged ones are refused by name; every
cell, constraint, message and range check is needed.
"""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from instructions_kit import FIRST_PC, UNREACHABLE, Judge, program_of, tables
from memory_exemptions import EXEMPT, FREE_CELLS
from memory_kit import (
    CHIPS,
    LOADS,
    STORES,
    UNSIGNED,
    MemoryCase,
    Run,
    after,
    claims_of_rows,
    ecall_cases,
    ecall_run,
    filled,
    memory_cases,
    memory_events,
    memory_run,
    narrowed,
    operations_and_offsets,
)

from zkvm.air import Phase
from zkvm.air.backends.interpret import ExtraMessage, Trace, report, traffic
from zkvm.air.chip import as_matrix
from zkvm.air.testing import assert_every_cell_matters, judge, recorded_traffic
from zkvm.chips import ecall, load_narrow, store_narrow
from zkvm.chips.buses import MEMORY, PROGRAM, RANGE, STATE, SYSCALL
from zkvm.chips.counts import new_counts
from zkvm.field.koala_bear import PRIME
from zkvm.isa.instructions import ACCESS_BYTES, Operation
from zkvm.machine.events import ECALL_EVENT, MEMORY_EVENT

FORGERIES = Path(__file__).parent / "forgeries"
NAMES = tuple(CHIPS)
each_chip = pytest.mark.parametrize("name", NAMES)
each_chip_and_ecall = pytest.mark.parametrize("name", (*NAMES, "ecall"))


@cache
def honest(name: str, each: int = 6) -> Run:
    """Honest rows of a chip; not to be changed."""
    if name == "ecall":
        return ecall_run(ecall_cases(1, each))
    return memory_run(name, memory_cases(name, 1, each))


# Positive, and parity with the plain meaning.


@each_chip_and_ecall
def test_honest_rows_are_accepted(name: str) -> None:
    chosen = honest(name)
    assert report(chosen.chip, {Phase.MAIN: chosen.rows}).is_valid
    tables_judge = Judge(chosen.chip, chosen.program)
    assert not tables_judge.refusals(chosen.matrix).any()
    assert not any(claims_of_rows(tables_judge, chosen.matrix))


def test_every_operation_and_offset_has_one_chip() -> None:
    all_of_them = [pair for name in NAMES for pair in operations_and_offsets(name)]
    assert sorted(all_of_them) == sorted((o, k) for o in (*LOADS, *STORES) for k in range(8))


@each_chip_and_ecall
def test_fill_counts_what_the_rows_look_up(name: str) -> None:
    chosen = honest(name)
    counts = new_counts(len(chosen.program))
    for index, _, tuples, multiplicities in traffic(Trace(chosen.chip, {Phase.MAIN: chosen.rows})):
        bus, fields = chosen.chip.messages[index].bus, tuples.astype(np.int64).T
        if bus == RANGE:
            np.add.at(counts.range, (1 << fields[0]) - 1 + fields[1], multiplicities.astype(np.uint32))
        elif bus == PROGRAM:
            np.add.at(counts.program, (fields[0] - FIRST_PC) // 4, multiplicities.astype(np.uint32))
    for filled_counts, wanted in zip(chosen.counts, counts, strict=True):
        np.testing.assert_array_equal(filled_counts, wanted)


@each_chip_and_ecall
def test_padding_sends_nothing(name: str) -> None:
    chip = honest(name).chip
    rows = chip.empty(Phase.MAIN, 4)
    assert report(chip, {Phase.MAIN: rows}).is_valid
    assert all(len(found) == 0 for _, found, _, _ in traffic(Trace(chip, {Phase.MAIN: rows})))


@each_chip_and_ecall
def test_without_a_flag_nothing_is_said(name: str) -> None:
    """Whatever its other cells hold, a row without a flag sends nothing on the machine's buses."""
    chosen = honest(name)
    columns = [cell.name for cell in chosen.chip.cells(Phase.MAIN)]
    matrix = chosen.matrix.copy()
    matrix[:, [i for i, column in enumerate(columns) if column.startswith(("window", "load[", "store[", "call[", "is_real"))]] = 0
    for index, _, tuples, _ in traffic(Trace(chosen.chip, {Phase.MAIN: matrix})):
        assert chosen.chip.messages[index].bus not in (STATE, PROGRAM, MEMORY, SYSCALL) or not len(tuples)


def test_references_are_the_plain_meaning() -> None:
    """Against bytes, for every narrow operation and offset."""
    for name, reference in (("load_narrow", load_narrow.reference), ("store_narrow", store_narrow.reference)):
        for case in memory_cases(name, 5, 8):
            offset = case.address % 8
            result, memory, _ = after(case)
            if name == "load_narrow":
                assert reference(case.operation, case.memory, offset) == result
            else:
                assert reference(case.operation, case.memory, offset, case.value) == memory


# Named forgeries: everything else is consistent, and the refusal has a name.


def refused_as(run: Run, *expected: str, row: int = 0) -> None:
    """The row is refused exactly by these constraints and look-ups, whatever the neighbours say."""
    assert Judge(run.chip, run.program).refused_by(run.matrix[row]) == list(expected)


def changed(run: Run, **cells: int) -> Run:
    """The run with cells of row 0 changed; "__" is ".", a trailing number an index: base_0 is base[0]."""
    rows = run.rows.copy()
    matrix = as_matrix(rows)
    columns = [cell.name for cell in run.chip.cells(Phase.MAIN)]
    for name, value in cells.items():
        name = name.replace("__", ".")
        stem, _, index = name.rpartition("_")
        matrix[0, columns.index(name if name in columns else f"{stem}[{index}]")] = value % PRIME
    return replace(run, rows=rows)


LD = MemoryCase(Operation.LD, 0x2900_0008, 0x1122_3344_5566_7788, immediate=8)
SD = MemoryCase(Operation.SD, 0x2900_0008, 0x1122_3344_5566_7788, immediate=8, value=5)
LH = MemoryCase(Operation.LH, 0x2900_0009, 0x1122_3344_55F6_7788, immediate=1)
SB = MemoryCase(Operation.SB, 0x2900_000B, 0x1122_3344_55F6_7788, immediate=1, value=0xAB)


def one(case: MemoryCase, name: str) -> Run:
    return memory_run(name, [case])


@pytest.mark.parametrize(("case", "name"), [(LD, "load_double"), (SD, "store_double"), (LH, "load_narrow"), (SB, "store_narrow")])
def test_another_doubleword_than_the_one_addressed(case: MemoryCase, name: str) -> None:
    run = one(case, name)
    low, high = int(run.rows["address"]["low"][0]), int(run.rows["address"]["high"][0])
    # Each carry is a fraction of the one before.
    refused_as(changed(run, address__low=low + 1), *(f"address: carry out of limb {i}" for i in range(4)))
    refused_as(changed(run, address__low=low - 1), *(f"address: carry out of limb {i}" for i in range(4)))
    refused_as(changed(run, address__high=high + 1), *(f"address: carry out of limb {i}" for i in range(1, 4)))


@pytest.mark.parametrize(("limb", "value"), [(2, 1), (3, 1), (2, 0xFFFF), (3, 0x8000)])
def test_an_address_of_2_to_the_32_or_more(limb: int, value: int) -> None:
    """A base whose upper limbs are not 0 (and do not become it by the immediate) has no row."""
    for case, name in ((LD, "load_double"), (SD, "store_double"), (LH, "load_narrow"), (SB, "store_narrow")):
        run = changed(one(case, name), **{f"base_{limb}": value})
        refusals = Judge(run.chip, run.program).refused_by(run.matrix[0])
        assert refusals and all(r.startswith("address: carry out of limb") for r in refusals)


def test_an_address_that_wraps_to_a_small_one_is_allowed() -> None:
    """base + immediate is modulo 2^64: -8 + 0x7F8 would be below TEXT, but limbs 2 and 3 do become 0."""
    run = one(replace(LD, address=0x7F0, immediate=0x7F8), "load_double")
    refused_as(run)
    assert (run.rows["base"][0] == 0xFFFF).sum() == 3


def test_a_wrong_offset() -> None:
    run = one(LH, "load_narrow")
    index = load_narrow.WINDOWS.index((2, 1))
    other = load_narrow.WINDOWS.index((2, 2))
    forged = changed(run, **{f"window_{index}": 0, f"window_{other}": 1})
    refusals = Judge(forged.chip, forged.program).refused_by(forged.matrix[0])
    carries = [f"address: carry out of limb {i}" for i in range(4)]
    assert refusals == [*carries, "loaded byte 0", "loaded byte 1"]
    consistent = changed(forged, loaded_0=0xF6, loaded_1=0x55, low_0=0x55F6, low_1=0, sign=0)
    refused_as(consistent, *carries)


def test_another_width() -> None:
    """LB in the place of LH, with everything of LB right: the program holds an LH."""
    run = one(LH, "load_narrow")
    byte_run = one(replace(LH, operation=Operation.LB), "load_narrow")
    refused_as(replace(byte_run, program=run.program), "instruction")


@pytest.mark.parametrize("sign", [0, 1])
def test_a_sign_that_is_not_the_top_bit(sign: int) -> None:
    memory = 0x1122_3344_5566_0088 if sign else 0x1122_3344_5566_8088
    run = one(replace(LH, address=0x2900_0008, memory=memory), "load_narrow")
    forged = changed(run, sign=sign, low_1=0xFFFF * sign)
    refused_as(forged, "sign in range")


def test_a_sign_on_an_unsigned_load() -> None:
    run = one(replace(LH, operation=Operation.LHU, memory=0xFFFF_FFFF_FFFF_FFFF), "load_narrow")
    refused_as(changed(run, sign=1, low_1=0xFFFF), "no sign without signed")


def test_an_unsigned_ld_is_not_a_store() -> None:
    """LD + UNSIGNED_STEP is SB's number: a crossing load must not pass for an SB that the program has."""
    run = one(replace(LD, address=0x2900_000B, immediate=3), "memory_crossing")
    line = run.program.copy()
    line["operation"], line["rd"] = int(Operation.SB), 0
    forged = replace(changed(run, is_unsigned=1), program=line)
    assert int(Operation.LD) + int(Operation.LHU - Operation.LH) == int(Operation.SB)
    # rd would be written: the SB's line has rd = 0, x0, which the machine never writes.
    forged = changed(forged, rd__register=0)
    refusals = Judge(forged.chip, forged.program).refused_by(forged.matrix[0])
    assert "unsigned loads are narrow" in refusals and "instruction" not in refusals


def test_a_store_that_changes_a_neighbour_byte() -> None:
    """The token left holds another byte next to the window: nobody agrees with it, as it is computed, not chosen."""
    run = one(SB, "store_narrow")
    holds = tables(run.program)
    honest_trace = Trace(run.chip, {Phase.MAIN: run.rows})
    world = recorded_traffic(honest_trace, holds)
    for byte in range(8):
        forged = after(SB)[1] ^ (1 << (8 * byte))
        said = []
        for message in world:
            is_left = message.bus == MEMORY and message.values[0] == 1 and message.count == PRIME - 1
            values = (*message.values[:3], *(forged >> 16 * i & 0xFFFF for i in range(4))) if is_left else message.values
            said.append(ExtraMessage(message.bus, values, message.count))
        verdict = judge([honest_trace], said, holds)
        assert not verdict.accepted and verdict.buses.buses == ("memory",)
    # Or other bytes of the old doubleword than it has: the limb is not made of them.
    refused_as(changed(run, old_high_byte_1=int(run.rows["old_high_byte"][0][1]) + 1), "old: byte 2 in range")


def test_a_register_s_other_byte_is_stored() -> None:
    run = one(SB, "store_narrow")
    refused_as(changed(run, value_high_byte_0=1), "value: byte 0 in range")


@each_chip
def test_a_stale_token_and_one_of_the_future(name: str) -> None:
    """A token taken at its own time or later has no gap; one that is not the latest is not on the bus."""
    operation, offset = operations_and_offsets(name)[0]
    true = one(MemoryCase(operation, 0x2900_0000 + offset, 0x8182_8384_8586_8788, 3, 9), name)
    holds = tables(true.program)
    world = recorded_traffic(Trace(true.chip, {Phase.MAIN: true.rows}), holds)
    time = 400 + 2
    for previous in (time, time + 1, time + 65536):
        gap = (time - previous - 1) % PRIME
        # With the low limb that leaves nothing for the high one, or with the honest-looking one.
        refused_as(changed(true, memory__previous_clk=previous, memory__gap_low=gap), "memory: gap_low in range")
        low = gap & 0xFFFF
        refused_as(changed(true, memory__previous_clk=previous, memory__gap_low=low), "memory: gap_high in range")
    for previous in (0, 17, time - 1):
        stale = changed(true, memory__previous_clk=previous, memory__gap_low=time - previous - 1)
        refused_as(stale)
        verdict = judge([Trace(stale.chip, {Phase.MAIN: stale.rows})], world, holds)
        was = int(true.rows["memory"]["previous_clk"][0])
        assert verdict.accepted == (previous == was)
        assert verdict.accepted or verdict.buses.buses == ("memory",)


# Every cell.


def form_of(name: str, operation: int) -> str:
    """The forms in which different cells are free."""
    if name == "memory_crossing":
        return "store" if operation in STORES else "load"
    return ""


@each_chip
def test_every_cell_matters(name: str) -> None:
    forms: dict[str, list[MemoryCase]] = {}
    for case in memory_cases(name, 3, 2 if name != "load_double" else 6):
        forms.setdefault(form_of(name, case.operation), []).append(case)
    for form, cases in forms.items():
        run = memory_run(name, cases[:40], 3)
        assert_every_cell_matters(
            run.chip, {Phase.MAIN: run.rows}, rows=range(len(run.events)), tables=tables(run.program),
            free=FREE_CELLS.get((name, form), {}),
        )  # fmt: skip


# Necessity.


@cache
def forgeries(name: str) -> dict[str, Any]:
    """The stored forgeries of a chip, by the constraint or look-up that refuses them."""
    return json.loads((FORGERIES / f"{name}.json").read_text())


def rebuilt(name: str, forgery: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(program, one-row matrix): an honest row at the forgery's pc with some cells changed."""
    if forgery["case"] is None:
        run = honest(name)
        matrix = np.zeros((1, run.matrix.shape[1]), dtype=np.uint32)
    elif name == "ecall":
        from memory_kit import EcallCase

        program, events = np.zeros(1, dtype=program_of(None).dtype), np.zeros(1, dtype=ECALL_EVENT)
        case = EcallCase(**forgery["case"])
        events["clk"], events["pc"], events["number"], events["a0"], events["a1"] = case.clk, FIRST_PC, case.number, case.a0, case.a1
        for field, value in forgery["event"].items():
            events[field] = value
        matrix = filled(ecall.CHIP, program, events, 1).matrix.copy()
    else:
        case = MemoryCase(**{**forgery["case"], "operation": Operation(forgery["case"]["operation"])})
        program, events = memory_events([case])
        for field, value in forgery["event"].items():
            events[field] = value
        matrix = filled(CHIPS[name], program, events if name == "memory_crossing" else narrowed(events, MEMORY_EVENT), 1).matrix.copy()
    columns = [cell.name for cell in honest(name).chip.cells(Phase.MAIN)]
    for column, value in forgery["changed"].items():
        matrix[0, columns.index(column)] = value
    return program_of(forgery.get("line")), matrix


@each_chip_and_ecall
def test_each_constraint_and_look_up_is_needed(name: str) -> None:
    """
    Each stored forgery claims a step that is none, is refused by its constraint or look-up alone, and is accepted without it. The neighbours
    agree with whatever the row sends and takes.
    """
    chip = honest(name).chip
    constraints = {c.name for c in chip.constraints}
    for item, forgery in forgeries(name).items():
        program, matrix = rebuilt(name, forgery)
        problems = claims_of_rows(Judge(chip, program), matrix)[0]
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


@each_chip_and_ecall
def test_nothing_is_without_a_forgery_or_a_proof(name: str) -> None:
    chip = honest(name).chip
    items = {c.name for c in chip.constraints} | {m.label for m in chip.messages if m.bus not in (STATE, MEMORY, SYSCALL)}
    known, exempt = set(forgeries(name)), set(EXEMPT.get(name, {}))
    assert sorted(items - known - exempt) == []
    assert sorted(known & exempt) == []
    assert sorted((known | exempt) - items) == []
    tokens = {m.label for m in chip.messages if m.bus in (STATE, MEMORY)}
    assert tokens == {label for pair in token_pairs(name) for label in pair}


def token_pairs(name: str) -> list[tuple[str, str]]:
    """The messages that move a token: (in, out), removed together, since one alone would never balance."""
    labels = [m.label for m in honest(name).chip.messages if m.bus in (STATE, MEMORY)]
    return [(one, other) for one in labels for other in labels if one.endswith(" in") and other == one[:-2] + "out"]


def another(case: MemoryCase, pair: str) -> MemoryCase:
    """The case with another value behind one token."""
    match pair.split(":")[0]:
        case "state in":
            return replace(case, clk=case.clk + 8)
        case "rs1":
            return replace(case, address=case.address + 8)
        case "rs2":
            return replace(case, value=case.value ^ 0x0101_0101_0101_0101)
        case "memory":
            return replace(case, memory=case.memory ^ 0x0101_0101_0101_0101)
        case "high memory":
            return replace(case, high=case.high ^ 0x0101_0101_0101_0101)
    return replace(case, rd_old=case.rd_old ^ 1)


@each_chip
def test_each_token_is_needed(name: str) -> None:
    """
    A row that reads a value, overwrites an old one or starts at a time that is not in the world, with everything else as it follows: the bus refuses
    it, unless the two messages of that token are removed.
    """
    chip = CHIPS[name]
    operations = operations_and_offsets(name)
    for pair in token_pairs(name):
        needs_store, needs_load = pair[0].startswith("rs2"), pair[0].startswith("rd")
        operation, offset = next(
            (o, k) for o, k in operations
            if (o in STORES or not needs_store) and (o in LOADS or not needs_load) and (ACCESS_BYTES[o] > 2 or name != "memory_crossing")
        )  # fmt: skip
        true_case = MemoryCase(operation, 0x2900_0000 + offset, 0x8182_8384_8586_8788, 0x9192_9394_9596_9798, 0x0102_0304_0506_0708)
        true, forged = one(true_case, name), one(another(true_case, pair[0]), name)
        check_token(chip, true, forged, pair)


def check_token(chip: Any, true: Run, forged: Run, pair: tuple[str, ...]) -> None:
    """The forged row in a world that has the true row's tokens for `pair`, and its own for all others."""
    holds = tables(true.program)
    mine = [said for label in pair for said in spoken(true, label)]
    others = [said for m in chip.messages if m.label not in pair and m.bus.name not in holds for said in spoken(forged, m.label)]
    trace = Trace(chip, {Phase.MAIN: forged.rows})
    full = judge([trace], mine + others, holds)
    assert not full.constraints and not full.buses.is_balanced, pair
    weaker = chip
    for label in pair:
        weaker = weaker.without_message(label)
    assert judge([Trace(weaker, {Phase.MAIN: forged.rows})], others, holds).accepted, pair


def spoken(run: Run, label: str) -> list[ExtraMessage]:
    """What the world says for one message of a run's rows to balance."""
    found = []
    for index, _, tuples, counts in traffic(Trace(run.chip, {Phase.MAIN: run.rows})):
        message = run.chip.messages[index]
        if message.label == label:
            found += [ExtraMessage(message.bus, tuple(v), -c, "neighbour") for v, c in zip(tuples.tolist(), counts.tolist(), strict=True)]
    return found


def test_the_world_of_tokens_accepts_the_truth() -> None:
    for name in NAMES:
        run = honest(name)
        holds = tables(run.program)
        trace = Trace(run.chip, {Phase.MAIN: run.rows})
        assert judge([trace], recorded_traffic(trace, holds), holds).accepted


def test_unsigned_operations_are_loads() -> None:
    assert set(UNSIGNED) < set(LOADS)
