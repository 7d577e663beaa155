"""
The frame of a step: its place in time and in the program.

Given
-----
- is_real is 0 or 1.
- The state bus starts with one token, and every step takes one and leaves one: the tokens form one path.

Proves
------
- The step runs at (pc, clk) and the next one at (next_pc, clk + ticks).
- (pc, operation, rd, rs1, rs2, immediate) is a line of the program table.

Padding
-------
- With is_real = 0 no message is sent.

Source: docs/specs/machine.md, "Time" and "Decoded instruction".
"""

from typing import Any

from zkvm.air.columns import Columns, column
from zkvm.chips.buses import PROGRAM, STATE
from zkvm.kernels.policy import kernel
from zkvm.machine.events import STEP_TICKS


class Step(Columns):
    """When and where the step happens."""

    pc = column("address of the instruction")
    clk = column("time at which the step starts")


def step(air: Any, cells: Any, next_pc: Any, is_real: Any, ticks: Any = STEP_TICKS) -> None:
    """Takes the machine from (pc, clk) to (next_pc, clk + ticks)."""
    air.receive(STATE, cells.pc, cells.clk, count=is_real, label="state in")
    air.send(STATE, next_pc, cells.clk + ticks, count=is_real, label="state out")


def instruction(
    air: Any,
    cells: Any,
    operation: Any,
    is_real: Any,
    *,
    rd: Any = 0,
    rs1: Any = 0,
    rs2: Any = 0,
    immediate: Any = (0,) * 4,
) -> None:
    """The decoded instruction at pc is this one; fields that it does not use are 0."""
    air.send(PROGRAM, cells.pc, operation, rd, rs1, rs2, *immediate, count=is_real, label="instruction")


@kernel(inline=True)
def fill_step(cells, event, counts):
    """Writes a Step from an event that has clk, pc and instruction; counts the instruction."""
    cells.pc = event.pc
    cells.clk = event.clk
    counts.program[event.instruction] += 1
