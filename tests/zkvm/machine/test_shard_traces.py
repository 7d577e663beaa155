"""A run in shards: each shard emulated again equals the plain machine, and every token is consumed exactly once."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_elf import elf_of
from random_programs import make_batch

from zkvm.isa.decoder import decode
from zkvm.isa.instructions import REGISTER_COUNT, Family, touched_registers
from zkvm.machine import Program, ShardLimits, ShardPlan, ShardTrace, Snapshot, Tracer, load_elf, plan_shards, run
from zkvm.machine.emulator import Limits
from zkvm.machine.errors import SnapshotMismatch, StepLimitReached, Trap
from zkvm.machine.events import (
    BOUNDARY,
    BOUNDARY_TIME,
    CLK_LIMIT,
    ECALL_TICKS,
    EVENT,
    HALT_PC,
    IMAGE,
    MEMORY_SPACE,
    PRECOMPILE_READS,
    PRECOMPILE_WRITES,
    REGISTER_SPACE,
    STEP_TICKS,
)
from zkvm.machine.memory_map import DATA_START
from zkvm.machine.reference import ReferenceMachine
from zkvm.machine.shards import snapshot_path

# One call of each precompile, with overlapping input and output where that is allowed, a debug write, region marks, a
# loop over the stack, and an output.
SYSCALLS = f"""
    li s0, {DATA_START}
    li sp, 0x30000000
    li s1, 3
again:
    mv a0, s0
    addi a1, s0, 256
    li a7, 0x1001
    li a1, 4
    ecall
    li a7, 0x2001
    ecall
    li a7, 0x2002
    addi a1, s0, 200
    ecall
    li a7, 0x2005
    addi a1, s0, 40
    ecall
    li a7, 0x2006
    addi a1, s0, 320
    ecall
    addi a0, s0, 512
    addi a1, s0, 576
    li a7, 0x2004
    ecall
    li a7, 0x2003
    ecall
    li a7, 0x1002
    mv a0, s0
    ecall
    li a0, 1
    mv a1, s0
    li a2, 8
    li a7, 64
    ecall
    sd s1, -8(sp)
    ld t0, -8(sp)
    lw t1, -5(sp)
    sw t1, -10(sp)
    sd t1, -21(sp)
    lhu t2, -9(sp)
    addi s1, s1, -1
    bne s1, x0, again
    li t0, 0x20000000
    li t1, 16
    sd t1, 0(t0)
    ld t2, 0(s0)
    sd t2, 8(t0)
    sd t2, 16(t0)
    li t0, 0x10000000
    ld t2, 8(t0)
    li a7, 93
    li a0, 0
    ecall
