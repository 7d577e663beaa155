"""
Less than: SLT and SLTU, which write 1 or 0.

Given
-----
- The frame (gadgets/registers.py): a is rs1, b is rs2 or the immediate; their limbs are below 2^16.

Proves
------
- result = 1 if a < b, else 0; read as signed numbers on an SLT row, as unsigned ones on an SLTU row. rd holds it after
  the step.

Padding
-------
- Both operation bits are 0: no message is sent.

Source: RISC-V Unprivileged ISA, RV64I, integer computational instructions.
"""

from typing import Any

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, group, limbs
from zkvm.chips.gadgets.comparison import Comparison, compare, fill_comparison
from zkvm.chips.gadgets.limbs import fill_limbs
from zkvm.chips.gadgets.registers import Frame, fill_frame, frame
from zkvm.isa.instructions import IMMEDIATE_FLAG, Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import STEP_TICKS


class Row(Columns):
    is_signed = bit("this row proves SLT")
    is_unsigned = bit("this row proves SLTU")
    is_immediate = bit("b is the immediate")
    frame = group(Frame, "the instruction around the operation")
    a = limbs("first operand: rs1")
    b = limbs("second operand: rs2 or the immediate")
    comparison = group(Comparison, "a against b")


def constrain(air: Any, row: Any) -> None:
    is_real = row.is_signed + row.is_unsigned
    air.bit("one operation at most", is_real)
    air.zero("only a real row has an immediate", row.is_immediate * (1 - is_real))
    operation = row.is_signed * Operation.SLT + row.is_unsigned * Operation.SLTU
    is_less, _ = compare(air, row.comparison, row.a, row.b, row.is_signed, is_real)
    frame(air, row.frame, operation, is_real, row.is_immediate, row.a, row.b, (is_less, 0, 0, 0))


@kernel
def fill(program, events, rows, counts):
    """Writes row i from event i; arguments as in `add.fill`."""
    for i in range(len(events)):
        event = events[i]
        line = program[event.instruction]
        row = rows[i]
        operation = line.operation & (IMMEDIATE_FLAG - 1)
        row.is_signed = operation == Operation.SLT.value
        row.is_unsigned = operation == Operation.SLTU.value
        row.is_immediate = line.operation != operation
        fill_frame(row.frame, event, line, counts)
        fill_limbs(row.a, event.a)
        fill_limbs(row.b, event.b)
        fill_comparison(row.comparison, event.a, event.b, operation == Operation.SLT.value, counts)


def reference(operation: Operation, a: int, b: int) -> int:
    """The result of SLT or SLTU on two 64-bit numbers."""
    if operation == Operation.SLT:
        a, b = a - (a >> 63 << 64), b - (b >> 63 << 64)
    return int(a < b)


CHIP = Chip("less_than", Row, constrain, fill=fill, reference=reference, clk_increment=STEP_TICKS)
