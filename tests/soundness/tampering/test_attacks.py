"""
False statements about the toy machine, each told by the real prover with its self-checks off: refused, each for its
own reason.
"""

from dataclasses import replace

import pytest
from tamper import Taken
from toy_machine import (
    OUTPUT_ADDRESS,
    PARAMETERS,
    Toy,
    ToyRun,
    honest_proof,
    make_program,
    make_run,
    prove_bytes,
    toy,
    verify_bytes,
    verify_without,
)

from zkvm.protocol.errors import Reason
from zkvm.protocol.machine import Statement
from zkvm.protocol.verify import Accepted


def refused(run: ToyRun, reason: Reason, words: str, **arguments) -> None:
    refusal = verify_bytes(prove_bytes(run, self_checks=False, **arguments))
    assert not isinstance(refusal, Accepted)
    assert refusal.reason is reason and words in refusal.detail, refusal


def renumbered(run: ToyRun, shards: list, memory_shards: int = 1) -> ToyRun:
    """The run with other shards, indices and counts made consistent again."""
    shards = [replace(shard, header=replace(shard.header, index=i)) for i, shard in enumerate(shards, 1)]
    counts = (len(shards) - memory_shards, memory_shards)
    return ToyRun(replace(run.statement, shard_counts=counts), shards)


def with_publics(shard, **changes):
    """A shard that states other public values; "index" among them."""
    names = ("index", "start_step", "start_value", "end_step", "end_value", "halted")
    publics = dict(zip(names, shard.header.publics)) | changes
    return replace(shard, header=replace(shard.header, publics=tuple(publics.values())))


def test_swapped_shards():
    run = make_run()
    one, two, three, memory = run.shards
    refused(renumbered(run, [one, three, two, memory]), Reason.CHAINING, "shard 2: index")


def test_swapped_shards_with_their_indices_rewritten():
    run = make_run()
    one, two, three, memory = run.shards
    shards = [one, with_publics(three, index=2), with_publics(two, index=3), memory]
    refused(renumbered(run, shards), Reason.CHAINING, "end of shard 1")


def test_a_dropped_shard():
    run = make_run()
    one, _, three, memory = run.shards
    memory = replace(memory, header=replace(memory.header, publics=(3, *memory.header.publics[1:])))
    refused(renumbered(run, [one, with_publics(three, index=2), memory]), Reason.CHAINING, "end of shard 1")


def test_a_repeated_shard():
    run = make_run()
    one, two, three, memory = run.shards
    memory = replace(memory, header=replace(memory.header, publics=(5, *memory.header.publics[1:])))
    shards = [one, two, with_publics(two, index=3), with_publics(three, index=4), memory]
    refused(renumbered(run, shards), Reason.CHAINING, "end of shard 2")


def test_a_run_cut_off_before_it_halts():
    # Everything is consistent with a run of two shards; only the end is missing.
    whole, cut = make_run(shard_count=3), make_run(shard_count=2)
    assert whole.shards[0].header.publics[2:4] == cut.shards[0].header.publics[2:4]
    last = cut.shards[1]
    last.rows["counter"]["main"]["halts"] = 0
    cut.shards[1] = with_publics(last, halted=0)
    refused(cut, Reason.CHAINING, "the last shard does not halt")


def test_a_run_cut_off_that_claims_to_have_halted():
    cut = make_run(shard_count=2)
    cut.shards[1].rows["counter"]["main"]["halts"] = 0
    refused(cut, Reason.BUS, "local sums: shard 2")


def test_a_shard_after_the_halting_one():
    run = make_run(shard_count=2)
    run.shards[0].rows["counter"]["main"]["halts"][39] = 1
    run.shards[0] = with_publics(run.shards[0], halted=1)
    refused(run, Reason.CHAINING, "end of shard 1")


def test_a_wrong_output():
    run = make_run()
    run.statement = replace(run.statement, output=b"\x10\x00")
    refused(run, Reason.BUS, "global sums")


def test_an_output_whose_last_shard_is_not_the_last():
    run = make_run()
    run.statement = replace(run.statement, last_shards=(2,))
    refused(run, Reason.BUS, "global sums")


