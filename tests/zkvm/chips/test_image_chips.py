"""
Where memory begins and ends: boundary, memory image, program image; and the tables. Forgeries by name, every cell, and each constraint, message and range
check removed alone.
"""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from memory_exemptions import EXEMPT, FREE_CELLS

from zkvm.air import Chip, Phase
from zkvm.air.backends.interpret import ExtraMessage, Trace, report, traffic
from zkvm.air.testing import (
    assert_constraint_is_needed,
    assert_every_cell_matters,
    assert_message_is_needed,
    judge,
    recorded_traffic,
)
from zkvm.chips import boundary, byte, memory_image, program, program_image
from zkvm.chips import range as range_chip
from zkvm.chips.buses import MEMORY, TOKEN, ByteOperation
from zkvm.chips.counts import new_counts
from zkvm.field.koala_bear import PRIME
from zkvm.machine.events import BOUNDARY, IMAGE
from zkvm.machine.memory_map import (
    DATA_START,
    INPUT_END,
    INPUT_START,
    OUTPUT_START,
    RAM_END,
    RAM_START,
    TEXT_START,
    region_of,
)

TABLES = {"range": range_chip.reference}
INPUT_AT, RAM_AT = INPUT_START // 8 + 5, RAM_START // 8 + 0x20007

# The memory image.

Matrices = dict[Phase, np.ndarray]


def image_events(*rows: tuple[int, int, int, int]) -> np.ndarray:
    """(doubleword address, initial, final, last shard)."""
    events = np.zeros(len(rows), dtype=IMAGE)
    for event, (address, initial, final, shard) in zip(events, rows, strict=True):
        event["space"], event["address"], event["last_shard"] = 1, address, shard
        event["initial_value"], event["final_value"] = initial, final
    return events


