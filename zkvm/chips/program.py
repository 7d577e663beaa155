"""
Program table: the decoded instructions of the program, each with the number of steps that executed it.

Given
-----
- the fixed columns hold each supported instruction word of the program once, under its own pc, in the order of pc.

Proves
------
- a step that sends (pc, operation, ...) on the program bus names an instruction that stands at that pc.

Padding
-------
- rows past the last instruction hold operation 0, which no chip sends, so their multiplicity is free and useless.

Source: docs/specs/machine.md, "Decoded instruction".
"""

from typing import Any

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, column, fixed
from zkvm.chips.buses import PROGRAM
from zkvm.chips.tables import fill_multiplicity


class Row(Columns):
    pc = fixed("address of the instruction, below 2^30")
    operation = fixed("what it does: an operation id of zkvm/isa, never 0 but in padding")
    rd = fixed("register written; 32, the sink, for x0; 0 if none")
    rs1 = fixed("first register read; 0 if none")
    rs2 = fixed("second register read; 0 if none")
    imm = fixed("the 64-bit immediate, 16 bits a limb", 4)
    multiplicity = column("how many steps of this shard executed it")


def constrain(air: Any, row: Any) -> None:
    air.receive(
        PROGRAM, row.pc, row.operation, row.rd, row.rs1, row.rs2, *row.imm,
        count=row.multiplicity, label="instruction",
    )  # fmt: skip


def fill(rows: np.ndarray, counts: np.ndarray) -> None:
    """rows: (n,) records of Row; counts: executions by instruction index, at most n of them."""
    fill_multiplicity(rows, {"multiplicity": counts})


CHIP = Chip("program", Row, constrain, fill=fill)
