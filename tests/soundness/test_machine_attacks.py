"""
Attacks on whole runs of the real machine, told by the real prover with its self-checks off: each is refused, with its reason.

The run under attack has ten execution shards and one memory shard. Its shards share registers, a counter on the heap, the private input and a
word that each overwrites.
"""

import functools
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "zkvm"))

from run_kit import EditableRun, EditableShard, editable, load, trace_of

from zkvm.air.expression import Phase
from zkvm.chips import add, boundary, jump, memory_image, program, program_image
from zkvm.chips import range as range_chip
from zkvm.chips.counts import new_counts
from zkvm.field.koala_bear import PRIME
from zkvm.machine.elf import Program
from zkvm.machine.events import BOUNDARY, HALT_PC, IMAGE, STEP_EVENT
from zkvm.machine.memory_map import DATA_START, INPUT_START, OUTPUT_START, RAM_START
from zkvm.machine.shards import ShardLimits
from zkvm.machine_air import EXECUTION_KIND, MEMORY_KIND
from zkvm.protocol.batched import Batched
from zkvm.protocol.checks import Checks
from zkvm.protocol.errors import Reason, Refusal
from zkvm.protocol.parameters import Parameters
from zkvm.protocol.prove import Options, prove
from zkvm.protocol.verify import Accepted, Verifier, verify
from zkvm.prover import _machine_tables, _program_setup, the_machine
from zkvm.trace import ProgramTables

QUICK = Parameters(query_count=4, query_grinding_bits=0, logup_bits=0)
"""Far from secure: what is refused here is refused by sums, constraints and rules, not by queries."""

SOURCE = f"""
    li s0, {RAM_START}
    li s2, {INPUT_START}
    li s3, {DATA_START}
    li s1, 30
    ld s4, 8(s2)
again:
    ld t0, 0(s0)
    add t0, t0, s4
    sd t0, 0(s0)
    sd s1, 8(s0)
    ld t1, 0(s3)
    add t1, t1, s1
    sd t1, 0(s3)
    addi s1, s1, -1
    bne s1, x0, again
    li t2, {OUTPUT_START}
    li t3, 16
    sd t3, 0(t2)
    sd t0, 8(t2)
    sd t1, 16(t2)
    li a7, 93
    li a0, 0
    ecall
"""
PRIVATE_INPUT = (7).to_bytes(8, "little")


def program_of(source: str = SOURCE) -> Program:
    return load(source, (100).to_bytes(8, "little") + bytes(8))


@functools.cache
def _original() -> tuple[Program, EditableRun]:
    loaded = program_of()
    return loaded, editable(trace_of(loaded, PRIVATE_INPUT, ShardLimits(clk=128)))


def honest() -> EditableRun:
    """A fresh copy of the run."""
    run = _original()[1]
    shards = [
        EditableShard(s.header, {c: {p: rows.copy() for p, rows in phases.items()} for c, phases in s.matrices.items()})
        for s in run.shards
    ]
    return EditableRun(run.statement, shards)


@functools.cache
def setup(loaded: Program) -> tuple:
    return _program_setup(loaded)


class Without(Checks):
    """All checks but the one that fails with these words."""

    def __init__(self, words: str) -> None:
        self.words = words

    def refuse(self, name: str, where: str) -> None:
        if self.words not in where:
            super().refuse(name, where)


