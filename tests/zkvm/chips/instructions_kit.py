"""
What the tests of the instruction chips share: cases, honest rows, and two judges.

- `Judge` says which constraints fail on a row, and which of its look-ups are in no table: what the proof system would
  refuse whatever the neighbours do.
- `falsehoods` says why the step that a row's messages describe is not a step of the machine, by the chip's plain
  reference. It does not look at the row's other cells.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from zkvm.air import Chip, Phase
from zkvm.air.backends.interpret import evaluate_rows
from zkvm.air.chip import as_matrix
from zkvm.chips.buses import BYTE, MEMORY, PROGRAM, RANGE, STATE, ByteOperation
from zkvm.chips.counts import Counts, new_counts
from zkvm.field.koala_bear import PRIME
from zkvm.isa.decoder import DECODED
from zkvm.isa.instructions import FAMILY_OF_OPERATION, IMMEDIATE_FLAG, SINK, Family, Operation
from zkvm.machine.events import BOUNDARY_TIME, CLK_LIMIT, STEP_EVENT

NAMES = ("add", "add_word", "bitwise", "shift", "less_than", "branch", "jump", "multiply", "divide")

IMMEDIATE_FORMS = (
    Operation.ADD, Operation.ADDW, Operation.XOR, Operation.OR, Operation.AND, Operation.SLL, Operation.SRL,
    Operation.SRA, Operation.SLLW, Operation.SRLW, Operation.SRAW, Operation.SLT, Operation.SLTU,
)  # fmt: skip

EDGES = (
    0, 1, 2, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, 2**47, 2**63 - 1,
    2**63, 2**63 + 1, 2**64 - 2**32, 2**64 - 2**31, 2**64 - 2**31 - 1, 2**64 - 2, 2**64 - 1,
)  # fmt: skip

FIRST_PC = 0x0020_0000


def chip_named(name: str) -> Chip:
    """The chip of zkvm/chips/NAME.py."""
    return import_module(f"zkvm.chips.{name}").CHIP


def operations_of(name: str) -> list[Operation]:
    """The operations that a chip proves."""
    return [o for o, family in FAMILY_OF_OPERATION.items() if family is Family[name.upper()]]


@dataclass(frozen=True)
class Case:
    """
    One step, chosen but for its place: operation with IMMEDIATE_FLAG, the values of rs1 and of the second operand.

    rd == rs1 etc. are allowed. target: of a branch or JAL; offset: of JALR, as a 64-bit number.
    """

    operation: int
    a: int
    b: int
    rd: int = 5
    rs1: int = 6
    rs2: int = 7
    immediate: int = 0


@dataclass(frozen=True)
class Run:
    """The steps of one chip: program, events, honest rows and look-up counts."""

    chip: Chip
    program: np.ndarray
    events: np.ndarray
    rows: np.ndarray
    counts: Counts

    @property
    def matrix(self) -> np.ndarray:
        """The rows as (height, width) uint32; the same memory."""
        return as_matrix(self.rows)


def cases(name: str, seed: int, random_count: int = 60) -> list[Case]:
    """Edge operands of every operation and form, then random ones."""
    rng = random.Random(seed)
    chosen: list[Case] = []

    def operand() -> int:
        kind = rng.randrange(5)
        if kind == 0:
            return rng.choice(EDGES)
        if kind == 1:
            return rng.getrandbits(rng.randrange(1, 65))
        if kind == 2:
            return -rng.getrandbits(rng.randrange(1, 33)) % 2**64
        if kind == 3:
            return int.from_bytes(bytes(rng.choice((0, 255, rng.randrange(256))) for _ in range(8)), "little")
        return rng.getrandbits(64)

    for operation in operations_of(name):
        forms = [False, True] if operation in IMMEDIATE_FORMS else [False]
        for is_immediate in forms:
            pairs = [(a, b) for a in EDGES for b in EDGES] if name != "jump" else [(a, 0) for a in EDGES]
            pairs = rng.sample(pairs, min(len(pairs), random_count))
            pairs += [(operand(), operand()) for _ in range(random_count)]
            pairs += [(x, x) for x in (0, 5, 2**63, operand(), operand())]
            if name == "divide":
                pairs += [(a, 0) for a in EDGES] + [(2**63, 2**64 - 1), (2**31, 2**64 - 1), (2**64 - 2**31, 2**64 - 1)]
            for a, b in pairs:
                chosen.append(make_case(rng, operation, is_immediate, a, b))
    return chosen


def make_case(rng: random.Random, operation: Operation, is_immediate: bool, a: int, b: int) -> Case:
    """A case with registers, and with an immediate that the form can have."""
    rd = rng.choice((SINK, rng.randrange(1, 32)))
    rs1 = rng.randrange(32)
    a = 0 if rs1 == 0 else a
    identifier = int(operation)
    if operation == Operation.JAL:
        return Case(identifier, 0, 0, rd, 0, 0, rng.randrange(FIRST_PC, 2**30, 4))
    if operation == Operation.JALR:
        target = rng.randrange(FIRST_PC, 2**30, 4) + rng.randrange(2)
        offset = rng.choice((0, 1, -1, 2047, -2048, rng.randrange(-2048, 2048)))
        return Case(identifier, (target - offset) % 2**64, 0, rd, rng.randrange(1, 32), 0, offset % 2**64)
    if FAMILY_OF_OPERATION[operation] is Family.BRANCH:
        rs2 = rng.randrange(32)
        b = 0 if rs2 == 0 else a if rs2 == rs1 else b
        return Case(identifier, a, b, 0, rs1, rs2, rng.randrange(FIRST_PC, 2**30, 2))
    if is_immediate:
        if operation in (Operation.SLL, Operation.SRL, Operation.SRA):
            b %= 64
        elif operation in (Operation.SLLW, Operation.SRLW, Operation.SRAW):
            b %= 32
        return Case(identifier + IMMEDIATE_FLAG, a, b, rd, rs1, 0, b)
    rs2 = rng.randrange(32)
    return Case(identifier, a, 0 if rs2 == 0 else a if rs2 == rs1 else b, rd, rs1, rs2)


def expected(chip: Chip, operation: int, pc: int, a: int, b: int, immediate: int) -> tuple[int, int | None]:
    """(next pc, value written to rd or None) by the chip's reference."""
    plain = Operation(operation % IMMEDIATE_FLAG)
    assert chip.reference is not None
    if chip.name == "branch":
        return (immediate if chip.reference(plain, a, b) else pc + 4), None
    if chip.name == "jump":
        return chip.reference(plain, pc, a, immediate)
    return pc + 4, chip.reference(plain, a, b)


