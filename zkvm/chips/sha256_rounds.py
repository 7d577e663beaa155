"""
SHA-256 rounds: 64 rows for one block, a round a row. `sha256_memory` makes the calls, touches memory and adds the result to the state.

Given
-----
- state and block limbs received are below 2^16: `sha256_memory` reads them from memory.
- whoever receives the result checks that its limbs are limbs: new_a and new_e are proven modulo 2^32 only together with that.

Proves
------
- what is sent as (clk, 1, state, 0 ..) is the working state after 64 rounds that start from the state and words received as (clk, 0, state, words),
  every limb equal to it as an integer if it is below 2^16.

How
---
a row holds a .. h before its round, the sixteen words W[t] .. W[t + 15] as `word`, and the bits of a, b, c, e, f, g, word[1] and word[14]. The round's new a and e and
the schedule's next word are sums of 32-bit numbers in two limbs, with carries below 2^3. The next row takes a and e into bits, which bounds their limbs; a word
stands at word[14] two rows after it was made, fourteen rows before it is used, and is taken into bits there.

Groups are the 64 rows at multiples of 64, by the position's periodic columns; the last row of the table ends a group.

Padding
-------
- a group with is_real = 0 touches no bus; its rounds run on zeros, or on anything.

Source: FIPS 180-4, section 6.2.2.
"""

from typing import Any, Final

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, limbs, periodic
from zkvm.chips.buses import SHA256
from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.ranges import LIMB, check_range
from zkvm.kernels.policy import kernel
from zkvm.machine.precompiles import SHA256_ROUND_CONSTANTS

ROUNDS: Final = 64
WORD_BITS: Final = 32
CARRY_BITS: Final = 3
STATE_LIMBS: Final = 16
BLOCK_LIMBS: Final = 32
INPUT, OUTPUT = 0, 1


class Row(Columns):
    is_first = periodic([1] + [0] * (ROUNDS - 1), "the group's first round")
    is_last = periodic([0] * (ROUNDS - 1) + [1], "the group's last round")
    constant_low = periodic([k & 0xFFFF for k in SHA256_ROUND_CONSTANTS], "low limb of the round constant")
    constant_high = periodic([k >> 16 for k in SHA256_ROUND_CONSTANTS], "high limb of the round constant")
    is_real = bit("this group answers a call")
    clk = column("time of the call")
    a = bit("a, by bit", WORD_BITS)
    b = bit("b, by bit", WORD_BITS)
    c = bit("c, by bit", WORD_BITS)
    d = limbs("d", 2)
    e = bit("e, by bit", WORD_BITS)
    f = bit("f, by bit", WORD_BITS)
    g = bit("g, by bit", WORD_BITS)
    h = limbs("h", 2)
    word = limbs("W[t] .. W[t + 15]", (16, 2))
    word_1 = bit("word[1], by bit", WORD_BITS)
    word_14 = bit("word[14], by bit", WORD_BITS)
    new_a = limbs("a after the round", 2)
    new_e = limbs("e after the round", 2)
    new_word = limbs("W[t + 16]", 2)
    carry_a = column("carries out of new_a's limbs", 2)
    carry_e = column("carries out of new_e's limbs", 2)
    carry_word = column("carries out of new_word's limbs", 2)