def answer(run: EditableRun, loaded: Program | None = None, without: str | None = None, **arguments: object) -> Accepted | Refusal:
    """What the verifier says to the prover's file. without: words of a rule that it lacks."""
    key, tables = setup(loaded or _original()[0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "proof"
        options = Options(threads=2, self_checks=False)
        prove(the_machine(), key, {"machine": _machine_tables(), "program": tables}, run, QUICK, path, options)
        if without:
            with path.open("rb") as file:
                return Verifier(the_machine(), Batched(), 0, checks=Without(without)).verify(file)
        return verify(path, the_machine(), required_bits=0, arithmetic=Batched(), **arguments)


def refused(run: EditableRun, reason: Reason, words: str, loaded: Program | None = None, **arguments: object) -> None:
    refusal = answer(run, loaded, **arguments)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.reason is reason and words in refusal.detail, refusal


def execution(run: EditableRun) -> list[EditableShard]:
    return [shard for shard in run.shards if shard.header.kind == EXECUTION_KIND]


def memory(run: EditableRun) -> EditableShard:
    [shard] = [shard for shard in run.shards if shard.header.kind == MEMORY_KIND]
    return shard


def with_publics(shard: EditableShard, **changes: int) -> EditableShard:
    publics = {**shard.publics, **changes}
    return replace(shard, header=replace(shard.header, publics=tuple(publics.values())))


def assembled(shards: list[EditableShard], memory_shards: list[EditableShard], run: EditableRun) -> EditableRun:
    """A run of these shards, numbered anew and counted."""
    numbered = []
    for number, shard in enumerate([*shards, *memory_shards], start=1):
        shard = replace(shard, header=replace(shard.header, index=number))
        numbered.append(with_publics(shard, index=number) if shard.header.kind == EXECUTION_KIND else shard)
    return EditableRun(replace(run.statement, shard_counts=(len(shards), len(memory_shards))), numbered)


def boundary_row(shard: EditableShard, address: int) -> int:
    """The row of a byte address in memory."""
    rows = shard.matrices["boundary"][Phase.BOUNDARY]
    [found] = np.flatnonzero((rows["is_real"] == 1) & (rows["space"] == 1) & (rows["address"] == address // 8))
    return int(found)


def look_up(shard: EditableShard, bits: int, value: int, times: int) -> None:
    """Adds look-ups to the shard's range table."""
    rows = shard.matrices["range"][Phase.MAIN]["multiplicity"]
    row = (1 << bits) - 1 + value
    rows[row] = (int(rows[row]) + times) % PRIME


def number(limbs: np.ndarray) -> int:
    return sum(int(limb) << 16 * i for i, limb in enumerate(limbs))


def test_the_honest_run_is_accepted() -> None:
    run = honest()
    assert run.statement.shard_counts == (10, 1)
    # Each of the middle shards touches the counter, the overwritten word and .data.
    for shard in execution(run)[1:9]:
        assert boundary_row(shard, RAM_START) and boundary_row(shard, RAM_START + 8) and boundary_row(shard, DATA_START)
    accepted = answer(run)
    assert isinstance(accepted, Accepted), accepted
    assert accepted.output == (30 * 7).to_bytes(8, "little") + (100 + 30 * 31 // 2).to_bytes(8, "little")


# Memory across shards.


def test_a_stale_token() -> None:
    """Shard 6 takes the overwritten word as shard 3 left it, though shard 5 did so later; what it writes does not depend on it."""
    run = honest()
    third, sixth = execution(run)[2], execution(run)[5]
    at = boundary_row(sixth, RAM_START + 8)
    rows = sixth.matrices["boundary"][Phase.BOUNDARY]
    assert int(rows["previous_shard"][at]) == 5
    stale = third.matrices["boundary"][Phase.BOUNDARY]["final"][boundary_row(third, RAM_START + 8)]
    old = tuple(int(limb) for limb in rows["first"][at])
    rows["first"][at] = stale
    rows["previous_shard"][at] = 3
    look_up(sixth, 16, 0, -1)
    look_up(sixth, 16, 2, 1)
    # The first store overwrites the stale value: its row must name it.
    stores = sixth.matrices["store_double"][Phase.MAIN]
    first = next(i for i in range(len(stores)) if tuple(int(limb) for limb in stores["old"][i]) == old and int(stores["memory"]["previous_clk"][i]) == PRIME - 1)
    stores["old"][first] = stale
    refused(run, Reason.BUS, "global sums")


@pytest.mark.heavy
def test_a_token_of_a_later_shard() -> None:
    """Shard 5 takes what shard 6 leaves: index - previous - 1 is no 16-bit number."""
    run = honest()
    fifth, sixth = execution(run)[4], execution(run)[5]
    at = boundary_row(fifth, RAM_START + 8)
    fifth.matrices["boundary"][Phase.BOUNDARY]["previous_shard"][at] = 6
    fifth.matrices["boundary"][Phase.BOUNDARY]["first"][at] = sixth.matrices["boundary"][Phase.BOUNDARY]["final"][boundary_row(sixth, RAM_START + 8)]
    refused(run, Reason.BUS, "local sums: shard 5")


@pytest.mark.heavy
def test_an_address_reset_by_its_own_zero_token() -> None:
    """Shard 5 starts the counter again from 0 as if nobody had touched it; the initial token is long taken."""
    refused(second_token(honest()), Reason.BUS, "global sums")


def image_events(shard: EditableShard) -> np.ndarray:
    rows = shard.matrices["memory_image"][Phase.BOUNDARY]
    real = rows[rows["is_real"] == 1]
    events = np.zeros(len(real), dtype=IMAGE)
    events["space"] = 1
    events["address"] = real["address_low"] + (real["address_high"] << 16)
    events["initial_value"] = [number(limbs) for limbs in real["initial"]]
    events["final_value"] = [number(limbs) for limbs in real["final"]]
    events["last_shard"] = real["last_shard"]
    return events


def memory_shard(events: np.ndarray, like: EditableShard, with_program_image: bool, publics: tuple[int, int] | None = None) -> EditableShard:
    """A memory shard of these addresses, filled as always."""
    height = 1 << max(5, (len(events) - 1).bit_length())
    both = {phase: memory_image.CHIP.empty(phase, height) for phase in (Phase.BOUNDARY, Phase.MAIN)}
    counts = new_counts(0)
    try:
        memory_image.fill(both[Phase.BOUNDARY], both[Phase.MAIN], events, counts.range)
    except ValueError:
        # Not ascending: no look-up exists for the step.
        pass
    table = {Phase.MAIN: range_chip.CHIP.empty(Phase.MAIN, range_chip.HEIGHT)}
    range_chip.fill(table[Phase.MAIN], counts.range)
    matrices = {"memory_image": both, "range": table}
    names = [chip.name for chip in the_machine().chips]
    heights = [0] * len(names)
    heights[names.index("memory_image")] = height.bit_length() - 1
    heights[names.index("range")] = 17
    if with_program_image:
        matrices["program_image"] = like.matrices["program_image"]
        heights[names.index("program_image")] = like.header.log_heights[names.index("program_image")]
    publics = publics or (int(events["address"][0]), int(events["address"][-1]))
    return EditableShard(replace(like.header, log_heights=tuple(heights), publics=publics), matrices)


def second_token(run: EditableRun) -> EditableRun:
    """The run in which shard 5 starts the word at RAM_START + 8 anew from 0; its former chain ends after shard 4."""
    fourth, fifth = execution(run)[3], execution(run)[4]
    at = boundary_row(fifth, RAM_START + 8)
    rows = fifth.matrices["boundary"][Phase.BOUNDARY]
    old = tuple(int(limb) for limb in rows["first"][at])
    rows["first"][at] = 0
    rows["previous_shard"][at] = 0
    look_up(fifth, 16, 0, -1)
    look_up(fifth, 16, 4, 1)
    stores = fifth.matrices["store_double"][Phase.MAIN]
    first = next(i for i in range(len(stores)) if tuple(int(limb) for limb in stores["old"][i]) == old and int(stores["memory"]["previous_clk"][i]) == PRIME - 1)
    stores["old"][first] = 0
    assert fourth.matrices["boundary"][Phase.BOUNDARY]["final"][boundary_row(fourth, RAM_START + 8)].tolist() == list(old)
    return run


def extra_token(run: EditableRun) -> np.ndarray:
    """The image row that this second chain needs: from 0 to what shard 4 left."""
    fourth = execution(run)[3]
    final = fourth.matrices["boundary"][Phase.BOUNDARY]["final"][boundary_row(fourth, RAM_START + 8)]
    extra = np.zeros(1, dtype=IMAGE)
    extra["space"], extra["address"] = 1, (RAM_START + 8) // 8
    extra["final_value"], extra["last_shard"] = number(final), 4
    return extra


@pytest.mark.heavy
def test_a_second_initial_token_in_the_same_memory_shard() -> None:
    """Everything balances but the step between two rows of one address."""
    run = second_token(honest())
    extra = extra_token(run)
    events = image_events(memory(run))
    at = int(np.flatnonzero(events["address"] == extra["address"][0])[0])
    doubled = np.concatenate([events[:at], extra, events[at:]])
    shard = memory_shard(events, memory(run), True)
    # Row by row as honest ones, then the step of -1 that no range holds.
    both = shard.matrices["memory_image"]
    rows = memory_image.CHIP.empty(Phase.BOUNDARY, len(both[Phase.BOUNDARY]))
    main = memory_image.CHIP.empty(Phase.MAIN, len(rows))
    counts = new_counts(0)
    memory_image.fill(rows, main, doubled[np.r_[0 : at + 1, at + 2 : len(doubled)]], counts.range)
    fresh = memory_image.CHIP.empty(Phase.BOUNDARY, len(rows))
    lone = memory_image.CHIP.empty(Phase.BOUNDARY, 32)
    memory_image.fill(lone, memory_image.CHIP.empty(Phase.MAIN, 32), doubled[at + 1 : at + 2], counts.range)
    fresh[: at + 1] = rows[: at + 1]
    fresh[at + 1] = lone[0]
    fresh[at + 2 :] = rows[at + 1 : -1]
    both[Phase.BOUNDARY] = fresh
    steps = np.diff(doubled["address"].astype(np.int64)) - 1
    both[Phase.MAIN]["step_low"] = 0
    both[Phase.MAIN]["step_low"][: len(steps)] = steps & 0xFFFF
    range_chip.fill(shard.matrices["range"][Phase.MAIN], counts.range)
    look_up(shard, 16, 0xFFFF, 1)
    refused(EditableRun(run.statement, [*execution(run), replace(shard, header=replace(shard.header, index=11))]), Reason.BUS, "local sums: shard 11")


@pytest.mark.heavy
def test_a_second_initial_token_in_another_memory_shard() -> None:
    """Every sum cancels; the verifier sees that the second memory shard does not ascend."""
    run = second_token(honest())
    first = memory_shard(image_events(memory(run)), memory(run), True)
    second = memory_shard(extra_token(run), memory(run), False)
    forged = assembled(execution(run), [first, second], run)
    refused(forged, Reason.CHAINING, "memory shard 12 starts at")


@pytest.mark.heavy
def test_the_rule_against_a_second_initial_token_is_needed() -> None:
    """The same proof is accepted by a verifier without that rule: shard 5 then read 0 where shard 4 had left something else."""
    run = second_token(honest())
    first = memory_shard(image_events(memory(run)), memory(run), True)
    second = memory_shard(extra_token(run), memory(run), False)
    accepted = answer(assembled(execution(run), [first, second], run), without="memory shard 12 starts at")
    assert isinstance(accepted, Accepted)


@pytest.mark.heavy
def test_a_second_program_image() -> None:
    """A second set of initial registers and .data."""
    run = honest()
    events = image_events(memory(run))
    first = memory_shard(events[:1], memory(run), True)
    second = memory_shard(events[1:], memory(run), True)
    refused(assembled(execution(run), [first, second], run), Reason.CHAINING, "exactly the first memory shard")


@pytest.mark.heavy
def test_no_program_image() -> None:
    run = honest()
    refused(
        assembled(execution(run), [memory_shard(image_events(memory(run)), memory(run), False)], run),
        Reason.CHAINING, "exactly the first memory shard",
    )  # fmt: skip


@pytest.mark.heavy
def test_the_private_input_overwrites_data() -> None:
    """A prover's own initial value for an address of .data: it is in no region of the memory image."""
    run = honest()
    events = image_events(memory(run))
    extra = np.zeros(1, dtype=IMAGE)
    extra["space"], extra["address"], extra["initial_value"], extra["final_value"] = 1, DATA_START // 8, 5, 5
    shard = memory_shard(events, memory(run), True)
    rows = shard.matrices["memory_image"]
    lone = memory_image.CHIP.empty(Phase.BOUNDARY, 32)
    memory_image.fill(lone, memory_image.CHIP.empty(Phase.MAIN, 32), events[:1], new_counts(0).range)
    lone["address_low"][0], lone["address_high"][0] = (DATA_START // 8) & 0xFFFF, (DATA_START // 8) >> 16
    lone["initial"][0], lone["final"][0] = (5, 0, 0, 0), (5, 0, 0, 0)
    lone["last_shard"][0] = 0
    fresh = np.concatenate([lone[:1], rows[Phase.BOUNDARY][:-1]])
    rows[Phase.BOUNDARY] = fresh
    steps = rows[Phase.MAIN]["step_low"].copy()
    gap = int(events["address"][0]) - DATA_START // 8 - 1
    rows[Phase.MAIN]["step_low"][0] = gap & 0xFFFF
    rows[Phase.MAIN]["step_low"][1:] = steps[:-1]
    for bits, value in ((16, gap & 0xFFFF), (13, gap >> 16), (16, (DATA_START // 8) & 0xFFFF), (16, 5), (16, 0), (16, 0), (16, 0)):
        look_up(shard, bits, value, 1)
    shard = replace(shard, header=replace(shard.header, index=11, publics=(DATA_START // 8, shard.header.publics[1])))
    refused(EditableRun(run.statement, [*execution(run), shard]), Reason.BUS, "local sums: shard 11")


@pytest.mark.heavy
def test_ram_that_does_not_start_with_zero() -> None:
    run = honest()
    shard = memory(run)
    rows = shard.matrices["memory_image"][Phase.BOUNDARY]
    at = int(np.flatnonzero((rows["is_real"] == 1) & (rows["is_input"] == 0))[0])
    rows["initial"][at][0] = 9
    refused(run, Reason.CONSTRAINT, "memory_image")


@pytest.mark.heavy
def test_a_changed_initial_register() -> None:
    """Shard 1 starts s1 with another value than 0."""
    run = honest()
    rows = execution(run)[0].matrices["boundary"][Phase.BOUNDARY]
    at = int(np.flatnonzero((rows["is_real"] == 1) & (rows["space"] == 0) & (rows["address"] == 9))[0])
    rows["first"][at][0] = 1
    refused(run, Reason.BUS, "local sums: shard 1")


# Shards.


def test_a_run_cut_off() -> None:
    """The first nine shards and images that agree with them: nothing is missing but the end."""
    whole = honest()
    refused(cut_images(whole, execution(whole)[:9]), Reason.CHAINING, "exactly the last one halts")


@pytest.mark.heavy
def test_the_rule_against_a_run_cut_off_is_needed() -> None:
    """Without it a run that never ended is accepted, with an output that it had not written yet."""
    whole = honest()
    accepted = answer(cut_images(whole, execution(whole)[:9]), without="exactly the last one halts")
    assert isinstance(accepted, Accepted) and accepted.output == b""


def cut_images(run: EditableRun, shards: list[EditableShard]) -> EditableRun:
    """The run of the first shards only, its images ending where they end."""
    last: dict[tuple[int, int], tuple[int, np.ndarray]] = {}
    for shard in shards:
        rows = shard.matrices["boundary"][Phase.BOUNDARY]
        for row in rows[rows["is_real"] == 1]:
            last[int(row["space"]), int(row["address"])] = (shard.header.index, row["final"].copy())
    image = memory(run)
    fixed_rows = program_image_addresses()
    program_rows = image.matrices["program_image"][Phase.BOUNDARY]
    initial = ProgramTables(_original()[0]).image()["initial"]
    for i, place in enumerate(fixed_rows):
        program_rows["last_shard"][i], program_rows["final"][i] = last.get(place, (0, initial[i]))
    events = [e for e in image_events(image) if (1, int(e["address"])) in last]
    kept = np.array(events, dtype=IMAGE)
    for event in kept:
        shard, final = last[1, int(event["address"])]
        event["last_shard"], event["final_value"] = shard, number(final)
    statement = replace(run.statement, output=b"", last_shards=(0,) * len(run.statement.last_shards))
    whole = EditableRun(statement, run.shards)
    return assembled(shards, [memory_shard(kept, image, True)], whole)


def program_image_addresses() -> list[tuple[int, int]]:
    loaded = _original()[0]
    return [(0, i) for i in range(33)] + [(1, loaded.data_start + i) for i in range(len(loaded.data))]


@pytest.mark.heavy
def test_a_run_cut_off_that_says_it_halted() -> None:
    whole = honest()
    shards = execution(whole)[:9]
    shards[8] = with_publics(shards[8], end_pc=HALT_PC)
    refused(cut_images(whole, shards), Reason.BUS, "local sums: shard 9")


def reordered(change: Callable[[list[EditableShard]], list[EditableShard]]) -> EditableRun:
    run = honest()
    return assembled(change(execution(run)), [memory(run)], run)


@pytest.mark.heavy
def test_swapped_shards() -> None:
    refused(reordered(lambda s: [*s[:4], s[5], s[4], *s[6:]]), Reason.CHAINING, "shard 5 starts at")


@pytest.mark.heavy
def test_swapped_shards_that_start_and_end_alike() -> None:
    """Where neighbours agree on every pc, the tokens tell: values of one shard under another's number."""
    run = honest()
    shards = execution(run)
    pairs = [
        (i, k) for i in range(1, 9) for k in range(i + 1, 9)
        if shards[i].publics["start_pc"] == shards[k].publics["start_pc"] and shards[i].publics["end_pc"] == shards[k].publics["end_pc"]
    ]  # fmt: skip
    assert pairs
    i, k = pairs[0]
    shards[i], shards[k] = shards[k], shards[i]
    refusal = answer(assembled(shards, [memory(run)], run))
    assert isinstance(refusal, Refusal) and refusal.reason is Reason.BUS, refusal


@pytest.mark.heavy
def test_a_dropped_shard() -> None:
    refused(reordered(lambda s: [*s[:4], *s[5:]]), Reason.CHAINING, "shard 5 starts at")


@pytest.mark.heavy
def test_a_repeated_shard() -> None:
    refused(reordered(lambda s: [*s[:5], s[4], *s[5:]]), Reason.CHAINING, "shard 6 starts at")


@pytest.mark.heavy
def test_a_shard_with_another_s_index() -> None:
    run = honest()
    run.shards[4] = with_publics(run.shards[4], index=4)
    refused(run, Reason.CHAINING, "says that it is shard 4")


@pytest.mark.heavy
def test_an_end_clk_that_is_not_the_end() -> None:
    run = honest()
    run.shards[4] = with_publics(run.shards[4], end_clk=run.shards[4].publics["end_clk"] + 4)
    refused(run, Reason.BUS, "local sums: shard 5")


@pytest.mark.heavy
def test_a_start_elsewhere() -> None:
    run = honest()
    run.shards[0] = with_publics(run.shards[0], start_pc=run.shards[0].publics["start_pc"] + 4)
    refused(run, Reason.CHAINING, "shard 1 starts at")


# The statement.


def test_a_wrong_output() -> None:
    run = honest()
    run.statement = replace(run.statement, output=(31 * 7).to_bytes(8, "little") + run.statement.output[8:])
    refused(run, Reason.BUS, "global sums")


@pytest.mark.heavy
def test_a_shortened_output() -> None:
    run = honest()
    run.statement = replace(run.statement, output=run.statement.output[:8])
    refused(run, Reason.BUS, "global sums")


@pytest.mark.heavy
def test_last_shards_that_are_not_the_last() -> None:
    run = honest()
    run.statement = replace(run.statement, last_shards=(9, *run.statement.last_shards[1:]))
    refused(run, Reason.BUS, "global sums")


@pytest.mark.heavy
def test_a_wrong_program() -> None:
    """The run of one program under the key of another that differs in one instruction."""
    other = program_of(SOURCE.replace("add t1, t1, s1", "sub t1, t1, s1"))
    refused(honest(), Reason.BUS, "local sums: shard 1", loaded=other)


@pytest.mark.heavy
def test_wrong_data_of_the_program() -> None:
    other = load(SOURCE, (101).to_bytes(8, "little") + bytes(8))
    refused(honest(), Reason.BUS, "global sums", loaded=other)


@pytest.mark.heavy
def test_a_program_that_was_not_asked_for() -> None:
    machine, key = the_machine(), setup(program_of(SOURCE.replace("li s1, 30", "li s1, 31")))[0]
    refused(honest(), Reason.PROGRAM, "another program", program_id=machine.program_id(key))


# The end of the run.


def test_a_jump_to_zero_is_no_halt() -> None:
    """
    `jalr` to address 0 traps in the machine. In the chips it leads to pc 0, where no step starts; it must not be the pc that stands for a halt.
    """
    refused(halted_by_jump(), Reason.BUS, "local sums: shard 1", loaded=jump_program())


def jump_program() -> Program:
    """ra is 0 at the start: a return to nowhere."""
    return load("addi t0, x0, 1\nret")


def halted_by_jump() -> EditableRun:
    loaded = jump_program()
    start = loaded.entry
    counts = new_counts(len(loaded.words))
    first, second = np.zeros(1, dtype=STEP_EVENT), np.zeros(1, dtype=STEP_EVENT)
    first["pc"], first["previous_rs1"], first["previous_rd"], first["result"], first["b"] = start, -1, -1, 1, 1
    second["pc"], second["clk"], second["instruction"] = start + 4, 4, 1
    second["previous_rs1"], second["previous_rd"], second["result"] = -1, -1, start + 8
    matrices = {}
    for chip, events in ((add.CHIP, first), (jump.CHIP, second)):
        rows = chip.empty(Phase.MAIN, 32)
        chip.fill(loaded.decoded, events, rows, counts)
        matrices[chip.name] = {Phase.MAIN: rows}
    touched = np.zeros(4, dtype=BOUNDARY)
    touched["address"] = (0, 1, 5, 32)
    touched["last_clk"] = (0, 4, 3, 7)
    touched["final_value"] = (0, 0, 1, start + 8)
    both = {phase: boundary.CHIP.empty(phase, 32) for phase in (Phase.BOUNDARY, Phase.MAIN)}
    boundary.fill(both[Phase.BOUNDARY], both[Phase.MAIN], touched, 1, counts.range)
    matrices["boundary"] = both
    table = program.CHIP.empty(Phase.MAIN, 32)
    program.fill(table, counts.program)
    matrices["program"] = {Phase.MAIN: table}
    ranges = range_chip.CHIP.empty(Phase.MAIN, range_chip.HEIGHT)
    range_chip.fill(ranges, counts.range)
    matrices["range"] = {Phase.MAIN: ranges}

    empty = trace_of(load("li a7, 93\nli a0, 0\necall"), b"", ShardLimits())
    names = [chip.name for chip in the_machine().chips]
    heights = tuple({"range": 17}.get(name, 5) if name in matrices else 0 for name in names)
    header = replace(empty.headers[0], log_heights=heights, publics=(1, start, HALT_PC, 8))
    image = EditableShard(empty.headers[1], empty.matrices(2))
    rows = program_image.CHIP.empty(Phase.BOUNDARY, 64)
    for row in touched:
        rows["final"][row["address"]] = [int(row["final_value"]) >> 16 * i & 0xFFFF for i in range(4)]
        rows["last_shard"][row["address"]] = 1
    image.matrices["program_image"] = {Phase.BOUNDARY: rows}
    statement = replace(empty.statement, shard_counts=(1, 1))
    return EditableRun(statement, [EditableShard(header, matrices), image])