def test_an_output_that_a_memory_shard_opens_as_well():
    # A second first token for OUTPUT would let the verifier's own pair cancel against itself.
    last = make_run().shards[2].header.index
    run = make_run(extra_cells=[(OUTPUT_ADDRESS, 15, last)])
    run.shards[3].rows["image"]["main"]["gap"][:] = 0
    refused(run, Reason.CHAINING, "OUTPUT is the verifier's")


def test_another_program():
    key, tables = make_program(toy().machine, bonuses=[1] * 64)
    other = Toy(toy().machine, key, {**toy().tables, "program": tables})
    proof = prove_bytes(make_run(bonuses=[1] * 64), made_of=other)
    accepted = verify_bytes(proof)
    assert isinstance(accepted, Accepted)
    wanted = toy().machine.program_id(toy().key)
    assert accepted.program_id != wanted
    refusal = verify_bytes(proof, program_id=wanted)
    assert refusal.reason is Reason.PROGRAM and "another program" in refusal.detail


def test_another_program_under_this_programs_key():
    _, tables = make_program(toy().machine, bonuses=[1] * 64)
    mixed = Toy(toy().machine, toy().key, {**toy().tables, "program": tables})
    proof = prove_bytes(make_run(bonuses=[1] * 64), made_of=mixed, self_checks=False)
    refusal = verify_bytes(proof)
    assert refusal.reason is Reason.OPENING and "program tree" in refusal.detail


def test_another_entry():
    refused(make_run(entry=8), Reason.CHAINING, "start of the run")


def test_a_step_that_the_program_does_not_allow():
    run = make_run()
    row = run.shards[1].rows["counter"]["main"][39]
    row["bonus"] += 1
    run.shards[1] = with_publics(run.shards[1], end_value=run.shards[1].header.publics[4] + 1)
    run.shards[2].rows["counter"]["main"]["value"] += 1
    start, end = run.shards[2].header.publics[2], run.shards[2].header.publics[4]
    run.shards[2] = with_publics(run.shards[2], start_value=start + 1, end_value=end + 1)
    refused(run, Reason.BUS, "local sums: shard 2")


def test_a_stale_token():
    # Shard 3 takes up its cells as shard 1 left them: shard 2's touches are lost, all else is consistent.
    refused(make_run(stale={3: 1}), Reason.BUS, "global sums")


def test_a_cell_that_starts_anew():
    refused(make_run(stale={3: 0}), Reason.BUS, "global sums")


def orphaned_cell() -> tuple[int, int, int]:
    """Cell 10 as shard 2 leaves it: what a second chain of tokens would end with."""
    edge = make_run().shards[1].rows["boundary"]["boundary"]
    (row,) = edge[edge["address"] == 10]
    return (10, int(row["last"]), 2)


def test_a_second_initial_token_in_one_memory_shard():
    # Given a cell that starts anew in shard 3, and an image with two rows for it, so that all tokens cancel.
    proof = prove_bytes(make_run(stale={3: 0}, extra_cells=[orphaned_cell()]), self_checks=False)
    # Then the step from one row to the other is -1, which no range check passes; and only that is wrong.
    refusal = verify_bytes(proof)
    assert refusal.reason is Reason.BUS and "local sums: shard 4" in refusal.detail
    assert isinstance(verify_without(proof, "local sums"), Accepted)


def test_a_second_initial_token_in_two_memory_shards():
    # Given the same with one row in each memory shard.
    proof = prove_bytes(make_run(memory_shards=5, stale={3: 0}, extra_cells=[orphaned_cell()]), self_checks=False)
    # Then the shards' first and last addresses do not ascend; and only that is wrong.
    refusal = verify_bytes(proof)
    assert refusal.reason is Reason.CHAINING and "memory addresses ascend" in refusal.detail
    assert isinstance(verify_without(proof, "machine's own chaining rule"), Accepted)


