"""The row checker, the bus balance, and the kit that mutates and weakens chips."""

import numpy as np
import pytest
import sample_chips as samples

from zkvm.air import Bus, Chip, Columns, TraceError, bit, column
from zkvm.air.backends.interpret import ExtraMessage, Trace, bus_balance, report
from zkvm.air.backends.markdown import chips_of_modules, main, page
from zkvm.air.testing import (
    assert_constraint_is_needed,
    assert_every_cell_matters,
    assert_message_is_needed,
    judge,
    recorded_traffic,
    unnoticed_mutations,
)
from zkvm.field.koala_bear import PRIME

RANGE_MEANING = {"range": lambda bits, value: bits == 16 and value < 2**16}


def test_report_names_rows_constraints_and_guards():
    matrices, publics = samples.fibonacci_trace()
    assert report(samples.FIBONACCI, matrices, publics)
    matrices["main"]["left"][3] += 1
    found = report(samples.FIBONACCI, matrices, publics)
    assert [(f.row, f.constraint) for f in found.failures] == [(2, "left moves on"), (3, "right is the sum")]
    assert str(found).splitlines()[0] == "fibonacci row 2: left moves on (on all rows but the last): 1, not 0"
    assert str(report(samples.FIBONACCI, matrices, publics, limit=1)).endswith("and 1 more")
    matrices["main"]["left"][3] -= 1
    assert report(samples.FIBONACCI, matrices, {**publics, "last": 5}).constraints == ("ends with the public term",)
    # The last row is followed by the first only for constraints that are not guarded.
    assert report(samples.FIBONACCI, matrices, {**publics, "left": 1}).failures[0].row == 0


def test_cells_must_be_canonical():
    matrices, publics = samples.fibonacci_trace()
    matrices["main"]["left"][3] = PRIME
    with pytest.raises(TraceError, match=r"main cell \(3, 0\) is 2130706433, not below p"):
        report(samples.FIBONACCI, matrices, publics)


def add_with_table():
    trace = samples.add_trace([(1, 2), (2**64 - 1, 1)])
    looked_up = np.concatenate([trace["main"][name][:2].ravel() for name in "abc"])
    return trace, samples.range_trace(looked_up)


def test_bus_balance_names_tuples_chips_and_rows():
    trace, table = add_with_table()
    entries = [(samples.ADD, trace), (samples.RANGE_TABLE, table)]
    assert bus_balance(entries)
    trace["main"]["b"][1][0] += 1
    found = bus_balance(entries)
    assert not found and found.buses == ("range",)
    by_values = {i.values: i for i in found.imbalances}
    assert by_values.keys() == {(16, 65536), (16, 65535)}
    sent = by_values[16, 65536]
    assert (sent.surplus, sent.origins[0].chip, sent.origins[0].row, sent.origins[0].message) == (
        1,
        "add",
        1,
        "b[0] is a limb",
    )
    assert by_values[16, 65535].surplus == -1
    assert "sent but not received" in str(found)


def test_local_buses_are_balanced_by_shard_and_global_ones_together():
    local, everywhere = Bus("local", 1, ("x",)), Bus("everywhere", 2, ("x",), scope="global")
    messages = [ExtraMessage(local, (7,), 1, shard=1), ExtraMessage(local, (7,), -1, shard=2)]
    found = bus_balance([], messages)
    assert [(i.shard, i.surplus) for i in found.imbalances] == [(1, 1), (2, -1)]
    assert bus_balance([], [ExtraMessage(everywhere, (7,), 1, shard=1), ExtraMessage(everywhere, (7,), -1, shard=2)])
    # p equal messages cancel in the field: that is what the verifier's bound on counts is for.
    assert bus_balance([], [ExtraMessage(local, (7,), PRIME)])
    with pytest.raises(TraceError, match="share identifier"):
        bus_balance([], [ExtraMessage(local, (7,), 1), ExtraMessage(Bus("other", 1, ("x",)), (7,), 1)])


def test_every_cell_of_a_real_row_matters_and_padding_is_free():
    trace = samples.add_trace([(1, 2), (2**64 - 1, 1), (2**40, 2**41)])
    off = {"is_real": "the sample has no state bus: nobody asked for these rows"}
    assert_every_cell_matters(samples.ADD, trace, rows=range(3), tables=RANGE_MEANING, free=off)
    assert {str(m) for m in unnoticed_mutations(samples.ADD, trace, rows=[1], tables=RANGE_MEANING)} == {
        "add.is_real row 1: 1 -> 0 (main)"
    }
    free = {m.column for m in unnoticed_mutations(samples.ADD, trace, rows=[5], tables=RANGE_MEANING)}
    assert free == {f"{name}[{i}]" for name in "abc" for i in range(4)} | {"is_real"}
    assert_every_cell_matters(
        samples.ADD,
        trace,
        rows=[5],
        tables=RANGE_MEANING,
        free={**off, **{f"{n}[*]": "padding touches no bus" for n in "abc"}},
    )
    with pytest.raises(AssertionError, match="nobody notices 49 mutations"):
        assert_every_cell_matters(samples.ADD, trace, rows=[5], tables=RANGE_MEANING)
    with pytest.raises(AssertionError, match="exemptions that nothing needs: a"):
        assert_every_cell_matters(
            samples.ADD, trace, rows=range(3), tables=RANGE_MEANING, free={**off, "a": "no reason"}
        )


