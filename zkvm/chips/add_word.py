"""
Add word: 32-bit addition and subtraction, the result sign-extended to 64 bits.

Given
-----
- The frame (gadgets/registers.py): a is rs1, b is rs2 or the immediate; their limbs are below 2^16.

Proves
------
- result = (a + b) mod 2^32 on an ADDW row, (a - b) mod 2^32 on a SUBW row, bit 31 copied into the upper 32 bits; rd
  holds it after the step.
- Every limb of the result is below 2^16.

Padding
-------
- Both operation bits are 0: no message is sent.

Source: RISC-V Unprivileged ISA, RV64I, ADDW, SUBW, ADDIW.
"""

from typing import Any

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, group, limbs
from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.limbs import ALL_ONES, add, fill_limbs, limb
from zkvm.chips.gadgets.ranges import LIMB_BITS, check_range
from zkvm.chips.gadgets.registers import Frame, fill_frame, frame
from zkvm.chips.gadgets.sign import TOP_BIT, check_top_bit
from zkvm.isa.instructions import IMMEDIATE_FLAG, Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import STEP_TICKS


class Row(Columns):
    is_add = bit("this row proves ADDW")
    is_sub = bit("this row proves SUBW")
    is_immediate = bit("b is the immediate")
    frame = group(Frame, "the instruction around the operation")
    a = limbs("first operand: rs1; the upper two limbs do not matter")
    b = limbs("second operand: rs2 or the immediate; the upper two limbs do not matter")
    result = limbs("lower half of what is written to rd", 2)
    sign = bit("bit 31 of the result")


def constrain(air: Any, row: Any) -> None:
    is_real = row.is_add + row.is_sub
    air.bit("one operation at most", is_real)
    air.zero("only a real row has an immediate", row.is_immediate * (1 - is_real))
    operation = row.is_add * Operation.ADDW + row.is_sub * Operation.SUBW
    result = (*row.result, ALL_ONES * row.sign, ALL_ONES * row.sign)
    frame(air, row.frame, operation, is_real, row.is_immediate, row.a, row.b, result)

    add(air.when(row.is_add), "a + b = result", row.a[:2], row.b[:2], row.result)
    add(air.when(row.is_sub), "result + b = a", row.result, row.b[:2], row.a[:2])
    check_range(air, "result[0]", row.result[0], LIMB_BITS, is_real)
    check_top_bit(air, "result[1] without its top bit", row.result[1], row.sign, is_real)


@kernel
def fill(program, events, rows, counts):
    """Writes row i from event i; arguments as in `add.fill`."""
    for i in range(len(events)):
        event = events[i]
        line = program[event.instruction]
        row = rows[i]
        operation = line.operation & (IMMEDIATE_FLAG - 1)
        row.is_add = operation == Operation.ADDW.value
        row.is_sub = operation == Operation.SUBW.value
        row.is_immediate = line.operation != operation
        fill_frame(row.frame, event, line, counts)
        fill_limbs(row.a, event.a)
        fill_limbs(row.b, event.b)
        low, high = limb(event.result, 0), limb(event.result, 1)
        row.result[0] = low
        row.result[1] = high
        row.sign = high >= TOP_BIT
        count_range(counts, LIMB_BITS, low)
        count_range(counts, LIMB_BITS - 1, high & np.uint32(TOP_BIT - 1))


def reference(operation: Operation, a: int, b: int) -> int:
    """The result of ADDW or SUBW on two 64-bit numbers."""
    word = (a + b if operation == Operation.ADDW else a - b) % 2**32
    return (word - (word >> 31 << 32)) % 2**64


CHIP = Chip("add_word", Row, constrain, fill=fill, reference=reference, clk_increment=STEP_TICKS)