def constrain(air: Any, row: Any) -> None:
    real = row.is_real
    inner = air.when(1 - row.is_last)
    inner.equal("a group is real or not", row.next.is_real, real)
    inner.equal("one clk for all rounds", row.next.clk, row.clk)

    # The round.
    constant = (row.constant_low, row.constant_high)
    first = _add(row.h, _limbs(_big_sigma(row.e, 6, 11, 25)), _limbs(_choose(row.e, row.f, row.g)), constant, row.word[0])
    second = _add(_limbs(_big_sigma(row.a, 2, 13, 22)), _limbs(_majority(row.a, row.b, row.c)))
    _sum_is(air, "new a", row.new_a, row.carry_a, _add(first, second), real)
    _sum_is(air, "new e", row.new_e, row.carry_e, _add(row.d, first), real)

    # The schedule.
    for name, bits, word in (("word[1]", row.word_1, row.word[1]), ("word[14]", row.word_14, row.word[14])):
        for i, value in enumerate(_limbs(bits)):
            air.equal(f"bits of {name}, limb {i}", value, word[i])
    following = _add(row.word[0], _limbs(_small_sigma(row.word_1, 7, 18, 3)), row.word[9], _limbs(_small_sigma(row.word_14, 17, 19, 10)))
    _sum_is(air, "new word", row.new_word, row.carry_word, following, real)

    # The next row.
    for name, bits, value in (("a", row.next.a, row.new_a), ("e", row.next.e, row.new_e), ("d", row.c, row.next.d), ("h", row.g, row.next.h)):
        for i, limb in enumerate(_limbs(bits)):
            inner.equal(f"next {name}, limb {i}", limb, value[i])
    for name, moved, old in (("b", row.next.b, row.a), ("c", row.next.c, row.b), ("f", row.next.f, row.e), ("g", row.next.g, row.f)):
        for z in range(WORD_BITS):
            inner.equal(f"next {name}, bit {z}", moved[z], old[z])
    for k, word in enumerate((*row.word[1:], row.new_word)):
        for i in range(2):
            inner.equal(f"next word[{k}], limb {i}", row.next.word[k][i], word[i])

    def state(a: Any, e: Any, start: tuple[Any, ...], middle: tuple[Any, ...]) -> list[Any]:
        return [*a, *start, *e, *middle]

    before = state(
        _limbs(row.a), _limbs(row.e), (*_limbs(row.b), *_limbs(row.c), *row.d), (*_limbs(row.f), *_limbs(row.g), *row.h)
    )
    after = state(
        row.new_a, row.new_e, (*_limbs(row.a), *_limbs(row.b), *_limbs(row.c)), (*_limbs(row.e), *_limbs(row.f), *_limbs(row.g))
    )
    words = [limb for word in row.word for limb in word]
    air.receive(SHA256, row.clk, INPUT, *before, *words, count=real * row.is_first, label="input", maximum_count=1)
    air.send(SHA256, row.clk, OUTPUT, *after, *([0] * BLOCK_LIMBS), count=real * row.is_last, label="output", maximum_count=1)


def _xor(a: Any, b: Any) -> Any:
    return a + b - 2 * a * b


def _rotated(bits: Any, amount: int) -> list[Any]:
    return [bits[(z + amount) % WORD_BITS] for z in range(WORD_BITS)]


def _shifted(bits: Any, amount: int) -> list[Any]:
    return [bits[z + amount] if z + amount < WORD_BITS else None for z in range(WORD_BITS)]


def _xor_three(x: Any, y: Any, z: Any) -> list[Any]:
    return [_xor(_xor(a, b), c) if c is not None else _xor(a, b) for a, b, c in zip(x, y, z, strict=True)]


def _big_sigma(bits: Any, first: int, second: int, third: int) -> list[Any]:
    return _xor_three(_rotated(bits, first), _rotated(bits, second), _rotated(bits, third))


def _small_sigma(bits: Any, first: int, second: int, shift: int) -> list[Any]:
    return _xor_three(_rotated(bits, first), _rotated(bits, second), _shifted(bits, shift))


def _choose(e: Any, f: Any, g: Any) -> list[Any]:
    return [z + x * (y - z) for x, y, z in zip(e, f, g, strict=True)]


def _majority(a: Any, b: Any, c: Any) -> list[Any]:
    return [x * y + (x + y - 2 * x * y) * z for x, y, z in zip(a, b, c, strict=True)]


def _limbs(bits: Any) -> tuple[Any, Any]:
    low, high = (sum(bits[16 * i + k] * (1 << k) for k in range(16)) for i in range(2))
    return low, high


def _add(*numbers: Any) -> tuple[Any, Any]:
    return sum(number[0] for number in numbers), sum(number[1] for number in numbers)


def _sum_is(air: Any, name: str, total: Any, carry: Any, terms: tuple[Any, Any], count: Any) -> None:
    """
    total = terms modulo 2^32, for total's limbs below 2^16: limb + 2^16 carry = terms + carry in.

    At most seven terms of a limb each and a carry below 2^3: no side reaches 2^20.
    """
    carry_in = 0
    for i in range(2):
        check_range(air, f"{name}: carry {i}", carry[i], CARRY_BITS, count)
        air.equal(f"{name}: limb {i}", total[i] + LIMB * carry[i], terms[i] + carry_in)
        carry_in = carry[i]


_CONSTANTS = np.array(SHA256_ROUND_CONSTANTS, dtype=np.uint64)
_MASK = np.uint64(0xFFFF_FFFF)


@kernel(inline=True)
def _rotate(value, amount):
    return (value >> np.uint64(amount) | value << np.uint64(32 - amount)) & np.uint64(0xFFFF_FFFF)


@kernel
def _fill_bits(cells, value):
    for z in range(WORD_BITS):
        cells[z] = (value >> np.uint64(z)) & np.uint64(1)


@kernel(inline=True)
def _fill_word(cells, value):
    cells[0] = value & np.uint64(0xFFFF)
    cells[1] = (value >> np.uint64(16)) & np.uint64(0xFFFF)


