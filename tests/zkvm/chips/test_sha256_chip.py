"""
SHA-256 and its calls: parity with the plain compression function, forgeries by name, every cell, and each constraint, message and range check removed alone
(one or two of each family of like constraints: a family differs only in bit, limb or word, and is declared by one loop).
"""

import random
import re
from collections.abc import Callable

import numpy as np
import pytest
from memory_exemptions import EXEMPT

from zkvm.air import Phase
from zkvm.air.backends.interpret import Trace, report, traffic
from zkvm.air.testing import (
    assert_constraint_is_needed,
    assert_message_is_needed,
    judge,
    recorded_traffic,
    unnoticed_mutations,
)
from zkvm.chips import range as range_chip
from zkvm.chips import sha256_memory, sha256_rounds
from zkvm.chips.buses import SHA256
from zkvm.chips.counts import new_counts
from zkvm.field.koala_bear import PRIME
from zkvm.isa.instructions import Family
from zkvm.machine.events import BOUNDARY_TIME, PRECOMPILE_EVENT
from zkvm.machine.precompiles import SHA256_ROUND_CONSTANTS, sha256_compress

TABLES = {"range": range_chip.reference}
CHIP, CALLS = sha256_rounds.CHIP, sha256_memory.CHIP
ROUNDS = sha256_rounds.ROUNDS
MASK = 0xFFFF_FFFF


def random_words(seed: int) -> list[int]:
    """State and block, 12 doublewords."""
    rng = random.Random(seed)
    return [rng.getrandbits(64) for _ in range(12)]


EDGES = ([0] * 12, [2**64 - 1] * 12, [1] * 12)


def events_of(inputs: list[list[int]], seed: int = 0) -> np.ndarray:
    """Calls at clk 8, 16 ..."""
    rng = random.Random(seed)
    events = np.zeros(len(inputs), dtype=PRECOMPILE_EVENT[Family.SHA256_COMPRESS])
    for i, (event, words) in enumerate(zip(events, inputs, strict=True)):
        clk = 8 * (i + 1)
        event["clk"], event["a0"], event["a1"] = clk, 0x2900_0000 + 1000 * i, 0x2900_8000 + 1000 * i
        event["read"], event["write_old"], event["write"] = words, words[:4], sha256_compress(words)
        event["previous_read"] = [rng.choice((BOUNDARY_TIME, clk - 1, clk + 2, 0)) for _ in range(12)]
        event["previous_write"] = clk + 3
    return events


def honest(inputs: list[list[int]], height: int = 64) -> np.ndarray:
    """The filler's rows."""
    rows = CHIP.empty(Phase.MAIN, height)
    sha256_rounds.fill(None, events_of(inputs), rows, new_counts(1))
    return rows


def call_rows(inputs: list[list[int]], height: int = 4) -> np.ndarray:
    rows = CALLS.empty(Phase.MAIN, height)
    sha256_memory.fill(None, events_of(inputs), rows, new_counts(1))
    return rows


def state_and_schedule(words: list[int]) -> tuple[list[int], list[int]]:
    """a .. h and W[0] .. W[15]."""
    state = [w >> shift & MASK for w in words[:4] for shift in (0, 32)]
    block = b"".join(w.to_bytes(8, "little") for w in words[4:])
    return state, [int.from_bytes(block[4 * i : 4 * i + 4], "big") for i in range(16)]


def worked(words: list[int]) -> list[int]:
    """The working state after 64 rounds: the compression's result less the state."""
    state, _ = state_and_schedule(words)
    result = [w >> shift & MASK for w in sha256_compress(words) for shift in (0, 32)]
    return [(r - s) & MASK for r, s in zip(result, state, strict=True)]


def limbs_of(numbers: list[int]) -> tuple[int, ...]:
    return tuple(n >> shift & 0xFFFF for n in numbers for shift in (0, 16))