def run(chip: Chip, chosen: Sequence[Case], seed: int = 0) -> Run:
    """Honest rows of the cases, each at its own pc and time, with random previous accesses; some padding after them."""
    rng = random.Random(seed)
    program = np.zeros(len(chosen), dtype=DECODED)
    events = np.zeros(len(chosen), dtype=STEP_EVENT)
    for i, case in enumerate(chosen):
        pc = FIRST_PC + 4 * i
        clk = rng.choice((0, 4, 8, CLK_LIMIT - 8, 4 * rng.randrange(CLK_LIMIT // 4 - 1)))
        line, event = program[i], events[i]
        line["operation"], line["rd"], line["rs1"], line["rs2"] = case.operation, case.rd, case.rs1, case.rs2
        line["immediate"] = case.immediate
        next_pc, result = expected(chip, case.operation, pc, case.a, case.b, case.immediate)
        event["clk"], event["pc"], event["instruction"] = clk, pc, i

        def previous(time: int) -> int:
            return rng.choice(
                (BOUNDARY_TIME, time - 1, rng.randrange(BOUNDARY_TIME, time), max(BOUNDARY_TIME, time - 65537))
            )

        reads_rs1 = case.operation != Operation.JAL
        reads_rs2 = case.operation < IMMEDIATE_FLAG and chip.name != "jump"
        event["previous_rs1"] = previous(clk) if reads_rs1 else 0
        if reads_rs2:
            event["previous_rs2"] = clk if case.rs2 == case.rs1 else previous(clk + 1)
        event["a"] = case.a
        event["b"] = next_pc & ~1 if chip.name == "jump" else case.b
        if result is None:
            event["result"] = next_pc
        else:
            event["result"] = result
            event["rd_old"] = rng.getrandbits(64)
            event["previous_rd"] = previous(clk + 3)
            if case.rd == case.rs1 and reads_rs1:
                event["previous_rd"], event["rd_old"] = clk, case.a
            if case.rd == case.rs2 and reads_rs2:
                event["previous_rd"], event["rd_old"] = clk + 1, case.b
    height = 1 << len(chosen).bit_length()
    rows = chip.empty("main", height)
    counts = new_counts(len(chosen))
    assert chip.fill is not None
    chip.fill(program, events, rows, counts)
    return Run(chip, program, events, rows, counts)


class Judge:
    """Constraints and tables, for many candidate rows of one chip and program at once."""

    TABLES = (RANGE, BYTE, PROGRAM)

    def __init__(self, chip: Chip, program: np.ndarray) -> None:
        self.chip = chip
        self.program = program
        self.names = [c.name for c in chip.constraints] + [m.label for m in chip.messages]

    def values(self, matrix: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        """(constraint values (n, c), per message (values (n, width), count (n,))), canonical."""
        padded = padded_to_power_of_two(matrix)
        results = evaluate_rows(self.chip, self.chip.roots, {Phase.MAIN: padded}, {})
        n = len(matrix)
        number = len(self.chip.constraints)
        constraints = np.stack([v[:n] for v in results[:number]], axis=1)
        rest = iter(results[number:])
        messages = []
        for message in self.chip.messages:
            fields = np.stack([next(rest)[:n] for _ in message.values], axis=1)
            messages.append((fields, next(rest)[:n]))
        return constraints, messages

    def refusals(self, matrix: np.ndarray) -> np.ndarray:
        """(n, names) bool: the constraint fails on the row, or the message looks up what is in no table."""
        constraints, messages = self.values(matrix)
        columns = [constraints != 0]
        for message, (fields, count) in zip(self.chip.messages, messages, strict=True):
            columns.append((~self.is_allowed(message.bus, fields) & (count != 0))[:, None])
        return np.concatenate(columns, axis=1)

    def refused_by(self, row: np.ndarray) -> list[str]:
        """The names that refuse one row."""
        return [self.names[i] for i in np.flatnonzero(self.refusals(row[None])[0])]

    def is_allowed(self, bus: Any, fields: np.ndarray) -> np.ndarray:
        """Whether each tuple is in the bus's table; always, for a bus without one."""
        if bus == RANGE:
            bits = np.minimum(fields[:, 0], 63)
            return (fields[:, 0] <= 16) & (fields[:, 1] < np.uint64(1) << bits)
        if bus == BYTE:
            operation, a, b, c = fields.T
            results = {ByteOperation.AND: a & b, ByteOperation.OR: a | b, ByteOperation.XOR: a ^ b}
            is_result = np.zeros(len(fields), dtype=bool)
            for number, result in results.items():
                is_result |= (operation == number) & (c == result)
            return is_result & (a < 256) & (b < 256)
        if bus == PROGRAM:
            index = (fields[:, 0] - np.uint64(FIRST_PC)) // np.uint64(4)
            known = (fields[:, 0] >= FIRST_PC) & (fields[:, 0] % 4 == 0) & (index < len(self.program))
            return known & (self.program_tuples()[np.where(known, index, 0)] == fields).all(axis=1)
        return np.ones(len(fields), dtype=bool)

    def program_tuples(self) -> np.ndarray:
        """(m, 9) uint64: the program table."""
        program = self.program
        pcs = FIRST_PC + 4 * np.arange(len(program), dtype=np.uint64)
        limbs = [program["immediate"] >> np.uint64(16 * i) & np.uint64(0xFFFF) for i in range(4)]
        columns = [pcs, *(program[n].astype(np.uint64) for n in ("operation", "rd", "rs1", "rs2")), *limbs]
        return np.stack(columns, axis=1)


def padded_to_power_of_two(matrix: np.ndarray) -> np.ndarray:
    """The matrix with rows of 0 appended."""
    height = 1 << max(0, len(matrix) - 1).bit_length()
    padded = np.zeros((height, matrix.shape[1]), dtype=np.uint32)
    padded[: len(matrix)] = matrix
    return padded


UNREACHABLE = "unreachable"
"""Not false, but no environment can hold the tokens that the row takes."""


def falsehoods(judge: Judge, row: np.ndarray) -> list[str]:
    """`falsehoods_of_rows` of one row."""
    return falsehoods_of_rows(judge, row[None])[0]


def falsehoods_of_rows(judge: Judge, matrix: np.ndarray) -> list[list[str]]:
    """
    For each row, why what it says on its buses is not a step of the machine; empty if it is one, or if it says nothing.

    Starts with UNREACHABLE if the tokens it takes cannot exist: a limb of 2^16 or more, x0 that is not 0, a time or pc
    that no step has.
    """
    _, evaluated = judge.values(matrix)
    return [_falsehoods(judge, evaluated, i) for i in range(len(matrix))]


def _falsehoods(judge: Judge, evaluated: list[tuple[np.ndarray, np.ndarray]], row: int) -> list[str]:
    chip = judge.chip
    said: dict[str, tuple[int, ...]] = {}
    problems: list[str] = []
    for message, (fields, count) in zip(chip.messages, evaluated, strict=True):
        if message.bus in (STATE, MEMORY, PROGRAM) and count[row]:
            if count[row] != 1:
                problems.append(f"{message.label} counts {count[row]}")
            said[message.label] = tuple(int(v) for v in fields[row])
    if not said:
        return []

    if "instruction" not in said:
        return [*problems, "a step without an instruction"]
    if "state in" not in said or "state out" not in said:
        return [*problems, "a step from or to nowhere"]
    pc, operation, rd, rs1, rs2, *imm = said["instruction"]
    if not judge.is_allowed(PROGRAM, np.array([said["instruction"]], dtype=np.uint64))[0]:
        return [*problems, "not an instruction of the program"]
    immediate = number_of(imm)
    clk = said["state in"][1]
    if said["state in"][0] != pc or not clk < CLK_LIMIT - 4 or clk % 4:
        return [UNREACHABLE, "pc or clk"]

    plain = operation % IMMEDIATE_FLAG
    if plain not in operations_of(chip.name):
        return [*problems, f"operation {operation} is another chip's"]
    accesses = {"rs1": (rs1, clk), "rs2": (rs2, clk + 1), "rd": (rd, clk + 3)}
    expected_names = {"rs1", "rs2", "rd"}
    if chip.name == "branch":
        expected_names = {"rs1", "rs2"}
    elif chip.name == "jump":
        expected_names = {"rd"} if plain == Operation.JAL else {"rs1", "rd"}
    elif operation >= IMMEDIATE_FLAG:
        expected_names = {"rs1", "rd"}
    values: dict[str, list[int]] = {}
    for name, (register, time) in accesses.items():
        token_in, token_out = said.get(f"{name}: token in"), said.get(f"{name}: token out")
        if (token_in is None) != (token_out is None) or (token_in is not None) != (name in expected_names):
            problems.append(f"{name} is accessed or not, against the instruction")
        if token_in is None or token_out is None:
            continue
        if token_in[:2] != (0, register) or token_out[:3] != (0, register, time):
            problems.append(f"{name} is another address or time")
        previous = token_in[2] if token_in[2] != PRIME - 1 else BOUNDARY_TIME
        if previous >= CLK_LIMIT or any(limb >= (2**16 if register else 1) for limb in token_in[3:]):
            return [UNREACHABLE, f"{name}: {token_in}"]
        if previous >= time:
            problems.append(f"{name} is taken from the future")
        values[name] = list(token_out[3:])
        if name != "rd" and token_in[3:] != token_out[3:]:
            problems.append(f"{name} changes while it is read")
    a = number_of(values["rs1"]) if "rs1" in values else 0
    b = number_of(values["rs2"]) if "rs2" in values else immediate
    next_pc, result = expected(chip, operation, pc, a, b, immediate)
    if said["state out"] != (next_pc % PRIME, clk + 4) or next_pc >= 2**30:
        problems.append(f"goes on at {said['state out']}, not {(next_pc, clk + 4)}")
    if chip.name == "jump" and next_pc % 4:
        problems.append("a misaligned target")
    written = values.get("rd")
    if result is not None and written and (max(written) >= 2**16 or number_of(written) != result):
        problems.append(f"writes {written}, not {result:#x}")
    return problems


def number_of(limbs: Iterable[int]) -> int:
    """The number of limbs, which need not be below 2^16."""
    return sum(limb << (16 * i) for i, limb in enumerate(limbs))


@cache
def honest(name: str, seed: int = 1, random_count: int = 60) -> Run:
    """Honest rows of a chip; not to be changed."""
    chip = chip_named(name)
    return run(chip, cases(name, seed, random_count), seed)


def program_of(line: Sequence[int] | None) -> np.ndarray:
    """A program with one line (pc, operation, rd, rs1, rs2, immediate), at its pc; empty lines before it."""
    if line is None:
        return np.zeros(1, dtype=DECODED)
    pc, operation, rd, rs1, rs2, immediate = line
    program = np.zeros((pc - FIRST_PC) // 4 + 1, dtype=DECODED)
    program[-1] = (operation, rd, rs1, rs2, 0, (0, 0, 0), immediate)
    return program


def tables(program: np.ndarray) -> dict[str, Callable[..., bool]]:
    """What the range, byte and program tables hold, for `zkvm.air.testing`."""
    lines = {
        (FIRST_PC + 4 * i, *(int(line[n]) for n in ("operation", "rd", "rs1", "rs2")),
         *(int(line["immediate"]) >> 16 * k & 0xFFFF for k in range(4)))
        for i, line in enumerate(program) if line["operation"]
    }  # fmt: skip

    def in_range(bits: int, value: int) -> bool:
        return bits <= 16 and value < 1 << bits

    def of_bytes(operation: int, a: int, b: int, c: int) -> bool:
        return a < 256 and b < 256 and operation < 3 and c == (a & b, a | b, a ^ b)[operation]

    def in_program(*fields: int) -> bool:
        return fields in lines

    return {RANGE.name: in_range, BYTE.name: of_bytes, PROGRAM.name: in_program}