"""


def syscall_program() -> Program:
    source = random.Random(7)
    data = b"".join(source.getrandbits(62).to_bytes(8, "little") for _ in range(128))
    return load_elf(elf_of(SYSCALLS, data))


PROGRAMS = {
    "random": (lambda: load_elf(make_batch(seed=11, count=130).elf), {Family.ADD: 150, Family.LOAD_DOUBLE: 300}),
    "syscalls": (syscall_program, {Family.ECALL: 3, Family.KECCAK_F: 1}),
}


@pytest.fixture(scope="module", params=PROGRAMS)
def planned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, ShardPlan]:
    make, rows = PROGRAMS[request.param]
    program = make()
    limits = ShardLimits(rows=rows, boundary_rows=256, clk=2048)
    return program, plan_shards(program, b"private", limits, tmp_path_factory.mktemp("shards"))


def traces_of(program: Program, plan: ShardPlan) -> Iterator[tuple[Snapshot, ShardTrace]]:
    tracer = Tracer(program)
    for shard in plan.shards:
        snapshot = plan.snapshot(shard.index)
        yield snapshot, tracer.trace(snapshot)


def test_shards_make_the_run(planned: tuple[Program, ShardPlan]) -> None:
    program, plan = planned
    whole = run(program, b"private")
    assert len(plan.shards) >= 9
    assert plan.result.output == whole.output and plan.result.steps == whole.steps
    assert plan.result.families == whole.families and plan.result.instructions == whole.instructions
    assert plan.result.registers == whole.registers and plan.result.debug == whole.debug
    assert plan.result.regions == whole.regions and plan.result.misaligned == whole.misaligned
    assert sum(shard.steps for shard in plan.shards) == whole.steps
    assert plan.shards[0].start_pc == program.entry and plan.shards[-1].end_pc == HALT_PC
    for before, after in zip(plan.shards, plan.shards[1:], strict=False):
        assert before.end_pc == after.start_pc and not before.is_last
        assert after.index == before.index + 1
    for shard in plan.shards:
        ecalls = shard.families[Family.ECALL]
        assert shard.end_clk == STEP_TICKS * (shard.steps - ecalls) + ECALL_TICKS * ecalls
        assert shard.end_clk < 2048 and shard.boundary_rows <= 256 and shard.steps > 0


@pytest.mark.parametrize("name", PROGRAMS)
def test_limits_of_rows_hold_and_are_reached(name: str, tmp_path: Path) -> None:
    make, rows = PROGRAMS[name]
    plan = plan_shards(make(), b"private", ShardLimits(rows=rows), tmp_path)
    assert all(shard.families[family] <= count for shard in plan.shards for family, count in rows.items())
    for shard in plan.shards[:-1]:
        assert any(shard.families[family] == count for family, count in rows.items())


def test_events_equal_the_plain_machine(planned: tuple[Program, ShardPlan]) -> None:
    """Every field of every event and boundary row of every shard."""
    program, plan = planned
    machine = ReferenceMachine.start(program, b"private")
    last_shard: dict[tuple[int, int], int] = {}
    for _, trace in traces_of(program, plan):
        machine.begin_shard()
        memory, registers = dict(machine.memory), list(machine.registers)
        expected: dict[Family, list] = {family: [] for family in Family}
        for _ in range(trace.shard.steps):
            for family, event in machine.step():
                expected[family].append(event)
        for family in Family:
            rows = np.array(expected[family], dtype=EVENT[family])
            assert np.array_equal(rows, trace.events[family]), family.label
        rows = []
        for (space, address), time in sorted(machine.last_access.items()):
            first, final = (
                (registers[address], machine.registers[address])
                if space == REGISTER_SPACE
                else (memory.get(address, 0), machine.memory.get(address, 0))
            )
            rows.append((space, address, last_shard.get((space, address), 0), time, first, final))
            last_shard[space, address] = trace.shard.index
        assert np.array_equal(np.array(rows, dtype=BOUNDARY), trace.boundary)
    assert machine.exit_code == 0 and machine.output() == plan.result.output

    image = plan.image()
    assert image.dtype == IMAGE
    keys = list(zip(image["space"].tolist(), image["address"].tolist(), strict=True))
    assert keys == sorted(set(keys)) and set(last_shard) <= set(keys)
    for row in image:
        space, address = int(row["space"]), int(row["address"])
        final = machine.registers[address] if space == REGISTER_SPACE else machine.memory.get(address, 0)
        assert row["final_value"] == final and row["last_shard"] == last_shard.get((space, address), 0)


def test_image_starts_from_the_elf_and_the_input(planned: tuple[Program, ShardPlan]) -> None:
    program, plan = planned
    start = ReferenceMachine.start(program, b"private")
    image = plan.image()
    for row in image:
        expected = start.memory.get(int(row["address"]), 0) if row["space"] == MEMORY_SPACE else 0
        assert row["initial_value"] == expected
    memory = set(image["address"][image["space"] == MEMORY_SPACE].tolist())
    assert set(range(program.data_start, program.data_start + len(program.data))) <= memory
    assert {0x2000_0000 // 8 + index for index in range(33)} <= memory
    assert image["address"][image["space"] == REGISTER_SPACE].tolist() == list(range(REGISTER_COUNT))


def test_global_tokens_balance(planned: tuple[Program, ShardPlan]) -> None:
    """Each shard consumes the token of the shard before and produces its own; the image holds both ends."""
    program, plan = planned
    tokens: Counter[tuple[int, ...]] = Counter()
    for space, address, last, _, initial, final in plan.image().tolist():
        tokens[space, address, 0, initial] += 1
        tokens[space, address, last, final] -= 1
    for _, trace in traces_of(program, plan):
        for space, address, previous, _, first, final in trace.boundary.tolist():
            assert previous < trace.shard.index
            tokens[space, address, previous, first] -= 1
            tokens[space, address, trace.shard.index, final] += 1
    assert not any(tokens.values())


class LocalTokens:
    """The memory bus of one shard, filled as chips would from events alone."""

    def __init__(self) -> None:
        self.tokens: Counter[tuple[int, ...]] = Counter()

    def access(self, space: int, address: int, previous: int, time: int, old: int, new: int) -> None:
        assert 0 <= time - previous - 1 < CLK_LIMIT
        self.tokens[space, address, previous, old] -= 1
        self.tokens[space, address, time, new] += 1


def test_local_tokens_and_states_balance(planned: tuple[Program, ShardPlan]) -> None:
    """Within a shard each access consumes the token that the access before produced, and (pc, clk) is one chain."""
    program, plan = planned
    for _, trace in traces_of(program, plan):
        bus = LocalTokens()
        states: Counter[tuple[int, int]] = Counter({(trace.shard.start_pc, 0): 1})
        states[trace.shard.end_pc, trace.shard.end_clk] -= 1
        for row in trace.boundary:
            bus.tokens[int(row["space"]), int(row["address"]), BOUNDARY_TIME, int(row["first_value"])] += 1
            last = int(row["space"]), int(row["address"]), int(row["last_clk"]), int(row["final_value"])
            bus.tokens[last] -= 1
        for family, rows in trace.events.items():
            for row in rows:
                event = {name: row[name].tolist() for name in rows.dtype.names}
                clk, pc = event["clk"], event["pc"]
                if family in PRECOMPILE_READS:
                    add_precompile(bus, family, event)
                    continue
                ticks, next_pc = STEP_TICKS, pc + 4
                if family == Family.ECALL:
                    ticks = ECALL_TICKS
                    next_pc = HALT_PC if event["number"] == 93 else next_pc
                    for slot, (register, name, value) in enumerate(
                        ((17, "previous_a7", "number"), (10, "previous_a0", "a0"), (11, "previous_a1", "a1"))
                    ):
                        bus.access(REGISTER_SPACE, register, event[name], clk + slot, event[value], event[value])
                else:
                    if family == Family.BRANCH:
                        next_pc = event["result"]
                    elif family == Family.JUMP:
                        next_pc = event["b"]
                    add_step(bus, program, family, event)
                states[pc, clk] -= 1
                states[next_pc, clk + ticks] += 1
        assert not any(bus.tokens.values())
        assert not any(states.values())


def add_step(bus: LocalTokens, program: Program, family: Family, event: dict) -> None:
    clk = event["clk"]
    decoded = decode(int(program.words[event["instruction"]]), event["pc"])
    assert decoded is not None and program.index_of(event["pc"]) == event["instruction"]
    reads_rs1, reads_rs2, writes_rd = touched_registers(decoded.instruction.format)
    if reads_rs1:
        bus.access(REGISTER_SPACE, decoded.rs1, event["previous_rs1"], clk, event["a"], event["a"])
    if reads_rs2:
        bus.access(REGISTER_SPACE, decoded.rs2, event["previous_rs2"], clk + 1, event["b"], event["b"])
    if writes_rd:
        bus.access(REGISTER_SPACE, decoded.rd, event["previous_rd"], clk + 3, event["rd_old"], event["result"])
    if Family.LOAD_DOUBLE <= family <= Family.MEMORY_CROSSING:
        low = event["doubleword"]
        bus.access(MEMORY_SPACE, low, event["previous_memory"], clk + 2, event["memory_old"], event["memory_new"])
        if family == Family.MEMORY_CROSSING:
            high = event["high_memory_old"], event["high_memory_new"]
            bus.access(MEMORY_SPACE, low + 1, event["previous_high_memory"], clk + 2, *high)


def add_precompile(bus: LocalTokens, family: Family, event: dict) -> None:
    pointers = event["a0"] // 8, event["a1"] // 8
    for counts, slot, previous, old, new in (
        (PRECOMPILE_READS[family], 3, "previous_read", "read", "read"),
        (PRECOMPILE_WRITES[family], 4, "previous_write", "write_old", "write"),
    ):
        addresses = [pointer + index for pointer, count in zip(pointers, counts, strict=True) for index in range(count)]
        for address, *rest in zip(addresses, event[previous], event[old], event[new], strict=True):
            bus.access(MEMORY_SPACE, address, rest[0], event["clk"] + slot, rest[1], rest[2])


def test_shards_can_be_traced_alone_and_in_any_order(planned: tuple[Program, ShardPlan]) -> None:
    program, plan = planned
    in_order = {
        trace.shard.index: {f: rows.copy() for f, rows in trace.events.items()} for _, trace in traces_of(*planned)
    }
    tracer = Tracer(program)
    for index in [5, 2, 2, len(plan.shards), 1]:
        trace = tracer.trace(plan.snapshot(index))
        assert all(np.array_equal(rows, in_order[index][family]) for family, rows in trace.events.items())


@pytest.mark.parametrize("piece_steps", [2, 3, 50])
def test_pieces_make_the_whole(planned: tuple[Program, ShardPlan], piece_steps: int) -> None:
    """However many steps are logged at a time, ecalls at the end of a piece included; and no events change no boundary."""
    program, plan = planned
    tracer = Tracer(program, piece_steps)
    for _, whole in traces_of(program, plan):
        snapshot = plan.snapshot(whole.shard.index)
        trace = tracer.trace(snapshot)
        assert all(np.array_equal(rows, whole.events[family]) for family, rows in trace.events.items())
        assert np.array_equal(trace.boundary, whole.boundary)
        assert np.array_equal(tracer.replay(snapshot), whole.boundary)


def test_more_steps_than_a_snapshot_says_are_never_given(planned: tuple[Program, ShardPlan]) -> None:
    program, plan = planned
    good = plan.snapshot(3)
    for family in (Family.ADD, Family.LOAD_DOUBLE):
        families = {**good.shard.families, family: good.shard.families[family] - 1}
        given = dict.fromkeys(Family, 0)

        def take(family: Family, events: np.ndarray, given: dict[Family, int] = given) -> None:
            given[family] += len(events)

        with pytest.raises(SnapshotMismatch):
            Tracer(program, 2).replay(replace(good, shard=replace(good.shard, families=families)), take)
        assert all(given[family] <= families[family] for family in Family)


def test_plans_are_deterministic(tmp_path: Path) -> None:
    program = syscall_program()
    files = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        plan = plan_shards(program, b"x", ShardLimits(clk=1024), folder)
        snapshots = [plan.snapshot(shard.index) for shard in plan.shards]
        files.append(
            ([(s.shard, s.address.tobytes(), s.first_value.tobytes()) for s in snapshots], plan.image().tobytes())
        )
    assert files[0] == files[1]


def test_a_snapshot_of_another_shard_is_refused(planned: tuple[Program, ShardPlan]) -> None:
    program, plan = planned
    good, other = plan.snapshot(2), plan.snapshot(3)
    forged = Snapshot(
        other.shard, good.registers, good.register_previous, good.register_is_touched, good.address, good.first_value,
        good.previous_shard,
    )  # fmt: skip
    tracer = Tracer(program)
    fitting = replace(forged, shard=replace(other.shard, boundary_rows=good.shard.boundary_rows))
    larger = replace(good, shard=replace(good.shard, boundary_rows=good.shard.boundary_rows + 1))
    between = replace(good, shard=replace(good.shard, start_pc=good.shard.start_pc + 2))
    for snapshot, reason in ((fitting, "did not repeat"), (larger, "contradicts"), (between, "contradicts")):
        with pytest.raises(SnapshotMismatch, match=reason):
            tracer.trace(snapshot)
    # The tracer is as good as new.
    assert tracer.trace(good).shard == good.shard


def test_a_damaged_snapshot_file_is_refused(planned: tuple[Program, ShardPlan], tmp_path: Path) -> None:
    _, plan = planned
    content = snapshot_path(plan.folder, 1).read_bytes()
    path = tmp_path / "shard.npy"
    for damaged in (b"", content[: len(content) // 2], content[:-1], b"PK" + bytes(100), bytes(1000)):
        path.write_bytes(damaged)
        with pytest.raises(SnapshotMismatch):
            Snapshot.load(path)


def test_a_trapping_run_has_no_plan(tmp_path: Path) -> None:
    program = load_elf(elf_of("li s0, 100\nl: addi s0, s0, -1\nbne s0, x0, l\nlb x0, 0(x0)"))
    with pytest.raises(Trap):
        plan_shards(program, b"", ShardLimits(clk=128), tmp_path)
    assert not (tmp_path / "image.npy").exists()


def test_step_limit_holds_across_shards(tmp_path: Path) -> None:
    program = load_elf(elf_of("l: j l"))
    with pytest.raises(StepLimitReached):
        plan_shards(program, b"", ShardLimits(clk=128), tmp_path, Limits(steps=500))


@pytest.mark.parametrize(
    "arguments", [{"rows": {Family.ADD: 0}}, {"boundary_rows": 127}, {"clk": 63}, {"clk": CLK_LIMIT + 1}]
)
def test_impossible_limits_are_refused(arguments: dict) -> None:
    with pytest.raises(ValueError, match="shard"):
        ShardLimits(**arguments)
