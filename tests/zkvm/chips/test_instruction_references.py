"""The plain meaning of each chip against the reference machine's, and against the manual's own tables."""

import random

import pytest
from instructions_kit import EDGES, chip_named, operations_of

from zkvm.isa.instructions import Operation
from zkvm.machine.reference import compute, is_taken

ALL_ONES = 2**64 - 1
LEAST = 2**63
LEAST_WORD = 2**64 - 2**31


@pytest.mark.parametrize("name", ["add", "add_word", "bitwise", "shift", "less_than", "multiply", "divide"])
def test_results_are_the_reference_machines(name: str) -> None:
    reference = chip_named(name).reference
    assert reference is not None
    source = random.Random(name)
    pairs = [(a, b) for a in EDGES for b in EDGES] + [
        (source.getrandbits(64), source.getrandbits(64)) for _ in range(300)
    ]
    for operation in operations_of(name):
        for a, b in pairs:
            assert reference(operation, a, b) == compute(operation, a, b), (operation.name, a, b)


def test_branches_are_the_reference_machines() -> None:
    reference = chip_named("branch").reference
    assert reference is not None
    for operation in operations_of("branch"):
        for a in EDGES:
            for b in EDGES:
                assert reference(operation, a, b) == is_taken(operation, a, b), (operation.name, a, b)


@pytest.mark.parametrize(
    ("operation", "a", "b", "result"),
    [
        # The manual's table of division by zero and overflow (M extension, table "Semantics for division by zero ..").
        (Operation.DIVU, 7, 0, ALL_ONES),
        (Operation.REMU, 7, 0, 7),
        (Operation.DIV, 7, 0, ALL_ONES),
        (Operation.DIV, ALL_ONES - 6, 0, ALL_ONES),
        (Operation.REM, ALL_ONES - 6, 0, ALL_ONES - 6),
        (Operation.DIV, LEAST, ALL_ONES, LEAST),
        (Operation.REM, LEAST, ALL_ONES, 0),
        (Operation.DIVUW, 7, 1 << 32, ALL_ONES),
        (Operation.REMUW, 0x8000_0000, 0, LEAST_WORD),
        (Operation.DIVW, LEAST_WORD, ALL_ONES, LEAST_WORD),
        (Operation.REMW, LEAST_WORD, ALL_ONES, 0),
        # Signs: the quotient is rounded towards zero, the remainder has the dividend's sign.
        (Operation.DIV, ALL_ONES - 6, 2, ALL_ONES - 2),
        (Operation.REM, ALL_ONES - 6, 2, ALL_ONES),
        (Operation.REM, 7, ALL_ONES - 1, 1),
    ],
)
def test_division_by_the_manual(operation: Operation, a: int, b: int, result: int) -> None:
    reference = chip_named("divide").reference
    assert reference is not None and reference(operation, a, b) == result


def test_jumps() -> None:
    reference = chip_named("jump").reference
    assert reference is not None
    assert reference(Operation.JAL, 0x20_0000, 5, 0x20_1000) == (0x20_1000, 0x20_0004)
    assert reference(Operation.JALR, 0x20_0000, 0x20_2001, ALL_ONES) == (0x20_2000, 0x20_0004)
    assert reference(Operation.JALR, 0x20_0000, 0x20_2000, 5) == (0x20_2004, 0x20_0004)
