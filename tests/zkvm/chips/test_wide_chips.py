"""
The chips of 256-bit arithmetic: honest calls are accepted and are those of the plain meaning, forged ones refused,
every cell of a real row is bound, and every constraint, message and range check is needed.
"""

import random
import re
from itertools import islice
from typing import Any

import numpy as np
import pytest
from instructions_kit import tables
from wide_forgeries import TOP, TRIES, curve_row, division, groups, steps_of
from wide_kit import (
    EDGES,
    GX,
    GY,
    NAMES,
    P,
    chip_named,
    columns_of,
    event_of,
    falsehoods,
    family_of,
    honest,
    judge_of,
    operands,
    run,
)

from zkvm.air import Phase
from zkvm.air.backends.interpret import ExtraMessage, Trace, bus_balance, report, traffic
from zkvm.air.testing import assert_every_cell_matters
from zkvm.chips import arith256_mod, boundary, byte, ecall, program, secp256k1_double
from zkvm.chips import range as range_table
from zkvm.chips.buses import BYTE, MEMORY, RANGE, SYSCALL, TOKEN
from zkvm.chips.counts import new_counts
from zkvm.chips.gadgets.wide.curve import NO_BYTES, NO_LIMBS
from zkvm.chips.gadgets.wide.digits import LIMB_MAXIMUM
from zkvm.chips.gadgets.wide.prime_field import TERMS
from zkvm.field.koala_bear import PRIME
from zkvm.isa.assembler import assemble
from zkvm.isa.decoder import DECODED
from zkvm.isa.instructions import Family
from zkvm.machine import Program, ShardLimits, Tracer, plan_shards
from zkvm.machine.memory_map import DATA_START, TEXT_START
from zkvm.machine.precompiles import words_of
from zkvm.machine_air import EXECUTION, FAMILY_CHIPS, local_messages
from zkvm.trace import ProgramTables, table_records

each_chip = pytest.mark.parametrize("name", NAMES)
each_curve_chip = pytest.mark.parametrize("name", NAMES[2:])

CALL_NUMBERS = {"secp256k1_add": 0x2003, "secp256k1_double": 0x2004, "arith256": 0x2005, "arith256_mod": 0x2006}
"""docs/specs/machine.md, "ecall"."""

CELLS_PER_CALL = {"arith256": 701, "arith256_mod": 971, "secp256k1_add": 1191, "secp256k1_double": 1111}
"""Main, auxiliary and quotient. The design's estimate for a curve operation: 2,000 to 2,800."""


@each_chip
def test_honest_rows_are_accepted_and_true(name: str) -> None:
    """Edge operands and random ones; `falsehoods` compares what is read and written with the plain meaning."""
    chosen = honest(name)
    assert report(chosen.chip, {Phase.MAIN: chosen.rows}).is_valid
    assert not judge_of(name).refusals(chosen.matrix).any()
    assert not any(falsehoods(name, chosen.matrix))


@each_chip
def test_fill_counts_what_the_rows_look_up(name: str) -> None:
    chosen = honest(name)
    counts = new_counts(1)
    for index, _, tuples, multiplicities in traffic(Trace(chosen.chip, {Phase.MAIN: chosen.rows})):
        bus = chosen.chip.messages[index].bus
        fields = tuples.astype(np.int64).T
        if bus == RANGE:
            np.add.at(counts.range, (1 << fields[0]) - 1 + fields[1], multiplicities.astype(np.uint32))
        elif bus == BYTE:
            np.add.at(counts.byte, (fields[0], 256 * fields[1] + fields[2]), multiplicities.astype(np.uint32))
    for filled, wanted in zip(chosen.counts, counts, strict=True):
        np.testing.assert_array_equal(filled, wanted)


