"""Small chips and valid traces of them, which the tests of the language share."""

import numpy as np

from zkvm.air import (
    Bus,
    Chip,
    Columns,
    bit,
    boundary,
    boundary_bit,
    boundary_limbs,
    column,
    fixed,
    group,
    limbs,
    periodic,
)
from zkvm.air.expression import Phase

RANGE = Bus("range", 5, ("bits", "value"))
MEMORY = Bus("memory", 3, ("address", "clk", "value"))
TOKEN = Bus("token", 7, ("address", "low", "high"), scope="global")


class FibonacciRow(Columns):
    left = column("term number i")
    right = column("term number i + 1")


def fibonacci_constraints(air, row):
    air.on_first_row().equal("starts with the public left term", row.left, air.public("left"))
    air.on_first_row().equal("starts with 1", row.right, 1)
    air.on_transition().equal("left moves on", row.next.left, row.right)
    air.on_transition().equal("right is the sum", row.next.right, row.left + row.right)
    air.on_last_row().equal("ends with the public term", row.right, air.public("last"))


FIBONACCI = Chip("fibonacci", FibonacciRow, fibonacci_constraints)


def fibonacci_trace(height=32, left=0, right=1):
    rows = FIBONACCI.empty("main", height)
    a, b = left, right
    for row in rows:
        row["left"], row["right"] = a, b
        a, b = b, (a + b) % (2**31 - 2**24 + 1)
    return {Phase.MAIN: rows}, {"left": left, "last": int(rows["right"][-1])}


LIMB = 2**16


class AddRow(Columns):
    is_real = bit("this row adds")
    a = limbs("the sum", count=4)
    b = limbs("the first operand", count=4)
    c = limbs("the second operand", count=4)


def add_constraints(air, row):
    # carry = (b + c + carry_in - a) / 2^16; with 16-bit limbs a carry that is a bit makes the equation true over the
    # integers.
    carry = 0
    for i in range(4):
        carry = (row.b[i] + row.c[i] + carry - row.a[i]) / LIMB
        air.when(row.is_real).bit(f"carry out of limb {i} is a bit", carry)
    for name in "abc":
        for i in range(4):
            air.send(RANGE, 16, getattr(row, name)[i], count=row.is_real, label=f"{name}[{i}] is a limb")


ADD = Chip("add", AddRow, add_constraints, clk_increment=4)


class RangeRow(Columns):
    bits = fixed("the bound is 2^bits")
    value = fixed("a value below it")
    multiplicity = column("how often it is looked up")


def range_constraints(air, row):
    air.receive(RANGE, row.bits, row.value, count=row.multiplicity, label="table")


RANGE_TABLE = Chip("range", RangeRow, range_constraints)


def add_trace(operands, height=32):
    rows = ADD.empty("main", height)
    for row, (b, c) in zip(rows, operands):
        row["is_real"] = 1
        for name, value in (("a", (b + c) % 2**64), ("b", b), ("c", c)):
            row[name] = [value >> (16 * i) & 0xFFFF for i in range(4)]
    return {Phase.MAIN: rows}


def range_trace(limbs_looked_up, log_height=16):
    fixed_rows = RANGE_TABLE.empty("fixed", 2**log_height)
    fixed_rows["bits"] = 16
    fixed_rows["value"] = np.arange(2**log_height)
    main_rows = RANGE_TABLE.empty("main", 2**log_height)
    np.add.at(main_rows["multiplicity"], limbs_looked_up, 1)
    return {Phase.FIXED: fixed_rows, Phase.MAIN: main_rows}


class AccessRow(Columns):
    previous_clk = column("clock of the last access")
    value = column("what it left")


class MemoryRow(Columns):
    """A memory-like chip with every kind of column: fixed, boundary, main, periodic, groups, both scopes."""

    phase_of_four = periodic([1, 0, 0, 2], "marks the rows of a group of four")
    is_real = bit("this row accesses")
    address = column("address")
    clk = column("clock")
    read = group(AccessRow, "the access before this one", count=2)
    written = column("the value written: the product of the values read")
    is_open = boundary_bit("a token leaves from here")
    token_address = boundary("address of the token")
    token_value = boundary_limbs("its value", count=2)
    weight = fixed("a preprocessed factor")


def memory_constraints(air, row):
    air.when(row.is_real).equal("written is the product", row.written, row.read[0].value * row.read[1].value)
    air.when(row.phase_of_four).equal(
        "groups share an address", row.next.address * row.weight, row.address * row.weight
    )
    air.zero("weights are bound", (row.weight - 1) * row.next.is_real * (row.next.phase_of_four - 1))
    for i in range(2):
        air.receive(MEMORY, row.address + i, row.read[i].previous_clk, row.read[i].value, count=row.is_real)
        air.send(MEMORY, row.address + i, row.clk + i, row.written * (1 - i) + row.read[i].value * i, count=row.is_real)
    air.when(row.is_real).send(RANGE, 16, row.clk - row.read[0].previous_clk, count=1)
    air.send(TOKEN, row.token_address, *row.token_value, count=row.is_open)
    air.receive(TOKEN, row.token_address, row.token_value[0] * row.weight, air.public("shard"), count=2 * row.is_open)
    air.receive(TOKEN, row.token_address + row.phase_of_four, row.token_value[0], 9, count=row.is_open, label="moved")


MEMORY_LIKE = Chip("memory_like", MemoryRow, memory_constraints, clk_increment=4)

SAMPLES = (FIBONACCI, ADD, RANGE_TABLE, MEMORY_LIKE)
