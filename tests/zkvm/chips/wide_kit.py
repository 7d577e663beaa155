"""
What the tests of the wide chips share: operands, events of calls, honest rows, and what the messages of a row claim.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from instructions_kit import Judge, number_of

from zkvm.air import Chip, Phase
from zkvm.air.chip import as_matrix
from zkvm.chips.buses import MEMORY, SYSCALL
from zkvm.chips.counts import Counts, new_counts
from zkvm.field.koala_bear import PRIME
from zkvm.isa.decoder import DECODED
from zkvm.isa.instructions import Family
from zkvm.machine.events import BOUNDARY_TIME, CLK_LIMIT, PRECOMPILE_EVENT, PRECOMPILE_READS, PRECOMPILE_WRITES
from zkvm.machine.precompiles import SECP256K1_PRIME, words_of
from zkvm.machine.syscalls import PRECOMPILE_FAMILY, Syscall

NAMES = ("arith256", "arith256_mod", "secp256k1_add", "secp256k1_double")

P = SECP256K1_PRIME
GX = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798
GY = 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8

EDGES = (
    0, 1, 2, 255, 256, 2**16 - 1, 2**16, 2**32 + 976, 2**32 + 977, 2**32 + 978, 2**128, 2**255 - 19, 2**255,
    P - 2**48, P - 2**33, P - 2**32,
    P - 2**32 - 1, P - 2**16, P - 2**16 - 1, P - 65535, P - 977, P - 2, P - 1, P, P + 1, 2**256 - 2**32,
    2**256 - 2**16, 2**256 - 2, 2**256 - 1,
    2**256 - 2**48, 2**256 - 2**48 - 1, sum(0xFF << 16 * i for i in range(16)),
    sum(0xFF00 << 16 * i for i in range(16)),
)  # fmt: skip


def family_of(name: str) -> Family:
    """The family of a precompile."""
    return Family[name.upper()]


def number_of_call(name: str) -> int:
    """Its ecall number."""
    return int(Syscall[name.upper()])


def chip_named(name: str) -> Chip:
    """The chip of zkvm/chips/NAME.py."""
    return import_module(f"zkvm.chips.{name}").CHIP


def has_result(name: str, numbers: Sequence[int]) -> bool:
    """Whether the call has a result, by the plain meaning."""
    return chip_named(name).reference(words(numbers)) is not None


def words(numbers: Sequence[int]) -> list[int]:
    """256-bit numbers as 64-bit words."""
    return [word for number in numbers for word in words_of(number, 4)]


def operands(name: str, seed: int, count: int) -> list[tuple[int, ...]]:
    """Edge operands that have a result, then random ones: tuples of 256-bit numbers."""
    rng = random.Random(f"{name} {seed}")

    def value() -> int:
        kind = rng.randrange(6)
        if kind == 0:
            return rng.choice(EDGES)
        if kind == 1:
            return rng.getrandbits(rng.randrange(1, 257))
        if kind == 2:
            return int.from_bytes(bytes(rng.choice((0, 255, rng.randrange(256))) for _ in range(32)), "little")
        if kind == 3:
            return P - 1 - rng.getrandbits(rng.randrange(1, 60))
        return rng.getrandbits(256)

    size = sum(PRECOMPILE_READS[family_of(name)]) // 4
    chosen: list[tuple[int, ...]] = []
    top = 2**256 - 1
    if name == "arith256":
        chosen += [(0, 0, 0), (top, top, top), (top, top, 0), (0, top, top), (1, 1, 0)]
    elif name == "arith256_mod":
        chosen += [
            (0, 0, 0, 1), (top, top, top, 1), (top, top, top, top), (top, top, 0, 2), (top, top, top, 2**255),
            (top, top, top, 2**256 - 2**8),
            (0, 0, top, top), (top, 1, 0, top), (5, 7, 1, 36), (5, 7, 0, 36), (top, top, top, 3 * 2**200),
            (P, P, P, P), (top, top, top, 256),
        ]  # fmt: skip
    elif name == "secp256k1_add":
        chosen += (
            [(x, y, GX, GY) for x in EDGES for y in (0, 1, P - 1)]
            + [(GX, GY, x, P - 2) for x in EDGES]
            + [(x, 5, x + 1, 5) for x in EDGES]
        )
        chosen += [(GX ^ 1 << 16 * i, GY, GX, GY) for i in range(16)] + [
            (0, 5, P - 1, 0),
            (P - 1, 0, 0, P - 1),
            (1, 0, 0, P - 1),
        ]
    else:
        chosen += (
            [(x, y) for x in EDGES for y in (1, P - 1, (P - 1) // 2)] + [(GX, y) for y in EDGES] + [(P - 1, P - 1)]
        )
    chosen = [numbers for numbers in chosen if max(numbers) <= top and has_result(name, numbers)]
    while len(chosen) < count:
        numbers = tuple(value() for _ in range(size))
        if has_result(name, numbers):
            chosen.append(numbers)
    return chosen


def event_of(name: str, numbers: Sequence[int], rng: random.Random, result: Sequence[int] | None = None) -> np.ndarray:
    """
    One event, operands and result apart in memory, with random previous accesses.

    result: 256-bit numbers in place of the true ones.
    """
    family = family_of(name)
    event = np.zeros(1, dtype=PRECOMPILE_EVENT[family])
    reads, writes = PRECOMPILE_READS[family], PRECOMPILE_WRITES[family]
    read = words(numbers)
    written = chip_named(name).reference(read) if result is None else words(result)
    clk = rng.choice((0, 8, CLK_LIMIT - 16, 4 * rng.randrange(CLK_LIMIT // 4 - 4)))
    event["clk"], event["pc"] = clk, 0x0020_0000
    event["a0"] = 0x2800_0000 + 8 * rng.randrange(1 << 20)
    event["a1"] = 0x4000_0000 + 8 * rng.randrange(1 << 20) if max(reads[1], writes[1]) else 0
    event["read"], event["write"] = read, written
    in_place = writes[0] > 0
    event["write_old"] = read[: writes[0]] if in_place else [rng.getrandbits(64) for _ in range(writes[1])]

    def previous(time: int) -> int:
        return rng.choice(
            (BOUNDARY_TIME, time - 1, rng.randrange(BOUNDARY_TIME, time), max(BOUNDARY_TIME, time - 65537))
        )

    event["previous_read"] = [previous(clk + 3) for _ in range(sum(reads))]
    event["previous_write"] = [clk + 3 if in_place else previous(clk + 4) for _ in range(sum(writes))]
    return event


@dataclass(frozen=True)
class Run:
    """Calls of one chip: events, rows, look-up counts. The last row is padding."""

    chip: Chip
    events: np.ndarray
    rows: np.ndarray
    counts: Counts

    @property
    def matrix(self) -> np.ndarray:
        """The rows as (height, width) uint32; the same memory."""
        return as_matrix(self.rows)


def run(name: str, events: Sequence[np.ndarray]) -> Run:
    """The chip's rows of these events."""
    chip = chip_named(name)
    joined = np.concatenate(list(events))
    rows = chip.empty("main", 1 << len(joined).bit_length())
    counts = new_counts(1)
    assert chip.fill is not None
    chip.fill(np.zeros(1, dtype=DECODED), joined, rows, counts)
    return Run(chip, joined, rows, counts)


