"""
Each condition of the machine's own rules (zkvm/machine_air.py) is needed, or implied by another check of the verifier.

A claim is a list of shards: their headers, the steps of a small program that they make, and the rows of the boundary and of the images. It is judged by
everything that a verifier decides before and beside the chips of instructions: shapes, counts, order, the chaining rule, the constraints of boundary, memory
image and program image, their look-ups, and the balance of STATE, MEMORY and TOKEN. The steps' own messages are recorded traffic, honest for what the step
reads. Then a single condition is let through, and a claim that no run of the program makes true is accepted.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest

from zkvm.air import Phase
from zkvm.air.backends.interpret import ExtraMessage, Trace, bus_balance, report, traffic
from zkvm.air.bus import Bus
from zkvm.chips import boundary, memory_image, program_image
from zkvm.chips import range as range_chip
from zkvm.chips.buses import MEMORY, RANGE, STATE
from zkvm.chips.counts import new_counts
from zkvm.field.koala_bear import PRIME
from zkvm.machine.events import BOUNDARY, CLK_LIMIT, HALT_PC, IMAGE, MEMORY_SPACE, STEP_TICKS
from zkvm.machine.memory_map import DATA_START, INPUT_START, OUTPUT_START
from zkvm.machine_air import (
    CHIPS,
    EXECUTION_KIND,
    KINDS,
    MEMORY_KIND,
    OUTPUT_DOUBLEWORDS,
    TABLES_ROOT,
    chaining_rule,
    global_messages,
    local_messages,
    riscv_machine,
    shape_rule,
)
from zkvm.protocol.checks import Checks
from zkvm.protocol.errors import Reason, RefusalError
from zkvm.protocol.machine import ProgramKey, ShardHeader, Statement
from zkvm.protocol.parameters import Parameters
from zkvm.protocol.plan import check_counts, check_shape
from zkvm.protocol.proof import Head
from zkvm.protocol.verify import check_chaining

MACHINE = riscv_machine(TABLES_ROOT)
ENTRY = 0x20_0000
KEY = ProgramKey((1,) * 9, (5, 5), ENTRY)
HEIGHT = 32

LENGTH, DATUM, INPUT = OUTPUT_START // 8, DATA_START // 8, INPUT_START // 8 + 3
"""Doublewords: the first of OUTPUT, which is the output's length; one of the program's image, 0 at the start; one of INPUT."""

Words = dict[int, int]


@dataclass(frozen=True)
class Step:
    """What an instruction of the small program touches and does."""

    touches: tuple[int, ...]
    act: Callable[[Words], None]


def sets(value: int) -> Step:
    """Output of this length."""
    return Step((LENGTH,), lambda words: words.update({LENGTH: value}))


def lengthen(words: Words) -> None:
    words[LENGTH] += 1


def count(words: Words) -> None:
    words[DATUM] += 1
    words[LENGTH] = words[DATUM]


def note(words: Words) -> None:
    words[LENGTH] = words[INPUT]


def compare(words: Words) -> None:
    """0 if INPUT is what `note` saw."""
    words[LENGTH] = int(words[LENGTH] != words[INPUT])


LENGTHEN, COUNT = Step((LENGTH,), lengthen), Step((DATUM, LENGTH), count)
NOTE, COMPARE = Step((INPUT, LENGTH), note), Step((INPUT, LENGTH), compare)

Program = tuple[Step, ...]


def pc_of(program: Program, step: int) -> int:
    """Steps stand one after another; then the program halts."""
    return ENTRY + 4 * step if step < len(program) else HALT_PC


def true_length(program: Program) -> int:
    """The output's length; the same for every input tried."""
    lengths = set()
    for value in range(10):
        words = {LENGTH: 0, DATUM: 0, INPUT: value}
        for step in program:
            step.act(words)
        lengths.add(words[LENGTH])
    [length] = lengths
    return length


@dataclass(frozen=True)
class Execution:
    """An execution shard: steps first .. last - 1, the index it states, and what it takes: (address, value, previous shard)."""

    first: int
    last: int
    index: int
    taken: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Memory:
    """A memory shard. input and datum: (initial, final, last shard) of each word; datum is None without a program image."""

    input: tuple[int, int, int]
    datum: tuple[int, int] | None
    address: int = INPUT


@dataclass(frozen=True)
class Claim:
    """The program halts with this many zero bytes of output, which shard `last_shard` was the last to touch."""

    program: Program
    length: int
    last_shard: int
    shards: tuple[Execution | Memory, ...]


