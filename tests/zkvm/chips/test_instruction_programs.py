"""
Whole programs without loads and stores: the events of the reference machine, filled into all nine chips, balance on
every bus against the first and last tokens, and stop balancing when a step is left out, doubled or replaced.
"""

import random
from collections import defaultdict

import numpy as np
from instructions_kit import NAMES, chip_named

from zkvm.air import Phase
from zkvm.air.backends.interpret import BusReport, ExtraMessage, Trace, bus_balance, report, traffic
from zkvm.chips.buses import BYTE, MEMORY, PROGRAM, RANGE, STATE, ByteOperation
from zkvm.chips.counts import Counts, new_counts
from zkvm.isa.assembler import assemble
from zkvm.isa.instructions import IMMEDIATE_FLAG, INSTRUCTIONS, REGISTER_COUNT, Family, Format
from zkvm.machine.elf import Program
from zkvm.machine.events import BOUNDARY_TIME, REGISTER_SPACE, STEP_EVENT
from zkvm.machine.memory_map import TEXT_START
from zkvm.machine.reference import ReferenceMachine

FAMILY_NAMES = {Family[name.upper()]: name for name in NAMES}


def random_source(seed: int, length: int) -> list[str]:
    """Assembly of random register instructions, with forward branches and jumps over the next line."""
    rng = random.Random(seed)
    lines = [
        f"li x{register}, {rng.choice((0, 1, -1, rng.getrandbits(63), -rng.getrandbits(31)))}"
        for register in range(1, 32)
    ]
    plain = [i for i in INSTRUCTIONS if i.operation in {o for o in i.operation.__class__ if 0 < o < 37}]
    for position in range(length):
        line = rng.choice(plain)
        rd, rs1, rs2 = (rng.choice((0, rng.randrange(32), rng.randrange(4))) for _ in range(3))
        skip = f"skip{position}"
        match line.format:
            case Format.R:
                lines.append(f"{line.mnemonic} x{rd}, x{rs1}, x{rs2}")
            case Format.I if line.mnemonic == "jalr":
                lines += ["auipc x31, 0", f"jalr x{rd}, 12(x31)", "add x0, x0, x0"]
            case Format.I:
                lines.append(f"{line.mnemonic} x{rd}, x{rs1}, {rng.randrange(-2048, 2048)}")
            case Format.SHIFT_6:
                lines.append(f"{line.mnemonic} x{rd}, x{rs1}, {rng.randrange(64)}")
            case Format.SHIFT_5:
                lines.append(f"{line.mnemonic} x{rd}, x{rs1}, {rng.randrange(32)}")
            case Format.B:
                lines += [f"{line.mnemonic} x{rs1}, x{rs2}, {skip}", "addi x7, x7, 1", f"{skip}:"]
            case Format.U:
                lines.append(f"{line.mnemonic} x{rd}, {rng.randrange(1 << 20)}")
            case Format.J:
                lines += [f"jal x{rd}, {skip}", "addi x8, x8, 1", f"{skip}:"]
    return lines