@kernel
def _fill_carries(cells, low, high, count_it, counts):
    """cells: two carries; low, high: sums of the low and high limbs, no carry in."""
    cells[0] = low >> np.uint64(16)
    cells[1] = (high + (low >> np.uint64(16))) >> np.uint64(16)
    if count_it:
        count_range(counts, CARRY_BITS, cells[0])
        count_range(counts, CARRY_BITS, cells[1])


@kernel
def fill(program, events, rows, counts):
    """
    Writes rows 64 i .. 64 i + 63 from event i, and the padding groups.

    program: not used (every filler has it). events: (n,) machine.events.PRECOMPILE_EVENT[SHA256_COMPRESS]. rows: (h,) records of Row, all 0, h a multiple of 64,
    h >= 64 n. counts: chips.counts.Counts, added to.
    """
    word = np.zeros(ROUNDS + 16, dtype=np.uint64)
    s = np.zeros(8, dtype=np.uint64)
    low = np.uint64(0xFFFF)
    sixteen = np.uint64(16)
    for i in range(len(rows) // ROUNDS):
        is_real = i < len(events)
        for k in range(8):
            s[k] = 0
        for k in range(16):
            word[k] = 0
        if is_real:
            for k in range(8):
                s[k] = (events[i].read[k // 2] >> np.uint64(32 * (k % 2))) & _MASK
            for k in range(16):
                raw = (events[i].read[4 + k // 2] >> np.uint64(32 * (k % 2))) & _MASK
                word[k] = (
                    (raw & np.uint64(0xFF)) << np.uint64(24) | (raw & np.uint64(0xFF00)) << np.uint64(8)
                    | (raw >> np.uint64(8)) & np.uint64(0xFF00) | raw >> np.uint64(24)
                )  # fmt: skip
        for t in range(ROUNDS):
            row = rows[ROUNDS * i + t]
            row.is_real = is_real
            if is_real:
                row.clk = events[i].clk
            _fill_bits(row.a, s[0])
            _fill_bits(row.b, s[1])
            _fill_bits(row.c, s[2])
            _fill_word(row.d, s[3])
            _fill_bits(row.e, s[4])
            _fill_bits(row.f, s[5])
            _fill_bits(row.g, s[6])
            _fill_word(row.h, s[7])
            for k in range(16):
                _fill_word(row.word[k], word[t + k])
            _fill_bits(row.word_1, word[t + 1])
            _fill_bits(row.word_14, word[t + 14])

            big1 = _rotate(s[4], 6) ^ _rotate(s[4], 11) ^ _rotate(s[4], 25)
            choice = (s[4] & s[5]) ^ (~s[4] & s[6] & _MASK)
            big0 = _rotate(s[0], 2) ^ _rotate(s[0], 13) ^ _rotate(s[0], 22)
            major = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2])
            first_low = (s[7] & low) + (big1 & low) + (choice & low) + (_CONSTANTS[t] & low) + (word[t] & low)
            first_high = (s[7] >> sixteen) + (big1 >> sixteen) + (choice >> sixteen) + (_CONSTANTS[t] >> sixteen) + (word[t] >> sixteen)
            second_low = (big0 & low) + (major & low)
            second_high = (big0 >> sixteen) + (major >> sixteen)
            _fill_carries(row.carry_a, first_low + second_low, first_high + second_high, is_real, counts)
            _fill_carries(row.carry_e, (s[3] & low) + first_low, (s[3] >> sixteen) + first_high, is_real, counts)
            first = first_low + (first_high << sixteen)
            new_a = (first + second_low + (second_high << sixteen)) & _MASK
            new_e = (s[3] + first) & _MASK
            _fill_word(row.new_a, new_a)
            _fill_word(row.new_e, new_e)

            w1, w14 = word[t + 1], word[t + 14]
            small0 = _rotate(w1, 7) ^ _rotate(w1, 18) ^ w1 >> np.uint64(3)
            small1 = _rotate(w14, 17) ^ _rotate(w14, 19) ^ w14 >> np.uint64(10)
            word_low = (word[t] & low) + (small0 & low) + (word[t + 9] & low) + (small1 & low)
            word_high = (word[t] >> sixteen) + (small0 >> sixteen) + (word[t + 9] >> sixteen) + (small1 >> sixteen)
            _fill_carries(row.carry_word, word_low, word_high, is_real, counts)
            word[t + 16] = (word_low + (word_high << sixteen)) & _MASK
            _fill_word(row.new_word, word[t + 16])

            for k in range(7, 0, -1):
                s[k] = s[k - 1]
            s[0] = new_a
            s[4] = new_e


CHIP = Chip("sha256_rounds", Row, constrain, fill=fill)