def heights(**present: int) -> tuple[int, ...]:
    return tuple(present.get(chip.name, 0) for chip in CHIPS)


def header_of(claim: Claim, number: int) -> ShardHeader:
    shard = claim.shards[number - 1]
    if isinstance(shard, Execution):
        publics = (shard.index, pc_of(claim.program, shard.first), pc_of(claim.program, shard.last), STEP_TICKS * (shard.last - shard.first))
        return ShardHeader(number, EXECUTION_KIND, heights(add=5, boundary=5, program=5, range=17), publics)
    shape = heights(memory_image=5, range=17, **({} if shard.datum is None else {"program_image": 5}))
    return ShardHeader(number, MEMORY_KIND, shape, (shard.address, shard.address))


def execution_traffic(claim: Claim, number: int, shard: Execution) -> tuple[list[Trace], list[ExtraMessage]]:
    """The boundary's rows, and what the steps say, with both ends of the path."""
    words = {address: value for address, value, _ in shard.taken}
    messages, clk, last_clk = [], 0, dict.fromkeys(words, -1)

    def limbs(value: int) -> tuple[int, ...]:
        return tuple(value >> 16 * k & 0xFFFF for k in range(4))

    def say(bus: Bus, values: tuple[int, ...], count: int) -> None:
        messages.append(ExtraMessage(bus, tuple(v % PRIME for v in values), count, "steps", number))

    for i in range(shard.first, shard.last):
        step = claim.program[i]
        before = dict(words)
        step.act(words)
        say(STATE, (pc_of(claim.program, i), clk), -1)
        say(STATE, (pc_of(claim.program, i + 1), clk + STEP_TICKS), 1)
        for address in step.touches:
            say(MEMORY, (MEMORY_SPACE, address, last_clk[address], *limbs(before[address])), -1)
            say(MEMORY, (MEMORY_SPACE, address, clk + 2, *limbs(words[address])), 1)
            last_clk[address] = clk + 2
        clk += STEP_TICKS
    events = np.zeros(len(shard.taken), dtype=BOUNDARY)
    for event, (address, value, previous) in zip(events, shard.taken, strict=True):
        event["space"], event["address"], event["first_value"], event["final_value"] = MEMORY_SPACE, address, value, words[address]
        event["previous_shard"], event["last_clk"] = previous, last_clk[address]
    both = {phase: boundary.CHIP.empty(phase, HEIGHT) for phase in (Phase.BOUNDARY, Phase.MAIN)}
    boundary.fill(both[Phase.BOUNDARY], both[Phase.MAIN], events, shard.index, new_counts(0).range)
    header = header_of(claim, number)
    publics = dict(zip(KINDS[EXECUTION_KIND].publics, header.publics, strict=True))
    messages += [ExtraMessage(m.bus, tuple(m.values), m.count, shard=number) for m in local_messages(KINDS[EXECUTION_KIND], publics)]
    return [Trace(boundary.CHIP, both, {"index": shard.index}, number)], messages


def memory_traces(number: int, shard: Memory) -> list[Trace]:
    """The rows of both images."""
    events = np.zeros(1, dtype=IMAGE)
    events["space"], events["address"] = MEMORY_SPACE, shard.address
    events["initial_value"], events["final_value"], events["last_shard"] = shard.input
    both = {phase: memory_image.CHIP.empty(phase, HEIGHT) for phase in (Phase.BOUNDARY, Phase.MAIN)}
    memory_image.fill(both[Phase.BOUNDARY], both[Phase.MAIN], events, new_counts(0).range)
    traces = [Trace(memory_image.CHIP, both, {"first_address": shard.address, "last_address": shard.address}, number)]
    if shard.datum is not None:
        both = {phase: program_image.CHIP.empty(phase, HEIGHT) for phase in (Phase.FIXED, Phase.BOUNDARY)}
        both[Phase.FIXED]["is_real"][0], both[Phase.FIXED]["space"][0], both[Phase.FIXED]["address"][0] = 1, MEMORY_SPACE, DATUM
        final, last_shard = shard.datum
        program_image.fill(both[Phase.BOUNDARY], np.array([final], dtype=np.uint64), np.array([last_shard]))
        traces.append(Trace(program_image.CHIP, both, {}, number))
    return traces


