"""
The usual frame of an instruction: rs1 and a second operand in, rd out.

Given
-----
- is_real is 0 or 1; is_immediate is 0 or 1, and 0 where is_real is 0.
- b's limbs in an immediate form are the program table's, which are below 2^16.

Proves, where is_real = 1
-------------------------
- The instruction at pc has this operation (with IMMEDIATE_FLAG if is_immediate), and the step goes on at pc + 4.
- a is the value of rs1 at clk; b is the value of rs2 at clk + 1, or the immediate.
- rd changes from `old` to `result` at clk + 3. The chip proves that result's limbs are below 2^16.

Padding
-------
- With is_real = 0 no message is sent.

In an immediate form nothing is read at clk + 1: rs2.previous_clk and rs2.gap_low are then free, and rs2.register is 0
by the program table.
"""

from typing import Any

from zkvm.air.columns import Columns, group, limbs
from zkvm.chips.gadgets.access import RegisterAccess, fill_access, read_register, write_register
from zkvm.chips.gadgets.limbs import fill_limbs
from zkvm.chips.gadgets.step import Step, fill_step, instruction, step
from zkvm.isa.instructions import IMMEDIATE_FLAG
from zkvm.kernels.policy import kernel
from zkvm.machine.events import RD_SLOT, RS1_SLOT, RS2_SLOT, STEP_TICKS


class Frame(Columns):
    """The cells of a frame; a, b and the result are the chip's, which knows how it wants them cut."""

    step = group(Step, "where in the program and when")
    rs1 = group(RegisterAccess, "the read of rs1")
    rs2 = group(RegisterAccess, "the read of rs2")
    rd = group(RegisterAccess, "the write of rd")
    old = limbs("value of rd before the step")


def frame(air: Any, cells: Any, operation: Any, is_real: Any, is_immediate: Any, a: Any, b: Any, result: Any) -> None:
    """
    Everything around the operation. operation: without IMMEDIATE_FLAG; is_immediate: an expression or the constant 0.

    The message to the program table has degree 2 where is_immediate is an expression.
    """
    clk = cells.step.clk
    step(air, cells.step, cells.step.pc + STEP_TICKS, is_real)
    instruction(
        air,
        cells.step,
        operation + IMMEDIATE_FLAG * is_immediate,
        is_real,
        rd=cells.rd.register,
        rs1=cells.rs1.register,
        rs2=cells.rs2.register,
        immediate=tuple(is_immediate * limb for limb in b),
    )
    read_register(air, "rs1", cells.rs1, clk + RS1_SLOT, a, is_real)
    read_register(air, "rs2", cells.rs2, clk + RS2_SLOT, b, is_real - is_immediate)
    write_register(air, "rd", cells.rd, clk + RD_SLOT, cells.old, result, is_real)


@kernel(inline=True)
def fill_frame(cells, event, line, counts):
    """Writes a Frame from a STEP_EVENT and its decoded instruction; rs2's access only if the form has one."""
    fill_step(cells.step, event, counts)
    fill_register_access(cells.rs1, line.rs1, event.previous_rs1, event.clk + RS1_SLOT, counts)
    if not line.operation & IMMEDIATE_FLAG:
        fill_register_access(cells.rs2, line.rs2, event.previous_rs2, event.clk + RS2_SLOT, counts)
    fill_register_access(cells.rd, line.rd, event.previous_rd, event.clk + RD_SLOT, counts)
    fill_limbs(cells.old, event.rd_old)


@kernel(inline=True)
def fill_register_access(cells, register, previous, time, counts):
    """Writes a RegisterAccess."""
    cells.register = register
    fill_access(cells, previous, time, counts)
