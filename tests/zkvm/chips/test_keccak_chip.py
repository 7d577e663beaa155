"""
Keccak-f and its calls: parity with the plain permutation, forgeries by name, every kind of cell, and each constraint and message removed alone (one or two
of each family of like constraints: a family differs only in lane, column or bit, and is declared by one loop).
"""

import random
import re
from collections.abc import Callable

import numpy as np
import pytest
from memory_exemptions import EXEMPT

from zkvm.air import Phase
from zkvm.air.backends.interpret import ExtraMessage, Trace, report, traffic
from zkvm.air.testing import (
    assert_constraint_is_needed,
    assert_message_is_needed,
    judge,
    recorded_traffic,
    unnoticed_mutations,
)
from zkvm.chips import keccak_f, keccak_memory
from zkvm.chips import range as range_chip
from zkvm.chips.buses import KECCAK
from zkvm.chips.counts import new_counts
from zkvm.field.koala_bear import PRIME
from zkvm.isa.instructions import Family
from zkvm.machine.events import BOUNDARY_TIME, PRECOMPILE_EVENT
from zkvm.machine.precompiles import KECCAK_ROTATIONS, KECCAK_ROUND_CONSTANTS
from zkvm.machine.precompiles import keccak_f as plain

TABLES = {"range": range_chip.reference}
CHIP = keccak_f.CHIP
ROUNDS, LANES = keccak_f.ROUNDS, keccak_f.LANES
State = list[int]


def random_state(seed: int) -> State:
    rng = random.Random(seed)
    return [rng.getrandbits(64) for _ in range(LANES)]


def events_of(states: list[State], seed: int = 0) -> np.ndarray:
    """Calls at clk 8, 16 ..."""
    rng = random.Random(seed)
    events = np.zeros(len(states), dtype=PRECOMPILE_EVENT[Family.KECCAK_F])
    for i, (event, state) in enumerate(zip(events, states, strict=True)):
        clk = 8 * (i + 1)
        event["clk"], event["a0"] = clk, 0x2900_0000 + 8 * rng.randrange(1000)
        event["read"], event["write_old"], event["write"] = state, state, plain(state)
        event["previous_read"] = [rng.choice((BOUNDARY_TIME, clk - 1, clk + 2, 0)) for _ in range(LANES)]
        event["previous_write"] = clk + 3
    return events


def honest(states: list[State], height: int = 64) -> np.ndarray:
    """The filler's rows."""
    rows = CHIP.empty(Phase.MAIN, height)
    keccak_f.fill(None, events_of(states), rows, new_counts(1))
    return rows


def limbs_of(state: State) -> tuple[int, ...]:
    return tuple(lane >> 16 * k & 0xFFFF for lane in state for k in range(4))