def verify(claim: Claim, checks: Checks) -> None:
    """Raises RefusalError where the verifier's own checks refuse, AssertionError where rows or buses do."""
    headers = tuple(header_of(claim, number) for number in range(1, len(claim.shards) + 1))
    counts = tuple(sum(header.kind == kind for header in headers) for kind in range(len(KINDS)))
    statement = Statement(b"\0" * claim.length, (claim.last_shard, *[0] * (OUTPUT_DOUBLEWORDS - 1)), counts)
    own = global_messages(KEY, statement)
    for header in headers:
        check_shape(checks, MACHINE, KEY, header)
    check_counts(checks, MACHINE, headers, own)
    check_chaining(checks, MACHINE, Head(Parameters(), MACHINE.digest, KEY, statement, 0, headers))
    traces, messages = [], [ExtraMessage(m.bus, tuple(m.values), m.count) for m in own]
    for number, shard in enumerate(claim.shards, start=1):
        if isinstance(shard, Execution):
            more, said = execution_traffic(claim, number, shard)
            traces += more
            messages += said
        else:
            traces += memory_traces(number, shard)
    for trace in traces:
        assert report(trace.chip, trace.matrices, trace.publics).is_valid, trace.chip.name
        for index, _, tuples, _ in traffic(trace):
            if trace.chip.messages[index].bus == RANGE:
                assert all(range_chip.reference(*values) for values in tuples.tolist()), trace.chip.messages[index].label
    # The look-ups were judged above, without the table's own rows.
    found = bus_balance(traces, messages)
    assert {imbalance.bus for imbalance in found.imbalances} <= {RANGE.name}, str(found)


class Without(Checks):
    """Lets the one condition through that refuses with these words."""

    def __init__(self, words: str) -> None:
        self.words = words

    def refuse(self, name: str, where: str) -> None:
        if not (name.startswith("machine's own") and self.words in where):
            super().refuse(name, where)


UNTOUCHED = Memory((7, 7, 0), (0, 0))

HONEST: dict[str, Claim] = {
    "set twice": Claim((sets(1), sets(2)), 2, 2, (Execution(0, 1, 1, ((LENGTH, 0, 0),)), Execution(1, 2, 2, ((LENGTH, 1, 1),)), UNTOUCHED)),
    "in one shard": Claim((LENGTHEN, LENGTHEN), 2, 1, (Execution(0, 2, 1, ((LENGTH, 0, 0),)), UNTOUCHED)),
    "data": Claim(
        (COUNT, COUNT), 2, 2,
        (Execution(0, 1, 1, ((DATUM, 0, 0), (LENGTH, 0, 0))), Execution(1, 2, 2, ((DATUM, 1, 1), (LENGTH, 1, 1))), Memory((7, 7, 0), (2, 2))),
    ),
    "input": Claim(
        (NOTE, COMPARE), 0, 2,
        (Execution(0, 1, 1, ((INPUT, 7, 0), (LENGTH, 0, 0))), Execution(1, 2, 2, ((INPUT, 7, 1), (LENGTH, 7, 1))), Memory((7, 7, 2), (0, 0))),
    ),
}  # fmt: skip
"""Claims that are true."""

RULES_NEEDED: dict[str, Claim] = {
    # Nothing was run: the program would have written 2.
    "a run has at least one execution and one memory shard": Claim((LENGTHEN, LENGTHEN), 0, 0, (UNTOUCHED,)),
    # The second shard calls itself the first: its memory comes before, and the first write is the last.
    "says that it is shard": Claim(
        (sets(1), sets(2)), 1, 2, (Execution(0, 1, 2, ((LENGTH, 2, 1),)), Execution(1, 2, 1, ((LENGTH, 0, 0),)), UNTOUCHED),
    ),
    # The run starts behind the first step.
    "starts at #, not at": Claim((LENGTHEN, LENGTHEN), 1, 1, (Execution(1, 2, 1, ((LENGTH, 0, 0),)), UNTOUCHED)),
    # The run stops before the last step.
    "exactly the last one halts": Claim((LENGTHEN, LENGTHEN), 1, 1, (Execution(0, 1, 1, ((LENGTH, 0, 0),)), UNTOUCHED)),
    # A word of the input starts twice, as 7 and as 8: it differs from itself.
    "starts at doubleword": Claim(
        (NOTE, COMPARE), 1, 2,
        (
            Execution(0, 1, 1, ((INPUT, 7, 0), (LENGTH, 0, 0))), Execution(1, 2, 2, ((INPUT, 8, 0), (LENGTH, 7, 1))),
            Memory((7, 7, 1), (0, 0)), Memory((8, 8, 2), None),
        ),
    ),
    # A word of the program's data starts twice: the second step finds 0 again.
    "exactly the first memory shard holds the program image": Claim(
        (COUNT, COUNT), 1, 2,
        (
            Execution(0, 1, 1, ((DATUM, 0, 0), (LENGTH, 0, 0))), Execution(1, 2, 2, ((DATUM, 0, 0), (LENGTH, 1, 1))),
            Memory((7, 7, 0), (1, 1)), Memory((7, 7, 0), (1, 2), INPUT + 1),
        ),
    ),
}  # fmt: skip
"""Words with which a condition refuses, numbers as # -> a false claim that is accepted as soon as this condition alone is let through."""