HONEST_ROWS = (
    (INPUT_AT, 0x1111_2222_3333_4444, 7, 3), (INPUT_AT + 1, 9, 9, 1), (INPUT_END // 8 - 1, 5, 6, 1),
    (RAM_START // 8, 0, 0x8000_0000_0000_0001, 2), (RAM_AT, 0, 3, 2), (RAM_END // 8 - 1, 0, 4, 1),
)  # fmt: skip


def image(*rows: tuple[int, int, int, int], height: int = 8) -> Matrices:
    """Honest columns of these rows, which ascend; padded."""
    both = {phase: memory_image.CHIP.empty(phase, height) for phase in (Phase.BOUNDARY, Phase.MAIN)}
    memory_image.fill(both[Phase.BOUNDARY], both[Phase.MAIN], image_events(*rows), new_counts(0).range)
    return both


def raw_image(*rows: dict[str, int], height: int = 8) -> Matrices:
    """
    Columns written as they come. A row: address (or low and high), real, is_input, initial, final, shard; steps and padding as the constraints want them where
    that is possible.
    """
    both = {phase: memory_image.CHIP.empty(phase, height) for phase in (Phase.BOUNDARY, Phase.MAIN)}
    cells = [dict(row) for row in rows]
    while len(cells) < height:
        cells.append({"address": cells[-1]["address"], "real": 0})
    for i, row in enumerate(cells):
        line = both[Phase.BOUNDARY][i]
        address = row["address"]
        high = row.get("high", address >> 16)
        line["address_high"] = high % PRIME
        line["address_low"] = row.get("low", address - (high << 16)) % PRIME
        real = row.get("real", 1)
        line["is_real"] = real
        is_in_input = INPUT_START <= 8 * address < INPUT_END
        line["is_input"] = row.get("is_input", int(bool(real) and is_in_input)) % PRIME
        for name in ("initial", "final"):
            value = row.get(name, 0)
            line[name] = [value >> 16 * k & 0xFFFF for k in range(4)]
        line["last_shard"] = row.get("shard", 0)
        if i + 1 < height:
            step = cells[i + 1]["address"] - address - 1
            both[Phase.MAIN]["step_low"][i] = row.get("step_low", step & 0xFFFF) % PRIME
    return both


def publics_of(matrices: Matrices) -> dict[str, int]:
    """The first and last rows' addresses."""
    rows = matrices[Phase.BOUNDARY]
    addresses = rows["address_low"].astype(np.int64) + (rows["address_high"].astype(np.int64) << 16)
    return {"first_address": int(addresses[0]) % PRIME, "last_address": int(addresses[-1]) % PRIME}


def said_by_image(matrices: Matrices, publics: dict[str, int]) -> list[str]:
    """Why the tokens of a memory image are not what an image may say; empty if they are."""
    problems = []
    initial: Counter[int] = Counter()
    for index, _, tuples, counts in traffic(Trace(memory_image.CHIP, matrices, publics)):
        label = memory_image.CHIP.messages[index].label
        if label not in ("initial token", "final token"):
            continue
        for values, count in zip(tuples.tolist(), counts.tolist(), strict=True):
            if count not in (1, PRIME - 1):
                problems.append(f"{label} counts {count}")
            if label == "initial token":
                address, limbs = values[1], values[2:6]
                initial[address] += 1
                region = region_of(8 * address)
                if region not in ((INPUT_START, INPUT_END), (RAM_START, RAM_END)):
                    problems.append(f"an address outside: {8 * address:#x}")
                elif region[0] == RAM_START and any(limbs):
                    problems.append(f"RAM starts with {limbs}")
                if any(limb >= 1 << 16 for limb in limbs):
                    problems.append(f"limbs {limbs}")
    problems += [f"{count} initial tokens of {8 * address:#x}" for address, count in initial.items() if count > 1]
    if initial and (min(initial), max(initial)) != (publics["first_address"], publics["last_address"]):
        problems.append("other addresses than the publics say")
    return problems


def test_an_honest_image_is_accepted() -> None:
    for height in (8, 16):
        matrices = image(*HONEST_ROWS, height=height)
        publics = publics_of(matrices)
        assert not said_by_image(matrices, publics)
        trace = Trace(memory_image.CHIP, matrices, publics)
        assert judge([trace], recorded_traffic(trace, TABLES), TABLES).accepted


def test_a_full_image_has_no_padding() -> None:
    matrices = image(*((RAM_AT + 3 * i, 0, i, 1) for i in range(8)))
    publics = publics_of(matrices)
    trace = Trace(memory_image.CHIP, matrices, publics)
    assert judge([trace], recorded_traffic(trace, TABLES), TABLES).accepted
    assert publics["last_address"] == RAM_AT + 21


def test_image_fill_counts_its_look_ups() -> None:
    counts = new_counts(0)
    both = {phase: memory_image.CHIP.empty(phase, 8) for phase in (Phase.BOUNDARY, Phase.MAIN)}
    memory_image.fill(both[Phase.BOUNDARY], both[Phase.MAIN], image_events(*HONEST_ROWS), counts.range)
    check_range_counts(Trace(memory_image.CHIP, both, publics_of(both)), counts.range)


def check_range_counts(trace: Trace, counted: np.ndarray) -> None:
    wanted = np.zeros_like(counted)
    for index, _, tuples, multiplicities in traffic(trace):
        if trace.chip.messages[index].bus.name == "range":
            fields = tuples.astype(np.int64).T
            np.add.at(wanted, (1 << fields[0]) - 1 + fields[1], multiplicities.astype(np.uint32))
    np.testing.assert_array_equal(counted, wanted)


def verdict_on_image(matrices: Matrices, **publics: int) -> Any:
    stated = {**publics_of(matrices), **publics}
    trace = Trace(memory_image.CHIP, matrices, stated)
    return judge([trace], recorded_traffic(trace, TABLES), TABLES)


IMAGE_ATTACKS: dict[str, tuple[Matrices, str]] = {
    "a repeated address": (raw_image({"address": RAM_AT}, {"address": RAM_AT, "final": 8}), "range"),
    "a repeated address in INPUT": (raw_image({"address": INPUT_AT}, {"address": INPUT_AT, "initial": 8}), "range"),
    "descending addresses": (raw_image({"address": RAM_AT + 70000}, {"address": RAM_AT}), "range"),
    "an address in OUTPUT": (raw_image({"address": OUTPUT_START // 8}), "range"),
    "an address in OUTPUT, called INPUT": (raw_image({"address": OUTPUT_START // 8, "is_input": 1, "initial": 5}), "range"),
    "an address in DATA": (raw_image({"address": DATA_START // 8}), "range"),
    "an address in DATA, called INPUT": (raw_image({"address": DATA_START // 8, "is_input": 1, "initial": 5}), "range"),
    "an address in TEXT": (raw_image({"address": TEXT_START // 8}), "range"),
    "an address below everything": (raw_image({"address": 0}), "range"),
    "an address between OUTPUT and RAM": (raw_image({"address": RAM_START // 8 - 1}), "range"),
    "an address past RAM": (raw_image({"address": RAM_END // 8}), "range"),
    "an address past 2^29": (raw_image({"address": RAM_AT, "high": (RAM_AT >> 16) + (1 << 13)}), "range"),
    "RAM that is called INPUT": (raw_image({"address": RAM_AT, "is_input": 1, "initial": 5}), "range"),
    "RAM that does not start with 0": (raw_image({"address": RAM_AT, "initial": 1 << 48}), "RAM starts with 0 in limb 3"),
    "INPUT on a row of padding": (raw_image({"address": INPUT_AT}, {"address": INPUT_AT, "real": 0, "is_input": 1}), "an input row is real"),
    "rows after padding": (
        raw_image({"address": RAM_AT}, {"address": RAM_AT, "real": 0}, {"address": RAM_AT + 1}), "padding stays padding",
    ),
    "padding that moves on": (raw_image({"address": RAM_AT}, {"address": RAM_AT + 1, "real": 0}), "padding repeats the address"),
    "nothing at all": (raw_image({"address": RAM_AT, "real": 0}), "the shard has an address"),
}  # fmt: skip


@pytest.mark.parametrize("name", IMAGE_ATTACKS)
def test_image_attacks(name: str) -> None:
    matrices, expected = IMAGE_ATTACKS[name]
    verdict = verdict_on_image(matrices)
    if expected == "range":
        assert not verdict.constraints and verdict.buses.buses == ("range",), str(verdict)
    else:
        assert expected in verdict.constraints, str(verdict)


@pytest.mark.parametrize("limb", range(4))
def test_an_input_limb_of_2_to_the_16(limb: int) -> None:
    matrices = image(*HONEST_ROWS)
    matrices[Phase.BOUNDARY]["initial"][0][limb] = 1 << 16
    assert verdict_on_image(matrices).buses.buses == ("range",)


@pytest.mark.parametrize(("public", "name"), [("first_address", "first address"), ("last_address", "last address")])
@pytest.mark.parametrize("off", [-1, 1, 1 << 16])
def test_publics_that_are_off(public: str, name: str, off: int) -> None:
    matrices = image(*HONEST_ROWS)
    assert verdict_on_image(matrices, **{public: publics_of(matrices)[public] + off}).constraints == (name,)


def test_every_cell_of_the_image_matters() -> None:
    matrices = image(*HONEST_ROWS)
    publics = publics_of(matrices)
    rows = range(len(HONEST_ROWS) - 1)
    assert_every_cell_matters(memory_image.CHIP, matrices, publics, rows, TABLES)
    last = [len(HONEST_ROWS) - 1]
    assert_every_cell_matters(memory_image.CHIP, matrices, publics, last, TABLES, FREE_CELLS["memory_image", "last row"])
    assert_every_cell_matters(memory_image.CHIP, matrices, publics, [6, 7], TABLES, FREE_CELLS["memory_image", "padding"])


_BEYOND = (RAM_END // 8 >> 16) - 1 + 300 << 16
"""An address past RAM, 300 steps of the high limb."""

IMAGE_FORGERIES: dict[str, tuple[Matrices, dict[str, int]]] = {
    # A real row of RAM calls itself INPUT, so its initial value is free; a row of padding with is_input = -1 takes back the look-up that fails.
    "is_input is a bit": (
        raw_image(
            {"address": RAM_AT, "is_input": 1, "initial": 5},
            {"address": RAM_AT, "real": 0, "is_input": -1},
        ), {},
    ),
    # A row of padding with ram = -1 takes back the look-up that puts an address past RAM out of bounds: both are (13, -300).
    "an input row is real": (
        raw_image(
            {"address": _BEYOND}, {"address": _BEYOND, "real": 0, "is_input": 1, "high": (RAM_START // 8 >> 16) - 300},
        ), {},
    ),
    **{
        f"RAM starts with 0 in limb {i}": (raw_image({"address": RAM_AT, "initial": 5 << 16 * i}), {}) for i in range(4)
    },
    # The last address public is smaller than the last address: the next shard may start below it.
    "padding repeats the address": (
        raw_image({"address": RAM_AT}, {"address": RAM_AT + 9}, *({"address": RAM_AT + 3, "real": 0} for _ in range(6))), {},
    ),
    "first address": (image(*HONEST_ROWS), {"first_address": INPUT_AT + 1}),
    "last address": (image(*HONEST_ROWS), {"last_address": RAM_AT}),
    "low address limb": (
        raw_image({"address": OUTPUT_START // 8 + 5, "high": (OUTPUT_START // 8 >> 16) - 1, "is_input": 1, "initial": 5}), {},
    ),
    "high limb in INPUT": (raw_image({"address": DATA_START // 8, "is_input": 1, "initial": 5}), {}),
    "high limb not below RAM": (raw_image({"address": OUTPUT_START // 8}), {}),
    "high limb not above RAM": (raw_image({"address": RAM_END // 8}), {}),
    "low limb of the step": (raw_image({"address": RAM_AT, "step_low": -1}, {"address": RAM_AT, "final": 8}), {}),
    "high limb of the step": (raw_image({"address": RAM_AT, "step_low": 0xFFFF}, {"address": RAM_AT, "final": 8}), {}),
}  # fmt: skip
for _limb in range(4):
    _matrices = image(*HONEST_ROWS)
    _matrices[Phase.BOUNDARY]["initial"][0][_limb] = 1 << 16
    IMAGE_FORGERIES[f"initial limb {_limb}"] = (_matrices, {})


@pytest.mark.parametrize("name", IMAGE_FORGERIES)
def test_each_constraint_and_look_up_of_the_image_is_needed(name: str) -> None:
    matrices, publics = IMAGE_FORGERIES[name]
    publics = {**publics_of(matrices), **publics}
    assert said_by_image(matrices, publics)
    neighbours = recorded_traffic(Trace(memory_image.CHIP, matrices, publics), TABLES)
    needed(memory_image.CHIP, name, matrices, publics, neighbours)


def needed(chip: Chip, name: str, matrices: Matrices, publics: dict[str, int], extra: list[ExtraMessage]) -> None:
    """The constraint or message alone refuses the forged matrices."""
    if name in {c.name for c in chip.constraints}:
        assert_constraint_is_needed(chip, name, matrices, publics, extra, TABLES)
    else:
        assert_message_is_needed(chip, name, matrices, publics, extra, TABLES)


@pytest.mark.parametrize("label", ["initial token", "final token"])
def test_each_token_of_the_image_is_needed(label: str) -> None:
    """Without it an address would have an end but no beginning, or the reverse: a world that lacks that token is refused."""
    matrices = image(*HONEST_ROWS)
    publics = publics_of(matrices)
    world = neighbours_without(Trace(memory_image.CHIP, matrices, publics), label)
    assert_message_is_needed(memory_image.CHIP, label, matrices, publics, world, TABLES)


def neighbours_without(trace: Trace, label: str) -> list[ExtraMessage]:
    """The recorded neighbours of a trace but those of one message."""
    weaker = trace.chip.without_message(label)
    return recorded_traffic(Trace(weaker, trace.matrices, trace.publics, trace.shard), TABLES)


# The boundary.


def boundary_of(index: int, *rows: tuple[int, int, int, int, int, int], height: int = 4) -> tuple[Matrices, np.ndarray]:
    """(columns, range counts) of rows (space, address, previous shard, last clk, first value, final value)."""
    both = {phase: boundary.CHIP.empty(phase, height) for phase in (Phase.BOUNDARY, Phase.MAIN)}
    counts = new_counts(0).range
    boundary.fill(both[Phase.BOUNDARY], both[Phase.MAIN], np.array(list(rows), dtype=BOUNDARY), index, counts)
    return both, counts


BOUNDARY_ROWS = ((0, 5, 0, 11, 0, 0xFFFF_0001), (1, RAM_AT, 4, 30, 0x1234_5678_9ABC_DEF0, 2), (1, RAM_AT + 1, 1, 2, 5, 5))
FIFTH = {"index": 5}


def test_an_honest_boundary_is_accepted() -> None:
    matrices, counts = boundary_of(5, *BOUNDARY_ROWS)
    trace = Trace(boundary.CHIP, matrices, FIFTH)
    assert judge([trace], recorded_traffic(trace, TABLES), TABLES).accepted
    check_range_counts(trace, counts)


def test_every_cell_of_the_boundary_matters() -> None:
    matrices, _ = boundary_of(5, *BOUNDARY_ROWS)
    assert_every_cell_matters(boundary.CHIP, matrices, FIFTH, range(3), TABLES)


def test_padding_of_the_boundary_says_nothing() -> None:
    matrices, _ = boundary_of(5, *BOUNDARY_ROWS)
    matrices[Phase.BOUNDARY]["is_real"] = 0
    assert not any(len(tuples) for _, _, tuples, _ in traffic(Trace(boundary.CHIP, matrices, FIFTH)))


@pytest.mark.parametrize("previous", [5, 6, 9, 0xFFFF, PRIME - 0xFFFF])
def test_a_previous_shard_that_is_not_earlier(previous: int) -> None:
    """
    A token of this shard or a later one: the only refusal is the range check, and it is needed. (Numbers just below 0 pass it, but no shard has such a
    number: nobody sends that token.)
    """
    matrices, _ = boundary_of(5, *BOUNDARY_ROWS)
    matrices[Phase.BOUNDARY]["previous_shard"][1] = previous
    neighbours = recorded_traffic(Trace(boundary.CHIP, matrices, FIFTH), TABLES)
    assert_message_is_needed(boundary.CHIP, "the previous shard is an earlier one", matrices, FIFTH, neighbours, TABLES)


def token(address: int, value: int, shard: int, count: int) -> ExtraMessage:
    return ExtraMessage(TOKEN, (1, address, value, 0, 0, 0, shard), count, "other shards")


def local(address: int, clk: int, value: int, count: int) -> ExtraMessage:
    return ExtraMessage(MEMORY, (1, address, clk % PRIME, value, 0, 0, 0), count, "accesses")


def test_two_rows_for_one_address() -> None:
    """Only one token of an address is under way: the second row finds none, whichever earlier shard it names."""
    honest = [token(RAM_AT, 7, 4, 1), token(RAM_AT, 8, 5, -1)]
    accesses = [local(RAM_AT, -1, 7, -1), local(RAM_AT, 30, 8, 1)]
    twice = [local(RAM_AT, -1, 7, -1), local(RAM_AT, 40, 9, 1)]
    one, _ = boundary_of(5, (1, RAM_AT, 4, 30, 7, 8))
    assert judge([Trace(boundary.CHIP, one, FIFTH)], [*honest, *accesses], TABLES).accepted
    for previous in range(5):
        two, _ = boundary_of(5, (1, RAM_AT, 4, 30, 7, 8), (1, RAM_AT, previous, 40, 7, 9))
        verdict = judge([Trace(boundary.CHIP, two, FIFTH)], [*honest, *accesses, *twice], TABLES)
        assert verdict.buses.buses == ("token",)


def test_a_first_value_that_is_not_the_token_s() -> None:
    world = [token(RAM_AT, 7, 4, 1), token(RAM_AT, 8, 5, -1), local(RAM_AT, -1, 6, -1), local(RAM_AT, 30, 8, 1)]
    forged, _ = boundary_of(5, (1, RAM_AT, 4, 30, 6, 8))
    assert judge([Trace(boundary.CHIP, forged, FIFTH)], world, TABLES).buses.buses == ("token",)
    other, _ = boundary_of(5, (1, RAM_AT, 4, 30, 7, 8))
    assert judge([Trace(boundary.CHIP, other, FIFTH)], world, TABLES).buses.buses == ("memory",)


def test_a_final_value_that_is_not_the_last_access_s() -> None:
    world = [token(RAM_AT, 7, 4, 1), token(RAM_AT, 9, 5, -1), local(RAM_AT, -1, 7, -1), local(RAM_AT, 30, 8, 1)]
    forged, _ = boundary_of(5, (1, RAM_AT, 4, 30, 7, 9))
    assert judge([Trace(boundary.CHIP, forged, FIFTH)], world, TABLES).buses.buses == ("memory",)


def test_the_boundary_s_bit_is_needed() -> None:
    """
    With is_real = -1 a row gives back what another one takes. Three rows together open a second chain for the address, at clk 10, with any value:
    a load at clk 20 reads 99 where memory holds 7.
    """
    world = [
        token(RAM_AT, 7, 4, 1), token(RAM_AT, 7, 5, -1), local(RAM_AT, -1, 7, -1), local(RAM_AT, 30, 7, 1),
        # The false load: takes (10, 99), leaves (20, 99).
        local(RAM_AT, 10, 99, -1), local(RAM_AT, 20, 99, 1),
    ]  # fmt: skip
    forged, _ = boundary_of(5, (1, RAM_AT, 4, 30, 7, 7), (1, RAM_AT, 4, 10, 7, 99), (1, RAM_AT, 4, 20, 7, 99))
    forged[Phase.BOUNDARY]["is_real"][1] = PRIME - 1
    assert_constraint_is_needed(boundary.CHIP, "is_real is a bit", forged, FIFTH, world, TABLES)


@pytest.mark.parametrize("label", ["token in", "token out", "before the first access", "after the last access"])
def test_each_token_of_the_boundary_is_needed(label: str) -> None:
    """A world in which the shard takes an address from nobody, hands it to nobody, or whose accesses begin or end nowhere."""
    matrices, _ = boundary_of(5, *BOUNDARY_ROWS)
    world = neighbours_without(Trace(boundary.CHIP, matrices, FIFTH), label)
    assert_message_is_needed(boundary.CHIP, label, matrices, FIFTH, world, TABLES)


# The program image.


def program_image_of(*rows: tuple[int, int, int, int, int]) -> Matrices:
    """Rows (space, address, initial, final, last shard), the rest padding."""
    fixed = program_image.CHIP.empty(Phase.FIXED, 4)
    matrix = program_image.CHIP.empty(Phase.BOUNDARY, 4)
    for i, (space, address, initial, _, _) in enumerate(rows):
        fixed[i] = (1, space, address, [initial >> 16 * k & 0xFFFF for k in range(4)])
    finals = np.array([row[3] for row in rows], dtype=np.uint64)
    program_image.fill(matrix, finals, np.array([row[4] for row in rows]))
    return {Phase.FIXED: fixed, Phase.BOUNDARY: matrix}


def test_a_program_image_that_nobody_touched() -> None:
    """Every initial token is its own final one."""
    matrices = program_image_of((0, 5, 0, 0, 0), (1, DATA_START // 8, 77, 77, 0), (1, DATA_START // 8 + 1, 1 << 63, 1 << 63, 0))
    assert judge([Trace(program_image.CHIP, matrices)]).accepted


def test_an_untouched_address_that_ends_otherwise() -> None:
    matrices = program_image_of((1, DATA_START // 8, 77, 78, 0))
    assert judge([Trace(program_image.CHIP, matrices)]).buses.buses == ("token",)


def test_a_program_image_among_shards() -> None:
    world = [ExtraMessage(TOKEN, (0, 5, 0, 0, 0, 0, 0), -1), ExtraMessage(TOKEN, (0, 5, 9, 0, 0, 0, 3), 1)]
    assert judge([Trace(program_image.CHIP, program_image_of((0, 5, 0, 9, 3)))], world).accepted
    for forged in ((0, 5, 0, 9, 2), (0, 5, 0, 8, 3), (0, 6, 0, 9, 3), (1, 5, 0, 9, 3), (0, 5, 1, 9, 3)):
        assert judge([Trace(program_image.CHIP, program_image_of(forged))], world).buses.buses == ("token",)


def test_a_second_initial_token_of_a_register() -> None:
    """The image of another shard, or a memory image: the second initial token finds no shard that takes it and ends."""
    world = [ExtraMessage(TOKEN, (0, 5, 0, 0, 0, 0, 0), -1), ExtraMessage(TOKEN, (0, 5, 9, 0, 0, 0, 3), 1)]
    twice = program_image_of((0, 5, 0, 9, 3), (0, 5, 0, 4, 2))
    assert judge([Trace(program_image.CHIP, twice)], world).buses.buses == ("token",)


def test_every_cell_of_the_program_image_matters() -> None:
    matrices = program_image_of((0, 5, 0, 9, 3), (1, DATA_START // 8, 77, 78, 2))
    assert_every_cell_matters(program_image.CHIP, matrices, rows=range(2), tables=TABLES)


@pytest.mark.parametrize("label", ["initial token", "final token"])
def test_each_token_of_the_program_image_is_needed(label: str) -> None:
    matrices = program_image_of((0, 5, 0, 9, 3), (1, DATA_START // 8, 77, 78, 2))
    world = neighbours_without(Trace(program_image.CHIP, matrices), label)
    assert_message_is_needed(program_image.CHIP, label, matrices, {}, world, TABLES)


# The tables.


def test_the_range_table_is_its_meaning() -> None:
    rows = range_chip.fixed_fill()
    assert len(rows) == range_chip.HEIGHT
    pairs = list(zip(rows["bits"].tolist(), rows["value"].tolist(), strict=True))
    assert all(range_chip.reference(bits, value) for bits, value in pairs)
    assert len(set(pairs)) == sum(1 << bits for bits in range(17)) == range_chip.HEIGHT - 1
    for index in (0, 1, 2, 5, 1000, 70000, range_chip.HEIGHT - 2):
        bits, value = pairs[index]
        assert index == (1 << bits) - 1 + value
    assert not range_chip.reference(17, 0) and not range_chip.reference(3, 8) and not range_chip.reference(3, -1)


def test_the_byte_table_is_its_meaning() -> None:
    rows = byte.fixed_fill()
    for operation, column in ((ByteOperation.AND, "conjunction"), (ByteOperation.OR, "disjunction"), (ByteOperation.XOR, "exclusive")):
        expected = [byte.reference(operation, a, b) for a in range(256) for b in range(256)]
        assert rows[column].tolist() == expected
    assert rows["a"].tolist() == [i // 256 for i in range(1 << 16)] and rows["b"].tolist() == [i % 256 for i in range(1 << 16)]


def small_table(chip: Chip, fixed: np.ndarray, rows: list[int]) -> Matrices:
    """The table's rows of these numbers only, each looked up a few times: its rows say nothing of each other."""
    main = chip.empty(Phase.MAIN, len(rows))
    for i, name in enumerate(main.dtype.names or ()):
        main[name] = np.arange(len(rows)) + i
    return {Phase.FIXED: np.ascontiguousarray(fixed[rows]), Phase.MAIN: main}


def program_rows() -> np.ndarray:
    rows = program.CHIP.empty(Phase.FIXED, 4)
    rows["pc"], rows["operation"], rows["rd"] = [0x200000 + 4 * i for i in range(4)], [1, 37, 48, 0], [5, 6, 0, 0]
    rows["imm"][0] = (1, 2, 3, 4)
    return rows


TABLE_CASES = {
    "range": (range_chip.CHIP, range_chip.fixed_fill, [0, 1, 300, 70000]),
    "byte": (byte.CHIP, byte.fixed_fill, [0, 257, 0x1234, 0xFFFF]),
    "program": (program.CHIP, program_rows, [0, 1, 2, 3]),
}


@pytest.mark.parametrize("name", TABLE_CASES)
def test_a_table_answers_as_often_as_it_says(name: str) -> None:
    """Each multiplicity is bound by the look-ups; each message is what the fixed columns say."""
    chip, make, rows = TABLE_CASES[name]
    matrices = small_table(chip, make(), rows)
    assert report(chip, matrices).is_valid
    assert_every_cell_matters(chip, matrices, rows=range(4))
    for message in chip.messages:
        assert message.sign < 0 and message.maximum_count is None


def test_a_look_up_that_is_in_no_table() -> None:
    matrices = small_table(range_chip.CHIP, range_chip.fixed_fill(), [0, 1, 300, 70000])
    trace = Trace(range_chip.CHIP, matrices)
    world = recorded_traffic(trace)
    assert judge([trace], world).accepted
    assert judge([trace], [*world, ExtraMessage(world[0].bus, (3, 8), 1)]).buses.buses == ("range",)


def test_an_instruction_of_another_program() -> None:
    matrices = small_table(program.CHIP, program_rows(), [0, 1, 2, 3])
    trace = Trace(program.CHIP, matrices)
    world = recorded_traffic(trace)
    for said in world[:3]:
        for position in range(9):
            values = tuple(v + (i == position) for i, v in enumerate(said.values))
            others = [m for m in world if m is not said]
            assert judge([trace], [*others, ExtraMessage(said.bus, values, said.count)]).buses.buses == ("program",)


def test_nothing_is_without_a_forgery_or_a_proof() -> None:
    known = {
        "memory_image": {*IMAGE_FORGERIES, "initial token", "final token"},
        "boundary": {
            "is_real is a bit", "the previous shard is an earlier one", "token in", "token out", "before the first access", "after the last access",
        },
        "program_image": {"initial token", "final token"},
        "program": set(), "range": set(), "byte": set(),
    }  # fmt: skip
    for chip in (memory_image.CHIP, boundary.CHIP, program_image.CHIP, program.CHIP, range_chip.CHIP, byte.CHIP):
        items = {c.name for c in chip.constraints} | {m.label for m in chip.messages}
        exempt = set(EXEMPT.get(chip.name, {}))
        assert sorted(items - known[chip.name] - exempt) == []
        assert sorted((known[chip.name] | exempt) - items) == [] and not known[chip.name] & exempt
