"""
Add: 64-bit addition and subtraction; LUI, AUIPC and FENCE are additions of x0 and a constant.

Given
-----
- The frame (gadgets/registers.py): a is rs1, b is rs2 or the immediate; their limbs are below 2^16.

Proves
------
- result = a + b mod 2^64 on an ADD row, a - b mod 2^64 on a SUB row, and rd holds it after the step.
- Every limb of the result is below 2^16.

Padding
-------
- Both operation bits are 0: no message is sent.

Source: RISC-V Unprivileged ISA, RV64I, integer computational instructions.
"""

from typing import Any

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, group, limbs
from zkvm.chips.gadgets.limbs import add, fill_checked_limbs, fill_limbs
from zkvm.chips.gadgets.ranges import check_limbs
from zkvm.chips.gadgets.registers import Frame, fill_frame, frame
from zkvm.isa.instructions import IMMEDIATE_FLAG, Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import STEP_TICKS


class Row(Columns):
    is_add = bit("this row proves ADD")
    is_sub = bit("this row proves SUB")
    is_immediate = bit("b is the immediate")
    frame = group(Frame, "the instruction around the operation")
    a = limbs("first operand: rs1")
    b = limbs("second operand: rs2 or the immediate")
    result = limbs("what is written to rd")


def constrain(air: Any, row: Any) -> None:
    is_real = row.is_add + row.is_sub
    air.bit("one operation at most", is_real)
    air.zero("only a real row has an immediate", row.is_immediate * (1 - is_real))
    operation = row.is_add * Operation.ADD + row.is_sub * Operation.SUB
    frame(air, row.frame, operation, is_real, row.is_immediate, row.a, row.b, row.result)

    # Subtraction is addition read from right to left: result + b = a.
    add(air.when(row.is_add), "a + b = result", row.a, row.b, row.result)
    add(air.when(row.is_sub), "result + b = a", row.result, row.b, row.a)
    check_limbs(air, "result", row.result, is_real)


@kernel
def fill(program, events, rows, counts):
    """
    Writes row i from event i.

    program: (m,) isa.decoder.DECODED. events: (n,) machine.events.STEP_EVENT of this family. rows: (h,) records of Row,
    h >= n, all 0; rows past n stay padding. counts: chips.counts.Counts, added to.
    """
    for i in range(len(events)):
        event = events[i]
        line = program[event.instruction]
        row = rows[i]
        operation = line.operation & (IMMEDIATE_FLAG - 1)
        row.is_add = operation == Operation.ADD.value
        row.is_sub = operation == Operation.SUB.value
        row.is_immediate = line.operation != operation
        fill_frame(row.frame, event, line, counts)
        fill_limbs(row.a, event.a)
        fill_limbs(row.b, event.b)
        fill_checked_limbs(row.result, event.result, counts)


def reference(operation: Operation, a: int, b: int) -> int:
    """The result of ADD or SUB on two 64-bit numbers."""
    return (a + b if operation == Operation.ADD else a - b) % 2**64


CHIP = Chip("add", Row, constrain, fill=fill, reference=reference, clk_increment=STEP_TICKS)
