"""What a shape determines; and machines that contradict themselves."""

from dataclasses import replace
from math import prod

import pytest
from toy_machine import (
    BOUNDARY,
    COUNTER,
    EXECUTION,
    MEMORY,
    PARAMETERS,
    PROGRAM_TABLE,
    RANGE_TABLE,
    STATE,
    honest_run,
    toy,
)

from zkvm.air import Bus, Chip, Columns, column
from zkvm.field.koala_bear import PRIME
from zkvm.protocol.checks import Checks
from zkvm.protocol.errors import MachineError, Reason, RefusalError
from zkvm.protocol.machine import Machine, ShardKind, Slot
from zkvm.protocol.plan import ShardPlan, check_counts, check_shape


def plan_of(shard: int) -> ShardPlan:
    return ShardPlan.of(toy().machine, toy().key, honest_run().headers[shard - 1], PARAMETERS)


def test_trees_hold_the_chips_that_have_columns_in_their_phase():
    trees = {tree.name: [entry.chip for entry in tree.entries] for tree in plan_of(1).trees}
    assert trees == {
        "machine": ["range", "square"],
        "program": ["program"],
        "boundary": ["boundary"],
        "main": ["counter", "program", "range"],
        "auxiliary": ["counter", "boundary", "program", "range"],
        "quotient": ["counter", "boundary", "program", "range"],
    }
    assert [tree.name for tree in plan_of(4).trees] == ["machine", "boundary", "main", "auxiliary", "quotient"]


@pytest.mark.parametrize("shard", [1, 4])
def test_openings_are_numbered_without_gaps(shard):
    plan = plan_of(shard)
    numbers = [o.first + i for o in plan.openings for i in range(len(o.columns))]
    assert numbers == list(range(plan.opened_count))
    assert 2 ** (plan.batching_challenge_count - 1) < plan.opened_count <= 2**plan.batching_challenge_count


def test_only_columns_read_on_the_next_row_are_opened_twice():
    plan = plan_of(1)
    twice = {
        (plan.trees[o.tree].name, plan.trees[o.tree].entries[o.entry].chip): o.columns
        for o in plan.openings
        if o.is_next
    }
    # The counter reads is_real; every chip its accumulators, five base columns each.
    assert twice["main", "counter"] == (0,)
    assert {key for key in twice if key[0] != "main"} == {
        ("auxiliary", c) for c in ("counter", "boundary", "program", "range")
    }
    assert len(twice["auxiliary", "boundary"]) == 10
    assert len(twice["auxiliary", "range"]) == 5


def test_the_length_of_a_proof_is_that_of_its_fields():
    plan = plan_of(1)
    assert plan.element_count == sum(prod(shape) for _, shape in plan.schema)
    assert len({name for name, _ in plan.schema}) == len(plan.schema)


def test_sums_and_openings_are_found_by_chip():
    plan = plan_of(1)
    assert {chip: tuple(scopes) for chip, scopes in plan.sums_by_chip(range(5)).items()} == {
        "counter": ("local",), "boundary": ("local", "global"), "program": ("local",), "range": ("local",),
    }  # fmt: skip
    at_point, at_next = plan.opened_of("program", list(range(plan.opened_count)))
    assert {phase: len(values) for phase, values in at_point.items()} == {
        "fixed": 2,
        "main": 1,
        "auxiliary": 5,
        "quotient": 10,
    }
    assert {phase: len(values) for phase, values in at_next.items()} == {"auxiliary": 5}


@pytest.mark.parametrize(("heights", "words"), [
    ((6, 5, 0, 6, 0, 0), "range is missing"),
    ((6, 5, 5, 6, 5, 0), "image in a execution shard"),
    ((13, 5, 0, 6, 5, 0), "counter 2^13"),
    ((4, 5, 0, 6, 5, 0), "counter 2^4"),
    ((6, 5, 0, 7, 5, 0), "program 2^7"),
    ((6, 5, 0, 6, 6, 0), "range 2^6"),
    ((PRIME - 1, 5, 0, 6, 5, 0), "counter 2^"),
])  # fmt: skip
def test_shapes_that_the_machine_does_not_allow(heights, words):
    header = replace(honest_run().headers[0], log_heights=heights)
    with pytest.raises(RefusalError) as refused:
        check_shape(Checks(), toy().machine, toy().key, header)
    assert refused.value.refusal.reason is Reason.SHAPE and words in refused.value.refusal.detail


def test_counts_add_up_over_all_shards_on_global_buses():
    # Each shard of the toy puts 2 * 32 tokens on the bus at most: more shards than that reach p.
    header = honest_run().headers[0]
    check_counts(Checks(), toy().machine, [header] * 100, ())
    tall = replace(header, log_heights=(12, 12, 0, 6, 5, 0))
    check_counts(Checks(), toy().machine, [tall] * 1000, ())
    with pytest.raises(RefusalError, match="token, over all shards"):
        check_counts(Checks(), toy().machine, [tall] * (PRIME // 2**13 + 1), ())


def machine_with(**changes) -> Machine:
    machine = toy().machine
    described = {
        "name": machine.name,
        "chips": machine.chips,
        "kinds": machine.kinds,
        "tables": machine.tables,
        "program_tables": machine.program_tables,
    }
    return Machine(**{**described, **changes})


class StrangeRow(Columns):
    value = column("a value")


def test_machines_that_contradict_themselves():
    def other(air, row):
        air.send(Bus("elsewhere", STATE.identifier, ("value",)), row.value, count=1)

    strange = Chip("strange", StrangeRow, other)
    for changes, words in (
        ({"chips": (COUNTER, COUNTER)}, "one name"),
        ({"program_tables": ()}, "fixed columns"),
        ({"chips": (*toy().machine.chips, strange)}, "identifier"),
        ({"kinds": (ShardKind("k", (Slot("absent"),), ()),)}, "no chip absent"),
        ({"kinds": (replace(EXECUTION, publics=("index",)),)}, "lacks publics"),
        ({"kinds": (ShardKind("k", (Slot("range", lowest=4),), ()),)}, "heights"),
        ({"kinds": (ShardKind("k", (Slot("range", highest=23),), ()),)}, "heights"),
    ):
        with pytest.raises(MachineError, match=words):
            machine_with(**changes)
    assert machine_with().digest != toy().machine.digest  # the layout is missing


def test_the_machines_digest_moves_with_everything_in_it():
    machine = toy().machine
    digests = {
        machine.digest,
        replace(machine, name="other").digest,
        replace(machine, layout=(1,)).digest,
        replace(machine, kinds=(MEMORY, EXECUTION)).digest,
        replace(machine, kinds=(replace(EXECUTION, slots=EXECUTION.slots[::-1]), MEMORY)).digest,
        replace(machine, tables=replace(machine.tables, root=(1,) * 9)).digest,
        replace(machine, output_words=2).digest,
        replace(machine, chips=(COUNTER.without_constraint("a tick adds nothing"), *machine.chips[1:])).digest,
        replace(machine, chips=(machine.chips[0], BOUNDARY.without_message("token in"), *machine.chips[2:])).digest,
    }
    assert len(digests) == 9
    assert PROGRAM_TABLE in machine.chips and RANGE_TABLE in machine.chips


def test_the_program_id_moves_with_everything_in_the_key():
    machine, key = toy().machine, toy().key
    ids = {
        machine.program_id(key),
        machine.program_id(replace(key, entry=8)),
        machine.program_id(replace(key, log_heights=(7,))),
        machine.program_id(replace(key, root=(1,) * 9)),
        replace(machine, layout=(1,)).program_id(key),
    }
    assert len(ids) == 5