@cache
def honest(name: str, seed: int = 1, count: int = 260) -> Run:
    """Honest rows; not to be changed."""
    rng = random.Random(seed)
    return run(name, [event_of(name, numbers, rng) for numbers in operands(name, seed, count)])


@cache
def judge_of(name: str) -> Judge:
    """Constraints and tables of the chip."""
    return Judge(chip_named(name), np.zeros(1, dtype=DECODED))


def falsehoods(name: str, matrix: np.ndarray) -> list[list[str]]:
    """
    For each row, why what it says on the syscall and memory buses is no call of the machine; empty if it is one, or
    if it says nothing.

    It does not look at other cells.
    """
    judge = judge_of(name)
    _, messages = judge.values(matrix)
    return [_falsehoods(name, judge.chip, messages, i) for i in range(len(matrix))]


def _falsehoods(name: str, chip: Chip, messages: list[tuple[np.ndarray, np.ndarray]], row: int) -> list[str]:
    said: dict[str, tuple[int, ...]] = {}
    for message, (fields, count) in zip(chip.messages, messages, strict=True):
        if message.bus in (SYSCALL, MEMORY) and count[row]:
            if count[row] != 1:
                return [f"{message.label} counts {count[row]}"]
            said[message.label] = tuple(int(v) for v in fields[row])
    if not said:
        return []
    if "call" not in said:
        return ["accesses without a call"]
    number, clk, a0, a1 = said["call"]
    problems = [] if number == number_of_call(name) else [f"call {number:#x}"]
    family = PRECOMPILE_FAMILY[Syscall(number_of_call(name))]
    reads, writes = PRECOMPILE_READS[family], PRECOMPILE_WRITES[family]
    if max(reads[1], writes[1]) == 0 and a1:
        problems.append("a second pointer")

    def access(label: str, address: int, taken_before: int, left_at: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        token_in, token_out = said.get(f"{label}: token in"), said.get(f"{label}: token out")
        if token_in is None or token_out is None:
            problems.append(f"{label} is not accessed")
            return (0,) * 4, (0,) * 4
        if token_in[:2] != (1, address) or token_out[:3] != (1, address, left_at):
            problems.append(f"{label} is at another address or time")
        previous = token_in[2] if token_in[2] != PRIME - 1 else BOUNDARY_TIME
        if previous >= taken_before:
            problems.append(f"{label} is taken from the future")
        return token_in[3:], token_out[3:]

    before: list[int] = []
    after: list[int] = []
    if writes[0]:
        for i in range(writes[0]):
            old, new = access(f"P {i}", a0 + i, clk + 3, clk + 4)
            before += old
            after += new
        for i in range(reads[1]):
            old, new = access(f"Q {i}", a1 + i, clk + 3, clk + 3)
            before += old
            if old != new:
                problems.append("a read changes the value")
    else:
        for i in range(reads[0]):
            old, new = access(f"operand {i}", a0 + i, clk + 3, clk + 3)
            before += old
            if old != new:
                problems.append("a read changes the value")
        for i in range(writes[1]):
            after += access(f"result {i}", a1 + i, clk + 4, clk + 4)[1]
    if any(limb >= 2**16 for limb in before):
        return ["unreachable", "tokens with limbs that no token has"]
    operand_words = [number_of(before[4 * i : 4 * i + 4]) for i in range(len(before) // 4)]
    expected = chip.reference(operand_words)
    if expected is None:
        problems.append("operands without a result")
    elif (
        any(limb >= 2**16 for limb in after)
        or [number_of(after[4 * i : 4 * i + 4]) for i in range(len(after) // 4)] != expected
    ):
        problems.append("another result")
    return problems


def columns_of(name: str) -> list[str]:
    """The names of the main columns."""
    return [cell.name for cell in chip_named(name).cells(Phase.MAIN)]


def set_cells(name: str, row: np.ndarray, values: dict[str, Any]) -> np.ndarray:
    """A copy of a row with these cells, modulo p."""
    columns = {column: i for i, column in enumerate(columns_of(name))}
    changed = row.copy()
    for column, value in values.items():
        changed[columns[column]] = int(value) % PRIME
    return changed