def test_mutations_agree_with_the_judges():
    """
    The quick way, lane by lane, finds what changing the matrix and judging the whole finds: with next rows, guards,
    groups and both scopes.
    """
    matrices, publics = samples.fibonacci_trace(height=8)
    weak = samples.FIBONACCI.without_constraint("right is the sum")
    height = 8
    memory = {phase: samples.MEMORY_LIKE.empty(phase, height) for phase in ("fixed", "boundary", "main")}
    memory["fixed"]["weight"] = 1
    memory["boundary"]["is_open"][2] = 1
    memory["main"]["is_real"][:3] = 1
    memory["main"]["read"]["value"][:3] = [[1, 2], [3, 4], [5, 6]]
    memory["main"]["written"][:3] = [2, 12, 30]
    for chip, trace, public in ((weak, matrices, publics), (samples.MEMORY_LIKE, memory, {"shard": 3})):
        found = {
            (m.phase, m.column, m.row, m.new) for m in unnoticed_mutations(chip, trace, public, tables=RANGE_MEANING)
        }
        assert found == unnoticed_by_brute_force(chip, trace, public)


def unnoticed_by_brute_force(chip, matrices, publics):
    from zkvm.air.columns import column_names
    from zkvm.air.testing import DELTAS

    checked = {str(p): m.copy() for p, m in chip.matrices(matrices).items()}
    world = recorded_traffic(Trace(chip, checked, publics), RANGE_MEANING)
    result = set()
    for phase in ("boundary", "main"):
        for column_index, name in enumerate(column_names(chip.row, phase)):
            for row in range(len(checked[phase])):
                old = int(checked[phase][row, column_index])
                for delta in DELTAS:
                    checked[phase][row, column_index] = (old + delta) % PRIME
                    if judge([Trace(chip, checked, publics)], world, RANGE_MEANING).accepted:
                        result.add((phase, name, row, (old + delta) % PRIME))
                checked[phase][row, column_index] = old
    return result


def test_a_constraint_is_needed():
    # 2 + 3 = 6, by a carry out of limb 0 that is no bit and undone by no other limb.
    forged = samples.add_trace([(2, 3)])
    forged["main"]["a"][0][0] = 6
    forged["main"]["a"][0][1:] = 0
    with pytest.raises(AssertionError, match="not refused by constraint"):
        assert_constraint_is_needed(samples.ADD, "carry out of limb 0 is a bit", forged, tables=RANGE_MEANING)
    # In the last limb nothing follows the carry.
    forged = samples.add_trace([(2, 3)])
    forged["main"]["a"][0][3] = 1
    assert_constraint_is_needed(samples.ADD, "carry out of limb 3 is a bit", forged, tables=RANGE_MEANING)
    with pytest.raises(AssertionError, match="not refused by constraint"):
        assert_constraint_is_needed(
            samples.ADD, "carry out of limb 3 is a bit", samples.add_trace([(2, 3)]), tables=RANGE_MEANING
        )


def test_a_message_is_needed():
    # 2^16 as a limb of the result: the sum is right over the integers, the encoding is not.
    forged = samples.add_trace([(2**16 - 1, 1)])
    forged["main"]["a"][0][:2] = [2**16, 0]
    assert_message_is_needed(samples.ADD, "a[0] is a limb", forged, tables=RANGE_MEANING)
    with pytest.raises(AssertionError, match="refused even without message"):
        assert_message_is_needed(samples.ADD, "a[1] is a limb", forged, tables=RANGE_MEANING)


def test_pages(tmp_path):
    text = page(samples.MEMORY_LIKE)
    assert "`phase_of_four * (weight * address' - address * weight)`" in text
    assert (
        samples.MEMORY_LIKE.digest in text and "public(shard)" in text and "a multiplicity" in page(samples.RANGE_TABLE)
    )
    carry = "(b[0] + c[0] - a[0]) * 2^-16"
    assert f"| carry out of limb 0 is a bit | 3 | `is_real * {carry} * ({carry} - 1)` |" in page(samples.ADD)
    assert [c.name for c in chips_of_modules(["sample_chips"])] == []
    assert main([]) == 2
    assert main([str(tmp_path), "zkvm.chips.range"]) == 0
    assert (tmp_path / "range.md").read_text().startswith("# range\n")


def test_weak_chip_kit_on_a_toggle():
    class Row(Columns):
        is_real = bit("real")
        x = column("anything")

    chip = Chip("toggle", Row, lambda air, row: air.when(row.is_real).zero("x is next x", row.next.x - row.x))
    trace = {"main": chip.empty("main", 8)}
    trace["main"]["is_real"][:4] = 1
    # Row 4 is padding, but the last real row reads it.
    rows = {(m.column, m.row) for m in unnoticed_mutations(chip, trace)}
    assert rows == {("x", 5), ("x", 6), ("x", 7)} | {("is_real", row) for row in range(8)}