def test_memory_shards_out_of_order():
    run = make_run(memory_shards=2)
    one, two, three, low, high = run.shards

    def moved(shard, index):
        return replace(shard, header=replace(shard.header, publics=(index, *shard.header.publics[1:])))

    refused(
        renumbered(run, [one, two, three, moved(high, 4), moved(low, 5)], 2), Reason.CHAINING, "memory addresses ascend"
    )


def test_a_cell_that_no_memory_shard_lists():
    run = make_run()
    image = run.shards[3].rows["image"]["boundary"]
    # The last real row becomes padding, which repeats the address before it.
    last = int(image["is_real"].sum()) - 1
    image["is_real"][last] = 0
    image["address"][last:] = image["address"][last - 1]
    run.shards[3].rows["image"]["main"]["gap"][last - 1] = 0
    header = run.shards[3].header
    publics = (*header.publics[:2], int(image["address"][-1]))
    run.shards[3] = replace(run.shards[3], header=replace(header, publics=publics))
    refused(run, Reason.BUS, "global sums")


def test_a_token_from_a_later_shard():
    run = make_run()
    edge = run.shards[0].rows["boundary"]["boundary"]
    edge["previous"][0] = 2
    refused(run, Reason.BUS, "local sums: shard 1")


def test_a_shard_of_another_proof():
    # Given two proofs of the same program, both accepted, one shard is exchanged, header and all.
    other = prove_bytes(make_run(seed=5))
    assert isinstance(verify_bytes(other), Accepted)
    mine, theirs = Taken(honest_proof()), Taken(other)
    positions = mine.head_positions()
    for name in ("heights", "publics", "boundary root"):
        first, count = positions[f"shard 2 {name}"]
        mine.words[first : first + count] = theirs.words[first : first + count]
    mine.shards[1] = theirs.shards[1]
    assert verify_bytes(mine.bytes()).reason in (Reason.CHAINING, Reason.BUS)
    # The body alone does not fit either.
    mine = Taken(honest_proof())
    mine.shards[1] = theirs.shards[1]
    assert verify_bytes(mine.bytes()).reason is Reason.BUS


def test_bodies_of_two_shards_exchanged():
    taken = Taken(honest_proof())
    taken.shards[0], taken.shards[2] = taken.shards[2], taken.shards[0]
    assert verify_bytes(taken.bytes()).reason is Reason.BUS


def test_a_table_that_receives_what_is_not_in_it():
    run = make_run()
    counter = run.shards[0].rows["counter"]["main"]
    row = next(i for i in range(40) if counter["increment"][i] == 31)
    counter["increment"][row] = 32
    counter["bonus"][row] = (int(counter["bonus"][row]) - 1) % (2**31 - 2**24 + 1)
    refused(run, Reason.BUS, "local sums: shard 1")


@pytest.mark.parametrize(
    "column", ["step", "value", "increment", "operation", "bonus", "address", "count", "is_real", "halts", "touches"]
)
def test_any_cell_of_a_real_row_changed(column):
    run = make_run()
    rows = run.shards[1].rows["counter"]["main"]
    # Row 3 is a tick and touches a cell, so that every cell of it is on some bus or in some constraint.
    assert rows["touches"][3] == 1
    rows[column][3] = 1 - rows[column][3] if column in ("is_real", "halts", "touches") else rows[column][3] + 1
    refusal = verify_bytes(prove_bytes(run, self_checks=False))
    assert refusal.reason in (Reason.BUS, Reason.CONSTRAINT)


def test_more_bits_are_not_claimed_than_there_are():
    stronger = PARAMETERS.with_changes(query_count=24)
    assert verify_bytes(prove_bytes(make_run(shard_count=1), stronger)).bits > verify_bytes(honest_proof()).bits


def test_the_statement_has_one_digest():
    statement = make_run().statement
    digests = {
        statement.digest(),
        replace(statement, output=b"\x10\x00").digest(),
        replace(statement, output=b"\x0f\x00\x00").digest(),
        replace(statement, last_shards=(2,)).digest(),
        replace(statement, shard_counts=(2, 2)).digest(),
        Statement(b"", (), ()).digest(),
    }
    assert len(digests) == 6