@each_chip
def test_padding_sends_nothing(name: str) -> None:
    """A row of zeros holds; and no message counts where is_real is 0, whatever stands in the other cells."""
    chip = chip_named(name)
    rows = chip.empty("main", 4)
    assert report(chip, {Phase.MAIN: rows}).is_valid
    noise = np.random.default_rng(1).integers(0, 2**30, (4, len(columns_of(name))), dtype=np.uint32)
    noise[:, columns_of(name).index("is_real")] = 0
    for matrix in (rows, noise):
        assert all(len(found) == 0 for _, found, _, _ in traffic(Trace(chip, {Phase.MAIN: matrix})))


@each_chip
def test_cells_per_call(name: str) -> None:
    chip = chip_named(name)
    assert chip.widths[Phase.MAIN] + chip.auxiliary_width + 10 == CELLS_PER_CALL[name]
    assert chip.degree <= 3


def test_exact_division() -> None:
    """The filler's quotients, of every size, for moduli with any number of zero bits below."""
    rng = random.Random(4)
    for _ in range(300):
        m = rng.getrandbits(rng.randrange(1, 257)) << rng.randrange(256) & TOP - 1
        m = m or 1
        q = rng.getrandbits(rng.randrange(1, 513))
        if rng.random() < 0.2:
            q, m = TOP * TOP - 1, 1 << rng.randrange(256)
        sums = np.array([q * m >> 8 * i & 0xFF for i in range(96)], dtype=np.int64)
        # The same number, in digits of any size and sign.
        for i in range(95):
            moved = rng.randrange(-1000, 1000)
            sums[i] += 256 * moved
            sums[i + 1] -= moved
        quotient = np.zeros(64, dtype=np.int64)
        digits = np.array([m >> 8 * i & 0xFF for i in range(32)], dtype=np.int64)
        arith256_mod.divide_exactly(sums, digits, quotient)
        assert sum(int(digit) << 8 * i for i, digit in enumerate(quotient)) == q


# Forged results.


def refused_by(name: str, matrix: np.ndarray) -> list[list[str]]:
    """For each row, what refuses it."""
    judge = judge_of(name)
    return [[judge.names[i] for i in np.flatnonzero(found)] for found in judge.refusals(matrix)]


@each_chip
def test_forged_results_are_refused(name: str) -> None:
    """Another result, everything else filled as if it were right."""
    rng = random.Random(5)
    events = []
    for numbers in operands(name, 5, 40)[-40:]:
        event = event_of(name, numbers, rng)
        word = rng.randrange(event["write"].shape[1])
        event["write"][0, word] ^= np.uint64(1 << rng.randrange(64))
        events.append(event)
    forged = run(name, events)
    matrix = forged.matrix[: len(events)]
    assert all(falsehoods(name, matrix))
    assert all(refused_by(name, matrix))