def said(rows: np.ndarray) -> list[tuple[int, int, tuple[int, ...], int]]:
    """(clk, direction, limbs, signed count) of all messages."""
    found = []
    for _, _, tuples, counts in traffic(Trace(CHIP, {Phase.MAIN: rows})):
        for values, count in zip(tuples.tolist(), counts.tolist(), strict=True):
            found.append((values[0], values[1], tuple(values[2:]), count if count < PRIME // 2 else count - PRIME))
    return found


def is_false(rows: np.ndarray) -> bool:
    """Whether some output is not the permutation of an input under the same clk, each input used once."""
    inputs = [(clk, limbs) for clk, direction, limbs, _ in said(rows) if direction == keccak_f.INPUT]
    outputs = [(clk, limbs) for clk, direction, limbs, _ in said(rows) if direction == keccak_f.OUTPUT]
    expected = []
    for clk, limbs in inputs:
        if max(limbs) >= 1 << 16:
            return True
        state = [sum(limbs[4 * i + k] << 16 * k for k in range(4)) for i in range(LANES)]
        expected.append((clk, limbs_of(plain(state))))
    return sorted(expected) != sorted(outputs)


# Rows of a round, with a place to lie.


def bits_of(lane: int) -> list[int]:
    return [lane >> z & 1 for z in range(64)]


def xor(a: int, b: int) -> int:
    return a + b - 2 * a * b


class Lie:
    """What a round's row may do otherwise; every method changes what it is given, in place."""

    def columns(self, parity: list[list[int]]) -> None:
        """The claimed parities C, by x and bit."""

    def differences(self, difference: list[list[int]]) -> None:
        """D = C' xor C, by x and bit."""

    def theta(self, theta: list[list[int]]) -> None:
        """A' in bits, by lane."""


def write_round(row: np.ndarray, number: int | None, clk: int, a: list[int], lie: Lie, bits: list[list[int]] | None = None) -> list[int]:
    """
    Writes one row and returns the limbs after the round.

    number: the flag set, or None. a: the 100 limbs. bits: A in "bits", if they are not those of its limbs.
    """
    if number is not None:
        row["flag"][number] = 1
    row["clk"] = clk
    row["a"] = np.array(a, dtype=np.uint32).reshape(LANES, 4)
    lanes = bits or [bits_of(sum(a[4 * lane + k] << 16 * k for k in range(4))) for lane in range(LANES)]
    parity = [[sum(lanes[x + 5 * y][z] for y in range(5)) % 2 for z in range(64)] for x in range(5)]
    lie.columns(parity)
    difference = [[parity[(x + 4) % 5][z] ^ parity[(x + 1) % 5][(z - 1) % 64] for z in range(64)] for x in range(5)]
    lie.differences(difference)
    theta = [[xor(lanes[lane][z], difference[lane % 5][z]) for z in range(64)] for lane in range(LANES)]
    lie.theta(theta)
    row["parity"] = parity
    row["theta_parity"] = [[parity[x][z] ^ difference[x][z] for z in range(64)] for x in range(5)]
    row["theta"] = np.array(theta, dtype=np.int64) % PRIME
    constants = KECCAK_ROUND_CONSTANTS[number] if number is not None else 0
    flagged = sum(KECCAK_ROUND_CONSTANTS[k] for k in np.flatnonzero(row["flag"]).tolist()) if number is not None else constants
    out = []
    for lane in range(LANES):
        x, y = lane % 5, lane // 5

        def rotated(k: int, z: int, x: int = x, y: int = y) -> int:
            source = ((x + k) % 5 + 3 * y) % 5 + 5 * ((x + k) % 5)
            return theta[source][(z - KECCAK_ROTATIONS[source]) % 64]

        chi = [xor(rotated(0, z), (1 - rotated(1, z)) * rotated(2, z)) for z in range(64)]
        if lane == 0:
            for j, position in enumerate(keccak_f.IOTA_POSITIONS):
                row["iota_bit"][j] = chi[position] % PRIME
                chi[position] = xor(chi[position], flagged >> position & 1)
        out += [sum(chi[16 * i + k] << k for k in range(16)) for i in range(4)]
    row["out"] = np.array(out, dtype=np.int64).reshape(LANES, 4) % PRIME
    return out


def forged(
    start: list[int], lies: dict[int, Lie] | None = None, swaps: dict[int, Callable[[list[int]], list[int]]] | None = None,
    bits: dict[int, list[list[int]]] | None = None, height: int = 32, clk: int = 8,
) -> np.ndarray:  # fmt: skip
    """A group on rows 0 .. 23 that lies on some rows; swaps: changes the limbs that enter a row."""
    rows = CHIP.empty(Phase.MAIN, height)
    limbs = start
    for number in range(ROUNDS):
        if swaps and number in swaps:
            limbs = swaps[number](limbs)
        lie = (lies or {}).get(number, Lie())
        limbs = write_round(rows[number], number, clk, limbs, lie, (bits or {}).get(number))
    return rows


START = list(limbs_of(random_state(1)))


def test_the_writer_of_rows_is_the_filler() -> None:
    """The forger's honest rows are the chip's own."""
    np.testing.assert_array_equal(forged(START), honest([random_state(1)], 32))


def test_parity_with_the_plain_permutation() -> None:
    states = [random_state(2), [0] * LANES, [2**64 - 1] * LANES, [1 << i for i in range(LANES)], random_state(3)]
    rows = honest(states, 128)
    assert report(CHIP, {Phase.MAIN: rows}).is_valid
    found = said(rows)
    assert [m[2] for m in found if m[1] == keccak_f.INPUT] == [limbs_of(s) for s in states]
    assert [m[2] for m in found if m[1] == keccak_f.OUTPUT] == [limbs_of(plain(s)) for s in states]
    assert [m[0] for m in found] == [8, 16, 24, 32, 40] * 2
    assert not is_false(rows)


def test_padding_holds_and_says_nothing() -> None:
    rows = honest([random_state(4)], 32)
    rows["flag"] = 0
    assert not said(rows)
    assert report(CHIP, {Phase.MAIN: CHIP.empty(Phase.MAIN, 32)}).is_valid


def test_a_group_may_go_round_the_end() -> None:
    """From the last row to the first is as good as anywhere: the same messages."""
    rows = honest([random_state(5)], 32)
    rolled = np.roll(rows, 17)
    assert report(CHIP, {Phase.MAIN: rolled}).is_valid
    assert said(rolled) == said(rows)


def refused_by(rows: np.ndarray) -> tuple[str, ...]:
    return report(CHIP, {Phase.MAIN: rows}).constraints


@pytest.mark.parametrize("first", [1, 7, 23])
def test_a_partial_group_at_the_start(first: int) -> None:
    """The rounds from `first` on only: an output without an input."""
    rows = honest([random_state(6)], 32)
    rows[:first] = 0
    assert refused_by(rows) == (f"round {first} follows round {first - 1}",)


@pytest.mark.parametrize("last", [0, 7, 22])
def test_a_partial_group_at_the_end(last: int) -> None:
    rows = honest([random_state(6)], 32)
    rows[last + 1 :] = 0
    found = refused_by(rows)
    assert found[0] == f"round {last + 1} follows round {last}"
    assert set(found[1:]) <= {"one clk for all rounds", *(f"next A[{lane}] limb {i}" for lane in range(25) for i in range(4))}


def test_a_wrong_order_of_rounds() -> None:
    """Rounds 5 and 6 with each other's constants."""
    rows = honest([random_state(6)], 32)
    rows["flag"][5], rows["flag"][6] = rows["flag"][6].copy(), rows["flag"][5].copy()
    assert {"round 5 follows round 4", "round 6 follows round 5", "round 7 follows round 6"} <= set(refused_by(rows))


def test_iota_in_the_wrong_round() -> None:
    """Flag 3's constant is added on the row of round 4."""
    rows = honest([random_state(6)], 32)
    rows["out"][4][0][0] ^= (KECCAK_ROUND_CONSTANTS[4] ^ KECCAK_ROUND_CONSTANTS[3]) & 0xFFFF
    assert "result[0] limb 0" in refused_by(rows)
    rows = honest([random_state(6)], 32)
    rows["iota_bit"][4][0] ^= 1
    assert refused_by(rows) == ("lane 0 after chi, bit 0", "result[0] limb 0")


def test_another_clk_within_a_group() -> None:
    rows = honest([random_state(6)], 32)
    rows["clk"][12:24] = 16
    assert refused_by(rows) == ("one clk for all rounds",)


def test_columns_that_are_not_the_parity() -> None:
    for x, z in ((0, 0), (2, 31), (4, 63)):
        rows = forged(START, {0: WrongParity(x, z)})
        assert refused_by(rows) == (f"C'[{x}][{z}] is the parity of A'",)


# Each constraint alone.


class WrongParity(Lie):
    """C is not the parity of one column; everything follows from it."""

    def __init__(self, x: int, z: int) -> None:
        self.x, self.z = x, z

    def columns(self, parity: list[list[int]]) -> None:
        parity[self.x][self.z] ^= 1


class WrongDifference(WrongParity):
    """D is wrong in one place; A' and C' follow from it."""

    def columns(self, parity: list[list[int]]) -> None:
        pass

    def differences(self, difference: list[list[int]]) -> None:
        difference[self.x][self.z] ^= 1


def partial_groups(number: int) -> np.ndarray:
    """Rounds 0 .. number - 1 of one state and number .. 23 of another: one call is answered with the other's end."""
    rows = CHIP.empty(Phase.MAIN, 32)
    limbs = START
    for i in range(number):
        limbs = write_round(rows[i], i, 8, limbs, Lie())
    # A row that takes the first part's state on, without a flag.
    write_round(rows[number], None, 8, limbs, Lie())
    limbs = list(limbs_of(random_state(9)))
    for i in range(number, ROUNDS):
        limbs = write_round(rows[i + 1], i, 8, limbs, Lie())
    return rows


def overlapping_groups() -> np.ndarray:
    """Two permutations that share a row: the first one's last round has both constants."""
    rows = CHIP.empty(Phase.MAIN, 64)
    limbs = START
    for i in range(ROUNDS):
        if i == ROUNDS - 1:
            rows[i]["flag"][0] = 1
        limbs = write_round(rows[i], i, 8, limbs, Lie())
    for i in range(1, ROUNDS):
        limbs = write_round(rows[ROUNDS - 1 + i], i, 8, limbs, Lie())
    return rows


def exchanged_clks() -> np.ndarray:
    """Two calls, each answered under the other's clk."""
    rows = honest([random_state(10), random_state(11)], 64)
    rows["clk"][12:24], rows["clk"][36:48] = 16, 8
    return rows


def swapped_limb(lane: int, limb: int) -> np.ndarray:
    """Round 12 starts from another state than round 11 left."""

    def change(limbs: list[int]) -> list[int]:
        return [value ^ 5 if i == 4 * lane + limb else value for i, value in enumerate(limbs)]

    return forged(START, swaps={12: change})


def two_for_a_bit(lane: int, z: int) -> np.ndarray:
    """
    Input bits z, z + 1 of a lane are 0, 1; the row writes them as "2", 0. The rest of the column is chosen so that A' there is 2 as well.
    """
    for seed in range(200):
        rng = random.Random(seed)
        state = [rng.getrandbits(64) for _ in range(LANES)]
        state[lane] = state[lane] & ~(3 << z) | 2 << z
        bits = [bits_of(value) for value in state]
        bits[lane][z], bits[lane][z + 1] = 2, 0
        out = write_round(CHIP.empty(Phase.MAIN, 1)[0], 0, 8, list(limbs_of(state)), Lie(), bits)
        if not all(0 <= limb < 1 << 16 for limb in out):
            continue
        rows = forged(list(limbs_of(state)), bits={0: bits})
        if refused_by(rows) == (f"theta[{lane}][{z}] is a bit",):
            return rows
    raise AssertionError("no state of 200 serves")


def changed_cell(row: int, name: str, index: tuple[int, ...], start: list[int] = START) -> np.ndarray:
    """An honest group whose state is exchanged at one place: limbs of the first input or of the last output."""
    rows = forged(start)
    rows[name][row][index] ^= 1
    return rows


def wrong_iota(j: int) -> np.ndarray:
    """In the last round lane 0 after chi has another bit, and the result with it."""
    rows = forged(START)
    position = keccak_f.IOTA_POSITIONS[j]
    before = int(rows["iota_bit"][23][j])
    rows["iota_bit"][23][j] = 1 - before
    rows["out"][23][0][position // 16] ^= 1 << position % 16
    return rows


FORGERIES: dict[str, Callable[[], np.ndarray]] = {
    "at most one round": overlapping_groups,
    **{f"round {i} follows round {i - 1}": lambda i=i: partial_groups(i) for i in (1, 12, 23)},
    **{f"C'[{x}][{z}] = C xor D": lambda x=x, z=z: forged(START, {0: WrongDifference(x, z)}) for x, z in ((0, 0), (4, 63))},
    **{f"C'[{x}][{z}] is the parity of A'": lambda x=x, z=z: forged(START, {0: WrongParity(x, z)}) for x, z in ((1, 5), (4, 63))},
    **{f"A[{lane}] limb {i}": lambda lane=lane, i=i: changed_cell(0, "a", (lane, i)) for lane, i in ((0, 0), (24, 3))},
    **{f"lane 0 after chi, bit {2**j - 1}": lambda j=j: wrong_iota(j) for j in range(7)},
    **{f"result[{lane}] limb {i}": lambda lane=lane, i=i: changed_cell(23, "out", (lane, i)) for lane, i in ((0, 0), (13, 2), (24, 3))},
    **{f"next A[{lane}] limb {i}": lambda lane=lane, i=i: swapped_limb(lane, i) for lane, i in ((0, 0), (24, 3))},
    "one clk for all rounds": exchanged_clks,
    **{f"theta[{lane}][{z}] is a bit": lambda lane=lane, z=z: two_for_a_bit(lane, z) for lane, z in ((0, 3), (17, 40))},
}
"""One or more of each family."""


@pytest.mark.parametrize("name", FORGERIES)
def test_each_constraint_is_needed(name: str) -> None:
    rows = FORGERIES[name]()
    assert is_false(rows)
    neighbours = recorded_traffic(Trace(CHIP, {Phase.MAIN: rows}))
    assert_constraint_is_needed(CHIP, name, {Phase.MAIN: rows}, {}, neighbours)


@pytest.mark.parametrize("direction", [keccak_f.INPUT, keccak_f.OUTPUT])
def test_each_message_is_needed(direction: int) -> None:
    """Without it a call would be taken by nobody, or an answer come from nowhere; the caller's message would go with it."""
    rows = honest([random_state(12)], 32)
    label = ("input", "output")[direction]
    world = [m for m in recorded_traffic(Trace(CHIP, {Phase.MAIN: rows})) if m.values[1] != direction]
    assert_message_is_needed(CHIP, label, {Phase.MAIN: rows}, {}, world)


def family(name: str) -> str:
    """A constraint's name without its numbers; lane 0's and round's families are told apart by their words."""
    return re.sub(r"\d+", "#", name)


def test_no_family_is_without_a_forgery_or_a_proof() -> None:
    families = {family(c.name) for c in CHIP.constraints} | {m.label for m in CHIP.messages}
    known = {family(name) for name in FORGERIES} | {"input", "output"}
    exempt = set(EXEMPT["keccak_f"])
    assert families == known | exempt and not known & exempt


def test_every_cell_matters() -> None:
    """On the first, a middle and the last row of a group."""
    rows = honest([random_state(13), random_state(14)], 64)
    assert not unnoticed_mutations(CHIP, {Phase.MAIN: rows}, rows=(0, 11, 23), deltas=(1,))


# The calls.


def memory_rows(states: list[State], height: int = 4) -> np.ndarray:
    rows = keccak_memory.CHIP.empty(Phase.MAIN, height)
    keccak_memory.fill(None, events_of(states), rows, new_counts(1))
    return rows


def test_calls_and_rounds_balance() -> None:
    """Both chips together leave the calls, the tokens and the look-ups to the rest of the world."""
    states = [random_state(20), random_state(21), [0] * LANES]
    counts = new_counts(1)
    calls, rounds = keccak_memory.CHIP.empty(Phase.MAIN, 4), CHIP.empty(Phase.MAIN, 128)
    keccak_memory.fill(None, events_of(states), calls, counts)
    keccak_f.fill(None, events_of(states), rounds, counts)
    traces = [Trace(keccak_memory.CHIP, {Phase.MAIN: calls}), Trace(CHIP, {Phase.MAIN: rounds})]
    world = [m for m in recorded_traffic(traces[0], TABLES) if m.bus != KECCAK]
    assert judge(traces, world, TABLES).accepted
    # A call that claims another result, or takes the other call's.
    for change in ("another", "exchanged"):
        lied = calls.copy()
        if change == "another":
            lied["new"][0][3][1] ^= 1
        else:
            lied["new"][0], lied["new"][1] = calls["new"][1].copy(), calls["new"][0].copy()
        forged_trace = Trace(keccak_memory.CHIP, {Phase.MAIN: lied})
        world = [m for m in recorded_traffic(forged_trace, TABLES) if m.bus != KECCAK]
        assert judge([forged_trace, traces[1]], world, TABLES).buses.buses == ("keccak",)


def test_every_cell_of_a_call_matters() -> None:
    rows = memory_rows([random_state(22), random_state(23)])
    assert not unnoticed_mutations(keccak_memory.CHIP, {Phase.MAIN: rows}, rows=range(2), tables=TABLES)


def test_padding_of_calls_says_nothing() -> None:
    rows = memory_rows([random_state(22), random_state(23)])
    rows["is_real"] = 0
    assert not any(len(tuples) for _, _, tuples, _ in traffic(Trace(keccak_memory.CHIP, {Phase.MAIN: rows})))


def test_a_call_for_another_address() -> None:
    rows = memory_rows([random_state(22)])
    world = recorded_traffic(Trace(keccak_memory.CHIP, {Phase.MAIN: rows}), TABLES)
    rows["address"][0] += 1
    moved = recorded_traffic(Trace(keccak_memory.CHIP, {Phase.MAIN: rows}), TABLES)
    for bus in ("memory", "syscall"):
        mixed = [m for m in moved if m.bus.name != bus] + [m for m in world if m.bus.name == bus]
        assert judge([Trace(keccak_memory.CHIP, {Phase.MAIN: rows})], mixed, TABLES).buses.buses == (bus,)


def test_the_call_s_bit_is_needed() -> None:
    """
    A call takes its first lane from the future; a row with is_real = -1 takes back the look-up that fails, and a third row everything else that it said.
    The lane's token comes from a store that takes what the call leaves: a circle without a beginning, so its value is anybody's choice.
    """
    rows = np.repeat(memory_rows([random_state(24)])[:1], 4)
    rows[3] = keccak_memory.CHIP.empty(Phase.MAIN, 1)[0]
    clk = int(rows["clk"][0])
    rows["address"][1:3] += 1000
    rows["is_real"][1] = PRIME - 1
    for row in (0, 1):
        access = rows["lane"][row][0]
        access["previous_clk"], access["gap_low"] = clk + 100, (4 - 100 - 1) & 0xFFFF
    world = recorded_traffic(Trace(keccak_memory.CHIP, {Phase.MAIN: rows}), TABLES)
    assert_constraint_is_needed(keccak_memory.CHIP, "is_real is a bit", {Phase.MAIN: rows}, {}, world, TABLES)


@pytest.mark.parametrize(
    "label",
    ["call", "input", "output", "lane 0: token in", "lane 24: token out", "lane 7: token in"],
)
def test_each_message_of_a_call_is_needed(label: str) -> None:
    """A world that lacks it: a permutation nobody asked for, of nothing, without result; lanes that come from nowhere or stay where they were."""
    rows = memory_rows([random_state(25)])
    weaker = keccak_memory.CHIP.without_message(label)
    world = recorded_traffic(Trace(weaker, {Phase.MAIN: rows}), TABLES)
    assert_message_is_needed(keccak_memory.CHIP, label, {Phase.MAIN: rows}, {}, world, TABLES)


@pytest.mark.parametrize("lane", [0, 13, 24])
@pytest.mark.parametrize("check", ["gap_low", "gap_high"])
def test_each_range_check_of_a_call_is_needed(lane: int, check: str) -> None:
    """A lane taken from the future."""
    rows = memory_rows([random_state(26)])
    clk = int(rows["clk"][0])
    gap = (clk + 4 - (clk + 100) - 1) % PRIME
    access = rows["lane"][0][lane]
    access["previous_clk"] = clk + 100
    access["gap_low"] = gap if check == "gap_low" else gap & 0xFFFF
    world = recorded_traffic(Trace(keccak_memory.CHIP, {Phase.MAIN: rows}), TABLES)
    assert_message_is_needed(keccak_memory.CHIP, f"lane {lane}: {check} in range", {Phase.MAIN: rows}, {}, world, TABLES)


def test_no_family_of_calls_is_without_a_forgery() -> None:
    families = {family(c.name) for c in keccak_memory.CHIP.constraints} | {family(m.label) for m in keccak_memory.CHIP.messages}
    assert families == {
        "is_real is a bit", "call", "input", "output", "lane #: token in", "lane #: token out", "lane #: gap_low in range", "lane #: gap_high in range",
    }  # fmt: skip


def test_an_answer_under_another_clk() -> None:
    """Two calls of one state: the answer to one is not the answer to the other's clk."""
    calls = memory_rows([random_state(27)])
    rounds = honest([random_state(27)], 32)
    rounds["clk"][:24] = 16
    said_by_call = [m for m in recorded_traffic(Trace(keccak_memory.CHIP, {Phase.MAIN: calls}), TABLES) if m.bus == KECCAK]
    traces = [Trace(CHIP, {Phase.MAIN: rounds})]
    world = [ExtraMessage(m.bus, m.values, -m.count) for m in said_by_call]
    assert judge(traces, world).buses.buses == ("keccak",)