def said(rows: np.ndarray) -> list[tuple[int, int, tuple[int, ...], int]]:
    """(clk, direction, limbs, signed count) on the sha256 bus."""
    found = []
    for index, _, tuples, counts in traffic(Trace(CHIP, {Phase.MAIN: rows})):
        if CHIP.messages[index].bus == SHA256:
            for values, count in zip(tuples.tolist(), counts.tolist(), strict=True):
                found.append((values[0], values[1], tuple(values[2:]), count if count < PRIME // 2 else count - PRIME))
    return found


def is_false(rows: np.ndarray) -> bool:
    """Whether what was answered, in all, is not 64 rounds of what was asked."""
    asked: dict[tuple, int] = {}
    answered: dict[tuple, int] = {}
    for clk, direction, limbs, count in said(rows):
        if direction == sha256_rounds.INPUT:
            numbers = [limbs[2 * i] | limbs[2 * i + 1] << 16 for i in range(24)]
            if max(limbs) >= 1 << 16:
                return True
            block = [int.from_bytes(n.to_bytes(4, "big"), "little") for n in numbers[8:]]
            words = [numbers[2 * i] | numbers[2 * i + 1] << 32 for i in range(4)] + [block[2 * i] | block[2 * i + 1] << 32 for i in range(8)]
            key = clk, limbs_of(worked(words))
            asked[key] = asked.get(key, 0) - count
        else:
            key = clk, limbs[:16]
            answered[key] = answered.get(key, 0) + count
    return {k: v for k, v in asked.items() if v} != {k: v for k, v in answered.items() if v}


# A forger's rows: the rounds over integers, with a place to lie between any two steps.


def xor(a: int, b: int) -> int:
    return a + b - 2 * a * b


def bits_of(value: int) -> list[int]:
    return [value >> z & 1 for z in range(32)]


def limb_sums(bits: list[int]) -> list[int]:
    return [sum(bits[16 * i + k] << k for k in range(16)) for i in range(2)]


def rotated(bits: list[int], amount: int) -> list[int]:
    return [bits[(z + amount) % 32] for z in range(32)]


def xor_three(x: list[int], y: list[int], z: list[int | None]) -> list[int]:
    return [xor(xor(a, b), c) if c is not None else xor(a, b) for a, b, c in zip(x, y, z, strict=True)]


class Lie:
    """Nothing is a lie here; subclasses change what they are given, in place."""

    def state(self, t: int, state: dict[str, list[int]]) -> None:
        """Before round t: bits of a, b, c, e, f, g, and limbs of d and h."""

    def words(self, t: int, words: list[list[int]]) -> None:
        """The limbs of W[t] .. W[t + 15]."""

    def word_bits(self, t: int, word_1: list[int], word_14: list[int]) -> None:
        """The bits of word[1] and word[14]."""

    def total(self, t: int, name: str, total: list[int], carry: list[int]) -> None:
        """A sum's limbs and carries; name is new_a, new_e or new_word."""


class Bad(Lie):
    """A lie given as a function of (event, round, arguments ...)."""

    def __init__(self, **events: Callable[..., None]) -> None:
        for name, function in events.items():
            setattr(self, name, function)


def write_group(rows: np.ndarray, words: list[int], lie: Lie, clk: int = 8, real: int = 1) -> None:
    """64 rows of one compression."""
    numbers, schedule = state_and_schedule(words)
    state: dict[str, list[int]] = {
        name: bits_of(n) if name not in "dh" else list(limbs_of([n])) for name, n in zip("abcdefgh", numbers, strict=True)
    }
    window = [list(limbs_of([n])) for n in schedule]

    def write(row: np.ndarray, name: str, values: list[int] | list[list[int]]) -> None:
        row[name] = (np.array(values, dtype=object) % PRIME).astype(np.uint32)

    def total(t: int, row: np.ndarray, name: str, terms: list[int]) -> list[int]:
        low = terms[0]
        carry = [low >> 16, 0]
        high = terms[1] + carry[0]
        carry[1] = high >> 16
        limbs = [low & 0xFFFF, high & 0xFFFF]
        before = list(limbs), list(carry)
        lie.total(t, name, limbs, carry)
        if before[1][0] != carry[0]:
            # The other limb follows from the carry that goes into it.
            carry[1], limbs[1] = terms[1] + carry[0] >> 16, terms[1] + carry[0] & 0xFFFF
        write(row, name, limbs)
        write(row, "carry_" + name.removeprefix("new_"), carry)
        return limbs

    for t in range(ROUNDS):
        row = rows[t]
        row["is_real"], row["clk"] = real % PRIME, clk
        lie.state(t, state)
        lie.words(t, window)
        for name, values in state.items():
            write(row, name, values)
        write(row, "word", window)
        word_1, word_14 = (bits_of((w[0] | w[1] << 16) & MASK) for w in (window[1], window[14]))
        lie.word_bits(t, word_1, word_14)
        write(row, "word_1", word_1)
        write(row, "word_14", word_14)
        a, b, c, e, f, g = (state[n] for n in "abcefg")
        big_1 = limb_sums(xor_three(rotated(e, 6), rotated(e, 11), rotated(e, 25)))
        choice = limb_sums([z + x * (y - z) for x, y, z in zip(e, f, g, strict=True)])
        big_0 = limb_sums(xor_three(rotated(a, 2), rotated(a, 13), rotated(a, 22)))
        major = limb_sums([x * y + (x + y - 2 * x * y) * z for x, y, z in zip(a, b, c, strict=True)])
        constant = limbs_of([SHA256_ROUND_CONSTANTS[t]])
        first = [state["h"][i] + big_1[i] + choice[i] + constant[i] + window[0][i] for i in range(2)]
        new_a = total(t, row, "new_a", [first[i] + big_0[i] + major[i] for i in range(2)])
        new_e = total(t, row, "new_e", [state["d"][i] + first[i] for i in range(2)])
        small_0 = limb_sums(xor_three(rotated(word_1, 7), rotated(word_1, 18), [word_1[z + 3] if z < 29 else None for z in range(32)]))
        small_1 = limb_sums(xor_three(rotated(word_14, 17), rotated(word_14, 19), [word_14[z + 10] if z < 22 else None for z in range(32)]))
        new_word = total(t, row, "new_word", [window[0][i] + small_0[i] + window[9][i] + small_1[i] for i in range(2)])
        state = {
            "a": bits_of((new_a[0] | new_a[1] << 16) & MASK) if t < 63 else a, "b": list(a), "c": list(b), "d": limb_sums(c),
            "e": bits_of((new_e[0] | new_e[1] << 16) & MASK) if t < 63 else e, "f": list(e), "g": list(f), "h": limb_sums(g),
        }  # fmt: skip
        window = [*(list(w) for w in window[1:]), new_word]


def group(words: list[int], lie: Lie | None = None, **options: int) -> np.ndarray:
    rows = CHIP.empty(Phase.MAIN, ROUNDS)
    write_group(rows, words, lie or Lie(), **options)
    return rows


WORDS = random_words(1)


def refused_by(rows: np.ndarray) -> tuple[str, ...]:
    return report(CHIP, {Phase.MAIN: rows}).constraints


def verdict(rows: np.ndarray):
    trace = Trace(CHIP, {Phase.MAIN: rows})
    return judge([trace], recorded_traffic(trace, TABLES), TABLES)


def test_the_writer_of_rows_is_the_filler() -> None:
    np.testing.assert_array_equal(group(WORDS), honest([WORDS]))


def test_parity_with_the_plain_compression() -> None:
    inputs = [random_words(2), *(list(e) for e in EDGES)]
    rows = honest(inputs, 256)
    assert verdict(rows).accepted and not is_false(rows)
    outputs = [m for m in said(rows) if m[1] == sha256_rounds.OUTPUT]
    assert [(m[0], m[2][:16]) for m in outputs] == [(8 * (i + 1), limbs_of(worked(w))) for i, w in enumerate(inputs)]
    assert all(not any(m[2][16:]) for m in outputs)


def test_fill_counts_its_look_ups() -> None:
    counts = new_counts(1)
    rounds, calls = CHIP.empty(Phase.MAIN, 128), CALLS.empty(Phase.MAIN, 4)
    events = events_of([random_words(3)])
    sha256_rounds.fill(None, events, rounds, counts)
    sha256_memory.fill(None, events, calls, counts)
    wanted = np.zeros_like(counts.range)
    for trace in (Trace(CHIP, {Phase.MAIN: rounds}), Trace(CALLS, {Phase.MAIN: calls})):
        for index, _, tuples, multiplicities in traffic(trace):
            if trace.chip.messages[index].bus.name == "range":
                fields = tuples.astype(np.int64).T
                np.add.at(wanted, (1 << fields[0]) - 1 + fields[1], multiplicities.astype(np.uint32))
    np.testing.assert_array_equal(counts.range, wanted)


def test_padding_says_nothing() -> None:
    rows = honest([], 64)
    assert report(CHIP, {Phase.MAIN: rows}).is_valid
    assert not any(len(tuples) for _, _, tuples, _ in traffic(Trace(CHIP, {Phase.MAIN: rows})))


@pytest.mark.parametrize("shift", [1, 32, 63])
def test_a_group_that_is_not_aligned(shift: int) -> None:
    """Rows moved down: the round constants are those of the place, and the messages are the place's."""
    rows = np.roll(honest([random_words(4)], 128), shift)
    found = refused_by(rows)
    assert any(name.startswith("new a") for name in found)


def test_another_clk_within_a_group() -> None:
    rows = honest([WORDS])
    rows["clk"][30:] = 16
    assert refused_by(rows) == ("one clk for all rounds",)


def test_a_carry_out_of_range() -> None:
    """The sum of a limb is off by 1, and the carry by 2^-16: only the look-up refuses."""
    rows = group(WORDS, Bad(total=off_by_a_fraction("new_a", 20, 0)))
    found = verdict(rows)
    assert not found.constraints and found.buses.buses == ("range",)


# Each constraint alone.


def off_by_a_fraction(name: str, t: int, limb: int) -> Callable[..., None]:
    """One limb of a sum is 1 more than it is, and the carry 2^-16 less."""

    def total(at: int, sum_name: str, limbs: list[int], carry: list[int]) -> None:
        if (at, sum_name) == (t, name):
            limbs[limb] ^= 1
            more = 1 if limbs[limb] & 1 else -1
            carry[limb] = (carry[limb] - more * pow(1 << 16, -1, PRIME)) % PRIME

    return total


def carried(name: str, t: int) -> Callable[..., None]:
    """
    The low limb is 1 more and its carry 127 * 2^8 more: 2^16 * 127 * 2^8 = p - 1. The high limb follows, and all but the low carry is in range.
    """

    def total(at: int, sum_name: str, limbs: list[int], carry: list[int]) -> None:
        if (at, sum_name) == (t, name):
            assert limbs[0] < 0xFFFF
            limbs[0] += 1
            carry[0] += 127 << 8

    return total


def flipped(t: int, name: str, index: int) -> Lie:
    """Before round t, one bit or limb of the state is another."""

    def state(at: int, of: dict[str, list[int]]) -> None:
        if at == t:
            of[name][index] ^= 1

    return Bad(state=state)


def other_word(t: int, k: int, i: int) -> Lie:
    def words(at: int, window: list[list[int]]) -> None:
        if at == t:
            window[k][i] ^= 1

    return Bad(words=words)


def other_word_bits(t: int, which: int, z: int) -> Lie:
    def word_bits(at: int, *both: list[int]) -> None:
        if at == t:
            both[which][z] ^= 1

    return Bad(word_bits=word_bits)


def other_total(t: int, name: str, limb: int) -> Lie:
    def total(at: int, sum_name: str, limbs: list[int], carry: list[int]) -> None:
        if (at, sum_name) == (t, name):
            limbs[limb] ^= 1

    return Bad(total=total)


def two_for_a_bit(t: int, name: str, z: int, which: int | None = None) -> np.ndarray:
    """Bits z, z + 1 of a number are 0, 1 and are written 2, 0. Tries inputs until the sums that follow are not negative."""

    def spread(bits: list[int]) -> bool:
        if (bits[z], bits[z + 1]) != (0, 1):
            return False
        bits[z], bits[z + 1] = 2, 0
        return True

    for seed in range(300):
        happened: list[bool] = []
        if which is None:

            def state(at: int, of: dict[str, list[int]], happened: list[bool] = happened) -> None:
                if at == t:
                    happened.append(spread(of[name]))

            lie: Lie = Bad(state=state)
        else:

            def word_bits(at: int, *both: list[int], happened: list[bool] = happened) -> None:
                if at == t:
                    happened.append(spread(both[which]))

            lie = Bad(word_bits=word_bits)
        rows = group(random_words(1000 + seed), lie)
        if happened == [True] and refused_by(rows) == (f"{name}[{z}] is a bit",) and verdict(rows).buses.is_balanced and is_false(rows):
            return rows
    raise AssertionError("no input of 300 serves")


def exchanged_clks() -> np.ndarray:
    """Two calls, each answered under the other's clk."""
    rows = honest([random_words(10), random_words(11)], 128)
    rows["clk"][30:64], rows["clk"][94:128] = 16, 8
    return rows


def real_at_both_ends() -> np.ndarray:
    """A group that is real where it is asked and where it answers, and in between, where sums are checked, is not."""
    rows = group(WORDS, Bad(total=off_by_a_fraction("new_a", 20, 0)))
    rows["is_real"][1:63] = 0
    return rows


def taken_back() -> np.ndarray:
    """
    A false group, whose last sum has a carry that is none; a true group with is_real = -1 whose unused last word has the same carry, so that both look-ups
    cancel; and the true group once more, whose messages cancel those of the second.
    """
    rows = CHIP.empty(Phase.MAIN, 256)
    bad: list[int] = []

    def false_end(at: int, name: str, limbs: list[int], carry: list[int]) -> None:
        if (at, name) == (63, "new_a"):
            limbs[1] ^= 1
            carry[1] = (carry[1] - (1 if limbs[1] & 1 else -1) * pow(1 << 16, -1, PRIME)) % PRIME
            bad.append(carry[1])

    def same_carry(at: int, name: str, limbs: list[int], carry: list[int]) -> None:
        if (at, name) == (63, "new_word"):
            limbs[1] = (limbs[1] + (carry[1] - bad[0]) * (1 << 16)) % PRIME
            carry[1] = bad[0]

    write_group(rows[:64], WORDS, Bad(total=false_end))
    write_group(rows[64:128], WORDS, Bad(total=same_carry), real=-1)
    write_group(rows[128:192], WORDS, Lie())
    rows[192:] = honest([], 64)
    return rows


FORGERIES: dict[str, Callable[[], np.ndarray]] = {
    "is_real is a bit": taken_back,
    "a group is real or not": real_at_both_ends,
    "one clk for all rounds": exchanged_clks,
    **{f"new {n}: limb {i}": lambda n=n, i=i: group(WORDS, other_total(20, f"new_{n}", i)) for n in ("a", "e", "word") for i in range(2)},
    **{f"bits of word[{k}], limb {i}": lambda k=k, i=i: group(WORDS, other_word_bits(30, k == 14, 16 * i + 3)) for k in (1, 14) for i in range(2)},
    **{f"next {n}, limb {i}": lambda n=n, i=i: group(WORDS, flipped(25, n, 16 * i + 2)) for n in "ae" for i in range(2)},
    **{f"next {n}, limb {i}": lambda n=n, i=i: group(WORDS, flipped(25, n, i)) for n in "dh" for i in range(2)},
    **{f"next {n}, bit {z}": lambda n=n, z=z: group(WORDS, flipped(25, n, z)) for n, z in (("b", 0), ("c", 31), ("f", 7), ("g", 16))},
    **{f"next word[{k}], limb {i}": lambda k=k, i=i: group(WORDS, other_word(25, k, i)) for k, i in ((0, 0), (7, 1), (15, 0), (15, 1))},
    "a[3] is a bit": lambda: two_for_a_bit(63, "a", 3),
    "e[20] is a bit": lambda: two_for_a_bit(63, "e", 20),
    "c[9] is a bit": lambda: two_for_a_bit(0, "c", 9),
    "g[9] is a bit": lambda: two_for_a_bit(0, "g", 9),
    "word_1[5] is a bit": lambda: two_for_a_bit(30, "word_1", 5, 0),
    "word_14[18] is a bit": lambda: two_for_a_bit(30, "word_14", 18, 1),
    **{f"new {n}: carry 0 in range": lambda n=n: group(WORDS, Bad(total=carried(f"new_{n}", 20))) for n in ("a", "e", "word")},
    "new a: carry 1 in range": lambda: group(WORDS, Bad(total=off_by_a_fraction("new_a", 20, 1))),
    "new e: carry 1 in range": lambda: group(WORDS, Bad(total=off_by_a_fraction("new_e", 20, 1))),
    "new word: carry 1 in range": lambda: group(WORDS, Bad(total=off_by_a_fraction("new_word", 20, 1))),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_each_constraint_and_look_up_is_needed(name: str) -> None:
    rows = FORGERIES[name]()
    assert is_false(rows)
    neighbours = recorded_traffic(Trace(CHIP, {Phase.MAIN: rows}), TABLES)
    if name in {c.name for c in CHIP.constraints}:
        assert_constraint_is_needed(CHIP, name, {Phase.MAIN: rows}, {}, neighbours, TABLES)
    else:
        assert_message_is_needed(CHIP, name, {Phase.MAIN: rows}, {}, neighbours, TABLES)


@pytest.mark.parametrize("direction", [sha256_rounds.INPUT, sha256_rounds.OUTPUT])
def test_each_message_is_needed(direction: int) -> None:
    """Without it a call would be taken by nobody, or an answer come from nowhere; the caller's message would go with it."""
    rows = honest([random_words(12)])
    world = [m for m in recorded_traffic(Trace(CHIP, {Phase.MAIN: rows}), TABLES) if m.values[1] != direction]
    assert_message_is_needed(CHIP, ("input", "output")[direction], {Phase.MAIN: rows}, {}, world, TABLES)


def family(name: str) -> str:
    """A name without the index of a bit, limb or word; the bits of word[1] and word[14] are two families."""
    if name.startswith("bits of"):
        return name
    return re.sub(r"(?<=\[)\d+(?=\])|(?<=bit )\d+|(?<=next [adeh], limb )\d+", "#", name)


def test_no_family_is_without_a_forgery_or_a_proof() -> None:
    families = {family(c.name) for c in CHIP.constraints} | {m.label for m in CHIP.messages}
    known = {family(name) for name in FORGERIES} | {"input", "output"}
    exempt = set(EXEMPT["sha256_rounds"])
    assert sorted(families - known - exempt) == []
    assert sorted((known | exempt) - families) == [] and not known & exempt


def test_every_cell_matters() -> None:
    """On the first rows, a middle one and the last of a group."""
    rows = honest([random_words(13), random_words(14)], 128)
    found = unnoticed_mutations(CHIP, {Phase.MAIN: rows}, rows=(0, 1, 31, 63), tables=TABLES, deltas=(1, 1 << 16))
    assert not found, "\n".join(str(m) for m in found[:20])


# The calls.


def call_world(rows: np.ndarray) -> list:
    return recorded_traffic(Trace(CALLS, {Phase.MAIN: rows}), TABLES)


def call_verdict(rows: np.ndarray, world: list | None = None):
    return judge([Trace(CALLS, {Phase.MAIN: rows})], call_world(rows) if world is None else world, TABLES)


def test_calls_and_rounds_balance() -> None:
    inputs = [random_words(20), *(list(e) for e in EDGES)]
    calls, rounds = call_rows(inputs, 4), honest(inputs, 256)
    traces = [Trace(CALLS, {Phase.MAIN: calls}), Trace(CHIP, {Phase.MAIN: rounds})]
    world = [m for m in call_world(calls) if m.bus != SHA256]
    assert judge(traces, world, TABLES).accepted
    for row, words in zip(calls, inputs, strict=True):
        assert [sum(int(x) << 16 * k for k, x in enumerate(limbs)) for limbs in row["new"]] == sha256_compress(words)


def test_block_bytes_that_are_swapped() -> None:
    """A block whose limbs have their two bytes exchanged asks for other words than the rounds' rows answer."""
    calls, rounds = call_rows([WORDS]), honest([WORDS])
    calls["block"][0][3][2] = (int(calls["block"][0][3][2]) >> 8) | (int(calls["block"][0][3][2]) & 0xFF) << 8
    calls["block_high_byte"][0][3][2] = int(calls["block"][0][3][2]) >> 8
    trace = Trace(CALLS, {Phase.MAIN: calls})
    world = [m for m in call_world(calls) if m.bus != SHA256]
    assert judge([trace, Trace(CHIP, {Phase.MAIN: rounds})], world, TABLES).buses.buses == ("sha256",)
    # Or with the right limb, but bytes that are not its own.
    calls = call_rows([WORDS])
    calls["block_high_byte"][0][3][2] ^= 1
    assert call_verdict(calls).buses.buses == ("range",)


def test_a_state_that_overlaps_the_block() -> None:
    """The machine traps; the two accesses of the shared doubleword cannot be put in order of time."""
    rows = call_rows([WORDS])
    clk = int(rows["clk"][0])
    rows["block_address"][0] = rows["state_address"][0] + 2
    # Block first: it leaves (clk + 3), which the state takes; or the state first.
    for first, second, taken, time in (("block_access", "state_access", clk + 3, clk + 3), ("state_access", "block_access", clk + 4, clk + 3)):
        forged = rows.copy()
        at = 2 if second == "state_access" else 0
        access = forged[second][0][at]
        access["previous_clk"], access["gap_low"] = taken, (time - taken - 1) & 0xFFFF
        assert first != second
        assert call_verdict(forged).buses.buses == ("range",)


def test_every_cell_of_a_call_matters() -> None:
    rows = call_rows([random_words(22), random_words(23)])
    assert not unnoticed_mutations(CALLS, {Phase.MAIN: rows}, rows=range(2), tables=TABLES)


def test_padding_of_calls_says_nothing() -> None:
    rows = call_rows([random_words(22)])
    rows["is_real"] = 0
    assert not any(len(tuples) for _, _, tuples, _ in traffic(Trace(CALLS, {Phase.MAIN: rows})))


def test_the_call_s_bit_is_needed() -> None:
    """As for keccak: a doubleword of the block from the future, its failing look-up taken back by a row with is_real = -1, whose messages a third cancels."""
    rows = np.repeat(call_rows([random_words(24)])[:1], 4)
    rows[3] = CALLS.empty(Phase.MAIN, 1)[0]
    clk = int(rows["clk"][0])
    rows["block_address"][1:3] += 1000
    rows["is_real"][1] = PRIME - 1
    for row in (0, 1):
        access = rows["block_access"][row][0]
        access["previous_clk"], access["gap_low"] = clk + 100, (3 - 100 - 1) & 0xFFFF
    assert_constraint_is_needed(CALLS, "is_real is a bit", {Phase.MAIN: rows}, {}, call_world(rows), TABLES)


@pytest.mark.parametrize("word", range(8))
def test_each_carry_out_of_a_high_limb_is_needed(word: int) -> None:
    """A result with another high limb."""
    rows = call_rows([random_words(25)])
    rows["new"][0].reshape(-1)[2 * word + 1] ^= 1
    assert_constraint_is_needed(CALLS, f"word {word}: carry out of limb 1", {Phase.MAIN: rows}, {}, call_world(rows), TABLES)


@pytest.mark.parametrize("word", [0, 7])
def test_each_carry_out_of_a_low_limb_is_needed(word: int) -> None:
    """
    The low limb is d more than it should be, its carry d 2^-16 less, so the high limb is 127 d 2^8 more; with d = 2^8 k that is 127 k 2^16, a carry
    too many: chosen so that the high limb stays one.
    """
    rows = call_rows([random_words(26)])
    old, work = (int(rows[n][0].reshape(-1)[2 * word]) for n in ("old", "worked"))
    old_high, work_high = (int(rows[n][0].reshape(-1)[2 * word + 1]) for n in ("old", "worked"))
    flat = rows["new"][0].reshape(-1)
    for low in range(1 << 16):
        carry = (old + work - low) * pow(1 << 16, -1, PRIME) % PRIME
        for out in (0, 1):
            high = (old_high + work_high + carry - (out << 16)) % PRIME
            if carry > 1 and high < 1 << 16:
                flat[2 * word], flat[2 * word + 1] = low, high
                name = f"word {word}: carry out of limb 0"
                assert_constraint_is_needed(CALLS, name, {Phase.MAIN: rows}, {}, call_world(rows), TABLES)
                return
    raise AssertionError("no low limb serves")


CALL_RANGES = [
    *(f"state {i}: {c} in range" for i in (0, 3) for c in ("gap_low", "gap_high")),
    *(f"block {i}: {c} in range" for i in (0, 7) for c in ("gap_low", "gap_high")),
]


@pytest.mark.parametrize("label", CALL_RANGES)
def test_each_gap_of_a_call_is_needed(label: str) -> None:
    """A doubleword taken from the future."""
    kind, index, check = re.match(r"(\w+) (\d+): (\w+)", label).groups()  # type: ignore[union-attr]
    rows = call_rows([random_words(27)])
    clk = int(rows["clk"][0])
    gap = (3 - 100 - 1) % PRIME
    access = rows[f"{kind}_access"][0][int(index)]
    access["previous_clk"] = clk + 100
    access["gap_low"] = gap if check == "gap_low" else gap & 0xFFFF
    assert_message_is_needed(CALLS, label, {Phase.MAIN: rows}, {}, call_world(rows), TABLES)


@pytest.mark.parametrize("limb", [0, 1, 31])
def test_each_byte_check_of_a_block_is_needed(limb: int) -> None:
    """The bytes of a limb are one more and 2^-8 less: the words asked for are not the block's."""
    for byte in (0, 1):
        rows = call_rows([random_words(28)])
        i, k = divmod(limb, 4)
        cells = rows["block_high_byte"][0][i]
        if byte == 0:
            # The upper byte another one, the lower follows: out of range by 256.
            cells[k] = int(cells[k]) ^ 1
        else:
            lower = int(rows["block"][0][i][k]) & 0xFF
            more = 1 if lower < 255 else -1
            cells[k] = (int(cells[k]) - more * pow(256, -1, PRIME)) % PRIME
        assert_message_is_needed(CALLS, f"block {i}: byte {2 * k + byte} in range", {Phase.MAIN: rows}, {}, call_world(rows), TABLES)


@pytest.mark.parametrize("word", [0, 5])
@pytest.mark.parametrize("limb", [0, 1])
def test_each_limb_check_of_the_result_is_needed(word: int, limb: int) -> None:
    """
    new: a limb of 2^16 or more is written to memory (its carry not taken). worked: the rounds answer with limbs that need not be below 2^16 by themselves.
    """
    at = 2 * word + limb
    for seed in range(100):
        rows = call_rows([random_words(3000 + seed)])
        old, new, work = (rows[n][0].reshape(-1) for n in ("old", "new", "worked"))
        if int(old[at]) + int(work[at]) >= 1 << 16 and (limb or int(new[at + 1])):
            break
    unreduced = rows.copy()
    flat = unreduced["new"][0].reshape(-1)
    flat[at] += 1 << 16
    if limb == 0:
        flat[at + 1] -= 1
    assert_message_is_needed(CALLS, f"new limb {at} in range", {Phase.MAIN: unreduced}, {}, call_world(unreduced), TABLES)
    for seed in range(100):
        rows = call_rows([random_words(4000 + seed)])
        old, new, work = (rows[n][0].reshape(-1) for n in ("old", "new", "worked"))
        if int(new[at]) >= int(old[at]) and (limb or int(new[at + 1])):
            break
    rows["worked"][0][at] += 1 << 16
    if limb == 0:
        rows["new"][0].reshape(-1)[at + 1] += 1
    if int(rows["new"][0].reshape(-1)[min(at + 1, 15)]) < 1 << 16:
        assert_message_is_needed(CALLS, f"worked limb {at} in range", {Phase.MAIN: rows}, {}, call_world(rows), TABLES)


@pytest.mark.parametrize(
    "label", ["call", "input", "output", "state 0: token in", "state 3: token out", "block 0: token in", "block 7: token out"]
)
def test_each_message_of_a_call_is_needed(label: str) -> None:
    rows = call_rows([random_words(29)])
    world = recorded_traffic(Trace(CALLS.without_message(label), {Phase.MAIN: rows}), TABLES)
    assert_message_is_needed(CALLS, label, {Phase.MAIN: rows}, {}, world, TABLES)


def test_no_family_of_calls_is_without_a_forgery() -> None:
    families = {re.sub(r"\d+", "#", c.name) for c in CALLS.constraints} | {re.sub(r"\d+", "#", m.label) for m in CALLS.messages}
    known = {
        "is_real is a bit", "word #: carry out of limb #", "call", "input", "output", "state #: token in", "state #: token out", "block #: token in",
        "block #: token out", "block #: byte # in range", "worked limb # in range", "new limb # in range",
        *(re.sub(r"\d+", "#", label) for label in CALL_RANGES),
    }  # fmt: skip
    assert families == known