class Execution:
    """The events of a program, all in one shard, and what the boundary, the verifier and the tables say to them."""

    def __init__(self, source: list[str]) -> None:
        words = np.array(assemble(source), dtype=np.uint32)
        empty = np.zeros(0, dtype=np.uint64)
        self.program = Program(bytes(32), TEXT_START, TEXT_START, words, 0, empty, ())
        machine = ReferenceMachine.start(self.program)
        machine.begin_shard()
        self.start = (machine.pc, machine.clk)
        self.events: dict[Family, list[tuple[int, ...]]] = defaultdict(list)
        while self.program.index_of(machine.pc) is not None:
            for family, event in machine.step():
                self.events[family].append(event)
        self.machine = machine

    def rows(self) -> tuple[list[Trace], Counts]:
        """The chips' traces and the look-ups their fillers counted."""
        counts = new_counts(len(self.program.words))
        traces = []
        for family, name in FAMILY_NAMES.items():
            chip = chip_named(name)
            events = np.array(self.events[family], dtype=STEP_EVENT)
            rows = chip.empty("main", 1 << len(events).bit_length())
            assert chip.fill is not None
            chip.fill(self.program.decoded, events, rows, counts)
            traces.append(Trace(chip, {Phase.MAIN: rows}))
        return traces, counts

    def world(self, counts: Counts) -> list[ExtraMessage]:
        """First and last state, the registers' first and last tokens, and the tables with the counts given."""
        said = [
            ExtraMessage(STATE, self.start, 1),
            ExtraMessage(STATE, (self.machine.pc, self.machine.clk), -1),
        ]
        for register in range(REGISTER_COUNT):
            if (last := self.machine.last_access.get((REGISTER_SPACE, register))) is not None:
                limbs = [self.machine.registers[register] >> 16 * i & 0xFFFF for i in range(4)]
                said.append(ExtraMessage(MEMORY, (REGISTER_SPACE, register, BOUNDARY_TIME, 0, 0, 0, 0), 1))
                said.append(ExtraMessage(MEMORY, (REGISTER_SPACE, register, last, *limbs), -1))
        for index in np.flatnonzero(counts.range):
            bits = int(index + 1).bit_length() - 1
            said.append(ExtraMessage(RANGE, (bits, int(index) + 1 - (1 << bits)), -int(counts.range[index])))
        for operation, pair in zip(*np.nonzero(counts.byte), strict=True):
            a, b = int(pair) // 256, int(pair) % 256
            c = {ByteOperation.AND: a & b, ByteOperation.OR: a | b, ByteOperation.XOR: a ^ b}[ByteOperation(operation)]
            said.append(ExtraMessage(BYTE, (int(operation), a, b, c), -int(counts.byte[operation, pair])))
        for index in np.flatnonzero(counts.program):
            line = self.program.decoded[index]
            limbs = [int(line["immediate"]) >> 16 * i & 0xFFFF for i in range(4)]
            fields = (int(line[n]) for n in ("operation", "rd", "rs1", "rs2"))
            said.append(
                ExtraMessage(PROGRAM, (self.program.pc_of(int(index)), *fields, *limbs), -int(counts.program[index]))
            )
        return said


def balance(traces: list[Trace], world: list[ExtraMessage]) -> BusReport:
    return bus_balance(traces, world)


def test_programs_balance() -> None:
    for seed in range(3):
        execution = Execution(random_source(seed, 250))
        traces, counts = execution.rows()
        assert {IMMEDIATE_FLAG & int(o) for o in execution.program.decoded["operation"]} == {0, IMMEDIATE_FLAG}
        assert all(execution.events[family] for family in FAMILY_NAMES)
        for trace in traces:
            assert report(trace.chip, trace.matrices).is_valid
        assert balance(traces, execution.world(counts)).is_balanced


def test_a_step_left_out_or_doubled_does_not_balance() -> None:
    """Neither the path of states nor the chain of a register's tokens closes."""
    for change in ("leave out", "double"):
        execution = Execution(random_source(9, 60))
        events = execution.events[Family.ADD]
        at = len(events) // 2
        if change == "leave out":
            del events[at]
        else:
            events.insert(at, events[at])
        traces, counts = execution.rows()
        found = balance(traces, execution.world(counts))
        assert set(found.buses) == {"state", "memory"}


def test_a_stale_register_does_not_balance() -> None:
    """A step that takes a register's value before last, from a token that is already taken."""
    execution = Execution(["li x1, 5", "li x1, 6", "add x2, x1, x1", "add x3, x2, x0"])
    events = execution.events[Family.ADD]
    names = STEP_EVENT.names
    assert names is not None
    stale = dict(zip(names, events[2], strict=True))
    # The token of x1 = 5 was left at time 3 and taken at time 7.
    stale["previous_rs1"], stale["a"], stale["b"], stale["result"] = 3, 5, 5, 10
    events[2] = tuple(stale[n] for n in names)
    follower = dict(zip(names, events[3], strict=True))
    follower["a"], follower["result"] = 10, 10
    events[3] = tuple(follower[n] for n in names)
    traces, counts = execution.rows()
    for register, value in ((1, 5), (2, 10), (3, 10)):
        execution.machine.registers[register] = value
    found = balance(traces, execution.world(counts))
    assert set(found.buses) == {"memory"}
    assert {i.values[:3] for i in found.imbalances} >= {(0, 1, 3)}


def test_traffic_has_no_count_but_one() -> None:
    execution = Execution(random_source(4, 80))
    for trace in execution.rows()[0]:
        for _, _, _, counts in traffic(trace):
            assert set(counts.tolist()) <= {1, 2**31 - 2**24}