def test_a_remainder_that_is_not_less_than_the_modulus_is_refused() -> None:
    """r + m with q - 1: the order alone says no."""
    for q, m, r in ((5, 1000, 3), (TOP, 2**200, 2**199), (1, TOP // 2, 5), (9, 1, 0)):
        forgery = division(q - 1, m, r + m)
        assert forgery is not None
        row = forgery.row()[None]
        found = refused_by("arith256_mod", row)[0]
        assert found and all(name.startswith("result: ") for name in found)
        assert falsehoods("arith256_mod", row)[0] == ["another result"]


def test_modulus_zero_is_refused() -> None:
    """a b + c = q 0 + r holds for r = a b + c; every way to mark a limb fails, since r < 0 is none."""
    forgery = division(77, 0, 12345)
    assert forgery is not None
    rows = []
    for mark in (None, *range(16)):
        forgery.put("order.differs_at", [int(i == mark) for i in range(16)])
        for difference in (0, 1, -12345):
            forgery.cells["order.difference"] = difference
            rows.append(forgery.row())
    found = refused_by("arith256_mod", np.array(rows))
    assert all(found) and all(name.startswith("result: ") for names in found for name in names)


@each_curve_chip
def test_results_that_are_not_canonical_are_refused(name: str) -> None:
    """x3 + p instead of a small x3, y3 + p instead of a small y3."""
    slope = 7**40 % P
    if name == "secp256k1_add":
        x1, x2, y1 = GX, (slope**2 - GX - 26) % P, 5
        numbers = (x1, y1, x2, (y1 + slope * (x2 - x1)) % P)
    else:
        x1 = (slope**2 - 26) * pow(2, -1, P) % P
        y1 = 3 * x1 * x1 * pow(2 * slope, -1, P) % P
        numbers = (x1, y1)
    y3 = (slope * (x1 - 26) - y1) % P
    true, false = curve_row(name, numbers, slope, 26, y3), curve_row(name, numbers, slope, 26 + P, y3)
    assert true is not None and false is not None
    assert refused_by(name, true.row()[None]) == [[]] and falsehoods(name, true.row()[None]) == [[]]
    found = refused_by(name, false.row()[None])[0]
    assert found and all(item.startswith("x3: ") for item in found)


@each_curve_chip
def test_operands_that_trap_are_refused(name: str) -> None:
    """Coordinates of p and more; equal x (any slope fits where P = Q); y = 0."""
    rng = random.Random(6)
    edges = [value for value in EDGES if value >= P]
    size = 4 if name == "secp256k1_add" else 2
    events = [
        event_of(name, [bad if i == place else value for i, value in enumerate((GX, GY, 5, 7)[:size])], rng, (1, 2))
        for place in range(size)
        for bad in edges
    ]
    matrix = run(name, events).matrix[: len(events)]
    for names in refused_by(name, matrix):
        assert any("what is not" in item or "rest in range" in item for item in names)
    for slope in (0, 1, GX, P - 1, P):
        numbers = (GX, GY, GX, GY) if name == "secp256k1_add" else (0, 0)
        x3 = (slope**2 - 2 * numbers[0]) % P
        forgery = curve_row(name, numbers, slope, x3, (slope * (numbers[0] - x3) - numbers[1]) % P)
        assert forgery is not None
        assert refused_by(name, forgery.row()[None]) == [["x1 and x2 differ" if size == 4 else "y is not 0"]]


@each_curve_chip
def test_a_slope_of_p_and_more_changes_nothing(name: str) -> None:
    """The slope may be written as slope + p: the result is the same."""
    numbers, slope = ((0, 5, P - 1, 0), 5) if name == "secp256k1_add" else ((2, 2), 3)
    x3 = (slope**2 - numbers[0] - (numbers[2] if name == "secp256k1_add" else numbers[0])) % P
    forgery = curve_row(name, numbers, slope + P, x3, (slope * (numbers[0] - x3) - numbers[1]) % P)
    assert forgery is not None
    row = forgery.row()[None]
    assert refused_by(name, row) == [[]] and falsehoods(name, row) == [[]]


def test_points_that_share_a_word_are_refused() -> None:
    """
    P's y is Q's x, in memory: one of the two accesses of a shared word must take what the other left, and neither may:
    Q's is read before clk + 3, P's taken before clk + 3.
    """
    rng = random.Random(11)
    for later, first in (("P", "Q"), ("Q", "P")):
        event = event_of("secp256k1_add", (GX, 5, 5, GY), rng)
        event["a1"] = event["a0"] + 32
        clk = int(event["clk"][0])
        words = slice(4, 8) if later == "P" else slice(8, 12)
        event["previous_read"][0, words] = clk + (3 if first == "Q" else 4)
        row = run("secp256k1_add", [event])
        found = refused_by("secp256k1_add", row.matrix[:1])[0]
        assert len(found) == 4 and all(item.startswith(f"{later} ") and "gap" in item for item in found), found


# Every cell.

_BOTH_CASES = "the number is p - 1, which is_largest shows to be below p; is_large then says nothing"
_WEIGHTS = "any weights that make 1 will do, and this one multiplies limbs of x2 - x1 that are 0"
FREE_CELLS = {
    "secp256k1_add": {
        "operand[0].is_large": _BOTH_CASES,
        **{f"{kind}_weight[{i}]": _WEIGHTS for kind in ("row", "column") for i in range(4)},
    },
    "secp256k1_double": {"operand[0].is_large": _BOTH_CASES},
}


@each_chip
def test_every_cell_matters(name: str) -> None:
    """A change of any cell of a real row is noticed by a constraint, a table or the neighbours."""
    rng = random.Random(7)
    edge = {
        "arith256": (TOP - 1, TOP - 1, TOP - 1), "arith256_mod": (TOP - 1, TOP - 2, TOP - 3, 2**200 + 77),
        "secp256k1_add": (P - 1, P - 2**20, P - 2**33, 1), "secp256k1_double": (P - 1, P - 2**33),
    }[name]  # fmt: skip
    # x2 - x1 has no limb that is 0 in the random call, and all but one in the last two.
    chosen = [operands(name, 8, 400)[-1], edge]
    if name == "secp256k1_add":
        chosen += [(GX + 2**16, GY, GX, 7), (GX + 2**96, GY, GX, 7)]
    rows = run(name, [event_of(name, numbers, rng) for numbers in chosen]).rows
    assert_every_cell_matters(
        chip_named(name), {Phase.MAIN: rows}, rows=range(len(chosen)), tables=tables(np.zeros(1, dtype=DECODED)),
        free=FREE_CELLS.get(name, {}), deltas=(1, -1, 0x2B5A3C71),
    )  # fmt: skip


# Necessity.

_TOP_LIMB = (
    "it stands in the last step, whose total is 0, so it is what the other digits there and the carry leave, an "
    "integer; the sum is then 0 as an integer, and a number below 2^(16 n) whose other limbs are limbs has a top limb"
)
_TOP_OF_X = (
    "the last step says that it is e_62 + carry, an integer from -1 to 65025 + 1022; the steps of positions 30 to 34, "
    "which have it too, have room for that by far, so no step wraps, and the value of a quotient does not matter "
    "otherwise"
)
_BOUND_BY_CARRIES = (
    "a step of one position has this limb with weight 1; its carries are in range, so that the limb is an integer below "
    "2^25 in absolute value; with such an integer no step that has the limb wraps, the equation holds over the integers "
    "with it, and the slope is right: the value of a quotient does not matter otherwise. "
    "test_carries_bound_limbs_of_a_quotient counts"
)

REDUNDANT: dict[str, dict[str, str]] = {
    "arith256": {r"result\[31\] in range": _TOP_LIMB},
    "arith256_mod": {
        r"order.differs_at\[15\] is a bit": (
            "with the other marks bits and the sum 1, this one is 1 - k, k the other marks; a limb whose running sum "
            "is not 1 is equal, so nothing differs down to the lowest mark, which is the highest limb that differs, "
            "as it should be"
        ),
    },
    "secp256k1_add": {r"quotient of x3\[15\] in range": _TOP_OF_X},
    "secp256k1_double": {
        r"quotient of x3\[15\] in range": _TOP_OF_X,
        r"quotient of the slope\[([6-9]|1[0-5])\] in range": _BOUND_BY_CARRIES,
    },
}
"""Items that the others imply: pattern -> proof. There is a forgery for every other item."""


def items_of(name: str) -> list[str]:
    """Constraints and look-ups; what moves a token is tested below."""
    chip = chip_named(name)
    return [c.name for c in chip.constraints] + [m.label for m in chip.messages if m.bus not in (SYSCALL, MEMORY)]


def without_forgery(name: str) -> list[str]:
    """The items of REDUNDANT; every pattern must match."""
    found = []
    for pattern in REDUNDANT[name]:
        matching = [item for item in items_of(name) if re.fullmatch(pattern, item)]
        assert matching, f"{name}: nothing is called {pattern}"
        found += matching
    return found


@each_chip
def test_each_constraint_and_look_up_is_needed(name: str) -> None:
    """
    For each, a row that claims a false call, is refused by it, and by nothing else: without it the row would be
    accepted.
    """
    excluded = set(without_forgery(name))
    left = {item: islice(tried, TRIES) for item, tried in groups(name).items() if item not in excluded}
    assert set(left) | excluded == set(items_of(name))
    while left:
        found = {item: next((f for f in tried if f is not None), None) for item, tried in left.items()}
        exhausted = [item for item, forgery in found.items() if forgery is None]
        assert not exhausted, f"{name}: no false row is refused by these alone: {exhausted}"
        matrix = np.array([forgery.row() for forgery in found.values() if forgery is not None])
        for item, names, false in zip(found, refused_by(name, matrix), falsehoods(name, matrix), strict=True):
            assert names or not false, f"{name}: a false row is accepted, from the forgeries of {item}"
            if names == [item] and false and false[0] != "unreachable":
                del left[item]


@pytest.mark.parametrize("limb", range(6, 16))
def test_carries_bound_limbs_of_a_quotient(limb: int) -> None:
    """
    The proof that the slope of a doubling needs no range check of these limbs, by exact bounds: of the step's total
    without the limb, and of its carries as the range checks leave them.
    """
    steps = steps_of("secp256k1_double", "slope")
    total = secp256k1_double.slope_sum(NO_BYTES, NO_BYTES, NO_BYTES, NO_LIMBS, 0)
    weights = {2 * limb + place: -term for place, term in TERMS}
    for position, weight in weights.items():
        total.low[position] -= min(0, weight * LIMB_MAXIMUM)
        total.high[position] -= max(0, weight * LIMB_MAXIMUM)
    # (weight of the limb, least and largest of what it is added to: total less the carry out times 256^width.)
    found, carry = [], (0, 0)
    for step in steps:
        places = range(step.width)
        low = carry[0] + sum(256**i * total.low[step.start + i] for i in places)
        high = carry[1] + sum(256**i * total.high[step.start + i] for i in places)
        if step.bits is not None and step.offset is not None:
            carry = -step.offset, (1 << step.bits) - 1 - step.offset
            low, high = low - 256**step.width * carry[1], high - 256**step.width * carry[0]
        weight = sum(256**i * weights.get(step.start + i, 0) for i in places)
        if weight:
            found.append((weight, low, high))
    # There the limb is the negative of such an integer, modulo PRIME.
    [bounds] = [(-high, -low) for weight, low, high in found if weight == 1]
    assert max(-bounds[0], bounds[1]) < 2**25
    for weight, low, high in found:
        ends = [weight * bound for bound in bounds]
        assert max(ends) + high < PRIME and min(ends) + low > -PRIME


def test_weakened_chips_accept_the_forgeries() -> None:
    """The whole judgement, with the chip declared anew, for one constraint, one look-up in each table."""
    for name, item in (
        ("arith256", "product: step 5"),
        ("arith256", "product: carry 5 in range"),
        ("arith256_mod", "m: bytes of limb 3"),
        ("secp256k1_add", "is_negative is a bit"),
        ("secp256k1_double", "slope: bytes of limb 15"),
    ):
        chip = chip_named(name)
        is_constraint = item in {c.name for c in chip.constraints}
        weaker = chip.without_constraint(item) if is_constraint else chip.without_message(item)
        holds = tables(np.zeros(1, dtype=DECODED))

        def accepts(judged: Any, matrix: np.ndarray, holds: Any = holds) -> bool:
            trace = Trace(judged, {Phase.MAIN: matrix})
            looked_up = [
                holds[judged.messages[index].bus.name](*values)
                for index, _, tuples, _ in traffic(trace) if judged.messages[index].bus.name in holds
                for values in tuples.tolist()
            ]  # fmt: skip
            return report(judged, {Phase.MAIN: matrix}).is_valid and all(looked_up)

        rows = [forgery.row()[None] for forgery in islice(groups(name)[item], 20) if forgery is not None]
        assert not any(accepts(chip, row) for row in rows)
        assert any(accepts(weaker, row) and falsehoods(name, row)[0] for row in rows)


@each_chip
def test_each_token_is_needed(name: str) -> None:
    """
    Given a world with the call and the tokens of an honest row. A row that reads another word, with the result that
    follows, differs from it only in that word's tokens and in what it writes; one that overwrites another old value
    only in that token in; one that was not called only in the call. So nothing but those messages refuses them.
    """
    rng = random.Random(8)
    honest_event = event_of(name, operands(name, 9, 400)[-1], rng)
    is_curve = name.startswith("secp")
    events, expected = [honest_event], [set()]
    reads = honest_event["read"].shape[1]
    writes = honest_event["write"].shape[1]
    results = {f"{'P' if is_curve else 'result'} {i}: token out" for i in range(writes)}
    for word in range(reads):
        event = honest_event.copy()
        event["read"][0, word] ^= np.uint64(1)
        event["write"][0] = chip_named(name).reference([int(w) for w in event["read"][0]])
        label = f"operand {word}" if not is_curve else f"P {word}" if word < 8 else f"Q {word - 8}"
        events.append(event)
        expected.append({f"{label}: token in", f"{label}: token out"})
    for word in range(0 if is_curve else writes):
        event = honest_event.copy()
        event["write_old"][0, word] ^= np.uint64(1)
        events.append(event)
        expected.append({f"result {word}: token in"})
    event = honest_event.copy()
    event["clk"] += 8
    events.append(event)
    expected.append({"call"})

    judge = judge_of(name)
    rows = run(name, events)
    matrix = rows.matrix[: len(events)]
    assert not judge.refusals(matrix).any()
    _, messages = judge.values(matrix)
    covered: set[str] = set()
    for row, wanted in enumerate(expected):
        differing = {
            message.label for message, (fields, _) in zip(judge.chip.messages, messages, strict=True)
            if message.bus in (SYSCALL, MEMORY) and (fields[row] != fields[0]).any()
        }  # fmt: skip
        if wanted == {"call"}:
            # Everything is later: the tokens left, too.
            assert "call" in differing and all(label.endswith("token out") for label in differing - {"call"})
        else:
            assert differing - results == wanted - results
        covered |= differing
    tokens = {message.label for message in judge.chip.messages if message.bus in (SYSCALL, MEMORY)}
    assert covered == tokens


@each_chip
def test_the_call_is_received_once(name: str) -> None:
    """What the row takes from the ecall row: its number, time and both addresses; the second is 0 for a doubling."""
    rng = random.Random(9)
    event = event_of(name, operands(name, 10, 400)[-1], rng)
    row = run(name, [event])
    trace = Trace(row.chip, {Phase.MAIN: row.rows})
    [(_, _, tuples, _)] = [entry for entry in traffic(trace) if row.chip.messages[entry[0]].bus == SYSCALL]
    [clk], [a0], [a1] = (event[field].tolist() for field in ("clk", "a0", "a1"))
    assert tuples.tolist() == [[CALL_NUMBERS[name], clk, a0 // 8, a1 // 8]]


# Whole shards.


def assembled(calls: list[tuple[str, int, int]]) -> str:
    """A program that makes these calls, a0 and a1 in words from DATA's start, then halts."""
    lines = ["li t0, 5", "xori t1, t0, 3"]
    for name, a0, a1 in calls:
        lines += [
            f"li a0, {DATA_START + 8 * a0}",
            f"li a1, {DATA_START + 8 * a1}",
            f"li a7, {CALL_NUMBERS[name]}",
            "ecall",
        ]
    return "\n".join([*lines, "li a7, 93", "li a0, 0", "ecall"])


def test_calls_with_every_overlap_balance(tmp_path: Any) -> None:
    """
    A run in several shards: results over operands at every distance, words used again and again, points side by side.
    Every bus of every shard balances with the ecalls, the boundary and the tables, by the emulator's own events.
    """
    rng = random.Random(10)
    data = [word for value in (GX, GY, GX, GY) for word in words_of(value, 4)]
    data += [rng.getrandbits(64) for _ in range(112)]
    calls = [("secp256k1_double", 0, 0), ("secp256k1_add", 0, 8), ("secp256k1_add", 8, 0), ("secp256k1_double", 8, 0)]
    calls += [("arith256", 48, 48 + shift) for shift in (-8, -7, -1, 0, 1, 4, 5, 8, 11, 12)]
    calls += [("arith256_mod", 80, 80 + shift) for shift in (-4, -3, 0, 1, 4, 8, 12, 13, 15, 16)]
    calls += [("arith256", 80, 16), ("arith256_mod", 16, 20), ("secp256k1_add", 0, 8)]
    text = np.array(assemble(assembled(calls)), dtype=np.uint32)
    loaded = Program(bytes(32), TEXT_START, TEXT_START, text, DATA_START // 8, np.array(data, dtype=np.uint64), ())
    limits = ShardLimits(rows={Family.ARITH256: 4, Family.ARITH256_MOD: 5})
    plan = plan_shards(loaded, b"", limits, tmp_path)
    tables_of_program = ProgramTables(loaded)
    tracer = Tracer(loaded)
    chips = {**FAMILY_CHIPS, **{family_of(name): chip_named(name) for name in NAMES}, Family.ECALL: ecall.CHIP}
    seen: set[Family] = set()
    assert len(plan.shards) >= 3
    for shard in plan.shards:
        trace = tracer.trace(plan.snapshot(shard.index))
        counts = new_counts(len(loaded.decoded))
        traces = []
        for family, events in trace.events.items():
            if not len(events):
                continue
            seen.add(family)
            chip = chips[family]
            rows = chip.empty(Phase.MAIN, 1 << len(events).bit_length())
            assert chip.fill is not None
            chip.fill(loaded.decoded, events, rows, counts)
            traces.append(Trace(chip, {Phase.MAIN: rows}))
        height = 1 << len(trace.boundary).bit_length()
        both = {phase: boundary.CHIP.empty(phase, height) for phase in (Phase.BOUNDARY, Phase.MAIN)}
        boundary.fill(both[Phase.BOUNDARY], both[Phase.MAIN], trace.boundary, shard.index, counts.range)
        publics = {"index": shard.index, "start_pc": shard.start_pc, "end_pc": shard.end_pc, "end_clk": shard.end_clk}
        needed = {public: publics[public] for public in boundary.CHIP.publics}
        traces.append(Trace(boundary.CHIP, both, needed))
        for module, fixed, column in (
            (program, tables_of_program.instructions(), counts.program),
            (range_table, table_records(range_table.CHIP), counts.range),
            (byte, table_records(byte.CHIP), counts.byte),
        ):
            multiplicity = module.CHIP.empty(Phase.MAIN, len(fixed))
            module.fill(multiplicity, column)
            traces.append(Trace(module.CHIP, {Phase.FIXED: fixed, Phase.MAIN: multiplicity}))
        for judged in traces:
            assert report(judged.chip, judged.matrices, judged.publics).is_valid, judged.chip.name
        ends = [ExtraMessage(m.bus, m.values, m.count) for m in local_messages(EXECUTION, publics)]
        found = bus_balance(traces, ends)
        # The token bus closes over all shards only; the boundary's own tests do that.
        assert {imbalance.bus for imbalance in found.imbalances} <= {TOKEN.name}, str(found)
    assert {family_of(name) for name in NAMES} <= seen
