"""
What the tests of the load, store and ecall chips share: cases, honest rows, and what makes a row's claim false.

`instructions_kit.Judge` says what the proof system refuses; `claims_of_rows` says, from a row's messages alone and by the plain meaning of the
instruction, why the step that they describe is none.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from instructions_kit import FIRST_PC, UNREACHABLE, Judge, number_of

from zkvm.air import Chip, Phase
from zkvm.air.chip import as_matrix
from zkvm.chips import ecall, load_double, load_narrow, memory_crossing, store_double, store_narrow
from zkvm.chips.buses import MEMORY, PROGRAM, STATE, SYSCALL
from zkvm.chips.counts import Counts, new_counts
from zkvm.field.koala_bear import PRIME
from zkvm.isa.decoder import DECODED
from zkvm.isa.instructions import ACCESS_BYTES, SINK, Family, Operation, memory_family
from zkvm.machine.events import BOUNDARY_TIME, CLK_LIMIT, CROSSING_EVENT, ECALL_EVENT, HALT_PC, MEMORY_EVENT
from zkvm.machine.syscalls import PRECOMPILE_FAMILY, Syscall

CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (load_double.CHIP, store_double.CHIP, load_narrow.CHIP, store_narrow.CHIP, memory_crossing.CHIP)
}
LOADS = (Operation.LB, Operation.LH, Operation.LW, Operation.LD, Operation.LBU, Operation.LHU, Operation.LWU)
STORES = (Operation.SB, Operation.SH, Operation.SW, Operation.SD)
UNSIGNED = (Operation.LBU, Operation.LHU, Operation.LWU)
LAST_DOUBLEWORD = (1 << 29) - 1
WORD_EDGES = (0, 0x80, 0x7F, 0x8000_8000_8000_8000, 0x7F7F_7F7F_7F7F_7F7F, 2**64 - 1, 0x0102_0304_0506_0708, 2**63, 2**63 - 1)


@dataclass(frozen=True)
class MemoryCase:
    """One load or store. address: of its first byte; memory, high: the doubleword there and the next one."""

    operation: Operation
    address: int
    memory: int
    high: int = 0
    value: int = 0
    immediate: int = 0
    rd: int = 5
    rs1: int = 6
    rs2: int = 7
    rd_old: int = 0x1234_5678_9ABC_DEF0
    clk: int = 400

    @property
    def base(self) -> int:
        """The value of rs1."""
        return (self.address - self.immediate) % 2**64


def family_name(operation: Operation, address: int) -> str:
    """The chip that proves the access."""
    return memory_family(operation, address).label


def operations_and_offsets(name: str) -> list[tuple[Operation, int]]:
    """Everything that a chip has rows for."""
    return [(o, k) for o in (*LOADS, *STORES) for k in range(8) if family_name(o, k) == name]


def after(case: MemoryCase) -> tuple[int, int, int]:
    """(result, doubleword after, next doubleword after), from bytes: the plain meaning, shared with no chip."""
    content = bytearray(case.memory.to_bytes(8, "little") + case.high.to_bytes(8, "little"))
    offset, width = case.address % 8, ACCESS_BYTES[case.operation]
    result = 0
    if case.operation in STORES:
        content[offset : offset + width] = case.value.to_bytes(8, "little")[:width]
    else:
        result = int.from_bytes(content[offset : offset + width], "little", signed=case.operation not in UNSIGNED) % 2**64
    return result, int.from_bytes(content[:8], "little"), int.from_bytes(content[8:], "little")


def memory_cases(name: str, seed: int, each: int) -> list[MemoryCase]:
    """`each` cases for every operation and offset of a chip: edges, then random."""
    rng = random.Random(seed)
    chosen = []
    for operation, offset in operations_and_offsets(name):
        for i in range(each):
            doubleword = rng.choice((0x0800_0000 >> 3, 0xEFFF_FFF0 >> 3, rng.randrange(LAST_DOUBLEWORD), 0x2FFF_FFF8 >> 3))
            words = [rng.choice(WORD_EDGES) if i < 2 else rng.getrandbits(64) for _ in range(3)]
            immediate = rng.choice((0, 1, -1, 2047, -2048, rng.randrange(-2048, 2048))) % 2**64
            rs1, rs2 = rng.randrange(1, 32), rng.randrange(32)
            case = MemoryCase(
                operation, 8 * doubleword + offset, words[0], words[1], words[2] if rs2 else 0, immediate,
                rng.choice((SINK, rng.randrange(1, 32))), rs1, rs2, rng.getrandbits(64),
                rng.choice((0, CLK_LIMIT - 8, 4 * rng.randrange(CLK_LIMIT // 4 - 1))),
            )  # fmt: skip
            if case.rs2 == case.rs1:
                case = replace(case, value=case.base)
            if case.rd == case.rs1:
                case = replace(case, rd_old=case.base)
            chosen.append(case)
    return chosen


@dataclass(frozen=True)
class Run:
    """Rows of one chip with their program and events."""

    chip: Chip
    program: np.ndarray
    events: np.ndarray
    rows: np.ndarray
    counts: Counts

    @property
    def matrix(self) -> np.ndarray:
        """(height, width) uint32, the same memory."""
        return as_matrix(self.rows)


def filled(chip: Chip, program: np.ndarray, events: np.ndarray, height: int | None = None) -> Run:
    """The rows that the chip's filler makes of events; at least one row of padding unless a height is given."""
    rows = chip.empty(Phase.MAIN, height or 1 << max(1, len(events).bit_length()))
    counts = new_counts(max(1, len(program)))
    assert chip.fill is not None
    chip.fill(program, events, rows, counts)
    return Run(chip, program, events, rows, counts)


