"""What the language accepts, computes and refuses."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sample_chips as samples

from zkvm.air import (
    Bus,
    Chip,
    Columns,
    DeclarationError,
    TraceError,
    bit,
    boundary,
    boundary_bit,
    column,
    fixed,
    flatten,
    group,
    limbs,
    periodic,
)
from zkvm.air.backends.digest import machine_digest
from zkvm.air.backends.parameters import parameters
from zkvm.air.columns import column_names
from zkvm.air.expression import PHASES, Phase
from zkvm.field.koala_bear import PRIME


class Row(Columns):
    a = column("a")
    b = column("b")
    flag = bit("flag")
    early = boundary("early")
    early_bit = boundary_bit("early bit")
    table = fixed("table")


BUS = Bus("bus", 1, ("x",))
GLOBAL = Bus("global", 2, ("x",), scope="global")


def declare(constrain, row=Row, name="sample", **options):
    return Chip(name, row, constrain, **options)


def refused(constrain, match, row=Row, **options):
    with pytest.raises(DeclarationError, match=match):
        declare(constrain, row, **options)


def test_records_and_matrix_share_memory():
    rows = samples.ADD.empty("main", 32)
    rows["a"][3][1] = 77
    rows[4]["c"][3] = 5
    matrix = samples.ADD.matrices({"main": rows})[Phase.MAIN]
    assert matrix.shape == (32, 13) and matrix[3, 2] == 77 and matrix[4, 12] == 5
    assert np.shares_memory(rows, matrix)
    assert column_names(samples.AddRow, Phase.MAIN)[:3] == ["is_real", "a[0]", "a[1]"]


def test_groups_and_arrays_are_numbered_as_the_record_lays_them_out():
    names = column_names(samples.MemoryRow, "main")
    assert names == [
        "is_real", "address", "clk",
        "read[0].previous_clk", "read[0].value", "read[1].previous_clk", "read[1].value", "written",
    ]  # fmt: skip
    rows = samples.MEMORY_LIKE.empty("main", 4)
    rows["read"]["value"][2, 1] = 9
    assert rows.view(np.uint32).reshape(4, -1)[2, names.index("read[1].value")] == 9

    class Nested(Columns):
        state = column("a grid", count=(2, 3))
        x = bit("x")

    def constrain(air, row):
        cells = flatten(row.state)
        assert [c.value[1] for c in cells] == list(range(6)) and row.state[1][2] is cells[5]
        air.zero("uses the grid", row.state[1][2])

    assert declare(constrain, Nested).widths[Phase.MAIN] == 7


def test_equal_expressions_are_one_node_and_constants_fold():
    def constrain(air, row):
        assert row.a + row.b is row.b + row.a and row.a * row.b is row.b * row.a
        assert row.a * 1 is row.a and row.a + 0 is row.a and (row.a * 0).is_constant
        assert (row.a - row.a).value == 0 and (0 - (0 - row.a)) is row.a
        assert (air.constant(3) - 5).value == PRIME - 2
        assert (row.a / 2) * 1 is row.a * ((PRIME + 1) // 2)
        assert (row.a**3).degree == 3
        air.zero("z", row.a)

    declare(constrain)


def test_facts_are_computed():
    chip = samples.MEMORY_LIKE
    assert chip.degree == 3
    assert chip.next_columns == {Phase.FIXED: (), Phase.BOUNDARY: (), Phase.MAIN: (0, 1)}
    assert chip.minimum_height == 4
    assert chip.auxiliary_next_columns == tuple(range(10, 15)) + tuple(range(20, 25))
    assert [m.maximum_count for m in chip.messages] == [1, 1, 1, 1, 1, 1, 2, 1]
    assert samples.RANGE_TABLE.messages[0].maximum_count is None
    figures = parameters(chip)
    assert figures.cells_per_row == 4 + 8 + 25 + 10
    assert figures.opened_values == 1 + 4 + 8 + 25 + 10 + 2 + 10
    assert figures.count_bounds == {"memory": 4, "range": 1, "token": 4}
    # A bit column brings its constraint, first and named.
    assert samples.ADD.constraints[0].name == "is_real is a bit"


@pytest.mark.parametrize("fractions", [1, 2, 3])
def test_groups_respect_degree_and_size(fractions):
    chip = Chip("memory_like", samples.MemoryRow, samples.memory_constraints, fractions_per_column=fractions)
    groups = chip.auxiliary.groups
    assert all(g.degree <= 3 and len(g.messages) <= fractions for g in groups)
    assert sorted(j for g in groups for j in g.messages) == list(range(len(chip.messages)))
    assert [g.column for g in groups] == list(range(len(groups)))
    # Numerators and denominators of degree 1 allow two fractions at degree 3; three never fit.
    assert len(groups) == {1: 8, 2: 5, 3: 5}[fractions]


def test_refusals_of_constraints():
    refused(lambda air, row: (air.zero("n", row.a), air.zero("n", row.b)), "two constraints are named 'n'")
    refused(lambda air, row: air.zero("flag is a bit", row.a), "two constraints are named")
    refused(lambda air, row: air.zero(" ", row.a), "no name")
    refused(lambda air, row: air.zero("n", row.a**4), "degree 4; the maximum is 3")
    refused(lambda air, row: air.on_transition().zero("n", row.a**3), "degree 4")
    refused(lambda air, row: air.zero("n", row.a - row.a), "holds always")
    refused(lambda air, row: air.zero("n", 5), "can never hold")
    refused(lambda air, row: air.zero("n", row.c), "no column 'c'")
    refused(lambda air, row: air.zero("n", 1 if row.a else 0), "truth value")
    refused(lambda air, row: air.zero("n", row.a < row.b), "no order")
    refused(lambda air, row: air.zero("n", row.a / 0), "divided by a non-zero integer")
    refused(lambda air, row: air.zero("n", row.a / row.b), "divided by a non-zero integer")
    refused(lambda air, row: air.zero("n", "a"), "neither an expression nor an integer")
    refused(lambda air, row: None, "neither constraints nor messages", row=type("R", (Columns,), {"x": column("x")}))
    refused(lambda air, row: setattr(row, "a", 1), "not assigned")
    kept = []
    declare(lambda air, row: (kept.append(row.a), air.zero("n", row.a)))
    refused(lambda air, row: air.zero("n", kept[0]), "used in another")


def test_refusals_of_messages():
    refused(lambda air, row: air.send(BUS, row.a, row.b, count=1), "has 2 values; bus bus takes 1")
    refused(lambda air, row: air.send(BUS, row.a, count=0), "its count is 0")
    refused(lambda air, row: air.send("bus", row.a, count=1), "is not a bus")
    refused(
        lambda air, row: [air.send(BUS, row.a, count=1, label="l") for _ in range(2)], "two messages are labelled 'l'"
    )
    refused(lambda air, row: air.send(BUS, row.a**3, count=1), "degree 4")
    refused(lambda air, row: air.send(BUS, row.a, count=row.b**4), "degree 4")
    refused(
        lambda air, row: (air.send(BUS, row.a, count=1), air.send(Bus("bus", 9, ("x",)), row.a, count=1)),
        "two different buses",
    )


def test_largest_counts_are_read_off():
    def bounds(count, **options):
        def constrain(air, row):
            air.bit("a is a bit", row.a)
            air.bit("at most one", row.a + row.flag)
            air.send(BUS, 1, count=count(row), **options)

        return declare(constrain).messages[0].maximum_count

    assert bounds(lambda row: row.flag) == bounds(lambda row: row.a) == bounds(lambda row: row.next.flag) == 1
    assert (
        bounds(lambda row: row.a + row.flag)
        == bounds(lambda row: 1 - row.a)
        == bounds(lambda row: row.a * row.flag)
        == 1
    )
    assert bounds(lambda row: row.a + row.early_bit) == bounds(lambda row: -2 * row.a) == 2
    assert bounds(lambda row: row.b, maximum_count=7) == 7
    assert bounds(lambda row: row.b, maximum_count=None) is None
    refused(lambda air, row: air.send(BUS, 1, count=row.b), "no bound of its count can be read off")
    refused(lambda air, row: air.send(BUS, 1, count=row.a), "no bound of its count can be read off")
    refused(lambda air, row: air.receive(BUS, 1, count=row.b + row.flag), "no bound of its count can be read off")
    refused(lambda air, row: (air.when(row.flag).bit("g", row.a), air.send(BUS, 1, count=row.a)), "no bound")
    refused(lambda air, row: air.send(BUS, 1, count=row.b, maximum_count=0), "a positive integer")
    table = declare(lambda air, row: air.receive(BUS, 1, count=row.b))
    assert table.messages[0].maximum_count is None


def test_global_messages_are_settled_before_the_challenge():
    declare(lambda air, row: air.send(GLOBAL, row.early + row.table * air.public("p"), count=row.early_bit))
    refused(lambda air, row: air.send(GLOBAL, row.early + row.a, count=1), "uses a main-phase column")
    refused(lambda air, row: air.send(GLOBAL, row.early, count=row.flag), "uses a main-phase column")
    refused(lambda air, row: air.on_first_row().send(GLOBAL, row.early, count=1), "uses a row selector")
    refused(lambda air, row: air.when(row.flag).send(GLOBAL, row.early, count=1), "uses a main-phase column")


def test_refusals_of_columns():
    with pytest.raises(DeclarationError, match="power of two"):
        periodic([1, 2, 3], "three")
    with pytest.raises(DeclarationError, match="canonical"):
        periodic([PRIME], "p")
    with pytest.raises(DeclarationError, match="sentence"):
        column("")
    with pytest.raises(DeclarationError, match="positive size"):
        limbs("none", count=0)
    with pytest.raises(DeclarationError, match="subclass of Columns"):
        group(int, "no")
    with pytest.raises(DeclarationError, match="the name is taken"):
        type("R", (Columns,), {"next": column("x")})
    with pytest.raises(DeclarationError, match="not a column declaration"):
        type("R", (Columns,), {"x": 5})
    with pytest.raises(DeclarationError, match="width|field"):
        Bus("b", 1, ())
    with pytest.raises(DeclarationError, match="identifier"):
        Bus("b", 0, ("x",))
    with pytest.raises(DeclarationError, match="scope"):
        Bus("b", 1, ("x",), scope="shard")


def test_refusals_of_matrices():
    matrices, publics = samples.fibonacci_trace()
    chip = samples.FIBONACCI
    with pytest.raises(TraceError, match="is missing"):
        chip.matrices({})
    with pytest.raises(TraceError, match="no phase"):
        chip.matrices({**matrices, "third": matrices["main"]})
    with pytest.raises(TraceError, match="not uint32"):
        chip.matrices({"main": np.zeros((32, 2), dtype=np.uint64)})
    with pytest.raises(TraceError, match="not uint32"):
        chip.matrices({"main": np.zeros((32, 3), dtype=np.uint32)})
    with pytest.raises(TraceError, match="power of two"):
        chip.matrices({"main": np.zeros((33, 2), dtype=np.uint32)})
    with pytest.raises(TraceError, match="of at least 4"):
        samples.MEMORY_LIKE.matrices(
            {p: np.zeros((2, w), dtype=np.uint32) for p, w in samples.MEMORY_LIKE.widths.items()}
        )
    with pytest.raises(TraceError, match="another"):
        samples.RANGE_TABLE.matrices(
            {"fixed": np.zeros((4, 2), dtype=np.uint32), "main": np.zeros((8, 1), dtype=np.uint32)}
        )
    with pytest.raises(TraceError, match="public value 'last' is missing"):
        chip.public_values({"left": 1})
    with pytest.raises(TraceError, match="not a canonical element"):
        chip.public_values({"left": 1, "last": PRIME})
    assert publics


def test_digest_follows_every_constraint_and_message():
    seen = {chip.digest for chip in samples.SAMPLES}
    assert len(seen) == len(samples.SAMPLES)
    for chip in samples.SAMPLES:
        variants = [chip.without_constraint(c.name) for c in chip.constraints]
        variants += [chip.without_message(m.label) for m in chip.messages]
        for variant in variants:
            assert variant.digest not in seen
            seen.add(variant.digest)
    assert Chip("memory_like", samples.MemoryRow, samples.memory_constraints, clk_increment=5).digest not in seen
    assert (
        Chip(
            "memory_like", samples.MemoryRow, samples.memory_constraints, clk_increment=4, fractions_per_column=1
        ).digest
        not in seen
    )
    same = Chip("memory_like", samples.MemoryRow, samples.memory_constraints, clk_increment=4)
    assert same.digest == samples.MEMORY_LIKE.digest


def test_digest_is_the_same_in_every_process():
    script = "import sample_chips, zkvm.air.backends.digest as d; print(d.machine_digest(sample_chips.SAMPLES))"
    folder = Path(__file__).parent
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
        output = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert output.stdout.strip() == machine_digest(samples.SAMPLES)


def test_removal_of_what_is_not_there():
    with pytest.raises(DeclarationError, match="no constraint"):
        samples.ADD.without_constraint("nothing")
    with pytest.raises(DeclarationError, match="no message"):
        samples.ADD.without_message("nothing")
    assert len(samples.ADD.without_message(3).messages) == 11
    assert list(PHASES) == ["fixed", "boundary", "main"]