RULES_IMPLIED: dict[str, str] = {
    "shard could run for": (
        "`height in bounds` was checked for every chip before: with every chip of a kind at the highest that its slot allows, 2^22 rows, time stays below 2^29, "
        "and so does the sum with a gap of 24 bits. The condition guards against a change of the bounds; test_no_shape_within_bounds_reaches_the_limit_of_time "
        "computes it from the slots"
    ),
    "memory shards come after all execution shards": (
        "`shard order` was checked before: the kinds of the headers ascend, and an execution shard has the smaller kind; "
        "test_shard_order_implies_that_memory_shards_come_last tries every list of up to six"
    ),
}
"""Words with which a condition refuses -> why another check makes it unnecessary."""


def spoken(words: str) -> str:
    """The part of the words that a refusal has as it stands."""
    return words.split("#")[-1].strip(" ,") if "#" in words else words


@pytest.mark.parametrize("name", HONEST)
def test_true_claims_are_accepted(name: str) -> None:
    """And the same claims with another length are not: the judge decides by the balance of the tokens."""
    claim = HONEST[name]
    assert claim.length == true_length(claim.program)
    verify(claim, Checks())
    with pytest.raises(AssertionError):
        verify(replace(claim, length=claim.length + 1), Checks())


@pytest.mark.parametrize("words", RULES_NEEDED)
def test_each_condition_of_the_machine_s_rules_is_needed(words: str) -> None:
    """The claim is false, refused with these words, and accepted without this condition."""
    claim = RULES_NEEDED[words]
    assert claim.length != true_length(claim.program)
    with pytest.raises(RefusalError) as refused:
        verify(claim, Checks())
    assert refused.value.refusal.reason is Reason.CHAINING and spoken(words) in refused.value.refusal.detail
    verify(claim, Without(spoken(words)))


def test_no_shape_within_bounds_reaches_the_limit_of_time() -> None:
    increments = {chip.name: chip.clk_increment for chip in CHIPS}
    for kind in KINDS:
        highest = {slot.chip: slot.highest for slot in kind.slots}
        assert sum(increments[name] << height for name, height in highest.items()) + CLK_LIMIT < 2**29 + 2**24 < PRIME
        shape_rule(Checks(), kind, highest)


def test_shard_order_implies_that_memory_shards_come_last() -> None:
    """Whatever counts are stated: a list that is not in order is refused by `shard order`, with every condition of the chaining rule let through."""
    for size in range(1, 7):
        for kinds in product(range(len(KINDS)), repeat=size):
            headers = tuple(ShardHeader(i, kind, heights(), (0,) * len(KINDS[kind].publics)) for i, kind in enumerate(kinds, start=1))
            for first in range(size + 1):
                head = Head(Parameters(), MACHINE.digest, KEY, Statement(b"", (0,) * OUTPUT_DOUBLEWORDS, (first, size - first)), 0, headers)
                if list(kinds) == sorted(kinds) and first == kinds.count(EXECUTION_KIND):
                    check_chaining(Without(""), MACHINE, head)
                    continue
                with pytest.raises(RefusalError, match="shard order"):
                    check_chaining(Without(""), MACHINE, head)


def test_every_condition_is_listed() -> None:
    """As many conditions as the rules have; each entry's words are those of one of them."""
    source = inspect.getsource(chaining_rule) + inspect.getsource(shape_rule)
    conditions = source.count(" rule(") - source.count("def rule(") + source.count("checks.holds(") - 1
    assert conditions == len(RULES_NEEDED) + len(RULES_IMPLIED)