def memory_events(chosen: Sequence[MemoryCase], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(program, CROSSING_EVENT of each case), each at its own pc, with previous accesses at random."""
    rng = random.Random(seed)
    program = np.zeros(len(chosen), dtype=DECODED)
    events = np.zeros(len(chosen), dtype=CROSSING_EVENT)
    for i, case in enumerate(chosen):
        line, event, clk = program[i], events[i], case.clk
        is_store = case.operation in STORES
        line["operation"], line["rs1"], line["immediate"] = int(case.operation), case.rs1, case.immediate
        line["rd"], line["rs2"] = (0, case.rs2) if is_store else (case.rd, 0)

        def previous(time: int) -> int:
            return rng.choice((BOUNDARY_TIME, time - 1, rng.randrange(BOUNDARY_TIME, time), max(BOUNDARY_TIME, time - 65537)))

        result, memory, high = after(case)
        event["clk"], event["pc"], event["instruction"] = clk, FIRST_PC + 4 * i, i
        event["a"], event["doubleword"] = case.base, case.address // 8
        event["memory_old"], event["memory_new"] = case.memory, memory
        event["high_memory_old"], event["high_memory_new"] = case.high, high
        event["previous_rs1"] = previous(clk)
        event["previous_memory"], event["previous_high_memory"] = previous(clk + 2), previous(clk + 2)
        if is_store:
            event["b"] = case.value
            event["previous_rs2"] = clk if case.rs2 == case.rs1 else previous(clk + 1)
        else:
            event["result"], event["rd_old"] = result, case.rd_old
            event["previous_rd"] = clk if case.rd == case.rs1 else previous(clk + 3)
    return program, events


def narrowed(events: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The events with the fields of another record type only."""
    copied = np.zeros(len(events), dtype=dtype)
    assert dtype.names is not None
    for field in dtype.names:
        copied[field] = events[field]
    return copied


def memory_run(name: str, chosen: Sequence[MemoryCase], seed: int = 0, height: int | None = None) -> Run:
    """Honest rows of the cases."""
    program, events = memory_events(chosen, seed)
    return filled(CHIPS[name], program, events if name == "memory_crossing" else narrowed(events, MEMORY_EVENT), height)


# Ecalls.


@dataclass(frozen=True)
class EcallCase:
    """One ecall."""

    number: int
    a0: int = 0
    a1: int = 0
    clk: int = 800


def ecall_cases(seed: int, each: int = 4) -> list[EcallCase]:
    """Every call, with pointers at the ends of their range."""
    rng = random.Random(seed)
    chosen = []
    for call in Syscall:
        for _ in range(each):
            clk = rng.choice((0, CLK_LIMIT - 16, 4 * rng.randrange(CLK_LIMIT // 4 - 4)))
            if call is Syscall.EXIT:
                chosen.append(EcallCase(int(call), 0, rng.getrandbits(64), clk))
            elif call in PRECOMPILE_FAMILY:
                a0, a1 = (rng.choice((8 * rng.randrange(1 << 29), 0, 2**32 - 8)) for _ in range(2))
                if call not in ecall._TWO_POINTERS:
                    a1 = rng.getrandbits(64)
                chosen.append(EcallCase(int(call), a0, a1, clk))
            else:
                chosen.append(EcallCase(int(call), rng.getrandbits(64), rng.getrandbits(64), clk))
    return chosen


def ecall_run(chosen: Sequence[EcallCase], seed: int = 0, height: int | None = None) -> Run:
    """Honest rows of the cases."""
    rng = random.Random(seed)
    program = np.zeros(len(chosen), dtype=DECODED)
    program["operation"] = int(Operation.ECALL)
    events = np.zeros(len(chosen), dtype=ECALL_EVENT)
    for i, case in enumerate(chosen):
        event = events[i]
        event["clk"], event["pc"], event["instruction"] = case.clk, FIRST_PC + 4 * i, i
        event["number"], event["a0"], event["a1"] = case.number, case.a0, case.a1
        for slot, field in enumerate(("previous_a7", "previous_a0", "previous_a1")):
            event[field] = rng.choice((BOUNDARY_TIME, case.clk + slot - 1, rng.randrange(BOUNDARY_TIME, case.clk + slot)))
    return filled(ecall.CHIP, program, events, height)


# What a row claims.


def claims_of_rows(judge: Judge, matrix: np.ndarray) -> list[list[str]]:
    """
    For each row, why what it says on its buses is no step of the machine; empty if it is one, or if it says nothing.

    Starts with UNREACHABLE where the tokens that it takes cannot exist.
    """
    _, evaluated = judge.values(matrix)
    found = []
    for row in range(len(matrix)):
        said: dict[str, tuple[int, ...]] = {}
        problems: list[str] = []
        for message, (fields, count) in zip(judge.chip.messages, evaluated, strict=True):
            if message.bus in (STATE, MEMORY, PROGRAM, SYSCALL) and count[row]:
                if count[row] != 1:
                    problems.append(f"{message.label} counts {count[row]}")
                said[message.label] = tuple(int(v) for v in fields[row])
        if said:
            claim = _ecall_claim if judge.chip.name == "ecall" else _memory_claim
            problems = _frame_claim(judge, said) or [*problems, *claim(judge, said)]
        found.append(problems)
    return found


class _Unreachable(Exception):
    pass


def _frame_claim(judge: Judge, said: dict[str, tuple[int, ...]]) -> list[str]:
    if "instruction" not in said or "state in" not in said or "state out" not in said:
        return ["no whole step"]
    if not judge.is_allowed(PROGRAM, np.array([said["instruction"]], dtype=np.uint64))[0]:
        return ["not an instruction of the program"]
    pc, clk = said["state in"]
    if pc != said["instruction"][0] or clk % 4 or clk >= CLK_LIMIT - 4:
        return [UNREACHABLE, "pc or clk"]
    return []


def _token(
    said: dict[str, tuple[int, ...]], name: str, space: int, address: int, time: int, problems: list[str]
) -> tuple[int, int] | None:
    """(value taken, value left) of an access, which must be at this place and time."""
    taken, left = said.get(f"{name}: token in"), said.get(f"{name}: token out")
    if taken is None or left is None:
        problems.append(f"{name} is not accessed")
        return None
    if taken[:2] != (space, address) or left[:3] != (space, address, time):
        problems.append(f"{name}: {left[:3]}, not {(space, address, time)}")
    previous = taken[2] if taken[2] != PRIME - 1 else BOUNDARY_TIME
    zero = (taken[0], taken[1]) == (0, 0)
    if previous >= CLK_LIMIT or taken[1] > LAST_DOUBLEWORD or any(limb >= (1 if zero else 2**16) for limb in taken[3:]):
        raise _Unreachable(name)
    if previous >= time:
        problems.append(f"{name} is taken from the future")
    if any(limb >= 2**16 for limb in left[3:]):
        problems.append(f"{name} leaves {left[3:]}")
    return number_of(taken[3:]), number_of(left[3:])


def _memory_claim(judge: Judge, said: dict[str, tuple[int, ...]]) -> list[str]:
    problems: list[str] = []
    pc, operation, rd, rs1, rs2, *imm = said["instruction"]
    clk = said["state in"][1]
    if said["state out"] != (pc + 4, clk + 4):
        problems.append(f"goes on at {said['state out']}")
    if operation not in (*LOADS, *STORES):
        return [*problems, f"operation {operation} is another chip's"]
    plain = Operation(operation)
    is_store = plain in STORES
    try:
        base = _token(said, "rs1", 0, rs1, clk, problems)
        if base is None:
            return problems
        address = (base[0] + number_of(imm)) % 2**64
        if base[0] != base[1]:
            problems.append("rs1 changes")
        if address >= 2**32:
            problems.append("an address of 2^32 or more")
        width, offset = ACCESS_BYTES[plain], address % 8
        low = _token(said, "memory", 1, address // 8, clk + 2, problems)
        high = (0, 0)
        if offset + width > 8:
            both = _token(said, "high memory", 1, address // 8 + 1, clk + 2, problems)
            if both is None:
                return problems
            high = both
        elif "high memory: token in" in said:
            problems.append("a second doubleword is accessed")
        if low is None:
            return problems
        value = 0
        if is_store:
            both = _token(said, "rs2", 0, rs2, clk + 1, problems)
            if both is None:
                return problems
            value = both[0]
            if both[0] != both[1]:
                problems.append("rs2 changes")
        case = MemoryCase(plain, address % 2**32, low[0], high[0], value)
        result, memory, high_memory = after(case)
        if (low[1], high[1]) != (memory, high_memory):
            problems.append("memory afterwards is another")
        if not is_store:
            written = _token(said, "rd", 0, rd, clk + 3, problems)
            if written is not None and written[1] != result:
                problems.append(f"writes {written[1]:#x}, not {result:#x}")
        elif "rd: token in" in said:
            problems.append("a store writes a register")
    except _Unreachable as reason:
        return [UNREACHABLE, str(reason)]
    return problems


def _ecall_claim(judge: Judge, said: dict[str, tuple[int, ...]]) -> list[str]:
    problems: list[str] = []
    pc, operation, *_ = said["instruction"]
    clk = said["state in"][1]
    if operation != Operation.ECALL:
        return [f"operation {operation} is another chip's"]
    values = []
    try:
        for slot, (name, register) in enumerate((("a7", 17), ("a0", 10), ("a1", 11))):
            token = _token(said, name, 0, register, clk + slot, problems)
            if token is None:
                return problems
            if token[0] != token[1]:
                problems.append(f"{name} changes")
            values.append(token[0])
    except _Unreachable as reason:
        return [UNREACHABLE, str(reason)]
    number, a0, a1 = values
    if number not in tuple(Syscall):
        return [*problems, f"there is no call {number:#x}"]
    call = Syscall(number)
    is_exit = call is Syscall.EXIT
    if said["state out"] != (HALT_PC if is_exit else pc + 4, clk + 8):
        problems.append(f"goes on at {said['state out']}")
    if is_exit and a0:
        problems.append(f"exit code {a0}")
    message = said.get("precompile")
    if (message is not None) != (call in PRECOMPILE_FAMILY):
        problems.append("a precompile is called or not, against the number")
    if message is not None and call in PRECOMPILE_FAMILY:
        used = (a0, a1 if call in ecall._TWO_POINTERS else 0)
        if any(pointer % 8 or pointer >= 2**32 for pointer in used):
            problems.append(f"pointers {used}")
        if message != (number, clk, used[0] // 8, used[1] // 8):
            problems.append(f"calls {message}")
    return problems


FAMILIES = (Family.LOAD_DOUBLE, Family.STORE_DOUBLE, Family.LOAD_NARROW, Family.STORE_NARROW, Family.MEMORY_CROSSING)
